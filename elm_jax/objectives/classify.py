"""Supervised learning of labels: an encoder, its projector where there is one, and a classifier."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from elm_jax import losses
from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.data.targets import Target
from elm_jax.models.base import Encoded
from elm_jax.objectives import confusion
from elm_jax.objectives.base import Terms
from elm_jax.objectives.two_tower import TwoTower


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classify(TwoTower):
    """A classifier on the encoder's tokens, on its one vector, or on the projection of that.

    Batches have ``signal``, ``signal_valid`` and ``label [b, k]`` as
    :class:`elm_jax.data.targets.Target` gives it. Parameters are ``{["adapter",] "encoder"[,
    "signal_projector"], "classifier"}``.

    A frozen encoder behind an adapter is differentiated through, so that the adapter learns, but
    not by its own parameters; without an adapter nothing passes back through it.

    Attributes:
      classifier: gives ``target.outputs`` logits; one with ``reads_tokens`` takes the encoder's
        tokens, any other the projection or the one vector.
      target: what is predicted.
      adapter: ahead of the encoder, whose channels are then the adapter's outputs; None: none.
      class_weight: of "multiclass", a weight a class; of "binary" and "multilabel", what the loss
        of a positive is multiplied by, one a label; empty: all one.
      label_smoothing: of "multiclass": share of the target that all classes divide.
    """

    classifier: nn.Module
    target: Target
    adapter: nn.Module | None = None
    class_weight: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    rows_independent: ClassVar[bool] = True

    def __post_init__(self):
        if self.text_projector is not None or self.text_tower is not None:
            raise ValueError("config.objective 'classify' has no text side: text_projection=None")
        if self.signal_projector is not None and self.reads_tokens:
            raise ValueError(
                "config.objective.head reads the encoder's tokens, not the projection: "
                "config.objective.signal_projection=None"
            )
        expected = 0 if self.target.kind == "regression" else self.target.outputs
        if self.class_weight and len(self.class_weight) != expected:
            raise ValueError(
                f"config.objective.class_weight has {len(self.class_weight)} entries; "
                f"{self.target.kind} of {self.target.name!r} has {expected}"
            )
        if any(not weight > 0 for weight in self.class_weight):
            raise ValueError(f"config.objective.class_weight must be positive: {self.class_weight}")
        if self.label_smoothing and self.target.kind != "multiclass":
            raise ValueError("config.objective.label_smoothing is for kind 'multiclass' alone")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"config.objective.label_smoothing is {self.label_smoothing}")

    @property
    def reads_tokens(self) -> bool:
        """Whether the classifier takes the encoder's tokens."""
        return getattr(self.classifier, "reads_tokens", False)

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and batch statistics."""
        key_towers, key_classifier, key_adapter = jax.random.split(key, 3)
        made: dict[str, Any] = {}
        ahead = batch
        if self.adapter is not None:
            keys = {"params": key_adapter, "dropout": key_adapter}
            signal, made["adapter"] = self.adapter.init_with_output(
                keys, batch["signal"], train=False
            )
            ahead = _renamed(batch, signal)
        params, model_state = super().init(key_towers, ahead)
        stats = dict(model_state["batch_stats"])
        encoded = self._encode(params, stats, ahead, None, False)
        vectors = self._projected(params, stats, ahead, encoded, train=False)
        keys = {"params": key_classifier, "dropout": key_classifier}
        made["classifier"] = self.classifier.init(keys, self._read(encoded, vectors), train=False)
        params = dict(params) | {k: own["params"] for k, own in made.items() if "params" in own}
        stats |= {k: own["batch_stats"] for k, own in made.items() if "batch_stats" in own}
        return params, {"batch_stats": stats}

    def _read(self, encoded: Encoded, vectors: dict[str, Array]) -> Array:
        """What the classifier takes."""
        if self.reads_tokens:
            return encoded.tokens
        return vectors.get("projection", encoded.pooled)

    def _of_signal(
        self, params: Params, stats: dict, batch: Batch, key: Key | None, *, train: bool
    ) -> dict[str, Array]:
        """``features``, ``projection`` where there is a projector, and ``logits [b, k]``."""
        keys = (None, None) if key is None else jax.random.split(key)
        encoded = self._encoded(params, stats, batch, keys[0], train)
        out = self._projected(params, stats, batch, encoded, keys[0], train=train)
        valid = batch.get("signal_valid")
        taken = self._read(encoded, out)
        logits = self._call("classifier", params, stats, keys[1], taken, valid=valid, train=train)
        return out | {"logits": logits}

    def _encoded(self, params, stats, batch, key, train: bool) -> Encoded:
        if self.adapter is None:
            return super()._encoded(params, stats, batch, key, train)
        keys = (None, None) if key is None else jax.random.split(key)
        valid = batch.get("signal_valid")
        signal = self._call(
            "adapter", params, stats, keys[0], batch["signal"], valid=valid, train=train
        )
        if self.encoder_frozen:
            params = dict(params) | {"encoder": jax.lax.stop_gradient(params["encoder"])}
        return self._encode(params, stats, _renamed(batch, signal), keys[1], train)

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """One term; the share of right answers (regression: of variance explained) is reported."""
        logits, label, valid = out["logits"], batch["label"], batch["signal_valid"]
        loss, weight = self._loss()(logits, label, valid)
        scored = _scored(label, valid)
        right = jnp.where(scored, self._right(logits, label), 0).sum() / jnp.maximum(
            scored.sum(), 1
        )
        name = "mean_absolute_error" if self.target.kind == "regression" else "accuracy"
        return {self.target.kind: jnp.sum(loss * weight)}, {name: right}

    def _loss(self) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
        weight = jnp.asarray(self.class_weight) if self.class_weight else None

        def binary(logits, label, valid):
            return losses.binary_cross_entropy(logits, label, valid=valid, positive_weight=weight)

        def multiclass(logits, label, valid):
            smoothing = self.label_smoothing
            return losses.cross_entropy(
                logits,
                _class_of(label),
                valid=valid,
                class_weight=weight,
                label_smoothing=smoothing,
            )

        def regression(logits, label, valid):
            return losses.squared_error(logits, label, valid=valid)

        kinds = dict(binary=binary, multilabel=binary, multiclass=multiclass, regression=regression)
        return kinds[self.target.kind]

    def _right(self, logits: Array, label: Array) -> Array:
        """1 where an entry is right; a regression's distance in the label's unit."""
        if self.target.kind == "regression":
            return jnp.abs(logits - label) * self.target.std
        if self.target.kind == "multiclass":
            return (jnp.argmax(logits, axis=1) == _class_of(label)).astype(jnp.float32)[:, None]
        return ((logits > 0) == (label > 0.5)).astype(jnp.float32)

    def weight(self, batch: Batch) -> Float[Array, ""]:
        """What the loss is divided by: entries with a label, times their classes' weights."""
        scored = _scored(batch["label"], batch["signal_valid"]).astype(jnp.float32)
        if self.target.kind == "multiclass" and self.class_weight:
            weights = jnp.asarray(self.class_weight)[jnp.maximum(_class_of(batch["label"]), 0)]
            scored = scored * weights[:, None]
        return scored.sum()

    def sums(self, out: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """Entries by class and answer: ``confusion [labels, truth, answer]``; none of numbers."""
        if self.target.kind == "regression":
            return {}
        logits, label = out["logits"], batch["label"]
        scored = _scored(label, batch["signal_valid"]).astype(jnp.float32)
        if self.target.kind == "multiclass":
            truth, answer = _class_of(label)[:, None], jnp.argmax(logits, 1)[:, None]
            k = self.target.outputs
        else:
            truth, answer, k = (label > 0.5).astype(int), (logits > 0).astype(int), 2
        return {"confusion": confusion.counts(truth, answer, scored, classes=k)}

    def scores(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """Of classes that are there: ``balanced_accuracy``, and ``kappa`` and ``weighted_f1``.

        Means over the labels, where there are several; a score that no label has is left out.
        """
        if "confusion" not in sums:
            return {}
        return confusion.scores(np.asarray(sums["confusion"], np.float64))

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features``, ``projection`` if there is one, ``logits``: numbers in the label's unit."""
        out = super().predict(params, model_state, batch)
        if "logits" in out and self.target.kind == "regression":
            out["logits"] = out["logits"] * self.target.std + self.target.mean
        return out


def _renamed(batch: Batch, signal: Array) -> dict[str, Array]:
    """``batch`` with what an adapter gives, whose channels are not those of the recording."""
    return {k: v for k, v in batch.items() if k != "channel_id"} | {"signal": signal}


def _scored(label: Array, valid: Array) -> Array:
    return jnp.isfinite(label) & valid[:, None]


def _class_of(label: Array) -> Array:
    """Class numbers ``[b]``; -1 where the label is missing."""
    label = label[:, 0]
    return jnp.where(jnp.isfinite(label), label, -1).astype(jnp.int32)
