"""A training on directories of two montages; as a script, on one of two processes.

python mixture_on_processes.py PORT PROCESS FOLDER WORKDIR
"""

import pathlib
import sys

import jax
import plain_by_name  # noqa: F401  (its kinds by name)
from etils import epath
from tiny_montages import recipe

from elm_jax import train


def run(folder, workdir, **changes):
    """Trains ``workdir`` on ``FOLDER/six`` and ``FOLDER/nine``."""
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    plain = {"encoder": dict(name="plain_by_name"), "objective": dict(name="loudness")}
    directories = [pathlib.Path(folder) / name for name in ("six", "nine")]
    return train.train(recipe(directories, **plain | changes), workdir)


if __name__ == "__main__":
    port, process, folder, workdir = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(process))
    run(folder, workdir)
