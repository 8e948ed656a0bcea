"""Masked image modelling (SimMIM, Xie et al. 2022): hidden patches, made from what is seen.

    image, a learnt token in place of each hidden patch -> tower -> one linear layer -> pixels

What ECG-Bench trains its ViT encoder by (transformers' ``ViTForMaskedImageModeling``): the mean
absolute error of the hidden patches' normalised pixels. Of a print most pixels are paper: how large
the error is beside that of one colour, the image's mean, is reported as ``of_flat``.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from elm_jax import masking
from elm_jax.axes import Array, Batch, Bool, Float, Key, ModelState, Params
from elm_jax.losses.collapse import spread
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dense, Dtype, statistics_dtype
from elm_jax.models.transformer import truncated_normal
from elm_jax.objectives.base import SumOfTerms, Terms


class PixelDecoder(nn.Module):
    """The token of a hidden patch, and from tokens to the pixels of their patches.

    Attributes:
      width: of the tower's tokens.
      patch_size: rows and columns of a patch.
      dtype: computed in.
    """

    width: int
    patch_size: int
    dtype: Dtype | None = None

    def setup(self):
        """The token, and one linear layer."""
        init = truncated_normal(0.02)
        self.mask_token = self.param("mask_token", nn.initializers.zeros, (self.width,))
        self.out = Dense(3 * self.patch_size**2, kernel_init=init, dtype=self.dtype)

    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b n k"]:
        """Pixels of the patches: rows, columns, colours."""
        return self.out(tokens)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedImage(SumOfTerms):
    """Model and loss of masked image modelling.

    Batches have ``signal [b, c, t]`` and ``signal_valid [b]``. Parameters are ``{"encoder",
    "decoder"}``; the mutable state is ``{"batch_stats": {}}``.

    Departure: exactly a share of each image's patches is hidden, where the reference draws every
    patch by itself (the expectation is the same). In evaluation mode every batch of a size has the
    same masks, so that validations compare.

    Attributes:
      encoder: :class:`elm_jax.models.ecg_image.EcgImage`.
      hidden_share: of an image's patches; how many are seen is rounded down.
    """

    encoder: nn.Module
    hidden_share: float = 0.75
    rows_independent: ClassVar[bool] = True
    frozen: ClassVar[tuple[str, ...]] = ()

    @property
    def decoder(self) -> PixelDecoder:
        """Of the encoder's sizes."""
        sizes = self.encoder.sizes
        return PixelDecoder(sizes.width, sizes.patch_size, self.encoder.dtype)

    def init(self, key: Key, batch: Batch) -> tuple[Params, ModelState]:
        """Fresh parameters.

        Raises:
          MaskError: too few patches.
          ImageError, ValueError: signals that the encoder cannot draw.
        """
        key_encoder, key_decoder = jax.random.split(key)
        encoder = self.encoder.init(key_encoder, batch["signal"], train=False)
        tokens = jnp.zeros((1, 1, self.encoder.sizes.width))
        decoder = self.decoder.init(key_decoder, tokens)
        self.hidden(None, 1)
        return {"encoder": encoder["params"], "decoder": decoder["params"]}, {"batch_stats": {}}

    def hidden(self, key: Key | None, rows: int) -> Bool[Array, "b n"]:
        """Which patches of each image are not seen; always the same where there is no key."""
        patches = self.encoder.patches
        visible = masking.visible_of(patches, self.hidden_share)
        key = jax.random.key(0) if key is None else key
        return masking.draw_row_masks(key, rows, 1, patches, visible).hidden[:, 0]

    def embed(
        self, params: Params, model_state: ModelState, batch: Batch, key: Key | None, *, train: bool
    ) -> tuple[dict[str, Array], ModelState]:
        """``reconstruction [b]``, ``flat [b]`` (of one colour) and ``features [b, d]``."""
        key_mask, key_drop = (None, None) if key is None else jax.random.split(key)
        signal, valid = batch["signal"], batch.get("signal_valid")
        hidden = self.hidden(key_mask, len(signal))
        encoded, pixels = self.encoder.apply(
            {"params": params["encoder"]}, signal, hidden=hidden, valid=valid, train=train,
            mask_token=jnp.asarray(params["decoder"]["mask_token"]), method="masked",
            rngs=None if key_drop is None else {"dropout": key_drop},
        )  # fmt: skip
        made = self.decoder.apply({"params": params["decoder"]}, encoded.tokens)
        target = self._patches(pixels)
        flat = jnp.broadcast_to(pixels.mean((1, 2), keepdims=True), pixels.shape)
        out = {
            "reconstruction": _error(made, target, hidden),
            "flat": _error(self._patches(flat), target, hidden),
            "features": encoded.pooled,
        }
        return {k: x.astype(statistics_dtype(x)) for k, x in out.items()}, model_state

    def _patches(self, image: Float[Array, "b y x 3"]) -> Float[Array, "b n k"]:
        size = self.encoder.sizes.patch_size
        b, y, x, colours = image.shape
        cut = image.reshape(b, y // size, size, x // size, size, colours)
        return cut.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, size * size * colours)

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """The reconstruction's error; its share of one colour's, and how far features spread."""
        valid, rows = batch["signal_valid"], out["reconstruction"]
        count = jnp.maximum(valid.sum(dtype=rows.dtype), 1)
        mean, flat = (jnp.where(valid, out[k], 0).sum() / count for k in ("reconstruction", "flat"))
        report = {"of_flat": mean / jnp.maximum(flat, 1e-6)}
        return {"reconstruction": mean}, report | spread(out["features"], valid=valid)

    def predict(self, params: Params, model_state: ModelState, batch: Batch) -> dict[str, Array]:
        """``features [b, d]`` and ``tokens [b, n, d]`` of everything, nothing hidden."""
        encoded: Encoded = self.encoder.apply(
            {"params": params["encoder"]}, batch["signal"], valid=batch.get("signal_valid"),
            train=False,
        )  # fmt: skip
        named = {"features": encoded.pooled, "tokens": encoded.tokens}
        return {k: x.astype(statistics_dtype(x)) for k, x in named.items()}


def _error(
    made: Float[Array, "b n k"], target: Float[Array, "b n k"], hidden: Bool[Array, "b n"]
) -> Float[Array, " b"]:
    """The mean absolute error of each row's hidden patches."""
    wide = jnp.promote_types(jnp.result_type(made, target), jnp.float32)
    error = jnp.abs(made.astype(wide) - target.astype(wide)).mean(-1)
    return jnp.where(hidden, error, 0).sum(1) / hidden.sum(1)
