"""Sums over all pairs of two batches of rows, without ever holding a value for every pair.

The pairs are cut into tiles of bounded size. On several devices each keeps its own rows, while
the columns' blocks travel from device to device around the mesh's batch axes with the sums that
they have gathered so far, until they are back where they came from:

    device 0: rows 0    columns 0 -> 3 -> 2 -> 1 -> home
    device 1: rows 1    columns 1 -> 0 -> 3 -> 2 -> home     (and so on)

So a device holds its rows, one block of columns, the sums of both, and one tile: nothing that
grows with the number of devices, and nothing that grows with rows times columns. The forward and
the backward pass of a loss are both such sums (:mod:`elm_jax.losses.streamed`); nothing here is
differentiated.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from elm_jax.axes import Array, Float
from elm_jax.sharding import batch_axes, ways

# Rows and columns of a tile at most: 4 MB of float32. Smaller ones spend more time on moving the
# sums than they save: on two cores 512 took 1.4 times, 128 twice as long.
TILE = 1024

# From (shared, rows, columns, row_sums, column_sums) of one tile to its (row_sums, column_sums).
TileFn = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]


def over_pairs(
    tile_fn: TileFn, shared: Any, rows: Any, columns: Any, row_sums: Any, column_sums: Any
) -> tuple[Any, Any]:
    """Adds what every pair of a row and a column gives to the sums of both.

    Args:
      tile_fn: adds one tile's part; must give nothing for rows and columns that are all zeros (its
        data say which are valid), for tiles are filled up with those.
      shared: whatever all tiles need: small, the same on every device.
      rows: a tree of arrays ``[b, ...]``; over several devices, cut as batches are.
      columns: a tree of arrays ``[m, ...]``: what travels, so the smaller side.
      row_sums: a tree of arrays ``[b, ...]`` to begin with.
      column_sums: a tree of arrays ``[m, ...]`` to begin with.

    Returns:
      The sums of the rows and of the columns.
    """
    mesh = jax.sharding.get_abstract_mesh()
    shares = ways(mesh)
    if shares == 1:
        return _tiles(tile_fn, shared, rows, columns, row_sums, column_sums)
    axes = batch_axes(mesh)
    b, m = _count(rows), _count(columns)
    around = functools.partial(_around, tile_fn, axes=axes, shares=shares)
    around = jax.shard_map(around, in_specs=(P(), *(P(axes),) * 4), out_specs=(P(axes), P(axes)))
    filled = (_fill(x, shares) for x in (rows, columns, row_sums, column_sums))
    row_sums, column_sums = around(shared, *filled)
    return _first(row_sums, b), _first(column_sums, m)


def needs_tiles(b: int, m: int) -> bool:
    """Whether a global batch is shared out over devices, or is more than one tile."""
    return max(b, m) > TILE or ways(jax.sharding.get_abstract_mesh()) > 1


def products(x: Float[Array, "b e"], y: Float[Array, "m e"]) -> Float[Array, "b m"]:
    """Products of every row of ``x`` with every row of ``y``, as exact as their type.

    An accelerator's default rounds the factors to fewer bits.
    """
    return jnp.einsum("be,me->bm", x, y, precision=jax.lax.Precision.HIGHEST)


def _around(
    tile_fn, shared, rows, columns, row_sums, column_sums, *, axes, shares
) -> tuple[Any, Any]:
    """One whole turn of the columns, on one device."""
    to_next = [(i, (i + 1) % shares) for i in range(shares)]
    send = functools.partial(jax.lax.ppermute, axis_name=axes, perm=to_next)

    def stop(carry, _):
        travelling, row_sums, gathered = carry
        # Depends on no tile, so that it can travel while they are computed.
        following = jax.tree.map(send, travelling)
        row_sums, column_sums = _tiles(
            tile_fn, shared, rows, unpack(travelling), row_sums, unpack_sums(gathered)
        )
        return (following, row_sums, jax.tree.map(send, _pack(column_sums)[0])), None

    travelling, unpack = _pack(columns)
    gathered, unpack_sums = _pack(column_sums)
    carry = travelling, row_sums, gathered
    (_, row_sums, gathered), _ = jax.lax.scan(stop, carry, None, length=shares)
    return row_sums, unpack_sums(gathered)


def _pack(tree: Any) -> tuple[dict[str, Array], Callable[[dict[str, Array]], Any]]:
    """One matrix for all arrays of a type, and what takes it apart: few messages, not many.

    Masks travel as zeros and ones among the numbers.
    """
    leaves, treedef = jax.tree.flatten(tree)
    number = next((x.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)), jnp.int32)
    kinds = [jnp.dtype(number if x.dtype == bool else x.dtype).name for x in leaves]
    flat = [x.reshape(len(x), -1).astype(k) for x, k in zip(leaves, kinds, strict=True)]
    packed = {
        kind: jnp.concatenate([x for x in flat if x.dtype.name == kind], axis=1)
        for kind in sorted(set(kinds))
    }

    def unpack(packed: dict[str, Array]) -> Any:
        at, out = dict.fromkeys(packed, 0), []
        for leaf, part, kind in zip(leaves, flat, kinds, strict=True):
            end = at[kind] + part.shape[1]
            own = packed[kind][:, at[kind] : end].astype(leaf.dtype)
            out.append(own.reshape(leaf.shape))
            at[kind] = end
        return treedef.unflatten(out)

    return packed, unpack


def _tiles(tile_fn, shared, rows, columns, row_sums, column_sums) -> tuple[Any, Any]:
    """The tiles of one block of rows and one of columns, one after the other."""
    b, m = _count(rows), _count(columns)
    if max(b, m) <= TILE:
        return tile_fn(shared, rows, columns, row_sums, column_sums)
    rows, columns, row_sums, column_sums = (_cut(x) for x in (rows, columns, row_sums, column_sums))

    def along_columns(row_sums, column):
        column, column_sum = column

        def along_rows(column_sum, row):
            row, row_sum = row
            row_sum, column_sum = tile_fn(shared, row, column, row_sum, column_sum)
            return column_sum, row_sum

        column_sum, row_sums = jax.lax.scan(along_rows, column_sum, (rows, row_sums))
        return row_sums, column_sum

    row_sums, column_sums = jax.lax.scan(along_columns, row_sums, (columns, column_sums))
    return _joined(row_sums, b), _joined(column_sums, m)


def _count(tree: Any) -> int:
    return next((len(x) for x in jax.tree.leaves(tree)), 0)


def _fill(tree: Any, multiple: int) -> Any:
    """Zeros behind the rows, up to a multiple."""
    more = -_count(tree) % multiple
    if not more:
        return tree
    return jax.tree.map(lambda x: jnp.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1)), tree)


def _first(tree: Any, n: int) -> Any:
    return tree if _count(tree) == n else jax.tree.map(lambda x: x[:n], tree)


def _cut(tree: Any) -> Any:
    """``[n, ...]`` to ``[tiles, rows, ...]``: as few tiles as will do, of about equal size."""
    tiles = max(1, -(-_count(tree) // TILE))
    tree = _fill(tree, tiles)
    return jax.tree.map(lambda x: x.reshape(tiles, -1, *x.shape[1:]), tree)


def _joined(tree: Any, n: int) -> Any:
    """The inverse of :func:`_cut`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], tree)
