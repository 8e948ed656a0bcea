"""What masked pretraining puts behind a ViT1d: the decoder, which only training uses."""

import functools

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Float, Int
from elm_jax.models.layers import Dense, Dtype
from elm_jax.models.transformer import run_blocks
from elm_jax.models.vit1d import (
    BEFORE,
    HEAD_WIDTH,
    layer_norm,
    learnt_positions,
    make_block,
    xavier,
)


class MaskedDecoder(nn.Module):
    """From the visible tokens of each group to the samples of all of its patches.

    Every group is decoded by itself, by the same weights (ST-MEM: lead by lead), so that what a
    hidden patch has of other groups came through the encoder. Parameters: ``embed``,
    ``mask_token [d]``, ``position_embed``, ``layer_0`` ..., ``norm``, ``out``.

    Attributes:
      width: of its tokens.
      depth: transformer blocks.
      heads: attention heads.
      head_width: of each, whatever the width of the tokens.
      mlp_ratio: the MLPs' hidden width over ``width``.
      dropout: rate behind attention and in the MLPs.
      attention_dropout: rate on attention weights.
      drop_path: rate of the last block; it grows linearly from 0.
      norm_eps: added to variances by layer norms.
      dtype: computed in; norms' statistics and softmax are at least float32.
      remat: what the backward pass computes again, block by block (see models/remat).
    """

    width: int = 256
    depth: int = 4
    heads: int = 4
    head_width: int = HEAD_WIDTH
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    norm_eps: float = 1e-5
    dtype: Dtype | None = None
    remat: str = "none"

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, "b g m d"],
        *,
        place: Int[Array, "b g n"],
        visible: int,
        values: int,
        train: bool,
    ) -> Float[Array, "b g n k"]:
        """Decodes.

        Args:
          latents: :meth:`elm_jax.models.vit1d.ViT1d.latents` of the visible patches.
          place: of each patch its place among the visible ones; beyond the end: it is hidden.
          visible: how many of a group's patches are.
          values: samples of a patch.
          train: with dropout and drop-path.

        Returns:
          what the samples of every patch shall be, visible or hidden.
        """
        b, g, n = place.shape
        d = self.width
        x = Dense(d, kernel_init=xavier, dtype=self.dtype, name="embed")(latents)
        mask = self.param("mask_token", nn.initializers.normal(0.02), (d,), jnp.float32)
        hidden = jnp.broadcast_to(jnp.asarray(mask).astype(x.dtype), (b, g, 1, d))
        first, shown, last = jnp.split(x, [BEFORE, BEFORE + visible], axis=2)
        shown = jnp.concatenate([shown, hidden], axis=2)
        shown = jnp.take_along_axis(shown, jnp.minimum(place, visible)[..., None], axis=2)
        x = jnp.concatenate([first, shown, last], axis=2)
        x = x + learnt_positions(self, n, BEFORE, last.shape[2], d).astype(x.dtype)
        x = run_blocks(
            functools.partial(make_block, self, self.heads), self.depth, self.drop_path,
            x.reshape(b * g, -1, d), remat=self.remat, train=train,
        )  # fmt: skip
        x = layer_norm(self, "norm")(x).reshape(b, g, -1, d)[:, :, BEFORE : BEFORE + n]
        return Dense(values, kernel_init=xavier, dtype=self.dtype, name="out")(x)
