"""Vision transformers: the image towers of ViT, CLIP and SigLIP, one trunk for all three.

What they differ in is a row of :data:`elm_jax.models.vit_config.TRAITS`. Weights come from any
Hugging Face directory of theirs through :mod:`elm_jax.convert.vit`. Parameters of layer i lie under
``layer_{i}``, so that freezing the first n layers is a regex.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.models.activations import HF_ACTIVATIONS
from elm_jax.models.attention import MultiHeadAttention
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dense, Dtype, Mlp, affine
from elm_jax.models.positions import resized_grid
from elm_jax.models.transformer import Block, run_blocks, truncated_normal
from elm_jax.models.vit_config import VitConfig


class Vit(nn.Module):
    """An image tower.

    Attributes:
      config: family, sizes and rates.
      interpolate: images of other sizes than ``config.image_size`` are taken, with the positions
        interpolated to their grid of patches (bicubic, as Hugging Face's
        ``interpolate_pos_encoding=True``); the stored positions stay those of ``config``.
      dtype: computed in; norms' statistics and the softmax are at least float32.
      remat: what the backward pass computes again, layer by layer (see models/remat).
    """

    config: VitConfig
    interpolate: bool = False
    dtype: Dtype | None = None
    remat: str = "none"

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b y x 3"],
        *,
        hidden: Bool[Array, "b n"] | None = None,
        mask_token: Float[Array, " d"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes normalised pixels.

        Args:
          image: pixels, normalised as the tower's were in its training.
          hidden: patches that are not seen: ``mask_token`` stands in their place (SimMIM).
          mask_token: a vector that is learnt outside; only with ``hidden``.
          train: with dropout and drop-path.

        Returns:
          tokens of the patches, row by row, without the class token (of CLIP before the last norm,
          as ``last_hidden_state`` has them), and the pooled vector.

        Raises:
          ValueError: an image of another size, without ``interpolate``; or no whole number of
            patches.
        """
        c, traits = self.config, self.config.traits
        x = self._embedded(image, hidden, mask_token)
        x = nn.Dropout(c.dropout, deterministic=not train)(x)
        if traits.pre_norm:
            x = self._norm("pre_norm")(x)
        x = run_blocks(self._block, c.depth, c.drop_path, x, remat=self.remat, train=train)
        if traits.all_normed:
            x = self._norm("norm")(x)
        tokens = x[:, 1:] if traits.class_token else x
        return Encoded(tokens, self._pooled(x, train=train))

    def _norm(self, name: str) -> nn.Module:
        return nn.LayerNorm(
            self.config.norm_eps, dtype=self.dtype, use_fast_variance=False, name=name
        )

    def _block(self, drop_path: float, out_divisor: float, name: str) -> Block:
        # Unlike EEGPT's, initial kernels that end a branch are as wide as the others.
        del out_divisor
        c = self.config
        return Block(
            c.heads, dropout=c.dropout, attention_dropout=c.attention_dropout, drop_path=drop_path,
            init_std=c.init_std, qkv_bias=c.qkv_bias, norm_eps=c.norm_eps, mlp_width=c.mlp_width,
            activation=HF_ACTIVATIONS[c.activation], dtype=self.dtype, name=name,
        )  # fmt: skip

    def _embedded(
        self, image: Float[Array, "b y x 3"], hidden: Array | None, mask_token: Array | None
    ) -> Float[Array, "b m d"]:
        """Patches with their positions, the class token first."""
        c, init = self.config, truncated_normal(self.config.init_std)
        _require_size(image.shape[1:3], c, self.interpolate)
        extra = int(c.traits.class_token)
        rows, columns = c.grid
        patches = ImagePatches(c, self.dtype, name="patch_embed")(image)
        if hidden is not None:
            patches = jnp.where(hidden[..., None], mask_token.astype(patches.dtype), patches)
        position = self.param("position_embed", init, (rows * columns + extra, c.width))
        grid = tuple(size // c.patch_size for size in image.shape[1:3])
        position = resized_grid(jnp.asarray(position), c.grid, grid, extra=extra)
        if extra:
            token = jnp.asarray(self.param("class_token", init, (c.width,)), patches.dtype)
            first = jnp.broadcast_to(token, (len(image), 1, c.width))
            patches = jnp.concatenate([first, patches], axis=1)
        return patches + position.astype(patches.dtype)

    def _pooled(self, x: Float[Array, "b n d"], *, train: bool) -> Float[Array, "b e"]:
        c = self.config
        init: dict[str, Any] = dict(kernel_init=truncated_normal(c.init_std), dtype=self.dtype)
        if c.pooling == "attention":
            return AttentionPool(c, self.dtype, name="pool")(x, train=train)
        if c.pooling == "mean":
            return x[:, int(c.traits.class_token) :].mean(axis=1)
        pooled = x[:, 0] if c.traits.all_normed else self._norm("norm")(x[:, 0])
        if c.pooling == "dense":
            dense = Dense(c.pooler_width or c.width, **init, name="pooler")
            pooled = HF_ACTIVATIONS[c.pooler_activation](dense(pooled))
        if c.projection is not None:
            pooled = Dense(c.projection, use_bias=False, **init, name="projection")(pooled)
        return pooled


class ImagePatches(nn.Module):
    """One linear map from the pixels of a patch to its token: a convolution without overlap.

    Attributes:
      config: of the tower.
      dtype: computed in.
    """

    config: VitConfig
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b y x 3"]) -> Float[Array, "b n d"]:
        """Tokens of the patches, row by row."""
        c, k = self.config, self.config.patch_size
        b, y, x, colours = image.shape
        init = truncated_normal(c.init_std)
        kernel = jnp.asarray(self.param("kernel", init, (k, k, colours, c.width)))
        bias = None
        if c.traits.patch_bias:
            bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (c.width,)))
        cut = image.reshape(b, y // k, k, x // k, k, colours).transpose(0, 1, 3, 2, 4, 5)
        flat = cut.reshape(b, (y // k) * (x // k), k * k * colours)
        return affine(flat, kernel.reshape(-1, c.width), bias, self.dtype)


class AttentionPool(nn.Module):
    """SigLIP's head: one learnt query over all tokens, then an MLP beside a skip.

    Attributes:
      config: of the tower.
      dtype: computed in.
    """

    config: VitConfig
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], *, train: bool) -> Float[Array, "b d"]:
        """Pools over the tokens."""
        c = self.config
        init = truncated_normal(c.init_std)
        probe = jnp.asarray(self.param("probe", init, (c.width,)), x.dtype)
        probe = jnp.broadcast_to(probe, (len(x), 1, c.width))
        options: dict[str, Any] = dict(kernel_init=init, dtype=self.dtype)
        pooled = MultiHeadAttention(c.heads, **options, name="attention")(probe, x, train=train)
        norm = nn.LayerNorm(c.norm_eps, dtype=self.dtype, use_fast_variance=False, name="norm")
        mlp = Mlp(c.mlp_width, HF_ACTIVATIONS[c.activation], **options, name="mlp")
        return (pooled + mlp(norm(pooled), train=train))[:, 0]


def _require_size(found: tuple[int, ...], config: VitConfig, interpolate: bool) -> None:
    if tuple(found) == config.image_size:
        return
    if not interpolate:
        raise ValueError(
            f"the image tower's positions are of images of {config.image_size} pixels, found "
            f"{tuple(found)}: give such images, or ask for interpolate=True"
        )
    if any(size % config.patch_size for size in found):
        raise ValueError(
            f"an image of {tuple(found)} pixels is no whole number of patches of "
            f"{config.patch_size} x {config.patch_size}"
        )
