"""Ten steps are five, a stop and five: bit for bit on the same devices, and alike on others."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import resumed_runs
from tiny_shards import write_tiny_shards

HERE = pathlib.Path(__file__).resolve().parent
KERNELS_CUT = (
    (".*encoder/.*/kernel", (None, None, "fsdp")),
    (".*hidden_0/kernel", (None, "fsdp")),
    (".*", ()),
)
LOGGED = [3, 4, 6, 8, 9, 10]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "shards"
    return write_tiny_shards(folder, people=8, valid_people=4, test_people=2)


@pytest.fixture(scope="module")
def alone(shards, tmp_path_factory):
    """A run that is not stopped, and one that was killed after step 7 of which 5 was saved."""
    folder = tmp_path_factory.mktemp("alone")
    run_processes(1, shards, folder, [{"name": "straight"}, {"name": "killed", "kill": 7}])
    return folder


def run_processes(count, shards, folder, runs, *, devices=1):
    """Runs on so many processes; their exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={devices}"
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    environ = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths}
    script = [sys.executable, str(HERE / "resumed_runs.py")]
    words = [str(count), str(shards), str(folder), json.dumps(runs)]
    children = [
        subprocess.Popen(
            [*script, str(port), str(i), *words], env=environ, stderr=subprocess.PIPE, text=True
        )
        for i in range(count)
    ]
    try:
        said = [child.communicate(timeout=900)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    killed = any("kill" in settings for settings in runs)
    expected = -signal.SIGKILL if killed else 0
    assert [child.returncode for child in children] == [expected] * count, "\n".join(said)


def require_equal(found, expected):
    """Parameters, optimiser, moving average, batch statistics, data order, curve: to the bit."""
    ours, theirs = resumed_runs.tensors(found), resumed_runs.tensors(expected)
    assert ours.keys() == theirs.keys()
    parts = ("params/", "ema/", "batch_stats/", "order/", "trace/", "plateau_count")
    assert all(any(part in name for name in ours) for part in parts)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert theirs["model/model_state/order/seen"] != 0
    rows = resumed_runs.rows(found)
    assert [row["step"] for row in rows] == LOGGED and rows == resumed_runs.rows(expected)


def require_alike(found, expected):
    """The same data in the same order; losses to 1e-5, parameters and averages to 5e-6."""
    ours, theirs = resumed_runs.tensors(found), resumed_runs.tensors(expected)
    order = "model/model_state/order/seen"
    assert ours[order] == theirs[order] != 0
    for name in ours:
        if name.startswith(("model/params/", "model/model_state/ema/")):
            np.testing.assert_allclose(ours[name], theirs[name], atol=5e-6, err_msg=name)
    ours, theirs = resumed_runs.rows(found), resumed_runs.rows(expected)
    assert [row["step"] for row in ours] == LOGGED
    for row, other in zip(ours, theirs, strict=True):
        for key in {"loss", "valid/loss"} & other.keys():
            assert row[key] == pytest.approx(other[key], rel=1e-5)
        assert row.keys() == other.keys() and row["learning_rate"] == other["learning_rate"]


def test_a_run_that_is_killed_and_then_told_to_stop_goes_on_bit_for_bit(alone, shards, tmp_path):
    workdir = tmp_path / "stopped"
    shutil.copytree(alone / "killed", workdir)
    assert [row["step"] for row in resumed_runs.rows(workdir)] == [3, 4, 6]  # 6 is not saved
    # Between two lines of the log and two saves that are due.
    resumed_runs.run(shards, workdir, stop=7)
    assert [row["step"] for row in resumed_runs.rows(workdir)] == [3, 4, 6]
    assert "7" in {path.name for path in (workdir / "checkpoints").iterdir()}
    resumed_runs.run(shards, workdir)
    require_equal(workdir, alone / "straight")
    # The rate has fallen on a plateau that began before the stops.
    assert resumed_runs.rows(workdir)[-1]["learning_rate"] == pytest.approx(0.1)


def test_two_processes_killed_go_on_bit_for_bit_together_and_alike_as_one(alone, shards, tmp_path):
    run_processes(2, shards, tmp_path, [{"name": "straight"}, {"name": "killed", "kill": 7}])
    shutil.copytree(tmp_path / "killed", tmp_path / "as_one")
    shutil.copytree(alone / "killed", tmp_path / "from_one")
    run_processes(2, shards, tmp_path, [{"name": "killed"}, {"name": "from_one"}])
    require_equal(tmp_path / "killed", tmp_path / "straight")
    require_alike(tmp_path / "straight", alone / "straight")
    require_alike(tmp_path / "from_one", alone / "straight")
    resumed_runs.run(shards, tmp_path / "as_one")
    require_alike(tmp_path / "as_one", alone / "straight")


def test_a_run_goes_on_alike_on_eight_devices_with_its_parameters_cut_and_then_on_two(
    alone, shards, tmp_path
):
    shutil.copytree(alone / "killed", tmp_path / "moved")
    cut = dict(mesh=dict(data=2, fsdp=4, model=1), sharding=KERNELS_CUT)
    moves = [cut | {"devices": 8, "stop": 7}, {"devices": 2}]
    run_processes(1, shards, tmp_path, [m | {"name": "moved"} for m in moves], devices=8)
    require_alike(tmp_path / "moved", alone / "straight")
