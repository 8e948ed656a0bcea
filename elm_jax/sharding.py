"""Devices: the mesh of the config, where parameters live, how host batches become global."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

from elm_jax.trees import match_rules, path_of

BATCH_AXES = ("data", "fsdp")
# Leaves of fewer values stay whole where a rule names just an axis: cutting them saves next to
# nothing and costs a message each.
MIN_SHARDED_SIZE = 2**16

# A mesh axis, several, or None, for each dimension from the first; or the name of one axis alone.
Axes = Sequence[str | Sequence[str] | None] | str


def make_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh from ``config.mesh``; one axis may be -1 and takes the devices left over.

    The batch axes come first, and with several processes devices are in the order of slices, then
    processes: so the rows of a batch lie in blocks in the order of the processes, ``data`` is what
    crosses the slower network, and the other axes stay within it.

    Args:
      sizes: of each axis.
      devices: all there are, by default.

    Raises:
      ValueError: the sizes do not multiply to the number of devices, or an axis that shares
        parameters would leave its process (or, on TPUs, its slice).
    """
    devices = jax.devices() if devices is None else devices
    names = sorted(sizes, key=lambda name: (*BATCH_AXES, name).index(name))
    counts = [int(sizes[name]) for name in names]
    known = int(np.prod([c for c in counts if c != -1]))
    open_axes, fits = counts.count(-1), known > 0 and len(devices) % known == 0
    if open_axes > 1 or not fits or (not open_axes and known != len(devices)):
        raise ValueError(
            f"config.mesh {dict(sizes)} does not fit {len(devices)} devices: the sizes must "
            f"multiply to {len(devices)}; at most one may be -1"
        )
    counts = [len(devices) // known if c == -1 else c for c in counts]
    types = (AxisType.Auto,) * len(names)
    if len({d.process_index for d in devices}) == 1:
        return jax.make_mesh(tuple(counts), tuple(names), axis_types=types, devices=devices)
    ordered = sorted(devices, key=lambda d: (_slice(d), d.process_index, d.id))
    _require_local(dict(zip(names, counts, strict=True)), ordered)
    return Mesh(np.array(ordered).reshape(counts), names, axis_types=types)


def _slice(device: Any) -> int:
    """Which of several TPU slices, joined by a slower network, a device is in."""
    return (getattr(device, "slice_index", 0) or 0) if device.platform == "tpu" else 0


def _require_local(sizes: Mapping[str, int], devices: Sequence[Any]) -> None:
    processes = collections.Counter(d.process_index for d in devices)
    if len(set(processes.values())) > 1:
        raise ValueError(f"processes have unequal numbers of devices: {dict(processes)}")
    each = processes.popitem()[1]
    inner = {name: n for name, n in sizes.items() if name not in BATCH_AXES}
    together = int(np.prod(list(inner.values())))
    if each % together:
        raise ValueError(
            f"config.mesh: {inner} does not fit into one process, which has {each} devices: other "
            "processes would need the same rows of a batch, and each reads its own. Choose a "
            f"divisor of {each} and make fsdp larger instead, or start fewer processes with more "
            "devices each"
        )
    slices, data = len({_slice(d) for d in devices}), sizes.get("data", 1)
    if data % slices:
        raise ValueError(
            f"config.mesh: data={data} is no multiple of the {slices} slices, so that another axis "
            "would cross the network between them; -1 takes what is left over"
        )


def shardings(
    params: Any, model_state: Any, rules: Sequence[tuple[str, Axes]], mesh: Mesh
) -> tuple[Any, Any]:
    """Where every leaf lies, by ``config.sharding``: ordered regexes over paths, first match wins.

    What stands beside a regex is an axis (or several, or None) for each dimension, or just the name
    of one axis: then it is the leaf's largest dimension that the axis divides, and leaves smaller
    than ``MIN_SHARDED_SIZE`` stay whole. Model state that repeats a parameter under another name
    (``target/encoder/stem/kernel``, a moving average) lies as that parameter does; the rest of it
    (``batch_stats/encoder/stem/norm/mean``) is matched by the rules too.

    Args:
      params: arrays or their shapes.
      model_state: arrays or their shapes.
      rules: of the config.
      mesh: the devices.

    Returns:
      A NamedSharding for every leaf of both.

    Raises:
      ValueError: a leaf without a rule, a rule without a leaf, an axis that the mesh lacks, more
        axes than dimensions, or a dimension that its axes do not divide; names the leaf.
    """
    leaves = {path_of(p): x for p, x in jax.tree_util.tree_leaves_with_path(params)}
    twins: dict[str, str] = {}
    for key_path, x in jax.tree_util.tree_leaves_with_path(model_state):
        path = path_of(key_path)
        twin = path.partition("/")[2]
        if twin in leaves and leaves[twin].shape == x.shape:
            twins[path] = twin
        else:
            leaves[path] = x
    found = match_rules(leaves, [(p, (p, axes)) for p, axes in rules], what="config.sharding")
    place = {k: _place(k, leaves[k].shape, *found[k], mesh) for k in leaves}

    def of(key_path, _):
        path = path_of(key_path)
        return place[twins.get(path, path)]

    return tuple(jax.tree_util.tree_map_with_path(of, tree) for tree in (params, model_state))


def _place(path: str, shape: tuple[int, ...], rule: str, axes: Axes, mesh: Mesh) -> NamedSharding:
    by_name = isinstance(axes, str)
    dims = [(a,) if isinstance(a, str) else tuple(a or ()) for a in ([axes] if by_name else axes)]
    unknown = sorted({a for names in dims for a in names} - set(mesh.axis_names))
    if unknown:
        raise ValueError(
            f"config.sharding: rule {rule!r} names {unknown}; config.mesh has {mesh.axis_names}"
        )
    if by_name:
        return NamedSharding(mesh, P(*_along_largest(shape, axes, mesh.shape[axes])))
    if len(dims) > len(shape):
        raise ValueError(
            f"config.sharding: rule {rule!r} gives axes for {len(dims)} dimensions; {path} has the "
            f"shape {shape}"
        )
    for dim, names in enumerate(dims):
        shares = int(np.prod([mesh.shape[a] for a in names]))
        if shape[dim] % shares:
            raise ValueError(
                f"config.sharding: rule {rule!r} cuts {path} of the shape {shape} along dimension "
                f"{dim} by {' x '.join(names)} = {shares}, which does not divide {shape[dim]}: "
                "choose another dimension, another size in config.mesh, or () to keep it whole"
            )
    return NamedSharding(mesh, P(*(names or None for names in dims)))


def _along_largest(shape: tuple[int, ...], axis: str, shares: int) -> list[str | None]:
    whole: list[str | None] = []
    if np.prod(shape) < MIN_SHARDED_SIZE:
        return whole
    # The last of equals: a kernel's outputs, which the next product sums over nothing.
    for size, dim in sorted(((n, i) for i, n in enumerate(shape)), reverse=True):
        if size % shares == 0:
            return [axis if i == dim else None for i in range(len(shape))]
    return whole


def batch_axes(mesh: Mesh | AbstractMesh) -> tuple[str, ...]:
    """The mesh's axes over which the rows of a batch are shared out."""
    return tuple(a for a in BATCH_AXES if a in mesh.axis_names)


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Rows over every batch axis that the mesh has."""
    return NamedSharding(mesh, P(batch_axes(mesh)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value everywhere."""
    return NamedSharding(mesh, P())


def to_global(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Each process's rows, in process order (see :func:`make_mesh`), as one array over the mesh."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def put(value: Any, place: Sharding) -> jax.Array:
    """``value``, which every process has, where it will lie; each device gets its part and no more.

    (``jax.device_put`` would send whole host arrays between processes, to compare them.)
    """
    if isinstance(value, jax.Array) and value.sharding == place:
        return value
    value = np.asarray(value)
    return jax.make_array_from_callback(value.shape, place, lambda part: value[part])


def to_host(tree: Any) -> Any:
    """Arrays as NumPy's, whole on every process, wherever their parts lie.

    With several processes all of them must call it.
    """

    def leaf(x: Any) -> np.ndarray:
        if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
            x = multihost_utils.process_allgather(x, tiled=True)
        return np.asarray(x)

    return jax.tree.map(leaf, tree)


def ways(mesh: Mesh | AbstractMesh) -> int:
    """Into how many shares a batch's rows are cut."""
    return int(np.prod([mesh.shape[a] for a in batch_axes(mesh)]))


def require_divisible(
    rows: Mapping[str, int], mesh: Mesh | AbstractMesh, microbatches: int = 1
) -> None:
    """Raises unless every kind of row of the *global* batch can be shared out evenly.

    Args:
      rows: how many there are of each kind.
      mesh: its batch axes share them.
      microbatches: into which every share is cut.

    Raises:
      ValueError: names the kind of row, and the next number that would do; or no microbatch.
    """
    if microbatches < 1:
        raise ValueError(f"config.microbatches is {microbatches}: at least 1")
    shares = ways(mesh)
    multiple = shares * microbatches
    for key, count in rows.items():
        if count % multiple:
            cut, change = "", "config.mesh"
            if microbatches > 1:
                cut = f" times config.microbatches={microbatches}"
                change = "config.microbatches or config.mesh"
            raise ValueError(
                f"{key}: {count} rows a batch, not a multiple of the {shares} ways in which the "
                f"mesh shares them{cut}; the next that fits is "
                f"{(count // multiple + 1) * multiple}: change config.sampler (bags, or pairs, per "
                f"batch) or {change}"
            )
