"""Where parameters and rows lie: what fits a mesh is placed, what does not is named."""

import collections
import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny_model import tiny_batch, tiny_objective

from configs import common
from elm_jax import sharding
from elm_jax.sharding import make_mesh, require_divisible, shardings


@dataclasses.dataclass(frozen=True)
class Device:
    """As much of a device as a mesh looks at."""

    id: int
    process_index: int = 0
    slice_index: int = 0
    platform: str = "cpu"
    device_kind: str = "cpu"


def devices(processes, each, *, slices=1, platform="cpu"):
    """In an order that is nobody's."""
    found = [
        Device(i, i // each, i // each * slices // processes, platform)
        for i in range(processes * each)
    ]
    return found[::-1]


def mesh_of(**sizes):
    """A mesh of devices that are only numbers."""
    count = int(np.prod(list(sizes.values())))
    return make_mesh(sizes, devices(2, count // 2) if count > 1 else jax.devices())


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, np.float32)


def place(params, rules, mesh, model_state=None):
    """Specs by path."""
    found = shardings(params, model_state or {}, rules, mesh)
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return {"/".join(str(k.key) for k in path[1:]): leaf.spec for path, leaf in leaves}


# -- meshes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [{"data": 3}, {"data": -1, "model": -1}, {"data": 0, "model": 1}])
def test_a_mesh_that_does_not_fit_the_devices_is_refused(sizes):
    with pytest.raises(ValueError, match=r"config.mesh .* does not fit 1 devices"):
        make_mesh(sizes)


@pytest.mark.parametrize(
    ("processes", "each", "sizes"),
    [
        (4, 2, dict(data=-1, fsdp=1, model=1)),
        (4, 2, dict(data=2, fsdp=4, model=1)),  # fsdp spans processes
        (4, 4, dict(model=2, fsdp=4, data=-1)),  # however the axes are ordered
        (2, 8, dict(data=1, fsdp=-1, model=4)),
    ],
)
def test_rows_lie_in_blocks_in_the_order_of_the_processes(processes, each, sizes):
    mesh = make_mesh(sizes, devices(processes, each))
    of_rows = [d.process_index for d in mesh.devices.reshape(sharding.ways(mesh), -1)[:, 0]]
    assert of_rows == sorted(of_rows)
    assert set(collections.Counter(of_rows).values()) == {len(of_rows) // processes}
    # Those that share a row are of one process: no two need the same rows of the input.
    for same_row in mesh.devices.reshape(sharding.ways(mesh), -1):
        assert len({d.process_index for d in same_row}) == 1


def test_an_axis_that_would_need_the_same_rows_on_two_processes_is_refused():
    with pytest.raises(ValueError, match=r"'model': 4.* not fit into one process, .* 2 devices"):
        make_mesh(dict(data=-1, fsdp=1, model=4), devices(4, 2))


def test_between_slices_there_is_data_alone():
    eight = devices(4, 2, slices=2, platform="tpu")
    mesh = make_mesh(dict(data=2, fsdp=4, model=1), eight)
    assert [{d.slice_index for d in row.flat} for row in mesh.devices] == [{0}, {1}]
    with pytest.raises(ValueError, match=r"data=1 is no multiple of the 2 slices"):
        make_mesh(dict(data=1, fsdp=8, model=1), eight)


def test_rows_that_cannot_be_shared_out_name_the_next_number():
    mesh = jax.sharding.AbstractMesh((2, 2, 2), ("data", "fsdp", "model"))
    require_divisible({"batch['signal']": 8}, mesh)
    with pytest.raises(ValueError, match=r"6 rows a batch, .* 4 ways .* next that fits is 8"):
        require_divisible({"batch['signal']": 6}, mesh)


# -- rules ----------------------------------------------------------------------------------------

KERNEL = {"layer": {"kernel": shape(6, 8)}}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((("layer", ()), (".*", ())), r"rules \['layer'\] match no"),
        ((("other", ()),), "no rule covers parameter 'layer/kernel'"),
        (((".*", ("fsdp",)),), r"layer/kernel of the shape \(6, 8\) .* dimension 0 by fsdp = 4"),
        (((".*", (None, ("fsdp", "model"))), (".*", ())), None),
        (((".*", (("fsdp", "model"),)),), r"by fsdp x model = 8, which does not divide 6"),
        (((".*", (None, None, "fsdp")),), r"axes for 3 dimensions; layer/kernel has .* \(6, 8\)"),
        (((".*", ("modle",)),), r"rule '\.\*' names \['modle'\]; config.mesh has"),
        (((".*", "modle"),), r"rule '\.\*' names \['modle'\]; config.mesh has"),
    ],
)
def test_a_rule_that_does_not_fit_names_the_parameter(rules, message):
    mesh = mesh_of(data=1, fsdp=4, model=2)
    if message is None:
        assert place(KERNEL, rules, mesh) == {"layer/kernel": P(None, ("fsdp", "model"))}
        return
    with pytest.raises(ValueError, match=f"config.sharding: .*{message}"):
        place(KERNEL, rules, mesh)


def test_an_axis_alone_takes_the_largest_dimension_that_it_divides(monkeypatch):
    mesh = mesh_of(data=1, fsdp=4, model=2)
    params = {
        "odd": shape(1001, 400),  # 4 divides the smaller one alone
        "equal": shape(512, 512),
        "none": shape(1001, 401),
        "small": shape(64, 64),
    }
    rules = ((".*", "fsdp"),)
    found = place(params, rules, mesh)
    assert found == {
        "odd": P(None, "fsdp"), "equal": P(None, "fsdp"), "none": P(), "small": P(),
    }  # fmt: skip
    monkeypatch.setattr(sharding, "MIN_SHARDED_SIZE", 1)
    assert place(params, rules, mesh)["small"] == P(None, "fsdp")


def test_a_moving_average_lies_as_its_parameter_and_statistics_as_the_rules_say():
    params = {"encoder": {"kernel": shape(8, 8)}}
    model_state = {
        "target": {"encoder": {"kernel": shape(8, 8)}},
        "batch_stats": {"encoder": {"mean": shape(8)}},
    }
    rules = (("encoder/kernel", ("fsdp",)), ("batch_stats/.*", ()), (".*", (None, "model")))
    found = place(params, rules, mesh_of(data=1, fsdp=4, model=2), model_state)
    assert found == {
        "encoder/kernel": P("fsdp"),
        "target/encoder/kernel": P("fsdp"),
        "batch_stats/encoder/mean": P(),
    }


def test_the_shared_text_tower_cuts_every_product_once_along_each_axis():
    objective = tiny_objective(tower=True)
    params, state = jax.eval_shape(objective.init, jax.random.key(0), tiny_batch(tower=True))
    mesh = mesh_of(data=2, fsdp=2, model=2)
    found = place(params, common.sharded_text_tower(), mesh, state)
    kernels = {k: v for k, v in found.items() if "layer_0" in k and k.endswith("kernel")}
    assert len(kernels) == 6 and all({*v} == {"fsdp", "model"} for v in kernels.values())
    assert kernels["text_tower/layer_0/mlp/up/kernel"] == P("fsdp", "model")
    assert kernels["text_tower/layer_0/mlp/down/kernel"] == P("model", "fsdp")


# -- host arrays ----------------------------------------------------------------------------------


def test_every_process_puts_its_own_part_of_a_host_array():
    mesh = make_mesh({"data": 1})
    placed = sharding.put(np.arange(4.0), sharding.replicated(mesh))
    assert sharding.put(placed, sharding.replicated(mesh)) is placed
    np.testing.assert_array_equal(placed, np.arange(4.0))
