"""Convolution and max-pooling in one go, by tiles and a few rows at a time: for one CPU.

What a long kernel of few channels gives before the pooling is many times larger than what goes in
and what comes out, and XLA's gradient of such a convolution is slow on a CPU. Here the signal is
cut into overlapping tiles, one for each sample that the pooling leaves; a tile times a matrix,
in which the kernel stands once for every sample that is pooled (a Toeplitz matrix), is what is
pooled there. A few rows at a time, so that it never leaves the processor's caches, and the backward
pass computes it again.

BatchNorm between the two is made good by its moments, which are summed on the way: normalisation
is a line, and a rising one gives the largest of a pool its place back after the pooling. Whoever
calls turns the sign of a kernel whose line falls.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float

# Values that a chunk of rows has before the pooling, at least.
VALUES_AT_ONCE = 1 << 17


class Pooled(NamedTuple):
    """What conv_max_pool gives: the largest of every pool, and moments of what was pooled.

    The moments are those of all outputs of the convolution in valid rows, also of the tail that
    fills no pool; ``var`` is the biased one, ``count`` the number of values that they are of.
    """

    largest: Float[Array, "b n f"]
    mean: Float[Array, " f"]
    var: Float[Array, " f"]
    count: Float[Array, ""]


def conv_max_pool(
    x: Float[Array, "b t c"],
    kernel: Float[Array, "k c f"],
    *,
    pool: int,
    pad: int,
    valid: Bool[Array, " b"] | None = None,
) -> Pooled:
    """Cross-correlation along ``t`` padded by ``pad`` zeros, then the largest of every ``pool``.

    Args:
      x: rows, which are convolved alike.
      kernel: of the cross-correlation.
      pool: samples of which the largest stays; an incomplete tail is dropped.
      pad: zeros on either side of a row.
      valid: False for rows that the moments leave out.
    """
    b, t, c = x.shape
    taps, _, f = kernel.shape
    length = t + 2 * pad - taps + 1
    tiles = -(-length // pool)
    counted = jnp.ones(b, x.dtype) if valid is None else valid.astype(x.dtype)
    count = counted.sum() * length
    per_value = 1 / jnp.maximum(count, 1)
    mean = jnp.einsum("kc,kcf->f", _sums_by_tap(x, counted, taps, pad) * per_value, kernel)
    matrix, centre = toeplitz(kernel, pool), jax.lax.stop_gradient(mean)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(matrix, rows, counted):
        y = tiles_of(rows, taps, pool, pad, tiles) @ matrix
        y = y.reshape(len(rows), tiles, pool, f)
        return _largest_and_squares(y, centre, counted, length)

    chunks = -(-b // max(1, VALUES_AT_ONCE // (tiles * pool * f)))
    rows = -(-b // chunks)
    fill = chunks * rows - b
    x = jnp.pad(x, ((0, fill), (0, 0), (0, 0))).reshape(chunks, rows, t, c)
    counted = jnp.pad(counted, (0, fill)).reshape(chunks, rows)
    _, (largest, squares) = jax.lax.scan(lambda _, xs: (None, one(matrix, *xs)), None, (x, counted))
    largest = largest.reshape(chunks * rows, -1, f)[:b]
    return Pooled(largest, mean, squares.sum(0) * per_value, count)


def _sums_by_tap(x: Array, counted: Array, taps: int, pad: int) -> Array:
    """What each tap meets, summed over rows and outputs: ``[k, c]``."""
    over_rows = jnp.pad(jnp.einsum("b,btc->tc", counted, x), ((pad, pad), (0, 0)))
    missed = jnp.zeros((1, x.shape[2]), x.dtype)
    before = jnp.concatenate([missed, jnp.cumsum(over_rows[: taps - 1], axis=0)])
    after = jnp.cumsum(over_rows[len(over_rows) - taps + 1 :][::-1], axis=0)[::-1]
    return over_rows.sum(0) - before - jnp.concatenate([after, missed])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _largest_and_squares(y: Array, mean: Array, counted: Array, length: int):
    """Largest of every whole pool of ``y [b n p f]``, and the sum of squares about ``mean``.

    Where values tie, the gradient is shared. None passes to ``mean``: about the mean itself a sum
    of squares has no slope.
    """
    tiles, pool = y.shape[1:3]
    largest = functools.reduce(jnp.maximum, (y[:, : length // pool, i] for i in range(pool)))
    square = jnp.square(y - mean) * counted[:, None, None, None]
    return largest, jnp.where(_within(tiles, pool, length), square, 0).sum((0, 1, 2))


def _within(tiles: int, pool: int, length: int) -> Array:
    return (jnp.arange(tiles * pool) < length).reshape(tiles, pool, 1)


def _pooled_forward(y, mean, counted, length):
    largest, squares = _largest_and_squares(y, mean, counted, length)
    return (largest, squares), (y, mean, counted, largest)


def _pooled_backward(length, kept, cotangents):
    y, mean, counted, largest = kept
    of_largest, of_squares = cotangents
    tiles, pool = y.shape[1:3]
    rest = ((0, 0), (0, tiles - length // pool), (0, 0))
    # NaN equals nothing: the tail that fills no pool gets none.
    largest = jnp.pad(largest, rest, constant_values=jnp.nan)[:, :, None]
    ties = (y == largest).sum(2, dtype=y.dtype)
    share = (jnp.pad(of_largest, rest) / jnp.maximum(ties, 1))[:, :, None]
    slope = (2 * of_squares) * counted[:, None, None, None]
    slope = jnp.where(_within(tiles, pool, length), slope, 0)
    grad = jnp.where(y == largest, share, 0) + slope * (y - mean)
    return grad, jnp.zeros_like(mean), jnp.zeros_like(counted)


_largest_and_squares.defvjp(_pooled_forward, _pooled_backward)


def toeplitz(kernel: Float[Array, "k c f"], hop: int) -> Float[Array, "u v"]:
    """The matrix ``[tile * c, hop * f]`` by which a tile becomes ``hop`` outputs."""
    taps, c, f = kernel.shape
    size = hop * math.ceil((taps + hop - 1) / hop)
    # Row i of the flattened [hop, size + 1] begins one sample later than the row before.
    filled = jnp.pad(kernel, ((0, size + 1 - taps), (0, 0), (0, 0)))
    shifted = jnp.broadcast_to(filled, (hop, size + 1, c, f)).reshape(-1, c, f)
    return (
        shifted[: hop * size].reshape(hop, size, c, f).transpose(1, 2, 0, 3)
        .reshape(size * c, hop * f)
    )  # fmt: skip


def tiles_of(
    x: Float[Array, "b t c"], taps: int, hop: int, pad: int, tiles: int
) -> Float[Array, "b n u"]:
    """Tiles of ``x`` padded by zeros, one every ``hop`` samples: ``[b, tiles, tile * c]``."""
    b, t, c = x.shape
    overlaps = math.ceil((taps + hop - 1) / hop)
    after = hop * (tiles + overlaps - 1) - t - pad
    x = jnp.pad(x, ((0, 0), (pad, max(after, 0)), (0, 0)))[:, : hop * (tiles + overlaps - 1)]
    hops = x.reshape(b, tiles + overlaps - 1, hop * c)
    return jnp.concatenate([hops[:, i : i + tiles] for i in range(overlaps)], axis=-1)
