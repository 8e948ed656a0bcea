"""One way to run a model: host arrays in, host arrays out, rows shared out over the devices."""

import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from elm_jax.axes import Batch, ModelState, Params
from elm_jax.evals.base import Predict
from elm_jax.objectives.base import Objective
from elm_jax.sharding import batch_sharding, make_mesh, replicated, to_global, ways

ALL_DEVICES = {"data": -1, "fsdp": 1, "model": 1}


def _as_it_is(batch: Batch) -> Batch:
    return batch


def make_predict(
    objective: Objective,
    params: Params,
    model_state: ModelState,
    *,
    prepare: Callable[[Batch], Batch] = _as_it_is,
    mesh: Mesh | None = None,
    whole: bool = False,
) -> Predict:
    """``objective.predict`` jitted; all processes call it together, and get the same.

    Args:
      objective: what predicts.
      params: its parameters.
      model_state: its batch statistics.
      prepare: runs on the device before: stored integers to network values.
      mesh: the devices; that of ``params`` if they are on one, else all devices.
      whole: every process gives all rows of a batch, instead of its own (see
        :data:`elm_jax.evals.base.Predict`); for what is asked for on all of them alike.

    Returns:
      a function from a batch to float32 arrays on the host. Where the number of rows is a multiple
      of the mesh's ways, each device computes its share of them.
    """
    mesh = mesh or mesh_of(params)
    everywhere, rows = replicated(mesh), batch_sharding(mesh)
    params, model_state = jax.device_put((params, model_state), everywhere)

    @functools.partial(jax.jit, out_shardings=everywhere)
    def apply(params, model_state, batch):
        shared = {
            k: v if v.shape[0] % ways(mesh) else jax.lax.with_sharding_constraint(v, rows)
            for k, v in batch.items()
        }
        return objective.predict(params, model_state, prepare(shared))

    def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with jax.set_mesh(mesh):
            out = apply(params, model_state, dict(batch))
        return {k: np.asarray(v, np.float32) for k, v in out.items()}

    if whole or jax.process_count() == 1:
        return predict
    return _of_own_rows(predict, mesh)


def _of_own_rows(predict: Predict, mesh: Mesh) -> Predict:
    """``predict`` of the rows of all processes, from those that each has."""
    processes = jax.process_count()

    def of_own(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(next(iter(batch.values())))
        # make_mesh gives every process as many of the ways as any other.
        padded = -(-rows * processes // ways(mesh)) * ways(mesh) // processes
        missing = padded - rows
        filled = {
            k: np.pad(v, ((0, missing), *((0, 0),) * (v.ndim - 1))) if missing else v
            for k, v in batch.items()
        }
        out = predict(to_global(filled, mesh))
        return {
            k: v.reshape(processes, padded, *v.shape[1:])[:, :rows].reshape(-1, *v.shape[1:])
            for k, v in out.items()
        }

    return of_own


def mesh_of(params: Params) -> Mesh:
    """The mesh on which parameters lie; all devices where they are on none."""
    leaf = jax.tree.leaves(params)[0]
    mesh = getattr(getattr(leaf, "sharding", None), "mesh", None)
    return mesh or make_mesh(ALL_DEVICES)
