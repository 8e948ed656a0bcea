"""Kills a process at boundaries of a save, then looks at what is left; a script.

    KILL_UNDER=FOLDER LD_PRELOAD=kill_at.so python save_kills.py FOLDER STRIDE

STRIDE 1 walks every boundary. Without kill_at.so the kills are spread over the time that a save
takes. Everything is imported once; each save is done, and killed, in a fork, which only then begins
with JAX's devices.
Prints JSON: how many changes to files a save is made of, and for every kill what was found.
"""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from tiny_shards import tiny_spec

from elm_jax.checkpoint import Checkpoints
from elm_jax.state import TrainState

LIBC = ctypes.CDLL(None)  # with kill_at.so before it
TIMES = 8  # kills, where changes are not counted
COUNTED = hasattr(LIBC, "kill_at")


def state_of(step):
    rng = np.random.default_rng(step)
    params = {"encoder": {"kernel": jnp.asarray(rng.normal(size=(20, 15)), jnp.float32)}}
    moments = {"trace": jnp.asarray(rng.normal(size=300), jnp.float32)}
    return TrainState(jnp.asarray(step), params, {"stats": jnp.ones(3) * step}, moments)


def save(checkpoints, step, loss):
    checkpoints.save(state_of(step), config={}, spec=tiny_spec(), loss=loss)
    checkpoints.wait()


def equal(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def opened(workdir):
    return Checkpoints(workdir, keep_last=2, keep_best=1)


def prepare(workdir):
    """Steps 1 (the best), 2 and 3, and what an earlier kill left of another."""
    checkpoints = opened(workdir)
    for step, loss in ((1, 0.1), (2, 3.0), (3, 2.0)):
        save(checkpoints, step, loss)
    checkpoints.close()
    left = workdir / "checkpoints" / "4.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "3", left)


def save_step_4(workdir):
    """Clears away what was left, saves, and removes the step that is not kept."""
    checkpoints = opened(workdir)
    save(checkpoints, 4, 1.0)
    checkpoints.close()


def look(workdir):
    """Which step is there, whether it and the best are whole, and whether training goes on."""
    checkpoints = opened(workdir)
    latest = checkpoints.latest_step()
    whole = equal(checkpoints.restore(state_of(0)), state_of(latest))
    best = checkpoints.best_step()
    whole_best = equal(checkpoints.restore(state_of(0), 1), state_of(1))
    save(checkpoints, latest + 1, 0.5)
    checkpoints.close()
    again = opened(workdir)
    on = again.latest_step() == latest + 1
    on = on and equal(again.restore(state_of(0)), state_of(latest + 1))
    names = sorted(p.name for p in again.path.iterdir())
    again.close()
    return dict(latest=latest, whole=whole, best=best, whole_best=whole_best, on=on, names=names)


def fork(run, *args, killed_after_s=None):
    """Runs in a child; returns the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        try:
            run(*args)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if killed_after_s is not None:
        time.sleep(killed_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"{run.__name__}{args} failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def count(workdir, out):
    """How many changes to files there are; or how many thousandths of a second."""
    began = time.monotonic()
    if COUNTED:
        LIBC.kill_at(0)
    save_step_4(workdir)
    changes = LIBC.changes() if COUNTED else int(1000 * (time.monotonic() - began))
    out.write_text(str(changes))


def save_killed(workdir, n):
    LIBC.kill_at(n)
    save_step_4(workdir)


def kill(workdir, n):
    """Whether a save was killed at its n-th change."""
    if COUNTED:
        # The threads of a save take turns: some have fewer changes than the one that was counted.
        return fork(save_killed, workdir, n) == signal.SIGKILL
    return fork(save_step_4, workdir, killed_after_s=n / 1000) == signal.SIGKILL


def look_at(folders, out):
    out.write_text(json.dumps({folder.name: look(folder) for folder in folders}))


def main(folder, stride):
    prepared, counted, found = folder / "prepared", folder / "counted", folder / "found"
    fork(prepare, prepared)
    shutil.copytree(prepared, folder / "whole")
    fork(count, folder / "whole", counted)
    changes, killed = int(counted.read_text()), []
    for n in range(1, changes + 1, stride if COUNTED else changes // TIMES + 1):
        workdir = folder / f"{n:04d}"
        shutil.copytree(prepared, workdir)
        if kill(workdir, n):
            killed.append(workdir)
    fork(look_at, killed, found)
    print(json.dumps({"changes": changes, "found": json.loads(found.read_text())}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
