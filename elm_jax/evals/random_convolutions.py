"""Features of convolutions with random kernels: a baseline that learns nothing but its read-out.

After ROCKET (Dempster et al. 2020, doi:10.1007/s10618-020-00701-z): kernels of random weights with
mean zero over a random few of the channels, at dilations from one sample to the whole window; of
each its largest value and the shares of time that it is above two thresholds. A ridge regression
reads them, as there. Departures: all kernels have nine taps and dilations are powers of two, so
that all of one dilation are one matrix product; thresholds are the same of all kernels (there each
has a random one); there is no padding. Nothing is fitted to data, so no split can leak.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from elm_jax.axes import Float

TAPS = 9
KERNELS = 1000
#: Where a kernel counts as passed, in standard deviations of the signal: a step away from nothing.
THRESHOLDS = (-0.5, 0.5)
# Numbers of a matrix that a product reads: a few megabytes stay in a core's cache.
_BLOCK = 500_000


class Kernels(NamedTuple):
    """Those of one dilation: ``weights [k, taps * c]``, tap after tap."""

    dilation: int
    weights: Float[np.ndarray, "k tc"]


def draw(channels: int, samples: int, *, count: int = KERNELS, seed: int = 0) -> list[Kernels]:
    """Random kernels for windows of so many channels and samples, an equal share a dilation.

    A kernel has between one and nine of the channels, few more often than many.

    Raises:
      ValueError: windows are shorter than a kernel.
    """
    if samples < TAPS:
        raise ValueError(
            f"random convolutions need windows of {TAPS} samples, these have {samples}"
        )
    dilations = [2**i for i in range(int(math.log2((samples - 1) / (TAPS - 1))) + 1)]
    shares = np.diff(np.linspace(0, count, len(dilations) + 1).round().astype(int))
    rng = np.random.default_rng(seed)
    found = []
    for dilation, share in zip(dilations, shares, strict=True):
        weights = np.zeros((share, TAPS, channels), np.float32)
        for own in weights:
            some = int(2 ** rng.uniform(0, math.log2(min(channels, TAPS) + 1)))
            values = rng.normal(size=(TAPS, some))
            own[:, rng.choice(channels, some, replace=False)] = values - values.mean(axis=0)
        found.append(Kernels(dilation, weights.reshape(share, -1)))
    return found


def features(
    signal: Float[np.ndarray, "n c t"], kernels: Sequence[Kernels]
) -> Float[np.ndarray, "n d"]:
    """Three numbers a kernel: the largest value, and the shares above :data:`THRESHOLDS`.

    Args:
      signal: in standard deviations of the training data.
      kernels: from :func:`draw`, for such windows.
    """
    signal = np.asarray(signal, np.float32)
    n, c, t = signal.shape
    rows = max(1, _BLOCK // (TAPS * c * t))
    blocks = [signal[i : i + rows] for i in range(0, n, rows)]
    # Many small blocks side by side keep every core busy in the comparisons, too.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda block: _of_block(block, kernels), blocks))
    width = sum(len(own.weights) for own in kernels) * (1 + len(THRESHOLDS))
    return np.concatenate([np.zeros((0, width), np.float32), *found])


def _of_block(signal: np.ndarray, kernels: Sequence[Kernels]) -> np.ndarray:
    signal = np.ascontiguousarray(signal.transpose(1, 0, 2))  # c n t
    c, n, t = signal.shape
    found = []
    for dilation, weights in kernels:
        length = t - (TAPS - 1) * dilation
        shifted = [signal[:, :, j * dilation : j * dilation + length] for j in range(TAPS)]
        passed = (weights @ np.stack(shifted).reshape(TAPS * c, -1)).reshape(-1, n, length)
        above = [(passed > threshold).mean(axis=-1) for threshold in THRESHOLDS]
        found.append(np.stack([passed.max(axis=-1), *above], axis=-1))  # k n 3
    return np.concatenate(found).transpose(1, 0, 2).reshape(n, -1).astype(np.float32)
