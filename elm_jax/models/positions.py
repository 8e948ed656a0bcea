"""Positions of a grid of patches, interpolated to another grid."""

import functools
import math

import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Array, Float

# Of PyTorch's bicubic interpolation (Keys 1981); JAX's and Pillow's is -0.5.
SHARPNESS = -0.75


def resized_grid(
    position: Float[Array, "n d"],
    grid: tuple[int, int],
    target: tuple[int, int],
    *,
    extra: int = 0,
) -> Float[Array, "m d"]:
    """Position vectors of ``grid`` for patches on ``target``: bicubic, as PyTorch interpolates.

    ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)``, which Hugging Face's
    ``interpolate_pos_encoding`` calls: no smoothing where the grid shrinks, edges repeated.

    Args:
      position: ``extra`` vectors that have no place in the grid, then the grid row by row.
      grid: rows and columns that ``position`` is for.
      target: rows and columns that are wanted.
      extra: vectors ahead of the grid's; they stay as they are.
    """
    if target == grid:
        return position
    ahead, table = position[:extra], position[extra:]
    table = table.reshape(*grid, table.shape[-1])
    rows, columns = (_weights(old, new) for old, new in zip(grid, target, strict=True))
    # In float32: products on accelerators may be narrower by default.
    resized = jnp.einsum("ay,bx,yxd->abd", rows, columns, table, precision="highest")
    return jnp.concatenate([ahead, resized.reshape(-1, table.shape[-1])])


@functools.cache
def _weights(old: int, new: int) -> np.ndarray:
    """``[new, old]``: what each of the old ones counts for in each of the new."""
    weights = np.zeros((new, old))
    for i in range(new):
        place = (i + 0.5) * old / new - 0.5
        first = math.floor(place)
        for j in range(first - 1, first + 3):
            weights[i, min(max(j, 0), old - 1)] += _cubic(abs(place - j))
    return weights.astype(np.float32)


def _cubic(x: float) -> float:
    """Keys' kernel at a distance below 2."""
    a = SHARPNESS
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
