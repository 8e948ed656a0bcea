"""EEGPT's and DARE-EEG's encoder: each time patch attends over its channels, known by name.

Wang et al., "EEGPT: Pretrained Transformer for Universal and Reliable Representation of EEG
Signals" (NeurIPS 2024). A patch of one channel is a token: a linear map of its samples plus the
learnt vector of its electrode. The tokens of a time patch and some summary tokens pass the
transformer together, patch by patch; what the summary tokens have become is the output. There is
no position in time here: the predictor and the reconstructor (models/masked_heads.py) add it.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.channels import DICTIONARY, channel_ids
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dtype, PatchEmbed, cut_patches, zero_padding
from elm_jax.models.transformer import Block, norm, run_blocks, truncated_normal


class ChannelEmbed(nn.Module):
    """A learnt vector an electrode of the dictionary.

    Attributes:
      features: width of the vectors.
      rows: how many electrodes there are.
    """

    features: int
    rows: int = len(DICTIONARY)

    @nn.compact
    def __call__(self, channel_id: Int[Array, "*rest"]) -> Float[Array, "*rest d"]:
        """The vectors; a number outside the dictionary gives NaN, never another's vector."""
        init = nn.initializers.normal(0.02)  # whatever init_std is, as published
        table = self.param("embedding", init, (self.rows, self.features), jnp.float32)
        known = jnp.where(channel_id < 0, self.rows, channel_id)  # take counts -1 from the end
        return jnp.take(table, known, axis=0, mode="fill")


class EegTransformer(nn.Module):
    """The encoder; see the module. Network values are millivolts, 256 Hz as published.

    Attributes:
      channels: names of the signal's rows, for batches that bring no ``channel_id``; any
        spelling.
      width: of the tokens.
      depth: transformer blocks.
      heads: attention heads (no tensor's shape shows how many).
      summary_tokens: how many vectors sum up a time patch.
      patch_size: samples a patch.
      patch_stride: samples from one patch to the next; None: ``patch_size``.
      patch_norm: each patch of each channel is normalised before it is embedded.
      pad_window: an incomplete last patch is filled with zeros, as braindecode does, instead of
        being refused.
      mlp_ratio: the MLPs' hidden width over ``width``.
      dropout: rate behind attention and in the MLPs.
      attention_dropout: rate on attention weights.
      drop_path: rate of the last block; it grows linearly from 0.
      init_std: deviation of the initial values.
      qkv_bias: whether query, key and value have a bias.
      norm_eps: added to variances by layer norms.
      norm_layer: makes the norms instead, called with ``name``.
      dictionary_size: rows of the table of electrodes.
      dtype: computed in; norms' statistics and softmax are at least float32.
      remat: what the backward pass computes again, block by block (see models/remat).
    """

    # Reads channels by name: any subset of the dictionary, any order, any window of whole patches.
    by_name = True

    channels: tuple[str, ...] = ()
    width: int = 512
    depth: int = 8
    heads: int = 8
    summary_tokens: int = 4
    patch_size: int = 64
    patch_stride: int | None = None
    patch_norm: bool = False
    pad_window: bool = False
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
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
        signal: Float[Array, "b c t"],
        *,
        channel_id: Int[Array, " c"] | Int[Array, "b c"] | None = None,
        keep: Int[Array, "v k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes windows.

        Args:
          signal: network values.
          channel_id: the dictionary's number of each row of the signal, for all windows or each;
            None: those of ``channels``.
          keep: the visible tokens: ``k`` channels of each of ``v`` time patches, as
            ``patch * c + channel``. None: all.
          valid: False for padded rows, whose output is meaningless.
          train: with dropout and drop-path.

        Returns:
          tokens ``[b, v, summary_tokens * width]``, one a visible time patch in the order of
          ``keep``, and their mean.

        Raises:
          UnknownChannels: the dictionary lacks some of ``channels``.
          ValueError: ``channel_id`` or ``channels`` does not fit the signal's rows, or the window
            is no whole number of patches.
        """
        b, c, _ = signal.shape
        ids = self._ids(channel_id, c)
        patches = cut_patches(self._padded(zero_padding(signal, valid)), *self._cut())
        ids = jnp.broadcast_to(ids[..., None, :], (*ids.shape[:-1], *patches.shape[1:3]))
        if keep is not None:
            flat = keep.reshape(-1)
            patches = patches.reshape(b, -1, self.patch_size)[:, flat]
            patches = patches.reshape(b, *keep.shape, self.patch_size)
            ids = ids.reshape(*ids.shape[:-2], -1)[..., flat].reshape(*ids.shape[:-2], *keep.shape)
        x = self._summarised(patches, ids, train)
        p = patches.shape[1]
        tokens = x.reshape(b, p, self.summary_tokens * self.width)
        return Encoded(tokens, tokens.mean(1))

    def _cut(self) -> tuple[int, int | None]:
        return self.patch_size, self.patch_stride

    def _padded(self, signal: Array) -> Array:
        """The window with zeros behind it up to a whole patch, where that is asked for."""
        if not self.pad_window:
            return signal
        size, stride = self.patch_size, self.patch_stride or self.patch_size
        missing = -(signal.shape[-1] - size) % stride
        return jnp.pad(signal, ((0, 0), (0, 0), (0, missing)))

    def _ids(self, channel_id: Array | None, rows: int) -> Array:
        """The number of each of the signal's rows."""
        ids = jnp.asarray(channel_ids(self.channels) if channel_id is None else channel_id)
        if ids.shape[-1] != rows:
            given = "channels" if channel_id is None else "channel_id"
            raise ValueError(
                f"the signal has {rows} channels, but {given} numbers {ids.shape[-1]}: "
                "give the electrodes of its rows, in their order"
            )
        return ids

    def _summarised(self, patches: Array, ids: Array, train: bool) -> Array:
        """``[b * p, s, d]``: what the summary tokens of each time patch have become."""
        init = truncated_normal(self.init_std)
        x = PatchEmbed(
            self.width, self.patch_norm, kernel_init=init, dtype=self.dtype, name="patch_embed"
        )(patches)
        vectors = ChannelEmbed(self.width, self.dictionary_size, name="channel_embed")(ids)
        x = x + vectors.astype(x.dtype)
        b, p, c, d = x.shape
        s = self.summary_tokens
        summary = self.param("summary_token", init, (s, d), jnp.float32)
        summary = jnp.broadcast_to(summary.astype(x.dtype), (b * p, s, d))
        x = jnp.concatenate([x.reshape(b * p, c, d), summary], axis=1)
        x = run_blocks(
            functools.partial(make_block, self), self.depth, self.drop_path, x,
            remat=self.remat, last=s, train=train,
        )  # fmt: skip
        return norm(self, "norm")(x)


def make_block(sizes: nn.Module, drop_path: float, out_divisor: float, name: str) -> Block:
    """A block with the sizes and rates of an encoder, predictor or reconstructor."""
    return Block(
        heads=sizes.heads, mlp_ratio=sizes.mlp_ratio, dropout=sizes.dropout,
        attention_dropout=sizes.attention_dropout, drop_path=drop_path, out_divisor=out_divisor,
        init_std=sizes.init_std, qkv_bias=sizes.qkv_bias, norm_eps=sizes.norm_eps,
        norm_layer=sizes.norm_layer, dtype=sizes.dtype, name=name,
    )  # fmt: skip
