"""Masked reconstruction beside alignment to a momentum encoder (EEGPT, Wang et al., NeurIPS 2024).

    visible tokens -> encoder -> predictor -> all time patches ~ momentum encoder of everything
                          `-----------+-----> reconstructor -> hidden patches ~ the signal's own

The loss is alignment + reconstruction, each a mean of squared differences (the paper's formulas
have a sign slip; this is what the released code does). Targets are the momentum encoder's tokens,
layer-normed over the width, and the hidden patches' samples, layer-normed; nothing is learnt
through them. The momentum encoder follows the encoder after every step and is what
:meth:`MaskedDual.predict` gives.

Switches of the paper's ablation, as the released code means them:

| variant | EEGPT's code     | here                     | what changes                          |
|---------|------------------|--------------------------|---------------------------------------|
| A       | USE_LOSS_A=False | alignment=False          | alignment is only reported            |
| B       | USE_LN=False     | normalised_patches=False | *patches* are not layer-normed; the   |
|         |                  |                          | momentum encoder's tokens still are   |
| C       | USE_SKIP=False   | skip=False               | the reconstructor reads predictions   |
|         |                  |                          | of visible patches, too               |
| D       | all on           | (as it is)               |                                       |
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from elm_jax import masking
from elm_jax.axes import Array, Batch, Float, Int, Key, ModelState, Params
from elm_jax.channels import channel_ids
from elm_jax.losses.collapse import spread
from elm_jax.models.base import Encoded
from elm_jax.models.layers import cut_patches, standardised, statistics_dtype
from elm_jax.models.masked_heads import visible_patches
from elm_jax.objectives.base import SumOfTerms, Terms

TARGET_EPS = 1e-5  # beside the variance of targets: torch's default, as published
# Numbers of keys made from another by fold_in, far from 0, 1, 2 ...: these jax.random.split gives.
ROWS, SECOND_VIEW = 101, 102


class Drawn(NamedTuple):
    """What a call draws: the batch's masks, and keys of what differs from row to row."""

    masks: masking.Masks
    sizes: masking.MaskSizes
    keys: dict[str, Key | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedDual(SumOfTerms):
    """Model and loss of EEGPT's pretraining.

    Batches have ``signal [b, c, t]``, ``signal_valid [b]`` and, where several montages take turns,
    ``channel_id [b, c]``; one mask a batch. Parameters are ``{"encoder", "predictor",
    "reconstructor"}``; the mutable state is ``{"batch_stats": {}, "target": {"encoder"}}``.

    In evaluation mode every batch of a montage has the same mask, so that validations compare.

    Attributes:
      encoder: one that can be shown a part (``keep``):
        :class:`elm_jax.models.eeg_transformer.EegTransformer`.
      predictor: :class:`elm_jax.models.masked_heads.Predictor`.
      reconstructor: :class:`elm_jax.models.masked_heads.Reconstructor`.
      momentum: of the momentum encoder at the first step and at the end, linear between.
      total_steps: of the run; ``build.settle_length`` writes it into the config.
      alignment: whether alignment counts; else it is only reported.
      skip: whether the reconstructor reads the encoder's own tokens of visible patches.
      normalised_patches: whether patches are layer-normed before they are targets.
      visible_patches: share of the time patches that are seen.
      visible_channels: share of the channels that are seen in those.
      extra_channels: share of those patches' other channels that are reconstructed.
    """

    encoder: nn.Module
    predictor: nn.Module
    reconstructor: nn.Module
    momentum: tuple[float, float] = (0.996, 1.0)
    total_steps: int | None = None
    alignment: bool = True
    skip: bool = True
    normalised_patches: bool = True
    visible_patches: float = masking.PATCH_SHARE
    visible_channels: float = masking.CHANNEL_SHARE
    extra_channels: float = masking.EXTRA_SHARE
    rows_independent: ClassVar[bool] = True
    frozen: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if len(self.momentum) != 2 or not all(0 <= m <= 1 for m in self.momentum):
            raise ValueError(
                f"config.objective.momentum is {self.momentum}: expected two numbers from 0 to 1"
            )

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters; the momentum encoder begins as a copy of the encoder.

        Raises:
          MaskError: too few channels or patches.
          UnknownChannels: electrodes that the encoder does not know.
        """
        names = ("encoder", "predictor", "reconstructor")
        keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        ids, drawn = self.ids(batch), self.draw(key, batch)
        seen, encoder = self.encoder.init_with_output(
            keys["encoder"], batch["signal"], channel_id=ids, keep=drawn.masks.keep, train=False
        )
        predicted, predictor = self.predictor.init_with_output(
            keys["predictor"], seen.tokens, **_places(drawn), train=False
        )
        reconstructor = self.reconstructor.init(
            keys["reconstructor"],
            predicted.combined,
            query=drawn.masks.asked,
            channel_id=ids,
            train=False,
        )
        made = dict(zip(names, (encoder, predictor, reconstructor), strict=True))
        params = {name: variables["params"] for name, variables in made.items()}
        target = jax.tree.map(jnp.copy, params["encoder"])
        return params, {"batch_stats": {}, "target": {"encoder": target}}

    # -- the two sides --------------------------------------------------------------------------

    def ids(self, batch: Batch) -> Int[Array, "*rows c"]:
        """Numbers of the electrodes: the batch's, else those of the encoder's channels."""
        if "channel_id" in batch:
            return batch["channel_id"]
        return jnp.asarray(channel_ids(self.encoder.channels))

    def draw(self, key: Key | None, batch: Batch) -> Drawn:
        """The mask, which all rows share; and keys for dropout, None where there is no key."""
        size, stride = self.encoder.patch_size, self.encoder.patch_stride
        cut = jax.eval_shape(lambda x: cut_patches(x, size, stride), batch["signal"])
        sizes = masking.mask_sizes(
            cut.shape[1],
            cut.shape[2],
            patch_share=self.visible_patches,
            channel_share=self.visible_channels,
            extra_share=self.extra_channels,
        )
        names = ("encoder", "predictor", "reconstructor", "second_view")
        if key is None:
            keys = dict.fromkeys(names)
        else:
            own = jax.random.split(jax.random.fold_in(key, ROWS), len(names))
            keys = dict(zip(names, own, strict=True))
        shared = batch_key(batch, key)
        return Drawn(masking.draw_masks(shared, sizes), sizes, keys)

    def see(
        self, params: Params, batch: Batch, keep: Array, key: Key | None, *, train: bool
    ) -> Encoded:
        """The encoder's tokens of the visible patches."""
        return self.encoder.apply(
            {"params": params["encoder"]},
            batch["signal"],
            channel_id=self.ids(batch),
            keep=keep,
            valid=batch.get("signal_valid"),
            train=train,
            rngs=_dropout(key),
        )

    def target(self, model_state: ModelState, batch: Batch) -> Encoded:
        """The momentum encoder's tokens of everything, without dropout."""
        encoded = self.encoder.apply(
            {"params": model_state["target"]["encoder"]},
            batch["signal"],
            channel_id=self.ids(batch),
            valid=batch.get("signal_valid"),
            train=False,
        )
        return jax.lax.stop_gradient(encoded)

    def compare(
        self,
        params: Params,
        model_state: ModelState,
        batch: Batch,
        seen: Encoded,
        drawn: Drawn,
        *,
        train: bool,
    ) -> dict[str, Array]:
        """``alignment [b]``, ``reconstruction [b]`` and the momentum encoder's ``features``."""
        target = self.target(model_state, batch)
        predicted = self.predictor.apply(
            {"params": params["predictor"]},
            seen.tokens,
            **_places(drawn),
            train=train,
            rngs=_dropout(drawn.keys["predictor"]),
        )
        made = self.reconstructor.apply(
            {"params": params["reconstructor"]},
            predicted.combined if self.skip else predicted.tokens,
            query=drawn.masks.asked,
            channel_id=self.ids(batch),
            train=train,
            rngs=_dropout(drawn.keys["reconstructor"]),
        )
        vectors = (*target.tokens.shape[:2], self.encoder.summary_tokens, self.encoder.width)
        tokens = standardised(_wide(target.tokens).reshape(vectors), TARGET_EPS)
        return {
            "alignment": mean_square(_wide(predicted.tokens).reshape(vectors) - tokens),
            "reconstruction": mean_square(_wide(made) - self.patches(batch, drawn.masks.asked)),
            "features": _wide(target.pooled),
        }

    def patches(self, batch: Batch, asked: Int[Array, " n"]) -> Float[Array, "b n k"]:
        """The samples of the patches that are asked for, layer-normed unless switched off."""
        signal = jnp.where(batch["signal_valid"][:, None, None], batch["signal"], 0)
        cut = cut_patches(signal, self.encoder.patch_size, self.encoder.patch_stride)
        wanted = _wide(cut.reshape(len(cut), -1, cut.shape[-1])[:, asked])
        return standardised(wanted, TARGET_EPS) if self.normalised_patches else wanted

    # -- the contract ---------------------------------------------------------------------------

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """Each row's two losses, and the momentum encoder's ``features [b, d]``."""
        drawn = self.draw(key, batch)
        seen = self.see(params, batch, drawn.masks.keep, drawn.keys["encoder"], train=train)
        return self.compare(params, model_state, batch, seen, drawn, train=train), model_state

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """Alignment and reconstruction; how far the features spread is reported."""
        valid = batch["signal_valid"]
        losses = {name: mean_over(out[name], valid) for name in ("alignment", "reconstruction")}
        report = spread(out["features"], valid=valid)
        if not self.alignment:
            report["alignment"] = losses.pop("alignment")
        return losses, report

    def after_update(self, params: Params, model_state: ModelState, step: Array) -> ModelState:
        """Moves the momentum encoder: ``m * target + (1 - m) * encoder``, m by the step.

        Raises:
          ValueError: ``total_steps`` is not known.
        """
        if self.total_steps is None:
            raise ValueError(
                "config.objective.total_steps is empty: the momentum needs the run's length, which "
                "build.settle_length writes there"
            )
        first, last = self.momentum

        def follow(target: Array, encoder: Array) -> Array:
            progress = jnp.minimum(step.astype(target.dtype) / self.total_steps, 1)
            m = first + (last - first) * progress
            return m * target + (1 - m) * encoder

        target = jax.tree.map(follow, model_state["target"]["encoder"], params["encoder"])
        return dict(model_state) | {"target": {"encoder": target}}

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features [b, d]`` and ``tokens [b, p, d]`` of the momentum encoder."""
        encoded = self.target(model_state, batch)
        return {"features": _wide(encoded.pooled), "tokens": _wide(encoded.tokens)}


def batch_key(batch: Batch, key: Key | None) -> Key:
    """The key of what all rows share: also where they are embedded in parts."""
    if "batch_key" in batch:
        key = batch["batch_key"]
    return jax.random.key(0) if key is None else jax.random.fold_in(key, 0)


def mean_square(difference: Float[Array, "b *rest"]) -> Float[Array, " b"]:
    """The mean square of every row."""
    return jnp.square(difference).mean(axis=tuple(range(1, difference.ndim)))


def mean_over(rows: Float[Array, " b"], valid: Array) -> Float[Array, ""]:
    """The mean of the valid rows; 0 without any."""
    count = jnp.maximum(valid.sum(dtype=rows.dtype), 1)
    return jnp.where(valid, rows, 0).sum() / count


def _places(drawn: Drawn) -> dict[str, Any]:
    visible = visible_patches(drawn.masks.keep, drawn.sizes.channels)
    return dict(visible=visible, patches=drawn.sizes.patches)


def _dropout(key: Key | None) -> dict[str, Key] | None:
    return None if key is None else {"dropout": key}


def _wide(x: Array) -> Array:
    return x.astype(statistics_dtype(x))
