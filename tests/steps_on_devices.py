"""Five steps of every objective on several meshes; as a script, one process of one or of two.

    steps_on_devices.py OUT [COORDINATOR PROCESS]

Writes to ``OUT/*.npz`` losses, parameters and statistics, and to ``OUT/*.json`` what the compiled
step does.
"""

import json
import pathlib
import re
import sys

import flax.linen as nn
import jax
import numpy as np
from all_objectives import Together, batch_of

from configs import common
from elm_jax import sharding
from elm_jax.distributed import Settings, initialize
from elm_jax.optim import make_optimizer
from elm_jax.prefetch import to_device
from elm_jax.schedules import RunLength
from elm_jax.state import fresh, init_state
from elm_jax.step import make_step
from elm_jax.trees import path_of

STEPS = 5
SETTINGS = dict(
    name="lars",
    rate=0.02,
    eta=0.1,
    schedule=dict(warmup_steps=1, total_steps=STEPS, per="step"),
    rules=((".*", "train"),),
)
FSDP = ((".*", "fsdp"),)
# A table of a row an electrode is small: whole by its size, where sizes count.
STEP_RULES = ((".*/channel_embed/embedding", ()), *FSDP)
# Name -> (sizes, rules, dtypes); on the first so many devices.
MESHES = {
    "one": (dict(data=1, fsdp=1, model=1), STEP_RULES, "fd"),
    "two": (dict(data=2, fsdp=1, model=1), STEP_RULES, "fd"),
    "data": (dict(data=8, fsdp=1, model=1), STEP_RULES, "f"),
    "fsdp": (dict(data=2, fsdp=4, model=1), STEP_RULES, "f"),
    "all": (dict(data=2, fsdp=2, model=2), (STEP_RULES[0], *common.sharded_text_tower()), "d"),
}
OF_PROCESSES = {"processes": (dict(data=2, fsdp=2, model=1), STEP_RULES, "fd")}
DTYPES = {"f": np.float32, "d": np.float64}


def five_steps(sizes, rules, dtype):
    """Losses, parameters and statistics by name; what the compiled step does."""
    mesh = sharding.make_mesh(sizes, jax.devices()[: int(np.prod(list(sizes.values())))])
    objective = Together(dtype)
    batches = [_own_rows(batch_of(seed, dtype)) for seed in range(STEPS)]
    with jax.set_mesh(mesh):
        state, optimizer = init_state(
            objective,
            batch_of(0, dtype),
            make_tx=lambda p: make_optimizer(SETTINGS, p, RunLength(STEPS, STEPS, 16)),
            overlay=lambda p: p,
            seed=0,
            mesh=mesh,
            rules=rules,
        )
        place = jax.tree.map(lambda x: x.sharding, state)
        step = make_step(objective, optimizer, lambda b: b, seed=0, place=place)
        stream = list(to_device(batches, mesh))
        compiled = step.lower(state, stream[0]).compile()
        about = _about(compiled, state)
        out = {}
        # Nothing goes to or comes from the host in the loop, but what is asked for.
        with jax.transfer_guard("disallow"):
            for i, batch in enumerate(stream):
                before = state
                state, measures = compiled(state, batch)
                for name, value in measures.items():
                    out[f"measure/{i}/{name}"] = value
            try:
                jax.jit(lambda x: x + 1)(np.ones(3, np.float32))
            except jax.errors.JaxRuntimeError:
                about["guarded"] = True
        about["stays"] = all(
            x.sharding == p
            for x, p in zip(jax.tree.leaves(state), jax.tree.leaves(place), strict=True)
        )
        about["donated"] = all(x.is_deleted() for x in jax.tree.leaves(before))
    kept = {"params": state.params, "model_state": state.model_state}
    out |= {path_of(path): x for path, x in jax.tree_util.tree_leaves_with_path(kept)}
    return sharding.to_host(out), about


def _own_rows(batch):
    """This process's block of rows."""
    index, count = jax.process_index(), jax.process_count()
    return {k: np.split(v, count)[index] for k, v in batch.items()}


def _about(compiled, state):
    """Collectives with the shapes they give, calls out of the program, memory."""
    text = compiled.as_text()
    # "%name = f32[2,3]{1,0} all-reduce(", or a tuple of shapes; the "-done" of a pair adds nothing.
    ops = r"all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all|collective-broadcast"
    found = re.findall(rf"= (\(?[^=]*?) ({ops})(?:-start)?\(", text)
    collectives = {op: [] for _, op in found}
    for shapes, op in found:
        collectives[op] += re.findall(r"\w+\[([\d,]*)\]", shapes)
    memory = compiled.memory_analysis()
    leaves = jax.tree.leaves(state)
    return {
        "collectives": collectives,
        "custom_calls": sorted(set(re.findall(r'custom_call_target="([^"]+)"', text))),
        "host": re.findall(r"= \S+ (infeed|outfeed|send|recv)\(", text),
        "aliased_bytes": memory.alias_size_in_bytes,
        "state_bytes": sum(x.addressable_shards[0].data.nbytes for x in leaves),
        "parameter_shapes": sorted({",".join(map(str, x.shape)) for x in leaves}),
        "sharded": sum(not x.is_fully_replicated for x in leaves),
        "leaves": len(leaves),
    }


class Large:
    """One parameter of 8 MB, and examples of as much."""

    def init(self, key, batch):
        kernel = nn.initializers.truncated_normal(0.02)(key, (2048, 1024))
        return {"kernel": kernel + batch["signal"].sum() * 0}, {}


def bytes_to_begin():
    """Memory of a device while a parameter is made that eight share; the parameter's."""
    mesh = sharding.make_mesh(dict(data=1, fsdp=8, model=1))
    example = {"signal": jax.ShapeDtypeStruct((2048, 1024), np.float32)}
    key = jax.random.key(0)
    shapes = jax.eval_shape(Large().init, key, example)
    place = sharding.shardings(*shapes, FSDP, mesh)
    made = fresh(Large(), example, place).lower(key).compile()
    memory = made.memory_analysis()
    return memory.temp_size_in_bytes + memory.output_size_in_bytes, 2048 * 1024 * 4


def main(out, meshes):
    """Everything of one process."""
    sharding.MIN_SHARDED_SIZE = 24  # some of what is tiny stays whole
    for letter, dtype in DTYPES.items():
        jax.config.update("jax_enable_x64", letter == "d")
        for name, (sizes, rules, letters) in meshes.items():
            if letter in letters:
                values, about = five_steps(sizes, rules, dtype)
                if jax.process_index() == 0:
                    np.savez(out / f"{name}_{letter}.npz", **values)
                    (out / f"{name}_{letter}.json").write_text(json.dumps(about))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        (pathlib.Path(sys.argv[1]) / "begin.txt").write_text(json.dumps(bytes_to_begin()))
        main(pathlib.Path(sys.argv[1]), MESHES)
    else:
        initialize(Settings(True, sys.argv[2], 2, int(sys.argv[3]), join_timeout_s=120))
        main(pathlib.Path(sys.argv[1]), OF_PROCESSES)
        jax.distributed.shutdown()
