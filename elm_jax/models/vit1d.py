"""A transformer over patches of an ECG, with the tokens of three masked autoencoders.

    "st_mem"  a patch is a stretch of one lead; every lead's tokens stand between two separators and
              carry the lead's learnt vector (Na et al., "Guiding Masked Representation Learning to
              Capture Spatio-Temporal Relationship of Electrocardiogram", ICLR 2024)
    "mtae"    a patch is a stretch of all leads; a class token stands in front (Zhang et al.,
              "MaeFE: Masked Autoencoders Family of Electrocardiogram", IEEE TIM 2023)
    "mlae"    a patch is a whole lead; a class token stands in front (the same paper)

Patches stand in *groups*: a lead's with "st_mem", all in one with the others. A group's positions
are the sines and cosines of Vaswani et al. 2017; that of special tokens is zero. The encoder
attends over all groups at once; pretraining hides a share of each group's patches and decodes group
by group (models/vit1d_decoder.py).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.construct import lookup
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dense, Dtype, cut_patches, zero_padding
from elm_jax.models.transformer import Block, run_blocks


class Layout(NamedTuple):
    """How a signal becomes groups of patches.

    Attributes:
      cut: from the signal and the samples of a patch to the patches.
      after: special tokens behind a group's patches; before them stands always one.
    """

    cut: Callable[[Array, int | None], Float[Array, "b g n k"]]
    after: int = 0


BEFORE = 1  # special tokens before a group's patches


def _of_each_lead(signal: Float[Array, "b c t"], size: int | None) -> Float[Array, "b c n k"]:
    return cut_patches(signal, _required(size)).swapaxes(1, 2)


def _of_all_leads(signal: Float[Array, "b c t"], size: int | None) -> Float[Array, "b 1 n k"]:
    """Samples of a patch are ordered by time, then by lead."""
    patches = cut_patches(signal, _required(size)).swapaxes(2, 3)
    return patches.reshape(*patches.shape[:2], -1)[:, None]


def _whole_leads(signal: Float[Array, "b c t"], size: int | None) -> Float[Array, "b 1 c t"]:
    if size is not None:
        raise ValueError(
            f"encoder.layout 'mlae' makes a patch of a whole lead: encoder.patch_size is {size}; "
            "set it to None"
        )
    return signal[:, None]


def _required(size: int | None) -> int:
    if size is None:
        raise ValueError("encoder.patch_size is None: say how many samples a patch has")
    return size


LAYOUTS = {
    "st_mem": Layout(_of_each_lead, after=1),
    "mtae": Layout(_of_all_leads),
    "mlae": Layout(_whole_leads),
}


class VitSize(NamedTuple):
    """Width of the tokens, blocks, attention heads."""

    width: int
    depth: int
    heads: int


SIZES = {"small": VitSize(384, 12, 6), "base": VitSize(768, 12, 12)}
HEAD_WIDTH = 64  # of a head, whatever the width of the tokens, as published


def xavier(key: Array, shape: Any, dtype: Dtype = jnp.float32) -> Array:
    """Glorot & Bengio's uniform: masked autoencoders' initial kernels (biases start at zero)."""
    return nn.initializers.xavier_uniform()(key, shape, dtype)


def xavier_qkv(key: Array, shape: Any, dtype: Dtype = jnp.float32) -> Array:
    """The same for one of query, key and value, which the published kernel has in one."""
    d, inner = shape
    bound = (6 / (d + 3 * inner)) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def sinusoids(before: int, after: int) -> Callable[..., Array]:
    """Initial positions: zeros, sines and cosines of 0, 1, 2 ..., zeros.

    Half of the width are sines, the other half cosines, of rates from 1 down to 1e-4.
    """

    def init(key: Array, shape: tuple[int, int], dtype: Dtype = jnp.float32) -> Array:
        del key
        rows, width = shape
        if width % 2:
            raise ValueError(f"sines and cosines need an even width of tokens, found {width}")
        rate = 1e4 ** (-np.arange(width // 2) / (width / 2))
        angle = np.arange(rows - before - after)[:, None] * rate
        waves = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
        return jnp.asarray(np.pad(waves, ((before, after), (0, 0))), dtype)

    return init


def learnt_positions(
    module: nn.Module, patches: int, before: int, after: int, width: int
) -> Float[Array, "n d"]:
    """The parameter ``position_embed`` of an encoder or decoder.

    Raises:
      ValueError: it is of another number of patches.
    """
    rows = before + patches + after
    name = "position_embed"
    if module.has_variable("params", name):
        found = len(module.get_variable("params", name))
        if found != rows:
            raise ValueError(
                f"{type(module).__name__} has positions of {found - before - after} patches, the "
                f"windows have {patches}: use windows (window_s x sfreq_hz) and leads like those "
                "it was trained on"
            )
    start = sinusoids(before, after)
    return jnp.asarray(module.param(name, start, (rows, width), jnp.float32))


class NormedPatchEmbed(nn.Module):
    """Layer norm of a patch's samples, a linear map, layer norm of the token.

    Parameters: ``norm/{scale, bias}``, ``out/{kernel, bias}``, ``out_norm/{scale, bias}``.

    Attributes:
      features: width of the tokens.
      norm_eps: added to the variances.
      dtype: computed in.
    """

    features: int
    norm_eps: float
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Float[Array, "*rest k"]) -> Float[Array, "*rest d"]:
        """Embeds patches."""
        x = layer_norm(self, "norm")(patches)
        x = Dense(self.features, kernel_init=xavier, dtype=self.dtype, name="out")(x)
        return layer_norm(self, "out_norm")(x)


class LeadEmbed(nn.Module):
    """A learnt vector a lead: ``lead_0 [d]``, ``lead_1`` ....

    Attributes:
      leads: how many.
      features: width of the vectors.
    """

    leads: int
    features: int

    @nn.compact
    def __call__(self) -> Float[Array, "c d"]:
        """All of them."""
        init, shape = nn.initializers.normal(0.02), (self.features,)
        every = [self.param(f"lead_{i}", init, shape, jnp.float32) for i in range(self.leads)]
        return jnp.stack(every)


def layer_norm(of: nn.Module, name: str) -> nn.LayerNorm:
    """A layer norm with its module's ``norm_eps`` and ``dtype``."""
    return nn.LayerNorm(of.norm_eps, dtype=of.dtype, use_fast_variance=False, name=name)


