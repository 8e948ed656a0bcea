"""Building blocks that several models share: linear, BatchNorm, attention, MLP.

Inside models the channel axis is last. Parameters are float32; ``dtype`` is what is computed in
(None: whatever input and parameters promote to), and statistics are never narrower than float32.
Initial values follow PyTorch's defaults, so that a model trained from scratch starts where the
published ones started.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float

Dtype = Any
Initializer = Callable[..., Array]


@functools.cache
def torch_uniform(fan_in: int) -> Initializer:
    """PyTorch's default for the weight *and* the bias of Linear and Conv: U(±1/sqrt(fan_in)).

    For the weight this is ``kaiming_uniform_(a=sqrt(5))``.
    """
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def statistics_dtype(x: Array) -> Dtype:
    """The type that sums over ``x`` are kept in: float32, or float64 where ``x`` is."""
    return jnp.promote_types(x.dtype, jnp.float32)


def zero_padding(x: Float[Array, "b *rest"], valid: Bool[Array, " b"] | None) -> Array:
    """``x`` with the rows that are not ``valid`` set to zero, whatever (NaN too) they held."""
    if valid is None:
        return x
    return jnp.where(valid.reshape((-1,) + (1,) * (x.ndim - 1)), x, jnp.zeros((), x.dtype))


class Dense(nn.Module):
    """PyTorch's ``nn.Linear``: ``x @ kernel + bias``, kernel ``[d_in, d_out]``.

    Attributes:
      features: size of the output's last axis.
      use_bias: whether there is a bias.
      kernel_init: initial kernel, the bias then starts at zero; None takes PyTorch's defaults.
      dtype: computed in.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"]) -> Float[Array, "*rest f"]:
        """Maps the last axis."""
        kernel_init = bias_init = torch_uniform(x.shape[-1])
        if self.kernel_init is not None:
            kernel_init, bias_init = self.kernel_init, nn.initializers.zeros
        kernel = self.param("kernel", kernel_init, (x.shape[-1], self.features), jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", bias_init, (self.features,), jnp.float32)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = x @ kernel
        if bias is None:
            return y
        # Added in float32, so that the bias's gradient, a sum over all rows, is summed in it.
        return (y.astype(statistics_dtype(y)) + bias).astype(y.dtype)


@jax.custom_jvp
def elu(x: Float[Array, "*rest"]) -> Float[Array, "*rest"]:
    """ELU with alpha 1: ``x`` above zero, ``exp(x) - 1`` below.

    With exp instead of expm1 (off by at most the float's epsilon) and a slope read off the output:
    on a CPU half the time of ``jax.nn.elu``, forward and backward.
    """
    wide = x.astype(statistics_dtype(x))  # in bfloat16 exp(x) - 1 would lose a small x
    return jnp.where(wide > 0, wide, jnp.exp(jnp.minimum(wide, 0)) - 1).astype(x.dtype)


@elu.defjvp
def _elu_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = elu(x)
    return y, dx * jnp.where(x > 0, 1, y + 1)


class BatchNorm(nn.Module):
    """PyTorch's ``BatchNorm1d`` over all axes but the last, for rows that may be padding.

    The batch is normalised by its biased variance; the running variance is fed the unbiased one,
    ``n / (n - 1)``, where ``n`` counts valid rows x the axes between. Under jit the batch is the
    *global* one. Rows that are not ``valid`` touch neither kind of statistic (their own output
    is meaningless). ``n == 1`` has no unbiased variance: known at trace time it is PyTorch's
    error; known only from ``valid``, the running variance is fed the biased one, and with
    ``n == 0`` the running statistics stay as they are.

    Attributes:
      features: size of the last axis.
      momentum: weight of the new batch in the running statistics (PyTorch's sense).
      eps: added to the variance.
      affine: whether there are ``scale`` and ``bias``.
      dtype: type of the output (None: that of the input); statistics are at least float32.
    """

    features: int
    momentum: float = 0.1
    eps: float = 1e-5
    affine: bool = True
    dtype: Dtype | None = None

    def setup(self):
        """Scale and bias; running mean and variance."""
        shape = (self.features,)
        if self.affine:
            self.scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
            self.bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        self.var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)

    def _factor_and_shift(self, mean: Array, var: Array) -> tuple[Array, Array]:
        """``(factor, shift)`` such that the output is ``x * factor + shift``."""
        factor = jax.lax.rsqrt(var + self.eps)
        if not self.affine:
            return factor, -mean * factor
        factor = factor * self.scale
        return factor, self.bias - mean * factor

    def running_affine(self) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """What evaluation does to a channel, ``x * factor + shift``; for folding into a layer."""
        # Variables fresh from a file are numpy arrays.
        return self._factor_and_shift(jnp.asarray(self.mean.value), jnp.asarray(self.var.value))

    def __call__(
        self,
        x: Float[Array, "b *rest d"],
        *,
        offset: Float[Array, " d"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Float[Array, "b *rest d"]:
        """Normalises by the batch (``train``) or by the running statistics.

        Args:
          x: values, channels last.
          offset: what was left out of ``x``: a constant a channel (the bias of the layer before),
            which changes nothing but the mean.
          valid: False for rows that are padding.
          train: by the batch, and the running statistics are updated.

        Raises:
          ValueError: ``train`` with a single value a channel.
        """
        dtype = self.dtype or x.dtype
        wide = x.astype(statistics_dtype(x))
        offset = jnp.zeros((), wide.dtype) if offset is None else offset
        if not train:
            factor, shift = self.running_affine()
            return (wide * factor + (shift + offset * factor)).astype(dtype)
        mean, var, count = self._moments(wide, valid)
        if not self.is_initializing():
            self._update(mean + offset, var, count)
        factor = jax.lax.rsqrt(var + self.eps)
        if self.affine:
            return ((wide - mean) * (factor * self.scale) + self.bias).astype(dtype)
        return ((wide - mean) * factor).astype(dtype)

    def _moments(self, x: Array, valid: Array | None) -> tuple[Array, Array, Array]:
        """Mean, biased variance and number of values a channel, over valid rows.

        The variance does not change with the mean that is subtracted (its derivative there is
        zero), so that path is cut: one reduction less in the backward pass.
        """
        axes = tuple(range(x.ndim - 1))
        row_values = math.prod(x.shape[1:-1])
        if valid is None:
            count = x.shape[0] * row_values
            if count == 1 and not self.is_initializing():
                raise ValueError(
                    f"BatchNorm of {x.shape} in training needs more than one value a channel; "
                    "use a larger batch"
                )
            mean = x.mean(axes)
            var = jnp.square(x - jax.lax.stop_gradient(mean)).mean(axes)
            return mean, var, jnp.asarray(count, x.dtype)
        rows = valid.reshape((-1,) + (1,) * (x.ndim - 1))
        count = valid.sum(dtype=x.dtype) * row_values
        per_value = 1.0 / jnp.maximum(count, 1)
        mean = jnp.where(rows, x, 0).sum(axes) * per_value
        centred = jnp.where(rows, x - jax.lax.stop_gradient(mean), 0)
        return mean, jnp.square(centred).sum(axes) * per_value, count

    def _update(self, mean: Array, var: Array, count: Array) -> None:
        unbiased = var * (count / jnp.maximum(count - 1, 1))
        for variable, value in ((self.mean, mean), (self.var, unbiased)):
            old = variable.value
            new = old + self.momentum * (jax.lax.stop_gradient(value) - old)
            variable.value = jnp.where(count > 0, new, old).astype(old.dtype)


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
      drop: applied to the attention weights (dropout).

    Returns:
      the averaged values; a row without any valid key averages all of them.
    """
    logits = jnp.einsum("bnhk,bmhk->bhnm", query, key) / math.sqrt(query.shape[-1])
    logits = logits.astype(statistics_dtype(logits))
    if key_valid is not None:
        lowest = jnp.finfo(logits.dtype).min
        logits = jnp.where(key_valid[:, None, None, :], logits, lowest)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    if drop is not None:
        weights = drop(weights)
    return jnp.einsum("bhnm,bmhk->bnhk", weights, value)


class MultiHeadAttention(nn.Module):
    """Self- or cross-attention with separate query, key, value and out projections.

    Attributes:
      n_heads: heads; the width must be a multiple.
      dropout: rate on the attention weights while training.
      use_bias: whether the projections have a bias.
      kernel_init: see Dense.
      dtype: computed in.
    """

    n_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    kernel_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        context: Float[Array, "b m e"] | None = None,
        *,
        key_valid: Bool[Array, "b m"] | None = None,
        train: bool,
    ) -> Float[Array, "b n d"]:
        """Attends from ``x`` to ``context`` (to itself without one).

        Raises:
          ValueError: the width is no multiple of ``n_heads``.
        """
        b, n, d = x.shape
        if d % self.n_heads:
            raise ValueError(f"attention width {d} is no multiple of n_heads={self.n_heads}")
        context = x if context is None else context

        def project(name: str, inputs: Array) -> Array:
            return Dense(d, self.use_bias, self.kernel_init, self.dtype, name=name)(inputs)

        def heads(name: str, inputs: Array) -> Array:
            projected = project(name, inputs)
            return projected.reshape(*inputs.shape[:2], self.n_heads, d // self.n_heads)

        mixed = attention(
            heads("query", x),
            heads("key", context),
            heads("value", context),
            key_valid=key_valid,
            drop=nn.Dropout(self.dropout, deterministic=not train),
        )
        return project("out", mixed.reshape(b, n, d))


class Mlp(nn.Module):
    """Dense, activation, Dense back to the input's width.

    Attributes:
      hidden: width between.
      activation: applied between.
      dropout: rate on the output while training.
      kernel_init: see Dense.
      dtype: computed in.
    """

    hidden: int
    activation: Callable[[Array], Array] = nn.gelu
    dropout: float = 0.0
    kernel_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"], *, train: bool) -> Float[Array, "*rest d"]:
        """Maps the last axis."""
        options = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        y = self.activation(Dense(self.hidden, **options, name="up")(x))
        y = Dense(x.shape[-1], **options, name="down")(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)
