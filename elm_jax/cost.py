"""The update, compiled ahead of its first batch; and what that tells: operations and memory."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from elm_jax.data.pipeline import Kind
from elm_jax.devices import TERA, peak_flops
from elm_jax.sharding import batch_sharding

log = logging.getLogger(__name__)

GB = 1e9


class StepCost(NamedTuple):
    """What one update costs a device, as the compiler counts it.

    Attributes:
      flops: floating-point operations of the update of a whole batch at once, a device's share:
        what microbatches compute twice does not count, what ``config.remat`` computes twice does.
      temporary_bytes: memory beside state and batch.
      arguments_bytes: state and batch.
      peak_flops: operations a second that this kind of device can do at most; None: not known.
    """

    flops: float
    temporary_bytes: int
    arguments_bytes: int
    peak_flops: float | None


def compile_steps(
    step: Any, state: Any, kinds: Sequence[Kind], mesh: Mesh, *, dtype: str, at_once: Any = None
) -> tuple[Callable[..., Any], StepCost]:
    """Compiles the jitted ``step`` for every kind of batch; nothing is run.

    Args:
      step: of :func:`elm_jax.step.make_step`.
      state: where and how large it is.
      kinds: of batches, with their shares of all.
      mesh: the devices.
      dtype: of the computation, for the devices' peak.
      at_once: see :func:`compile_step`.

    Returns:
      a step for any of these batches, and the cost of a step: operations in the mean over batches,
      memory of the largest.
    """
    made = [
        compile_step(step, state, kind.example, mesh, dtype=dtype, at_once=at_once)
        for kind in kinds
    ]
    if len(made) == 1:
        return made[0]
    costs = [cost for _, cost in made]
    cost = StepCost(
        flops=sum(kind.share * c.flops for kind, c in zip(kinds, costs, strict=True)),
        temporary_bytes=max(c.temporary_bytes for c in costs),
        arguments_bytes=max(c.arguments_bytes for c in costs),
        peak_flops=costs[0].peak_flops,
    )
    processes = jax.process_count()
    steps = {
        _shapes({k: (len(v) * processes, *v.shape[1:]) for k, v in kind.example.items()}): compiled
        for kind, (compiled, _) in zip(kinds, made, strict=True)
    }

    def of_its_kind(state: Any, batch: Mapping[str, jax.Array]) -> Any:
        return steps[_shapes({k: v.shape for k, v in batch.items()})](state, batch)

    return of_its_kind, cost


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> tuple:
    return tuple(sorted(shapes.items()))


def compile_step(
    step: Any,
    state: Any,
    example: Mapping[str, np.ndarray],
    mesh: Mesh,
    *,
    dtype: str,
    at_once: Any = None,
) -> tuple[Callable[..., Any], StepCost]:
    """Compiles the jitted ``step`` for batches like ``example``; nothing is run.

    Args:
      step: of :func:`elm_jax.step.make_step`.
      state: where and how large it is.
      example: this process's rows of a batch.
      mesh: the devices.
      dtype: of the computation, for the devices' peak.
      at_once: the step without microbatches, by which operations are counted (the compiler counts
        a loop's body once); None: ``step`` has none.
    """
    began = time.monotonic()
    place, processes = batch_sharding(mesh), jax.process_count()
    batch = {
        k: jax.ShapeDtypeStruct((len(v) * processes, *v.shape[1:]), v.dtype, sharding=place)
        for k, v in example.items()
    }
    lowered = step.lower(state, batch)
    counted = (at_once.lower(state, batch) if at_once else lowered).cost_analysis() or {}
    compiled = lowered.compile()
    memory = compiled.memory_analysis()
    cost = StepCost(
        flops=float(counted.get("flops", 0.0)) / mesh.size,
        temporary_bytes=memory.temp_size_in_bytes,
        arguments_bytes=memory.argument_size_in_bytes,
        peak_flops=peak_flops(jax.devices()[0].device_kind, dtype),
    )
    log.info(
        "step     compiled in %.1f s; a device: %.3g TFLOP, %.2f GB of state and batch, %.2f GB "
        "beside them",
        time.monotonic() - began,
        cost.flops / TERA,
        cost.arguments_bytes / GB,
        cost.temporary_bytes / GB,
    )
    return compiled, cost