def make_block(of: nn.Module, heads: int, drop_path: float, _: float, name: str) -> Block:
    """A block with the rates of an encoder or decoder."""
    return Block(
        heads, mlp_ratio=of.mlp_ratio, dropout=of.dropout, attention_dropout=of.attention_dropout,
        drop_path=drop_path, norm_eps=of.norm_eps, dtype=of.dtype, head_width=of.head_width,
        kernel_init=xavier, qkv_init=xavier_qkv, name=name,
    )  # fmt: skip


class ViT1d(nn.Module):
    """The encoder; see the module.

    Parameters: ``patch_embed``, ``position_embed [n + specials, d]``, ``layer_0`` ..., ``norm``,
    and ``class_token [d]`` or, of "st_mem", ``separator_token [d]`` and ``lead_embed``.

    Attributes:
      layout: "st_mem", "mtae" or "mlae".
      size: "small" or "base": width, depth and heads where these are None.
      in_channels: leads expected; None takes those of the first input.
      patch_size: samples of a patch; None (and only then) with "mlae".
      width: of the tokens.
      depth: transformer blocks.
      heads: attention heads.
      head_width: of each, whatever the width of the tokens.
      mlp_ratio: the MLPs' hidden width over ``width``.
      dropout: rate on the embedded tokens, behind attention and in the MLPs.
      attention_dropout: rate on attention weights.
      drop_path: rate of the last block; it grows linearly from 0.
      norm_eps: added to variances by layer norms.
      dtype: computed in; norms' statistics and softmax are at least float32.
      remat: what the backward pass computes again, block by block (see models/remat).
    """

    layout: str = "st_mem"
    size: str = "base"
    in_channels: int | None = None
    patch_size: int | None = None
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    head_width: int = HEAD_WIDTH
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    norm_eps: float = 1e-5
    dtype: Dtype | None = None
    remat: str = "none"

    @property
    def of_layout(self) -> Layout:
        """The layout.

        Raises:
          ValueError: an unknown one.
        """
        return lookup(LAYOUTS, self.layout, "config.encoder.layout")

    @property
    def sizes(self) -> VitSize:
        """The sizes of ``size`` but for those that are given.

        Raises:
          ValueError: an unknown size.
        """
        named = lookup(SIZES, self.size, "config.encoder.size")
        given = {k: getattr(self, k) for k in VitSize._fields if getattr(self, k) is not None}
        return named._replace(**given)

    def cut(
        self, signal: Float[Array, "b c t"], valid: Bool[Array, " b"] | None = None
    ) -> Float[Array, "b g n k"]:
        """The patches of a signal, group by group; of padded rows zeros.

        Raises:
          ValueError: other leads than expected, or a window of no whole number of patches.
        """
        c = signal.shape[1]
        if self.in_channels is not None and c != self.in_channels:
            raise ValueError(
                f"the encoder has in_channels={self.in_channels}, the signal has {c} channels "
                f"(shape {signal.shape}, layout b c t)"
            )
        return self.of_layout.cut(zero_padding(signal, valid), self.patch_size)

    def __call__(
        self,
        signal: Float[Array, "b c t"],
        *,
        channel_id: Int[Array, " c"] | Int[Array, "b c"] | None = None,
        keep: Int[Array, "b g k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes network values into a token a patch and their mean.

        Args:
          signal: network values (see SignalSpec), leads in the order that was trained.
          channel_id: not used: a row's place in ``signal`` says which lead it is.
          keep: the patches of each group that are seen, of every row by itself; None: all.
          valid: False for padded rows, whose output is meaningless.
          train: with dropout and drop-path.

        Returns:
          tokens ``[b, g * k, d]``, group by group, without special tokens; and their mean, what
          ST-MEM's classifiers read (nothing is ever asked of a class token in pretraining).

        Raises:
          ValueError: leads or windows other than expected, an unknown layout or size.
        """
        del channel_id
        x = self.latents(signal, keep=keep, valid=valid, train=train)
        b, _, m, d = x.shape
        tokens = x[:, :, BEFORE : m - self.of_layout.after].reshape(b, -1, d)
        return Encoded(tokens, tokens.mean(axis=1))

    @nn.compact
    def latents(
        self,
        signal: Float[Array, "b c t"],
        *,
        keep: Int[Array, "b g k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Float[Array, "b g m d"]:
        """As ``__call__``, all tokens of each group, special ones included."""
        width, depth, heads = self.sizes
        patches = self.cut(signal, valid)
        b, g, n, _ = patches.shape
        position = learnt_positions(self, n, BEFORE, self.of_layout.after, width)
        own = position[BEFORE : BEFORE + n]
        if keep is not None:
            patches = jnp.take_along_axis(patches, keep[..., None], axis=2)
            own = own[keep]
        embed = NormedPatchEmbed(width, self.norm_eps, self.dtype, name="patch_embed")
        x = embed(patches)
        x = self._with_special(x + own.astype(x.dtype), position)
        x = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(b, -1, width))
        x = run_blocks(
            functools.partial(make_block, self, heads), depth, self.drop_path, x,
            remat=self.remat, train=train,
        )  # fmt: skip
        return layer_norm(self, "norm")(x).reshape(b, g, -1, width)

    def _with_special(self, x: Array, position: Array) -> Float[Array, "b g m d"]:
        """The tokens of each group with its special ones; "st_mem": all told their lead."""
        b, g, _, d = x.shape
        init = nn.initializers.normal(0.02)

        def special(token: Array, place: int) -> Array:
            return jnp.broadcast_to((token + position[place]).astype(x.dtype), (b, g, 1, d))

        if self.layout != "st_mem":
            token = jnp.asarray(self.param("class_token", init, (d,), jnp.float32))
            return jnp.concatenate([special(token, 0), x], axis=2)
        token = jnp.asarray(self.param("separator_token", init, (d,), jnp.float32))
        x = jnp.concatenate([special(token, 0), x, special(token, -1)], axis=2)
        return x + LeadEmbed(g, d, name="lead_embed")()[:, None].astype(x.dtype)
