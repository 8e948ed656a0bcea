"""Masked pretraining with two views of every window (DARE-EEG), around :mod:`masked_dual`.

A second mask shows the same time patches through other channels, of which a controlled part is
common to both. The encoder's tokens of both views, their mean over the visible patches projected
by Linear-ReLU-Linear, are contrasted (InfoNCE in both directions, temperature 0.1; *negatives are
the whole global batch*); and their mean square is kept small. The loss is

    alignment + reconstruction + 0.1 * contrast + 1e-4 * mean square of both views' tokens

Cases of its ablation, as the released code means them (``Module_Selection``):

| case | DARE-EEG's code    | here                     | what is left                              |
|------|--------------------|--------------------------|-------------------------------------------|
| 1    | USE_LOSS_A=False   | alignment=False          | reconstruction, contrast, mean square     |
| 2    | USE_LN=False       | normalised_patches=False | all; *patches* are not layer-normed (the  |
|      |                    |                          | momentum encoder's tokens still are)      |
| 3    | USE_SKIP=False     | skip=False               | all; the reconstructor reads predictions  |
| 4    | USE_LOSS_MC=False  | mask_alignment=False     | alignment, reconstruction: the mean       |
|      |                    |                          | square goes with the contrast             |
| 5    | all on             | (as it is)               | all                                       |

Departures: the projection is trained (the released optimiser leaves it out, so it never moved); the
second view's channels are those of its own time patches (see ``masking.draw_second_view``).
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from elm_jax import losses, masking
from elm_jax.axes import Array, Batch, Key, ModelState, Params
from elm_jax.models.layers import statistics_dtype
from elm_jax.objectives.base import SumOfTerms, Terms
from elm_jax.objectives.masked_dual import (
    SECOND_VIEW,
    Drawn,
    MaskedDual,
    batch_key,
    mean_over,
    mean_square,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DualAligned(SumOfTerms):
    """Model and loss of DARE-EEG's pretraining.

    Batches and state are those of :class:`MaskedDual`; parameters have ``view_projector`` beside.

    Attributes:
      masked: what is done with the first view.
      view_projector: :class:`elm_jax.models.view_projector.ViewProjector`.
      view_overlap: lowest and highest intersection over union of the views' channels.
      overlap_jitter: see :func:`elm_jax.masking.draw_second_view`.
      temperature: divides the cosines.
      mask_alignment: whether contrast and mean square count; else they are only reported.
      mask_alignment_weight: of the contrast.
      activation_weight: of the mean square.
      similarity: "ring" or "dense", see :mod:`elm_jax.losses.contrast`.
    """

    masked: MaskedDual
    view_projector: nn.Module
    view_overlap: tuple[float, float] = (0.2, 0.8)
    overlap_jitter: float = 0.05
    temperature: float = 0.1
    mask_alignment: bool = True
    mask_alignment_weight: float = 0.1
    activation_weight: float = 1e-4
    similarity: str = "ring"
    rows_independent: ClassVar[bool] = False
    frozen: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if self.similarity not in losses.SIMILARITIES:
            raise ValueError(
                f"config.objective.similarity is {self.similarity!r}; known: {losses.SIMILARITIES}"
            )
        if not self.temperature > 0:
            raise ValueError(f"config.objective.temperature is {self.temperature}: positive")

    @property
    def encoder(self) -> nn.Module:
        """The encoder of both views."""
        return self.masked.encoder

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters; see :meth:`MaskedDual.init`."""
        key_masked, key_projector = jax.random.split(key)
        params, model_state = self.masked.init(key_masked, batch)
        drawn = self.masked.draw(None, batch)
        self.second_view(batch, drawn)  # too few channels are told here
        width = self.encoder.width * self.encoder.summary_tokens
        made = self.view_projector.init(key_projector, jnp.zeros((1, width)))
        return dict(params) | {"view_projector": made["params"]}, model_state

    def second_view(self, batch: Batch, drawn: Drawn, key: Key | None = None) -> Array:
        """Tokens of the second view, which all rows share."""
        return masking.draw_second_view(
            jax.random.fold_in(batch_key(batch, key), SECOND_VIEW),
            drawn.masks.keep,
            drawn.sizes,
            overlap=self.view_overlap,
            jitter=self.overlap_jitter,
        )

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """What :class:`MaskedDual` gives, both views' projections, and their mean square."""
        masked, drawn = self.masked, self.masked.draw(key, batch)
        keys, keep = drawn.keys, (drawn.masks.keep, self.second_view(batch, drawn, key))
        first = masked.see(params, batch, keep[0], keys["encoder"], train=train)
        second = masked.see(params, batch, keep[1], keys["second_view"], train=train)
        out = masked.compare(params, model_state, batch, first, drawn, train=train)
        for name, view in (("first_view", first), ("second_view", second)):
            projected = self.view_projector.apply({"params": params["view_projector"]}, view.pooled)
            out[name] = projected.astype(statistics_dtype(projected))
        squares = [mean_square(v.tokens.astype(out[name].dtype)) for v in (first, second)]
        return out | {"activation": sum(squares) / 2}, model_state

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """Weighted terms, which sum to the loss; contrast and mean square as they are reported."""
        terms, report = self.masked.terms(out, batch)
        valid = batch["signal_valid"]
        rows = losses.paired_contrast(
            out["first_view"],
            out["second_view"],
            valid=valid,
            temperature=self.temperature,
            similarity=self.similarity,
        )
        report |= {
            "view_contrast": losses.reduce_rows(rows),
            "activation": mean_over(out["activation"], valid),
        }
        if self.mask_alignment:
            terms |= {
                "mask_alignment": self.mask_alignment_weight * report["view_contrast"],
                "activation_penalty": self.activation_weight * report["activation"],
            }
        return terms, report

    def after_update(self, params: Params, model_state: ModelState, step: Array) -> ModelState:
        """See :meth:`MaskedDual.after_update`."""
        return self.masked.after_update(params, model_state, step)

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """See :meth:`MaskedDual.predict`."""
        return self.masked.predict(params, model_state, batch)
