"""A number for every array's bits, to tell whether an array that was read is the one written.

The sum, modulo 2^32, of every element's bits times an odd weight of its own. Integers add up to the
same in any order, so the number does not depend on the mesh; a single element that differs always
changes it, as odd weights have inverses. Computed where the array lies, in one pass over it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from elm_jax.axes import Array
from elm_jax.optim import path_of

UINT = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def digests(tree: Any) -> dict[str, str]:
    """``dtype:number`` of every array, by path; with several processes all must call it."""
    leaves = {
        path_of(path): jnp.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    numbers = jax.device_get({path: _digest(leaf) for path, leaf in leaves.items()})
    return {path: f"{leaves[path].dtype}:{int(number)}" for path, number in numbers.items()}


def differing(tree: Any, stored: dict[str, str]) -> list[str]:
    """Paths of arrays whose bits are not those of ``stored``; other types are not compared."""
    found = digests(tree)
    return [
        path
        for path, expected in stored.items()
        if path in found
        and found[path] != expected
        and found[path].partition(":")[0] == expected.partition(":")[0]
    ]


@jax.jit
def _digest(x: Array) -> Array:
    bits = _bits(x).astype(jnp.uint32)
    index = jnp.zeros((), jnp.uint32)
    for axis, size in enumerate(bits.shape):
        index = index * np.uint32(size % 2**32) + lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    return jnp.sum(bits * (2 * index + 1), dtype=jnp.uint32)


def _bits(x: Array) -> Array:
    """Unsigned integers of at most 32 bits; 64 bits are two of them, in a last axis."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint8)
    return lax.bitcast_convert_type(x, UINT[min(x.dtype.itemsize, 4)])
