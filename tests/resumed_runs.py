"""Runs of ten steps that are stopped and go on; as a script, on one of several processes.

    python resumed_runs.py PORT PROCESS PROCESSES SHARDS FOLDER RUNS

RUNS is JSON: for each run its workdir's name below FOLDER and ``kill``, ``stop`` (steps after which
it is killed, or told to stop), ``devices``, ``mesh``, ``sharding``.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from configs import elm_supervised
from elm_jax import build, train
from elm_jax.checkpoint import Checkpoints
from elm_jax.metrics import read_metrics
from elm_jax.preemption import Preempted
from elm_jax.sharding import make_mesh
from elm_jax.trees import path_of

# Of a row of metrics.jsonl: how fast, how large; not what was learnt.
OF_THE_MACHINE = re.compile(r".*_per_s(_.*)?|.*_gb|input_wait_share|mfu|goodput|interval_s")


@dataclasses.dataclass(frozen=True)
class Averaged:
    """An objective whose state follows its parameters, and counts the batches that it has seen.

    ``order`` is a polynomial in numbers that tell batches apart: of these batches, in this order.
    """

    inner: Any

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def init(self, key, batch):
        params, state = self.inner.init(key, batch)
        # A copy: the step is given both.
        ema = jax.tree.map(jnp.copy, params)
        return params, state | {"ema": ema, "order": {"seen": jnp.zeros((), jnp.uint32)}}

    def embed(self, params, model_state, batch, key, *, train):
        out, state = self.inner.embed(params, model_state, batch, key, train=train)
        if train:
            seen = state["order"]["seen"] * jnp.uint32(31) + batch["number"]
            state = dict(state) | {"order": {"seen": seen}}
        return out, state

    def after_update(self, params, model_state, step):
        ema = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, model_state["ema"], params)
        return model_state | {"ema": ema}


def recipe(shards, **changes):
    """Ten steps: rows of the log at 3, 4, 6, 8, 9, 10, validations at 4, 8, 10, saves at 5, 10."""
    config = elm_supervised.get_config("smoke").unlock()
    config.data.dir = str(shards)
    config.encoder = dict(
        name="conv_eeg", kernels=((4, 4, 1),), n_blocks=1, pool_sizes=(5,), dropout=0.1,
        res_dropout=0.0,
    )  # fmt: skip
    config.objective.hidden, config.objective.dropout = (8,), 0.2
    config.sampler = dict(name="windows", windows_per_batch=8, windows_per_recording=4)
    config.optimizer = dict(
        name="lars",
        rate=0.5,
        eta=0.05,
        weight_decay=1e-4,
        momentum=0.9,
        # A worse value of any validation lowers the rate, which the log then shows.
        schedule=elm_supervised.plateau(1.0)
        | dict(total_epochs=None, total_steps=10, warmup_epochs=None, warmup_steps=2)
        | dict(patience_epochs=1.0, min_change=10.0),
        rules=((".*", "train"),),
    )
    config.log_every_steps = 3
    config.checkpoint.every_epochs, config.checkpoint.keep_last = 1.25, 2
    config.evals = dict(rows_per_batch=32, trained_on_people="mark")
    config.update_from_flattened_dict(changes)
    return config.lock()


def run(shards, workdir, *, kill=None, stop=None, devices=None, mesh=None, sharding=None):
    """Trains in ``workdir`` from where it is; is interrupted, killed or told after a step."""
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    config = recipe(shards).unlock()
    config.mesh = mesh or dict(data=-1, fsdp=1, model=1)
    config.sharding = tuple((p, tuple(axes)) for p, axes in sharding or [(".*", ())])
    own = [(build, "build_objective", _averaged(build.build_objective))]
    own += [(train, "make_mesh", lambda sizes: make_mesh(sizes, jax.devices()[:devices]))]
    own += [(train, "to_network", _numbering(train.to_network))]
    own += [(train.Progress, "advance", _ending(workdir, kill, stop))]
    before = [(room, name, getattr(room, name)) for room, name, _ in own]
    try:
        for room, name, value in own:
            setattr(room, name, value)
        train.train(config.lock(), workdir)
    except Preempted:
        assert stop is not None
    finally:
        for room, name, value in before:
            setattr(room, name, value)


def _averaged(build_objective):
    return lambda *args: Averaged(build_objective(*args))


def _numbering(to_network):
    """Beside the network's values a number of the stored integers, row by row."""

    def make(*args):
        prepare = to_network(*args)

        def numbered(batch):
            sums = jnp.sum(batch["signal"].astype(jnp.uint32), (1, 2), dtype=jnp.uint32)
            weights = 2 * jnp.arange(len(sums), dtype=jnp.uint32) + 1
            return prepare(batch) | {"number": jnp.sum(sums * weights, dtype=jnp.uint32)}

        return numbered

    return make


def _ending(workdir, kill, stop):
    done = []

    def advance(self):
        done.append(1)
        step = self._start + len(done)
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == kill:
            saved = workdir / "checkpoints" / "5"
            began = time.monotonic()
            while not saved.exists() and time.monotonic() - began < 60:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

    return advance


def rows(workdir):
    """The rows of metrics.jsonl, what they say of the machine left out."""
    found = read_metrics(workdir)
    return [{k: v for k, v in r.items() if not OF_THE_MACHINE.fullmatch(k)} for r in found]


def tensors(workdir, step=10):
    """Every array of a checkpoint, by item and path."""
    checkpoints, found = Checkpoints(workdir, read_only=True), {}
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def abstract(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    for item in ("model", "optimizer"):
        saved = checkpoints._saved_tree(item, step)
        tree = jax.tree.map(abstract, saved, is_leaf=lambda x: hasattr(x, "shape"))
        tree = checkpoints._read(item, tree, step)
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        found |= {f"{item}/{path_of(path)}": np.asarray(leaf) for path, leaf in leaves}
    return found


if __name__ == "__main__":
    port, process, processes, shards, folder, runs = sys.argv[1:]
    if int(processes) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", int(processes), int(process))
    for settings in json.loads(runs):
        run(shards, pathlib.Path(folder) / settings.pop("name"), **settings)
