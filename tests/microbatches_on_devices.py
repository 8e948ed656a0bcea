"""One step in microbatches, with batch statistics and a text tower, on all devices there are.

python tests/microbatches_on_devices.py OUT.npz     on eight CPU devices
"""

import re
import sys

import jax
import numpy as np
from plain_model import plain_objective, ragged_batch, variables_of, wide

from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.sharding import make_mesh, to_global
from elm_jax.state import TrainState
from elm_jax.step import make_step
from elm_jax.trees import path_of

SETTINGS = dict(
    name="sgd",
    rate=0.5,
    momentum=0.9,
    schedule=dict(kind="constant", warmup_steps=0, total_steps=1, per="step"),
    rules=((".*", "train"),),
)
KINDS = ("all-to-all", "all-gather", "all-reduce", "reduce-scatter", "collective-permute")


def one_step(sizes):
    """Loss, parameters and statistics after one step in float64, by name; and the program."""
    with jax.enable_x64(True):
        mesh, objective, batch = make_mesh(sizes), plain_objective(norm=True), wide(ragged_batch())
        with jax.set_mesh(mesh):
            variables = variables_of(objective, batch)
            params, model_state = jax.tree.map(jax.numpy.asarray, variables)
            optimizer = make_optimizer(SETTINGS, params, RunLength(1, 1, 64))
            zero = jax.numpy.zeros((), int)
            state = TrainState(zero, params, model_state, optimizer.tx.init(params))
            step = make_step(objective, optimizer, lambda b: b, seed=0, microbatches=2)
            batch = to_global(batch, mesh)
            program = step.lower(state, batch).compile()
            state, measures = program(state, batch)
        out = {"loss": np.asarray(measures["loss"])}
        kept = {"params": state.params, "model_state": state.model_state}
        for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
            out[path_of(path)] = np.asarray(leaf)
    return out, program.as_text()


def collectives(program):
    """Bytes of the largest result of each kind of communication in a compiled program."""
    found = {}
    for kind in KINDS:
        for result in re.findall(rf"= (.*?) {kind}(?:-start)?\(", program):
            for bits, shape in re.findall(r"[a-z]+(\d+)\[([\d,]*)\]", result):
                size = int(np.prod([int(n) for n in shape.split(",") if n])) * int(bits) // 8
                found[kind] = max(found.get(kind, 0), size)
    return found


if __name__ == "__main__":
    values, program = one_step({"data": 4, "fsdp": 2})
    found = {f"collective/{kind}": np.asarray(n) for kind, n in collectives(program).items()}
    np.savez(sys.argv[1], devices=jax.device_count(), **values, **found)
