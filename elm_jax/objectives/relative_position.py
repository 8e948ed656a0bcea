"""Relative positioning: are two windows of a recording near each other in time, or far apart?

Banville, Albuquerque, Hyvärinen, Moffat, Engemann and Gramfort (2019), Banville, Chehab,
Hyvärinen, Engemann and Gramfort (2021), "Uncovering the structure of clinical EEG signals with
self-supervised learning", J. Neural Eng. 18, section 2.1:

    g(x_a, x_b) = |h(x_a) - h(x_b)|         h: the encoder
    loss = log(1 + exp(-y (w . dropout(g) + b)))    y: +1 near, -1 far
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from elm_jax import losses
from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.models.layers import statistics_dtype
from elm_jax.objectives import confusion
from elm_jax.objectives.base import Terms
from elm_jax.objectives.two_tower import TwoTower

SIDES = ("signal_a", "signal_b")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelativePosition(TwoTower):
    """A siamese encoder and a linear classifier of the distance between two windows' vectors.

    Batches have ``signal_a``, ``signal_b``, ``signal_valid`` and ``near [b]`` (data.window_pairs).
    Parameters are ``{"encoder", "classifier"}``.

    The encoder sees all first windows and then all second ones, as PyTorch's siamese network does
    when it is called twice: BatchNorm's statistics are those of a side, and the running ones are
    updated twice a step.

    Attributes:
      classifier: gives one logit from the distance of two vectors.
    """

    classifier: nn.Module
    rows_independent: ClassVar[bool] = True

    def __post_init__(self):
        heads = self.signal_projector, self.text_projector, self.text_tower
        if any(head is not None for head in heads):
            raise ValueError(
                "config.objective 'relative_position' compares the encoder's own vectors: it has "
                "neither a projection nor a text side"
            )

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and batch statistics, from a batch of pairs or of windows."""
        key_encoder, key_classifier = jax.random.split(key)
        windows = _side(batch, SIDES[0]) if _has_pairs(batch) else batch
        params, model_state = super().init(key_encoder, windows)
        stats = dict(model_state["batch_stats"])
        vector = self._encode(params, stats, windows, None, False).pooled
        made = self.classifier.init(key_classifier, vector, train=False)
        return dict(params) | {"classifier": made["params"]}, model_state

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """``logits [b, 1]`` of pairs; of a batch of single windows ``features [b, d]``."""
        if not _has_pairs(batch):
            return super().embed(params, model_state, batch, key, train=train)
        stats = dict(model_state["batch_stats"])
        keys = (None, None, None) if key is None else jax.random.split(key, 3)
        a, b = (
            self._encoded(params, stats, _side(batch, side), own, train).pooled
            for side, own in zip(SIDES, keys[:2], strict=True)
        )
        # In bfloat16 the difference of two near vectors would be rounding.
        valid, wide = batch.get("signal_valid"), statistics_dtype(a)
        apart = jnp.abs(a.astype(wide) - b.astype(wide))
        logits = self._call("classifier", params, stats, keys[2], apart, valid=valid, train=train)
        logits = logits.astype(statistics_dtype(logits))
        return {"logits": logits}, dict(model_state) | {"batch_stats": stats}

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """The binary cross-entropy of "near"; the share of right answers is reported."""
        near, valid = batch["near"], batch["signal_valid"]
        target = near[:, None].astype(out["logits"].dtype)
        loss, weight = losses.binary_cross_entropy(out["logits"], target, valid=valid)
        right = ((out["logits"][:, 0] > 0) == near) & valid
        share = right.sum() / jnp.maximum(valid.sum(), 1)
        return {"near": jnp.sum(loss * weight)}, {"accuracy": share.astype(loss.dtype)}

    def weight(self, batch: Batch) -> Float[Array, ""]:
        """How many pairs are real."""
        return batch["signal_valid"].sum(dtype=jnp.float32)

    def sums(self, out: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """Pairs by truth and answer: ``confusion [1, truth, answer]``, far before near."""
        truth, answer = batch["near"][:, None].astype(int), (out["logits"] > 0).astype(int)
        scored = batch["signal_valid"][:, None].astype(jnp.float32)
        return {"confusion": confusion.counts(truth, answer, scored, classes=2)}

    def scores(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """``balanced_accuracy``, ``kappa`` and ``weighted_f1`` of a split's pairs."""
        return confusion.scores(np.asarray(sums["confusion"], np.float64))

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features [b, d]`` of windows; ``logits [b, 1]`` of pairs, above zero where near."""
        return self.embed(params, model_state, batch, None, train=False)[0]


def _has_pairs(batch: Batch) -> bool:
    return SIDES[0] in batch


def _side(batch: Batch, side: str) -> Batch:
    """One window of each pair, as a batch of windows."""
    own = {k: v for k, v in batch.items() if k not in SIDES}
    return own | {"signal": batch[side]}
