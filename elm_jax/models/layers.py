"""Building blocks that several models share: linear, BatchNorm, MLP, patches.

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
        kernel, bias = dense_params(self, x.shape[-1])
        return affine(x, kernel, bias, self.dtype)


def dense_params(module: Any, d_in: int) -> tuple[Array, Array | None]:
    """Kernel ``[d_in, d_out]`` and bias of a module with the attributes of Dense.

    As arrays of JAX, also where parameters were read from a file and given as NumPy's.
    """
    kernel_init = bias_init = torch_uniform(d_in)
    if module.kernel_init is not None:
        kernel_init, bias_init = module.kernel_init, nn.initializers.zeros
    kernel = module.param("kernel", kernel_init, (d_in, module.features), jnp.float32)
    kernel = jnp.asarray(kernel)
    if not getattr(module, "use_bias", True):
        return kernel, None
    return kernel, jnp.asarray(module.param("bias", bias_init, (module.features,), jnp.float32))


def affine(
    x: Float[Array, "*rest d"],
    kernel: Float[Array, "d f"],
    bias: Float[Array, " f"] | None,
    dtype: Dtype | None = None,
) -> Float[Array, "*rest f"]:
    """``x @ kernel + bias``, computed in ``dtype`` (None: whatever the two promote to)."""
    x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=dtype)
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

    def signs(self) -> Float[Array, " d"] | float:
        """Whether a channel's output rises (1) or falls (-1) with its input; no gradient."""
        if not self.affine:
            return 1.0
        return jax.lax.stop_gradient(jnp.where(jnp.asarray(self.scale) < 0, -1.0, 1.0))

    def __call__(
        self,
        x: Float[Array, "b *rest d"],
        *,
        offset: Float[Array, " d"] | None = None,
        moments: tuple[Float[Array, " d"], Float[Array, " d"], Float[Array, ""]] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Float[Array, "b *rest d"]:
        """Normalises by the batch (``train``) or by the running statistics.

        Args:
          x: values, channels last.
          offset: what was left out of ``x``: a constant a channel (the bias of the layer before),
            which changes nothing but the mean.
          moments: mean, biased variance and count of the batch, where ``x`` is but a choice from
            it (the largest values); None: those of ``x``.
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
        mean, var, count = moments or self._moments(wide, valid)
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


class Mlp(nn.Module):
    """Dense, activation, Dense back to the input's width.

    Attributes:
      hidden: width between.
      activation: applied between.
      dropout: rate on the output while training.
      hidden_dropout: rate after the activation while training.
      kernel_init: see Dense.
      down_init: the same for the second Dense; None: ``kernel_init``.
      dtype: computed in.
    """

    hidden: int
    activation: Callable[[Array], Array] = nn.gelu
    dropout: float = 0.0
    hidden_dropout: float = 0.0
    kernel_init: Initializer | None = None
    down_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"], *, train: bool) -> Float[Array, "*rest d"]:
        """Maps the last axis."""
        y = Dense(self.hidden, kernel_init=self.kernel_init, dtype=self.dtype, name="up")(x)
        y = nn.Dropout(self.hidden_dropout, deterministic=not train)(self.activation(y))
        down_init = self.down_init or self.kernel_init
        y = Dense(x.shape[-1], kernel_init=down_init, dtype=self.dtype, name="down")(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


def max_norm(kernel: Float[Array, "*rest f"], limit: float) -> Float[Array, "*rest f"]:
    """Scales each output's weights to a Euclidean length of at most ``limit``.

    Shorter ones stay as they are. ``torch.renorm(weight, p=2, dim=0, maxnorm=limit)`` in PyTorch's
    layout, its 1e-7 beside the length included.
    """
    square = jnp.square(kernel).sum(tuple(range(kernel.ndim - 1)), keepdims=True)
    over = square > limit * limit
    # The root of a length within the limit is not taken: its slope at zero is infinite.
    length = jnp.sqrt(jnp.where(over, square, 1.0))
    return kernel * jnp.where(over, limit / (length + 1e-7), 1.0)


class MaxNormDense(nn.Module):
    """A Dense whose weights of each output never exceed a Euclidean length.

    The stored kernel is free and is brought back where it is used, so that the gradient passes
    through the scaling (braindecode's parametrised ``LinearWithConstraint``, and its 1x1
    ``Conv1dWithConstraint`` over the last axis). The papers' own code instead overwrites the
    stored weight before each use: the same output from the same weights.

    Attributes:
      features: size of the output's last axis.
      limit: greatest length.
      use_bias: whether there is a bias.
      kernel_init: see Dense.
      dtype: computed in.
    """

    features: int
    limit: float = 1.0
    use_bias: bool = True
    kernel_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*rest d"]) -> Float[Array, "*rest f"]:
        """Maps the last axis."""
        kernel, bias = dense_params(self, x.shape[-1])
        return affine(x, max_norm(kernel, self.limit), bias, self.dtype)


def cut_patches(
    signal: Float[Array, "b c t"], size: int, stride: int | None = None
) -> Float[Array, "b p c k"]:
    """Cuts each channel into patches of ``size`` samples, ``stride`` (or ``size``) apart.

    Raises:
      ValueError: the last patch would be incomplete.
    """
    b, c, t = signal.shape
    stride = stride or size
    if t < size or (t - size) % stride:
        raise ValueError(
            f"a window of {t} samples is no whole number of patches of {size} samples every "
            f"{stride}: choose a window of {size} + n x {stride} samples (window_s x sfreq_hz)"
        )
    if stride == size:
        return signal.reshape(b, c, t // size, size).transpose(0, 2, 1, 3)
    first = jnp.arange((t - size) // stride + 1) * stride
    return signal[:, :, first[:, None] + jnp.arange(size)].transpose(0, 2, 1, 3)


class PatchEmbed(nn.Module):
    """One linear map from the samples of a patch to a token; ``normed``: of normalised patches.

    Parameters are those of a Dense, whichever of the two: ``kernel [k, d]`` and ``bias``.

    Attributes:
      features: width of the tokens.
      normed: each patch is first brought to mean 0 and variance 1, without scale and bias (the
        papers' ``PatchNormEmbed``), with torch's 1e-5 beside the variance.
      kernel_init: see Dense.
      dtype: computed in.
    """

    features: int
    normed: bool = False
    kernel_init: Initializer | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Float[Array, "*rest k"]) -> Float[Array, "*rest d"]:
        """Embeds patches (see :func:`cut_patches`)."""
        kernel, bias = dense_params(self, patches.shape[-1])
        if self.normed:
            patches = standardised(patches, 1e-5)
        return affine(patches, kernel, bias, self.dtype)


def standardised(x: Float[Array, "*rest d"], eps: float) -> Float[Array, "*rest d"]:
    """Mean 0 and variance 1 over the last axis: a layer norm without scale and bias."""
    wide = x.astype(statistics_dtype(x))
    centred = wide - wide.mean(-1, keepdims=True)
    return (centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + eps)).astype(
        x.dtype
    )
