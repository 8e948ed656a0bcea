"""Devices: the mesh of the config, where parameters live, how host batches become global."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
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
    if counts.count(-1) > 1 or devices % known or (-1 not in counts and known != devices):
        raise ValueError(
            f"config.mesh {dict(sizes)} does not fit {devices} devices: the sizes must multiply to "
            f"{devices}; at most one may be -1"
        )
    counts = [devices // known if c == -1 else c for c in counts]
    return jax.make_mesh(tuple(counts), names, axis_types=(AxisType.Auto,) * len(names))


def shardings(tree: Any, rules: Sequence[tuple[str, Sequence]], mesh: Mesh) -> Any:
    """A NamedSharding for every leaf, by ordered regexes over its path; first full match wins."""
    # Optimiser states wrap parameters' paths in names of their own; rules match by parameter path,
    # so they are written with a leading ".*" where that matters.
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


def require_divisible(rows: Mapping[str, int], mesh: Mesh) -> None:
    """Raises unless every kind of row can be shared out evenly.

    Raises:
      ValueError: names the config keys and the numbers that would do.
    """
    ways = int(np.prod([mesh.shape[a] for a in BATCH_AXES if a in mesh.axis_names]))
    for key, count in rows.items():
        if count % ways:
            raise ValueError(
                f"{key} gives {count} rows a batch, not a multiple of the {ways} ways in which the "
                f"mesh shares it; the next that fits is {(count // ways + 1) * ways}"
            )
