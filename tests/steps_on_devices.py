"""Three training steps of a tiny model on a mesh; as a script on four CPU devices."""

import sys

import jax
import numpy as np
from tiny_model import tiny_batch, tiny_objective

from elm_jax.optim import make_optimizer, path_of
from elm_jax.schedules import RunLength
from elm_jax.sharding import make_mesh, to_global
from elm_jax.state import init_state
from elm_jax.step import make_step

SETTINGS = dict(
    name="lars",
    rate=0.5,
    eta=0.1,
    schedule=dict(warmup_steps=1, total_steps=3, per="step"),
    rules=((".*", "train"),),
)
RULES = ((".*projector/hidden/kernel", (None, "fsdp")), (".*", ()))


def three_steps(sizes):
    """Losses, parameters and statistics after three steps, by name."""
    mesh = make_mesh(sizes)
    objective = tiny_objective()
    batches = [tiny_batch(bags=4, crops=2, segments=1, seed=seed) for seed in range(3)]
    batches = [{k: np.array(v) for k, v in b.items()} for b in batches]
    # The last bag is padding: it lies on the last device alone.
    for batch in batches:
        batch["signal_valid"][-2:] = False
        batch["text_valid"][-1:] = False
    with jax.set_mesh(mesh):
        state, optimizer = init_state(
            objective,
            batches[0],
            make_tx=lambda p: make_optimizer(SETTINGS, p, RunLength(3, 3, 8)),
            overlay=lambda p: p,
            seed=0,
            mesh=mesh,
            rules=RULES,
        )
        sharded = [x for x in jax.tree.leaves(state) if not x.is_fully_replicated]
        step = make_step(objective, optimizer, lambda b: b, seed=0)
        out = {"devices": np.asarray(jax.device_count())}
        if len(mesh.devices.ravel()) > 1:
            out["sharded_leaves"] = np.asarray(len(sharded))
        for i, batch in enumerate(batches):
            state, measures = step(state, to_global(batch, mesh))
            out[f"loss_{i}"] = np.asarray(measures["loss"])
    kept = {"params": state.params, "model_state": state.model_state}
    for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
        out[path_of(path)] = np.asarray(leaf)
    return out


if __name__ == "__main__":
    np.savez(sys.argv[1], **three_steps({"data": 2, "fsdp": 2}))
