"""What masked pretraining puts behind the encoder: the predictor and the reconstructor.

Both see all time patches of a window at once and are told where a token lies by rotary positions.
Only training uses them.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Float, Int
from elm_jax.channels import DICTIONARY
from elm_jax.models.attention import rotary_angles
from elm_jax.models.eeg_transformer import ChannelEmbed, make_block
from elm_jax.models.layers import Dense, Dtype
from elm_jax.models.transformer import norm, run_blocks, truncated_normal


class Predicted(NamedTuple):
    """What the predictor gives, a vector of ``summary_tokens * width`` a time patch.

    Attributes:
      tokens: the prediction of every time patch, seen or hidden: what alignment compares.
      combined: the encoder's own vectors of the visible patches (the skip connection), the
        prediction of the hidden ones: what the reconstructor reads.
    """

    tokens: Float[Array, "b p e"]
    combined: Float[Array, "b p e"]


class Predictor(nn.Module):
    """From the visible time patches' summary tokens to those of all time patches.

    Attributes:
      width: of its tokens; None: the encoder's.
      depth: transformer blocks.
      heads: attention heads.
      summary_tokens: vectors a time patch (the encoder's).
      mlp_ratio: the MLPs' hidden width over ``width``.
      dropout: rate behind attention and in the MLPs.
      attention_dropout: rate on attention weights.
      drop_path: rate of the last block; it grows linearly from 0.
      stretch: positions are divided by it.
      init_std: deviation of the initial values.
      qkv_bias: whether query, key and value have a bias.
      norm_eps: added to variances by layer norms.
      norm_layer: makes the norms instead, called with ``name``.
      dtype: computed in.
      remat: what the backward pass computes again, block by block (see models/remat).
    """

    width: int | None = None
    depth: int = 8
    heads: int = 8
    summary_tokens: int = 4
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    stretch: float = 2.0
    init_std: float = 0.02
    qkv_bias: bool = True
    norm_eps: float = 1e-6
    norm_layer: Callable[..., nn.Module] | None = None
    dtype: Dtype | None = None
    remat: str = "none"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b v e"],
        *,
        visible: Int[Array, " v"],
        patches: int,
        train: bool,
    ) -> Predicted:
        """Predicts.

        Args:
          tokens: the encoder's, of the visible time patches.
          visible: which time patch each of them is (any order, no two the same).
          patches: time patches of the window.
          train: with dropout and drop-path.
        """
        b, v, e = tokens.shape
        s = self.summary_tokens
        d = self.width or e // s
        x = _project(self, "embed", d)(tokens.reshape(b, v, s, e // s))
        hidden = self.param("mask_token", truncated_normal(self.init_std), (s, d), jnp.float32)
        place = _places(visible, patches)
        x = _spread(x, place, jnp.broadcast_to(hidden.astype(x.dtype), (b, 1, s, d)))
        position = jnp.repeat(jnp.arange(patches), s)
        x = run_blocks(
            functools.partial(make_block, self), self.depth, self.drop_path,
            x.reshape(b, patches * s, d), _angles(self, position, d),
            remat=self.remat, train=train,
        )  # fmt: skip
        x = norm(self, "norm")(x)
        x = _project(self, "out", e // s)(x).reshape(b, patches, e)
        seen = (place < v)[:, None]
        return Predicted(x, jnp.where(seen, _spread(tokens, place, tokens[:, :1]), x))


class Reconstructor(nn.Module):
    """From all time patches' summary tokens to the samples of the patches that are asked for.

    Attributes:
      patch_size: samples a patch.
      width: of its tokens; None: the encoder's.
      depth: transformer blocks.
      heads: attention heads.
      summary_tokens: vectors a time patch (the encoder's).
      mlp_ratio: the MLPs' hidden width over ``width``.
      dropout: rate behind attention and in the MLPs.
      attention_dropout: rate on attention weights.
      drop_path: rate of the last block; it grows linearly from 0.
      stretch: positions are divided by it.
      init_std: deviation of the initial values.
      qkv_bias: whether query, key and value have a bias.
      norm_eps: added to variances by layer norms.
      norm_layer: makes the norms instead, called with ``name``.
      dictionary_size: rows of the table of electrodes.
      dtype: computed in.
      remat: what the backward pass computes again, block by block (see models/remat).
    """

    patch_size: int = 64
    width: int | None = None
    depth: int = 8
    heads: int = 8
    summary_tokens: int = 4
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    stretch: float = 2.0
    init_std: float = 0.02
    qkv_bias: bool = True
    norm_eps: float = 1e-6
    norm_layer: Callable[..., nn.Module] | None = None
    dictionary_size: int = len(DICTIONARY)
    dtype: Dtype | None = None
    remat: str = "none"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b p e"],
        *,
        query: Int[Array, " q"],
        channel_id: Int[Array, " c"] | Int[Array, "b c"],
        train: bool,
    ) -> Float[Array, "b q k"]:
        """Reconstructs.

        Args:
          tokens: of all time patches, in their order (``Predicted.combined``).
          query: the patches that are asked for, as ``patch * c + channel``.
          channel_id: the dictionary's number of each of the signal's ``c`` rows, for all windows
            or each.
          train: with dropout and drop-path.

        Returns:
          the samples of each patch asked for, in the order of ``query``.
        """
        b, p, e = tokens.shape
        s, q, c = self.summary_tokens, query.shape[0], channel_id.shape[-1]
        d = self.width or e // s
        x = _project(self, "embed", d)(tokens.reshape(b, p * s, e // s))
        asked = self.param("mask_token", truncated_normal(self.init_std), (1, d), jnp.float32)
        embed = ChannelEmbed(d, self.dictionary_size, name="channel_embed")
        asked = (asked + embed(channel_id[..., query % c])).astype(x.dtype)
        x = jnp.concatenate([x, jnp.broadcast_to(asked, (b, q, d))], axis=1)
        position = jnp.concatenate([jnp.repeat(jnp.arange(p), s), query // c])
        x = run_blocks(
            functools.partial(make_block, self), self.depth, self.drop_path,
            x, _angles(self, position, d), remat=self.remat, last=q, train=train,
        )  # fmt: skip
        x = norm(self, "norm")(x)
        return _project(self, "out", self.patch_size)(x)


def visible_patches(keep: Int[Array, "v k"], channels: int) -> Int[Array, " v"]:
    """The time patch of each row of an encoder's ``keep``."""
    return keep[:, 0] // channels


def _project(sizes: nn.Module, name: str, features: int) -> Dense:
    init = truncated_normal(sizes.init_std)
    return Dense(features, kernel_init=init, dtype=sizes.dtype, name=name)


def _angles(sizes: nn.Module, position: Int[Array, " n"], width: int) -> Float[Array, "n r"]:
    """Half of each head turns with the position; the other half does not know it."""
    turned = width // sizes.heads // 2
    if turned % 2 or not turned:
        raise ValueError(
            f"width {width} over heads={sizes.heads} is {width // sizes.heads} a head; rotary "
            "positions need a multiple of 4"
        )
    return rotary_angles(position, turned, stretch=sizes.stretch)


def _places(visible: Int[Array, " v"], patches: int) -> Int[Array, " p"]:
    """Of each time patch its place in ``visible``; beyond the end: it is hidden."""
    v = visible.shape[0]
    return jnp.full((patches,), v, jnp.int32).at[visible].set(jnp.arange(v, dtype=jnp.int32))


def _spread(x: Float[Array, "b v *rest"], place: Int[Array, " p"], hidden: Array) -> Array:
    """``x`` over all time patches, ``hidden`` where there is none."""
    return jnp.concatenate([x, hidden], axis=1)[:, place]
