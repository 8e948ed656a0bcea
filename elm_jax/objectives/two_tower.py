"""What every signal-text objective shares: two towers, their projectors, and how they embed."""

import dataclasses
from typing import Any, ClassVar

import jax
from flax import linen as nn

from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.models.base import Encoded
from elm_jax.models.bert import pool_text
from elm_jax.models.layers import statistics_dtype
from elm_jax.objectives.base import SumOfTerms, Terms

# What evals are given of a signal or a text; an objective's own vectors are for its loss alone.
PREDICTED = ("features", "projection", "text_projection", "tokens", "logits")


@dataclasses.dataclass(frozen=True)
class TwoTower(SumOfTerms):
    """A signal encoder and a text tower, each with a projector into one space.

    Parameters are ``{"encoder", "signal_projector", "text_projector"[, "text_tower"]}``; the
    mutable state is ``{"batch_stats": {the same names}}``. Batches are those of
    :mod:`elm_jax.data.pipeline`: text comes as ``text_emb`` (a frozen tower's, computed once) or
    as ``text_token`` with ``text_token_valid`` (``text_tower`` reads it in the step).

    Attributes:
      encoder: any :class:`elm_jax.models.base.Encoder`.
      signal_projector: head on the encoder's pooled vector; one with ``reads_encoded`` takes all
        that the encoder gives, and gives a named tuple of vectors, ``projection`` among them. None
        where there is none.
      text_projector: head on the text vector; None where the model has no text side.
      text_tower: the trainable text tower; None where batches bring ``text_emb``.
      pooling: "cls" or "mean", of ``text_tower``.
      encoder_frozen: the encoder stays as it is: it runs in evaluation mode (BatchNorm uses and
        keeps its running statistics, no dropout) and nothing is differentiated through it.
    """

    encoder: nn.Module
    signal_projector: nn.Module | None = None
    text_projector: nn.Module | None = None
    text_tower: nn.Module | None = None
    pooling: str = "cls"
    encoder_frozen: bool = False
    rows_independent: ClassVar[bool] = False  # signals are compared with texts of other rows

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters and batch statistics, of the sides that ``batch`` has."""
        names = ("encoder", "signal", "tower", "text")
        keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        made: dict[str, Any] = {}
        encoder_key = {"params": keys["encoder"], "dropout": keys["encoder"]}
        encoded, made["encoder"] = self.encoder.init_with_output(
            encoder_key, batch["signal"], **self._names(batch), train=False
        )
        if self.signal_projector is not None:
            keys_signal = {"params": keys["signal"], "dropout": keys["signal"]}
            made["signal_projector"] = self.signal_projector.init(
                keys_signal, self._for_projector(encoded), train=False
            )
        if self._has_text(batch):
            if self.text_tower is None:
                text = batch["text_emb"]
            else:
                tokens = batch["text_token"], batch["text_token_valid"]
                hidden, made["text_tower"] = self.text_tower.init_with_output(
                    {"params": keys["tower"], "dropout": keys["tower"]}, *tokens, train=False
                )
                text = pool_text(hidden, tokens[1], self.pooling)
            made["text_projector"] = self.text_projector.init(keys["text"], text, train=False)
        params = {name: made[name]["params"] for name in made if "params" in made[name]}
        stats = {name: made[name]["batch_stats"] for name in made if "batch_stats" in made[name]}
        return params, {"batch_stats": stats}

    @property
    def frozen(self) -> tuple[str, ...]:
        """Regexes of parameters that must not learn."""
        return ("encoder/.*",) if self.encoder_frozen else ()

    def _has_text(self, batch: Batch) -> bool:
        return self.text_projector is not None and ("text_emb" in batch or "text_token" in batch)

    def _call(
        self, name: str, params: Params, stats: dict, key: Key | None, *args: Any, **kwargs: Any
    ):
        """Runs one module; its new batch statistics are written into ``stats``."""
        variables = {"params": params.get(name, {})}
        if name in stats:
            variables["batch_stats"] = stats[name]
        rngs = None if key is None else {"dropout": key}
        module = getattr(self, name)
        out, changed = module.apply(variables, *args, rngs=rngs, mutable=["batch_stats"], **kwargs)
        if "batch_stats" in changed:
            stats[name] = changed["batch_stats"]
        return out

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """Vectors of whatever side ``batch`` has, and the state after it.

        Gives ``features [b, d]`` and ``projection [b, e]`` for signals, ``text_projection [m, e]``
        for texts: at least float32, whatever the modules compute in.
        """
        stats = dict(model_state["batch_stats"])
        key_signal, key_text = (None, None) if key is None else jax.random.split(key)
        out: dict[str, Array] = {}
        if "signal" in batch:
            out |= self._of_signal(params, stats, batch, key_signal, train=train)
        if self._has_text(batch):
            text = self._text_vector(params, stats, batch, key_text, train=train)
            out["text_projection"] = self._call(
                "text_projector",
                params,
                stats,
                None,
                text,
                valid=batch.get("text_valid"),
                train=train,
            )
        out = {name: x.astype(statistics_dtype(x)) for name, x in out.items()}
        return out, dict(model_state) | {"batch_stats": stats}

    def _of_signal(
        self, params: Params, stats: dict, batch: Batch, key: Key | None, *, train: bool
    ) -> dict[str, Array]:
        """``features``, and ``projection`` where there is a projector."""
        encoded = self._encoded(params, stats, batch, key, train)
        return self._projected(params, stats, batch, encoded, key, train=train)

    def _for_projector(self, encoded: Encoded) -> Encoded | Array:
        whole = getattr(self.signal_projector, "reads_encoded", False)
        return encoded if whole else encoded.pooled

    def _projected(
        self, params, stats, batch, encoded: Encoded, key: Key | None = None, *, train: bool
    ) -> dict[str, Array]:
        out = {"features": encoded.pooled}
        if self.signal_projector is None:
            return out
        key = None if key is None else jax.random.split(key)[1]  # the encoder has used ``key``
        taken, valid = self._for_projector(encoded), batch.get("signal_valid")
        found = self._call("signal_projector", params, stats, key, taken, valid=valid, train=train)
        return out | (found._asdict() if isinstance(found, tuple) else {"projection": found})

    def _encoded(self, params, stats, batch, key, train: bool) -> Encoded:
        """What the encoder gives; nothing is differentiated through a frozen one."""
        encoded = self._encode(params, stats, batch, key, train)
        return jax.lax.stop_gradient(encoded) if self.encoder_frozen else encoded

    def _encode(self, params, stats, batch, key, train: bool) -> Encoded:
        learns = train and not self.encoder_frozen
        valid, names = batch.get("signal_valid"), self._names(batch)
        signal = batch["signal"]
        return self._call("encoder", params, stats, key, signal, valid=valid, train=learns, **names)

    def _names(self, batch: Batch) -> dict[str, Array]:
        """The electrodes of each row, for an encoder that reads channels by name."""
        by_name = getattr(self.encoder, "by_name", False) and "channel_id" in batch
        return {"channel_id": batch["channel_id"]} if by_name else {}

    def _text_vector(self, params, stats, batch, key, *, train) -> Float[Array, "m d"]:
        if self.text_tower is None:
            return batch["text_emb"]
        tokens = batch["text_token"], batch["text_token_valid"]
        hidden = self._call("text_tower", params, stats, key, *tokens, train=train)
        return pool_text(hidden, tokens[1], self.pooling)

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """The loss's terms (summed by the loop's scalar) and what is only reported."""
        raise TypeError(f"{type(self).__name__} has no loss of its own; use one of its subclasses")

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features``, ``projection``, ``text_projection``: of the sides that ``batch`` has."""
        out, _ = self.embed(params, model_state, batch, None, train=False)
        return {name: x for name, x in out.items() if name in PREDICTED}
