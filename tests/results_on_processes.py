"""Writes a run's results as one of two processes; as a script, says what it saw."""

import json
import pathlib
import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from test_report import WHOLE, run_of

from elm_jax.sharding import make_mesh, replicated, to_host


def comes_back_whole():
    """Whether arrays that lie on both processes are whole on each."""
    mesh = make_mesh({"data": 1, "fsdp": 2, "model": 1})
    values = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    tree = {
        "halved": jax.device_put(values, NamedSharding(mesh, PartitionSpec("fsdp"))),
        "whole": jax.device_put(values, replicated(mesh)),
        "host": values,
    }
    return all(np.array_equal(v, values) for v in to_host(tree).values())


if __name__ == "__main__":
    port, process, folder = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(process))
    own = pathlib.Path(folder) / process  # run_of puts a config and metrics there for each
    content = run_of(own, WHOLE)
    written = sorted(p.name for p in own.iterdir())
    print(json.dumps([comes_back_whole(), content["zero_shot"]["auroc"], written]))
