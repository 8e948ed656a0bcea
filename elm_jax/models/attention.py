"""Multi-head attention, written once: self and cross, with rotary positions, on any device.

``jax.nn.dot_product_attention`` computes it: cuDNN's flash attention where the device has it,
otherwise XLA, which writes all attention weights to memory and reads them back in the backward
pass. On CPUs long sequences go through :mod:`elm_jax.models.blocked_attention`, which does not.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.models import blocked_attention
from elm_jax.models.layers import Dense, Dtype, Initializer, statistics_dtype


def attention(
    query: Float[Array, "b n h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h k"],
    *,
    key_valid: Bool[Array, "b m"] | None = None,
    drop: Callable[[Array], Array] | None = None,
) -> Float[Array, "b n h k"]:
    """Scaled dot-product attention; the softmax is at least float32.

    Args:
      query: one vector a head and query token.
      key: one vector a head and key token.
      value: what is averaged.
      key_valid: False for keys that nobody may look at (padding).
      drop: applied to the attention weights (dropout), which are then written out; without it
        :func:`implementation` says how.

    Returns:
      the averaged values; a row without any valid key averages all of them.
    """
    mask = None if key_valid is None else key_valid[:, None, None, :]
    # jax.nn's softmax is in float32 whatever comes in; float64 is for tests, which want all of it.
    if drop is None and query.dtype != jnp.float64:
        how = implementation(query.shape, key.shape[1], query.dtype, mask is not None)
        if how == "blocked":
            return blocked_attention.attention(query, key, value)
        return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation=how)
    logits = jnp.einsum("bnhk,bmhk->bhnm", query, key) / math.sqrt(query.shape[-1])
    logits = logits.astype(statistics_dtype(logits))
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    weights = weights if drop is None else drop(weights)
    return jnp.einsum("bhnm,bmhk->bnhk", weights, value)


def implementation(query_shape: tuple[int, ...], keys: int, dtype: Dtype, masked: bool) -> str:
    """How attention without dropout is computed on the default device.

    Args:
      query_shape: ``b n h k``.
      keys: how many keys a row.
      dtype: of query, key and value.
      masked: some keys must not be looked at.

    Returns:
      "cudnn" on GPUs in half precision, where head widths are multiples of 8 up to 128 and nothing
      is masked; "blocked" on CPUs, where the weights would not stay in the caches; else "xla".
    """
    b, n, h, k = query_shape
    device = jax.default_backend()
    if device == "gpu" and not masked:
        half = dtype in (jnp.bfloat16, jnp.float16)
        return "cudnn" if half and k % 8 == 0 and k <= 128 else "xla"
    if device == "cpu" and not masked and b * h * n * keys > blocked_attention.WORTH_WEIGHTS:
        return "blocked"
    return "xla"


def rotary_angles(
    position: Int[Array, "*b n"], width: int, *, stretch: float = 2.0, base: float = 1e4
) -> Float[Array, "*b n r"]:
    """The angle by which each pair of a head's first ``width`` values turns at a position.

    Pair j turns by ``position / stretch * base ** (-2 j / width)`` (Su et al. 2021; EEGPT stretches
    positions by 2).
    """
    rate = base ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    return position[..., None].astype(jnp.float32) / stretch * rate


def rotate(
    x: Float[Array, "b n h k"], angle: Float[Array, "n r"] | Float[Array, "b n r"]
) -> Float[Array, "b n h k"]:
    """Turns neighbouring pairs of each head's first ``2 r`` values; the rest stays.

    Pairs are neighbours (0 and 1, 2 and 3 ...), as published, not halves.
    """
    r = angle.shape[-1]
    cos, sin = (f(angle)[..., :, None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    pairs = x[..., : 2 * r].reshape(*x.shape[:-1], r, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    turned = jnp.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1)
    return jnp.concatenate([turned.reshape(*x.shape[:-1], 2 * r), x[..., 2 * r :]], axis=-1)


class MultiHeadAttention(nn.Module):
    """Self- or cross-attention with separate query, key, value and out projections.

    Attributes:
      n_heads: heads; without ``head_width`` the width must be a multiple.
      dropout: rate on the attention weights while training.
      use_bias: whether query, key and value have a bias.
      out_bias: whether out has one; None: as ``use_bias``.
      kernel_init: see Dense.
      out_init: the same for out; None: ``kernel_init``.
      dtype: computed in.
      head_width: of a head, whatever the tokens' width; None: that divided by ``n_heads``.
    """

    n_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    out_bias: bool | None = None
    kernel_init: Initializer | None = None
    out_init: Initializer | None = None
    dtype: Dtype | None = None
    head_width: int | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        context: Float[Array, "b m e"] | None = None,
        *,
        key_valid: Bool[Array, "b m"] | None = None,
        angle: Float[Array, "m r"] | None = None,
        train: bool,
    ) -> Float[Array, "b n d"]:
        """Attends from ``x`` to ``context`` (to itself without one).

        Args:
          x: the tokens that ask.
          context: the tokens that are asked.
          key_valid: False for tokens that nobody may look at.
          angle: of each token (:func:`rotary_angles`), where positions count; ``x`` is then the
            last ``n`` tokens of ``context``.
          train: with dropout.

        Raises:
          ValueError: the width is no multiple of ``n_heads``.
        """
        b, n, d = x.shape
        if self.head_width is None and d % self.n_heads:
            raise ValueError(f"attention width {d} is no multiple of n_heads={self.n_heads}")
        width = self.head_width or d // self.n_heads
        context = x if context is None else context

        def heads(name: str, inputs: Array) -> Array:
            every = self.n_heads * width
            dense = Dense(every, self.use_bias, self.kernel_init, self.dtype, name=name)
            return dense(inputs).reshape(*inputs.shape[:2], self.n_heads, width)

        query, key, value = heads("query", x), heads("key", context), heads("value", context)
        if angle is not None:
            query, key = rotate(query, angle[-n:]), rotate(key, angle)
        drop = None
        if train and self.dropout:
            drop = functools.partial(nn.Dropout(self.dropout), deterministic=False)
        mixed = attention(query, key, value, key_valid=key_valid, drop=drop)
        out_bias = self.use_bias if self.out_bias is None else self.out_bias
        out = Dense(d, out_bias, self.out_init or self.kernel_init, self.dtype, name="out")
        return out(mixed.reshape(b, n, -1))
