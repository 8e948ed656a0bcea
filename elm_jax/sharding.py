"""Devices: the mesh of the config, where parameters live, how host batches become global."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from elm_jax.optim import match_rules

BATCH_AXES = ("data", "fsdp")


def make_mesh(sizes: Mapping[str, int]) -> Mesh:
    """A mesh from ``config.mesh``; one axis may be -1 and takes the devices left over.

    Raises:
      ValueError: the sizes do not multiply to the number of devices.
    """
    names, counts = tuple(sizes), [int(sizes[n]) for n in sizes]
    devices = jax.device_count()
    known = int(np.prod([c for c in counts if c != -1]))
    open_axes = counts.count(-1)
    if known < 1 or open_axes > 1 or devices % known or (not open_axes and known != devices):
        raise ValueError(
            f"config.mesh {dict(sizes)} does not fit {devices} devices: the sizes must multiply to "
            f"{devices}; at most one may be -1"
        )
    counts = [devices // known if c == -1 else c for c in counts]
    return jax.make_mesh(tuple(counts), names, axis_types=(AxisType.Auto,) * len(names))


def shardings(tree: Any, rules: Sequence[tuple[str, Sequence]], mesh: Mesh) -> Any:
    """A NamedSharding for every leaf, by ordered regexes over its path; first full match wins.

    Raises:
      ValueError: a leaf without a rule, a rule without a leaf, an axis that the mesh lacks.
    """
    specs = tuple((pattern, NamedSharding(mesh, P(*axes))) for pattern, axes in rules)
    return match_rules(tree, specs, what="config.sharding")


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over every batch axis that the mesh has."""
    return NamedSharding(mesh, P(tuple(a for a in BATCH_AXES if a in mesh.axis_names)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value everywhere."""
    return NamedSharding(mesh, P())


def to_global(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Each process's rows, in process order, as one array over the mesh."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


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
    return int(np.prod([mesh.shape[a] for a in BATCH_AXES if a in mesh.axis_names]))


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
