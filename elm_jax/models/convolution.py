"""Convolution and pooling along time: functions of arrays, channels last, no parameters.

All are XLA's own convolutions, but for ``conv1d_branches(tiled=True)``, which encoders ask for on a
single CPU device only.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Float
from elm_jax.models import tiled_conv

METHODS = ("auto", "direct", "cpu")


def is_for_cpu(method: str, dtype: Any, compute_dtype: Any) -> bool:
    """Whether an encoder shall convolve by what is fast on one CPU instead of by XLA.

    Args:
      method: ``config.encoder.method``: "direct": never; "cpu": always; "auto": where the program
        is traced for one CPU device and computes in float32 or wider.
      dtype: of the encoder's input.
      compute_dtype: ``config.dtype``; None: what input and parameters promote to.

    Raises:
      ValueError: an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"encoder.method {method!r}; known: {METHODS}")
    if method != "auto":
        return method == "cpu"
    one_cpu = jax.default_backend() == "cpu" and jax.device_count() == 1
    dtype = jnp.dtype(compute_dtype or jnp.promote_types(dtype, jnp.float32))
    return one_cpu and dtype in (jnp.float32, jnp.float64)


def reflect_pad(x: Float[Array, "b t c"], left: int, right: int) -> Float[Array, "b u c"]:
    """Mirrors ``x`` about its first and last sample, which are not repeated.

    Raises:
      ValueError: the padding needs samples that ``x`` lacks; it is never reflected twice.
    """
    t = x.shape[1]
    if max(left, right) >= t:
        raise ValueError(
            f"reflection padding by ({left}, {right}) needs at least {max(left, right) + 1} "
            f"samples, found {t}"
        )
    parts = [x[:, 1 : left + 1][:, ::-1], x, x[:, t - 1 - right : t - 1][:, ::-1]]
    return jnp.concatenate(parts, axis=1)


def conv1d(
    x: Float[Array, "b t c"], kernel: Float[Array, "k c f"], *, stride: int = 1, pad: int = 0
) -> Float[Array, "b u f"]:
    """Cross-correlation along ``t``, padded by ``pad`` zeros, as PyTorch's ``conv1d``."""
    if kernel.shape[0] == 1 and not pad:
        return x[:, ::stride] @ kernel[0]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,), [(pad, pad)], dimension_numbers=("NWC", "WIO", "NWC")
    )


def conv1d_branches(
    x: Float[Array, "b t c"],
    kernels: Sequence[Float[Array, "_ c _"]],
    *,
    stride: int = 1,
    tiled: bool = False,
) -> Float[Array, "b u f"]:
    """Convolutions of several sizes over one input, their outputs joined along channels.

    Each is reflection-padded by (k // 2, (k - 1) // 2); the padding is made once.

    Args:
      x: input.
      kernels: ``[k, c, f]`` each.
      stride: of all of them.
      tiled: where it saves multiplications, convolve by tiles (see tiled_conv): the same to
        rounding, and faster on a CPU.

    Raises:
      ValueError: ``x`` is shorter than the longest padding needs.
    """
    sizes = [kernel.shape[0] for kernel in kernels]
    if len(set(sizes)) == 1:
        kernels, sizes = [jnp.concatenate(kernels, axis=-1)], sizes[:1]
    left, length = max(sizes) // 2, x.shape[1]
    padded = reflect_pad(x, left, (max(sizes) - 1) // 2)
    starts = [left - size // 2 for size in sizes]
    widths = [kernel.shape[2] for kernel in kernels]
    if tiled and stride == 1 and tiled_conv.pays(x.shape, sizes, widths):
        return tiled_conv.conv1d_tiled(padded, kernels, starts, length)
    outputs = [
        conv1d(padded[:, start : start + length + size - 1], kernel, stride=stride)
        for kernel, start, size in zip(kernels, starts, sizes, strict=True)
    ]
    return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=-1)


def max_pool(x: Float[Array, "b t c"], size: int) -> Float[Array, "b u c"]:
    """Largest of every ``size`` consecutive samples; an incomplete tail is dropped.

    A chain of two-way maxima over slices: on a CPU a fourth of ``reduce_window``'s time. Where
    values tie, the gradient is shared.
    """
    b, t, c = x.shape
    n = t // size
    split = x[:, : n * size].reshape(b, n, size, c)
    return functools.reduce(jnp.maximum, (split[:, :, i] for i in range(size)))
