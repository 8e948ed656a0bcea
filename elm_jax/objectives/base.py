"""The contract between the training loop and whatever is being learnt."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params


class LossOut(NamedTuple):
    """What a loss gives beside its scalar.

    Attributes:
      model_state: the mutable state after the call.
      terms: they sum to the loss.
      report: means that are only logged.
      weight: what this batch's means count for beside other batches': its rows that are scored.
      sums: what may be added up over batches for :meth:`Objective.scores`; validation does.
    """

    model_state: ModelState
    terms: dict[str, Float[Array, ""]]
    report: dict[str, Float[Array, ""]]
    weight: Float[Array, ""]
    sums: dict[str, Array]


@runtime_checkable
class Objective(Protocol):
    """Model and loss together; the loop knows nothing else about either.

    Attributes:
      frozen: regexes of parameters that must not learn.
    """

    frozen: tuple[str, ...]

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and mutable state for batches shaped like ``batch``."""
        ...

    def loss(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key, *, train: bool
    ) -> tuple[Float[Array, ""], LossOut]:
        """The scalar to minimise over the *global* batch, and what goes with it."""
        ...

    def after_update(self, params: Params, model_state: ModelState, step: Array) -> ModelState:
        """State that follows the parameters (a momentum encoder); the identity elsewhere."""
        ...

    def scores(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """Scores of a whole split from :attr:`LossOut.sums` added up over its batches."""
        ...

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """The only thing evals call.

        Gives what there is of: ``features`` (the encoder's pooled vector), ``projection``,
        ``text_projection``, ``tokens``, ``logits``.
        """
        ...
