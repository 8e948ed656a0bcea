"""The contract between the training loop and whatever is being learnt."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params

# The loss's terms, which sum to it, and what is only reported.
Terms = tuple[dict[str, Array], dict[str, Array]]


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

    The loss is the sum of :meth:`terms` of what :meth:`embed` gives: the first sees rows one by one
    (but for batch statistics), the second may compare all of them. So a batch can be embedded in
    parts (see :mod:`elm_jax.accumulate`).

    Attributes:
      frozen: regexes of parameters that must not learn.
      rows_independent: no row is compared with another: the loss of a batch is the mean of its
        parts' losses weighted by :meth:`weight`.
    """

    frozen: tuple[str, ...]
    rows_independent: bool

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and mutable state for batches shaped like ``batch``."""
        ...

    def loss(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key, *, train: bool
    ) -> tuple[Float[Array, ""], LossOut]:
        """The scalar to minimise over the *global* batch, and what goes with it."""
        ...

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Float[Array, "..."]], ModelState]:
        """What :meth:`terms` reads, at least float32, one entry a row; and the state after it.

        Where rows are part of a larger batch, ``batch`` has a ``batch_key``: for what all of them
        share, such as a mask; ``key`` is the part's own.
        """
        ...

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """The loss's terms, which sum to it, and what is only reported.

        Args:
          out: of :meth:`embed` for all rows of ``batch``.
          batch: who belongs together, which rows are real, labels.
        """
        ...

    def weight(self, batch: Batch) -> Float[Array, ""]:
        """How many rows are scored: what the means over ``batch`` count for."""
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


class SumOfTerms:
    """What follows from ``embed`` and ``terms``, for objectives to inherit and to override."""

    def loss(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key, *, train: bool
    ) -> tuple[Float[Array, ""], LossOut]:
        """The sum of ``terms`` over the global batch."""
        out, model_state = self.embed(params, model_state, batch, key, train=train)
        terms, report = self.terms(out, batch)
        more = self.weight(batch), self.sums(out, batch)
        return sum(terms.values()), LossOut(model_state, terms, report, *more)

    def weight(self, batch: Batch) -> Float[Array, ""]:
        """How many rows of ``batch`` are real: what its means count for."""
        return batch["signal_valid"].sum(dtype=jnp.float32)

    def sums(self, out: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """What :meth:`scores` needs, to be added up over batches: nothing."""
        return {}

    def scores(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """Scores of a whole split: none."""
        return {}

    def after_update(self, params: Params, model_state: ModelState, step: Array) -> ModelState:
        """Nothing follows the parameters."""
        return model_state
