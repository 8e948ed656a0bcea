"""Contrast of pairs of a signal and its text: CLIP's, SigLIP's and MERL's objectives.

Each compares every signal of the global batch with every text of it. Who belongs together is what
the batch says (``signal_bag``, ``text_bag``): with ``config.sampler.equal_texts = "together"`` two
signals with the same report are positives of both of their texts, and not negatives that differ in
nothing.
"""

import dataclasses
import math

import jax.numpy as jnp

from elm_jax import losses
from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.losses.rows import require_similarity
from elm_jax.objectives.two_tower import Terms, TwoTower

LARGEST_SCALE = 100.0  # CLIP clips exp(logit_scale) there, so that training stays stable


@dataclasses.dataclass(frozen=True)
class PairedContrast(TwoTower):
    """What the three share: cosines over a temperature that is given or learnt.

    A learnt temperature is ``logit/log_scale``, the logarithm of its inverse; ``logit/bias`` is
    learnt beside it where the loss has one.

    Attributes:
      temperature: of the cosines; where it is learnt, to begin with.
      learn_temperature: whether it is a parameter; its inverse is kept at most 100.
      similarity: "ring" or "dense"; see :mod:`elm_jax.losses.contrast`.
    """

    temperature: float = 0.07
    learn_temperature: bool = True
    similarity: str = "ring"

    def __post_init__(self):
        require_similarity(self.similarity)
        if not self.temperature > 0:
            raise ValueError(f"config.objective.temperature is {self.temperature}; above 0")

    def _first_logit(self) -> dict[str, float]:
        """The parameters under ``logit`` to begin with."""
        return {"log_scale": -math.log(self.temperature)} if self.learn_temperature else {}

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and batch statistics."""
        params, model_state = super().init(key, batch)
        logit = {name: jnp.float32(value) for name, value in self._first_logit().items()}
        return (dict(params) | {"logit": logit} if logit else params), model_state

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """As the towers do; what is learnt of the logits stands in every row of the signals."""
        out, model_state = super().embed(params, model_state, batch, key, train=train)
        if "projection" in out:
            b = len(out["projection"])
            shared = params.get("logit", {})
            out |= {f"logit/{name}": jnp.broadcast_to(x, (b,)) for name, x in shared.items()}
        return out, model_state

    def _temperature(self, out: dict[str, Array]) -> float | Float[Array, ""]:
        if "logit/log_scale" not in out:
            return self.temperature
        largest = math.log(LARGEST_SCALE)
        return jnp.exp(-jnp.minimum(out["logit/log_scale"].mean(), largest))

    def _rows(self, out: dict[str, Array], batch: Batch) -> losses.RowLosses:
        """InfoNCE in both directions, each with half the weight (Radford et al. 2021)."""
        return losses.multi_instance(
            out["projection"],
            out["text_projection"],
            temperature=self._temperature(out),
            similarity=self.similarity,
            **_masks(batch),
        )

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """One term; the temperature is reported."""
        report = {"temperature": jnp.asarray(self._temperature(out), jnp.float32)}
        return {"contrast": losses.reduce_rows(self._rows(out, batch))}, report


@dataclasses.dataclass(frozen=True)
class Siglip(PairedContrast):
    """SigLIP's (Zhai et al. 2023): every pair is a yes/no question.

    Attributes:
      bias: added to the logits; learnt from there, as published.
    """

    temperature: float = 0.1
    bias: float = -10.0

    def _first_logit(self) -> dict[str, float]:
        return super()._first_logit() | {"bias": self.bias}

    def _rows(self, out: dict[str, Array], batch: Batch) -> losses.RowLosses:
        return losses.sigmoid_contrast(
            out["projection"],
            out["text_projection"],
            temperature=self._temperature(out),
            bias=out["logit/bias"].mean(),
            similarity=self.similarity,
            **_masks(batch),
        )


@dataclasses.dataclass(frozen=True)
class Merl(PairedContrast):
    """MERL's (Liu et al. 2024): signal against text, and two dropouts of the signal's own vector.

    Both terms are the sum of the two directions, as published; a mean of them is half of it.

    Attributes:
      uni_modal: weight of the contrast between the two views of a signal.
    """

    learn_temperature: bool = False
    uni_modal: float = 1.0

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """Two terms, weighted."""
        views = losses.paired_contrast(
            out["first"],
            out["second"],
            valid=batch["signal_valid"],
            temperature=self._temperature(out),
            similarity=self.similarity,
        )
        terms = {
            "cross_modal": 2 * losses.reduce_rows(self._rows(out, batch)),
            "uni_modal": 2 * self.uni_modal * losses.reduce_rows(views),
        }
        return terms, {}


def _masks(batch: Batch) -> dict[str, Array]:
    names = ("signal_bag", "text_bag", "signal_valid", "text_valid")
    return {name: batch[name] for name in names}
