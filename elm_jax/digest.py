"""A number for every array's bits, to tell whether an array that was read is the one written.

The sum, modulo 2^32, of every element's bits times an odd weight of its own. Integers add up to the
same in any order, so the number does not depend on the mesh; a single element that differs always
changes it, as odd weights have inverses. Large arrays are summed where they lie, in one pass over
them; small ones on the host, which compiles nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from elm_jax.axes import Array
from elm_jax.trees import path_of

SMALL_BYTES = 2**20
UINT = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def digests(tree: Any) -> dict[str, str]:
    """``dtype:number`` of every array, by path; with several processes all must call it."""
    leaves = {
        path_of(path): jnp.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    small = {path: leaf for path, leaf in leaves.items() if _is_small(leaf)}
    # One after the other: sums over processes that several programs ask for at once can wait for
    # each other forever (seen with gloo, on CPU devices).
    large = {
        path: jax.block_until_ready(_on_devices(leaf))
        for path, leaf in leaves.items()
        if path not in small
    }
    numbers = jax.device_get(large)
    numbers |= {path: on_host(np.asarray(leaf)) for path, leaf in jax.device_get(small).items()}
    return {path: f"{leaf.dtype}:{int(numbers[path])}" for path, leaf in leaves.items()}


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


def _is_small(x: Array) -> bool:
    """Whether its values are here, and few."""
    here = x.is_fully_addressable or x.is_fully_replicated
    plain = not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return here and plain and x.nbytes <= SMALL_BYTES


def on_host(x: np.ndarray) -> int:
    """The number of an array of NumPy."""
    bits = np.ascontiguousarray(x).reshape(-1)
    bits = bits.view(f"u{min(x.dtype.itemsize, 4)}").astype(np.uint32)
    return int((bits * (2 * np.arange(len(bits), dtype=np.uint32) + 1)).sum(dtype=np.uint32))


@jax.jit
def _on_devices(x: Array) -> Array:
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
