"""Masked autoencoding: what is hidden of a signal is made from the rest (He et al. 2022).

    visible patches -> encoder -> decoder, a token in place of each hidden patch -> their samples

Of ECG: ST-MEM (Na et al., ICLR 2024), MTAE and MLAE (Zhang et al., IEEE TIM 2023), which differ in
what a patch is (models/vit1d.py). The loss is the mean square of the errors of the hidden patches,
normalised each by itself; a model that knew only their means and deviations would have about 1.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from elm_jax import losses, masking
from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.losses.collapse import spread
from elm_jax.models.base import Encoded
from elm_jax.models.layers import statistics_dtype
from elm_jax.models.vit1d import BEFORE
from elm_jax.objectives.base import SumOfTerms, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedRecon(SumOfTerms):
    """Model and loss of a masked autoencoder.

    Batches have ``signal [b, c, t]`` and ``signal_valid [b]``. Parameters are ``{"encoder",
    "decoder"}``; the mutable state is ``{"batch_stats": {}}``. Positions are sines and cosines and
    stay so.

    In evaluation mode every batch of a size has the same masks, so that validations compare.

    Attributes:
      encoder: :class:`elm_jax.models.vit1d.ViT1d`.
      decoder: :class:`elm_jax.models.vit1d_decoder.MaskedDecoder`.
      hidden_share: of the patches of each group that are hidden; how many are seen is rounded down.
      normalised_patches: whether patches are normalised before they are compared.
    """

    encoder: nn.Module
    decoder: nn.Module
    hidden_share: float = 0.75
    normalised_patches: bool = True
    rows_independent: ClassVar[bool] = True
    frozen: ClassVar[tuple[str, ...]] = ("(encoder|decoder)/position_embed",)

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters.

        Raises:
          MaskError: too few patches.
          ValueError: leads or windows that the encoder cannot cut.
        """
        key_encoder, key_decoder = jax.random.split(key)
        signal = batch["signal"]
        patches = jax.eval_shape(self.encoder.cut, signal)
        masks = self.masks(None, patches.shape)
        # The shapes of all tokens tell the decoder's; its values need none of theirs.
        encoder = self.encoder.init(key_encoder, signal, keep=masks.keep, train=False)
        latents = jax.eval_shape(
            lambda v: self._latents(v, signal, masks, None, None, train=False), encoder["params"]
        )
        decoder = self.decoder.init(
            key_decoder, jnp.zeros(latents.shape, latents.dtype), **_places(masks, patches.shape),
            train=False,
        )  # fmt: skip
        return {"encoder": encoder["params"], "decoder": decoder["params"]}, {"batch_stats": {}}

    def masks(self, key: Key | None, shape: tuple[int, ...]) -> masking.RowMasks:
        """Masks of patches of a shape ``b g n k``; always the same where there is no key."""
        b, g, n, _ = shape
        visible = masking.visible_of(n, self.hidden_share)
        key = jax.random.key(0) if key is None else key
        return masking.draw_row_masks(key, b, g, n, visible)

    def _latents(
        self,
        params: Params,
        signal: Array,
        masks: masking.RowMasks,
        valid: Array | None,
        key: Key | None,
        *,
        train: bool,
    ) -> Float[Array, "b g m d"]:
        return self.encoder.apply(
            {"params": params}, signal, keep=masks.keep, valid=valid, train=train,
            method="latents", rngs=_dropout(key),
        )  # fmt: skip

    def reconstruct(
        self,
        params: Params,
        batch: Batch,
        masks: masking.RowMasks,
        keys: tuple[Key | None, Key | None] = (None, None),
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b g m d"], Float[Array, "b g n k"], Float[Array, "b g n k"]]:
        """The encoder's tokens of what is visible, all patches as decoded, and as they are."""
        valid = batch.get("signal_valid")
        patches = self.encoder.cut(batch["signal"], valid)
        latents = self._latents(
            params["encoder"], batch["signal"], masks, valid, keys[0], train=train
        )
        made = self.decoder.apply(
            {"params": params["decoder"]}, latents, **_places(masks, patches.shape), train=train,
            rngs=_dropout(keys[1]),
        )  # fmt: skip
        return latents, made, patches

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """``reconstruction [b]`` and, of the visible patches, ``features [b, d]``."""
        keys = (None, None, None) if key is None else tuple(jax.random.split(key, 3))
        masks = self.masks(keys[0], jax.eval_shape(self.encoder.cut, batch["signal"]).shape)
        latents, made, patches = self.reconstruct(params, batch, masks, keys[1:], train=train)
        error, weight = losses.reconstruction(
            made, patches, masks.hidden, normalised=self.normalised_patches
        )
        seen = latents[:, :, BEFORE : BEFORE + masks.keep.shape[-1]]
        features = seen.astype(statistics_dtype(seen)).mean((1, 2))
        out = {"reconstruction": jnp.sum(error * weight, (1, 2)), "features": features}
        return out, model_state

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """The reconstruction; how far the features spread is reported."""
        valid, rows = batch["signal_valid"], out["reconstruction"]
        count = jnp.maximum(valid.sum(dtype=rows.dtype), 1)
        mean = jnp.where(valid, rows, 0).sum() / count
        return {"reconstruction": mean}, spread(out["features"], valid=valid)

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features [b, d]`` and ``tokens [b, n, d]`` of everything, nothing hidden."""
        encoded: Encoded = self.encoder.apply(
            {"params": params["encoder"]}, batch["signal"], valid=batch.get("signal_valid"),
            train=False,
        )  # fmt: skip
        return {k: x.astype(statistics_dtype(x)) for k, x in (
            ("features", encoded.pooled), ("tokens", encoded.tokens),
        )}  # fmt: skip


def _places(masks: masking.RowMasks, shape: tuple[int, ...]) -> dict[str, Array | int]:
    return dict(place=masks.place, visible=masks.keep.shape[-1], values=shape[-1])


def _dropout(key: Key | None) -> dict[str, Key] | None:
    return None if key is None else {"dropout": key}
