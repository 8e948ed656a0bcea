"""Devices and processes change nothing: every objective, five steps, one result.

Batches have padding (two of eight devices get nothing else), ragged bags and missing labels;
negatives and batch statistics are those of the global batch.
"""

import json
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from all_objectives import scorers
from many_devices import env_of

from elm_jax import build

TESTS = pathlib.Path(__file__).resolve().parent
ROWS = 16
# The compiler makes one product of query, key and value where they read the same, and one gather.
MERGED = ["24", "8"]
# What is compared is what XLA's passes make of a step, not how fast LLVM's code for it is.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def start(out, devices, *arguments):
    """The steps in a process of its own."""
    env = env_of(devices, QUICK_TO_COMPILE)
    command = [sys.executable, str(TESTS / "steps_on_devices.py"), str(out), *arguments]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """``name -> (values, about)`` of every mesh, and of two processes with two devices each."""
    out = tmp_path_factory.mktemp("steps")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [start(out, 8), *(start(out, 2, f"127.0.0.1:{port}", str(i)) for i in (0, 1))]
    for process in started:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors[-3000:]
    found = {}
    for path in out.glob("*.npz"):
        with np.load(path) as values:
            found[path.stem] = dict(values), json.loads(path.with_suffix(".json").read_text())
    found["begin"] = json.loads((out / "begin.txt").read_text())
    return found


def close(runs, name, other, *, what, rtol, atol=0.0):
    """All values of a kind are the same in two runs."""
    one, two = runs[name][0], runs[other][0]
    assert set(one) == set(two)
    names = [k for k in one if what(k)]
    assert names
    for key in names:
        np.testing.assert_allclose(two[key], one[key], rtol=rtol, atol=atol, err_msg=key)


def is_loss(key):
    return key.startswith("measure/") and (":" in key or key.endswith("/loss"))


def is_state(key):
    return not key.startswith("measure/")


def test_every_objective_takes_part():
    # Tests add some of their own; two_tower has no loss. masked_image draws pictures in float32
    # whatever the type, and is of rows alone, without batch statistics.
    ours = {n for n, make in build.OBJECTIVES.items() if make.__module__.startswith("elm_jax")}
    known = ours - {"two_tower", "masked_image"}
    assert {name.partition("/")[0] for name in scorers()} == known


def test_each_loss_is_there_in_every_step_and_moves(runs):
    values, _ = runs["one_f"]
    terms = [
        k.removeprefix("measure/0/") for k in values if k.startswith("measure/0/") and ":" in k
    ]
    assert {term.partition(":")[0] for term in terms} == set(scorers())
    for term in terms:
        curve = [float(values[f"measure/{i}/{term}"]) for i in range(5)]
        assert np.isfinite(curve).all() and len(set(curve)) == 5, term


@pytest.mark.parametrize("mesh", ["two", "data", "fsdp", "processes"])
def test_in_float32_any_devices_do_as_one_does(runs, mesh):
    close(runs, "one_f", f"{mesh}_f", what=is_loss, rtol=1e-5)
    close(runs, "one_f", f"{mesh}_f", what=is_state, rtol=0, atol=5e-6)


@pytest.mark.parametrize("mesh", ["two", "all", "processes"])
def test_in_float64_all_do_the_same(runs, mesh):
    close(runs, "one_d", f"{mesh}_d", what=is_loss, rtol=1e-9)
    close(runs, "one_d", f"{mesh}_d", what=is_state, rtol=1e-9, atol=1e-9)


def test_float64_and_float32_lose_the_same(runs):
    close(runs, "one_d", "one_f", what=is_loss, rtol=1e-4)


def test_rows_alone_are_exchanged_by_sums_and_by_the_ring(runs):
    assert runs["one_f"][1]["collectives"] == {}
    for name in ("data_f", "two_d"):
        assert set(runs[name][1]["collectives"]) == {"all-reduce", "collective-permute"}
        assert runs[name][1]["sharded"] == 0


def sizes(shape):
    """Dimensions of a shape in any order: of a transposed or squeezed parameter the same."""
    return sorted(n for n in shape.split(",") if n != "1")


@pytest.mark.parametrize("name", ["fsdp_f", "processes_d"])
def test_with_fsdp_parameters_are_gathered_and_rows_are_not(runs, name):
    about = runs[name][1]
    assert 0.2 < about["sharded"] / about["leaves"] < 0.8
    found = about["collectives"]
    assert set(found) <= {"all-reduce", "collective-permute", "all-gather", "reduce-scatter"}
    shapes = [MERGED, *(sizes(s) for s in about["parameter_shapes"])]
    for gathered in found["all-gather"]:
        assert sizes(gathered) in shapes, gathered
        assert str(ROWS) not in gathered.split(",")


def test_with_a_model_axis_rows_are_not_gathered_either(runs):
    about = runs["all_d"][1]
    expected = {"all-reduce", "collective-permute", "all-gather", "reduce-scatter"}
    assert set(about["collectives"]) <= expected
    assert 0.2 < about["sharded"] / about["leaves"] < 0.8
    for gathered in about["collectives"]["all-gather"]:
        assert str(ROWS) not in gathered.split(","), gathered


def test_a_step_speaks_to_no_host_and_writes_over_its_state(runs):
    for name, (_, about) in ((k, v) for k, v in runs.items() if k != "begin"):
        assert about["guarded"], name  # the loop ran where such a transfer is refused
        assert about["host"] == [] and about["custom_calls"] == [], name
        # Every buffer of the state is used again for the state that comes out.
        assert about["aliased_bytes"] == about["state_bytes"] > 0, name
        assert about["donated"] and about["stays"], name


def test_no_device_holds_a_whole_parameter_that_others_share(runs):
    most, whole = runs["begin"]
    assert most < 0.6 * whole
