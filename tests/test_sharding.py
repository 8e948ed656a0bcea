"""Devices: what fits a mesh, and that the number of devices does not change the training."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from steps_on_devices import three_steps

from elm_jax.sharding import make_mesh, require_divisible, shardings

TESTS = pathlib.Path(__file__).resolve().parent


@pytest.mark.parametrize("sizes", [{"data": 3}, {"data": -1, "model": -1}, {"data": 0, "model": 1}])
def test_a_mesh_that_does_not_fit_the_devices_is_refused(sizes):
    with pytest.raises(ValueError, match=r"config.mesh .* does not fit 1 devices"):
        make_mesh(sizes)


def test_rows_that_cannot_be_shared_out_name_the_next_number():
    mesh = jax.sharding.AbstractMesh((2, 2, 2), ("data", "fsdp", "model"))
    require_divisible({"batch['signal']": 8}, mesh)
    with pytest.raises(ValueError, match=r"6 rows a batch, .* 4 ways .* next that fits is 8"):
        require_divisible({"batch['signal']": 6}, mesh)


def test_a_rule_for_no_parameter_is_refused():
    mesh = make_mesh({"data": 1})
    with pytest.raises(ValueError, match=r"config.sharding: rules \['layer.*'\] match no"):
        shardings({"kernel": np.ones(2)}, (("layer.*", ()), (".*", ())), mesh)


def test_four_devices_train_as_one_does(tmp_path):
    # Batch statistics and negatives are global; some parameters (and their momenta) are sharded.
    env = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    command = [sys.executable, str(TESTS / "steps_on_devices.py"), str(tmp_path / "four.npz")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one = three_steps({"data": 1, "fsdp": 1})
    with np.load(tmp_path / "four.npz") as four:
        assert int(four["devices"]) == 4 and set(four.files) == {*one, "sharded_leaves"}
        assert int(four["sharded_leaves"]) == 4  # two kernels and their momenta
        for name, value in one.items():
            if name != "devices":
                np.testing.assert_allclose(four[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
