"""Weights files: what is read, and what is refused."""

import json
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch

from elm_jax.convert.reader import (
    UnreadableWeights,
    read_hf_weights,
    read_state_dict,
    read_weights_file,
)

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}


class Exploit:
    """Runs a command when unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


def assert_tensors(state):
    assert list(state) == list(TENSORS)
    np.testing.assert_array_equal(state["a.weight"], TENSORS["a.weight"])
    assert state["a.count"].shape == () and state["a.count"] == 3


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict", "model"])
def test_reads_a_state_dict_alone_or_beside_other_things(tmp_path, wrap):
    path = tmp_path / "x.pt"
    torch.save({wrap: TENSORS, "epoch": 3} if wrap else TENSORS, path)
    assert_tensors(read_state_dict(path))


def test_takes_the_prefix_of_data_parallel_training_off(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({f"module.{k}": v for k, v in TENSORS.items()}, path)
    assert_tensors(read_state_dict(path))
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)
    with pytest.raises(UnreadableWeights, match="module"):
        read_state_dict(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, zipped):
    path, witness = tmp_path / "x.pt", tmp_path / "witness"
    torch.save(
        {"w": torch.ones(2), "x": Exploit(witness)}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(UnreadableWeights, match="x.pt: refused"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps(Exploit(witness)))
    with pytest.raises(UnreadableWeights, match="x.pt"):
        read_state_dict(path)
    assert not witness.exists()


class GetAttr:
    """Unpickles to an attribute of something: how an older torch kept a schedule's function."""

    def __init__(self, of, name):
        self.of, self.name = of, name

    def __reduce__(self):
        return getattr, (self.of, self.name)


class Call:
    """Calls what getattr gave."""

    def __reduce__(self):
        return torch.optim.lr_scheduler.OneCycleLR._annealing_cos, (0.0, 1.0, 0.5)


def test_what_a_training_left_beside_its_tensors_is_named_and_not_run(tmp_path):
    path = tmp_path / "x.ckpt"
    one_cycle = torch.optim.lr_scheduler.OneCycleLR
    schedule = {"anneal_func": one_cycle._annealing_cos, "_step_count": 7}
    content = {"epoch": 3, "state_dict": TENSORS, "lr_schedulers": [schedule]}
    torch.save(content, path)
    found = read_weights_file(path)
    assert_tensors(found.state)
    assert found.beside == ("epoch", "lr_schedulers")
    # getattr stands for nothing, whatever it is asked for.
    torch.save(content | {"x": GetAttr(one_cycle, "__init__")}, path)
    assert_tensors(read_weights_file(path).state)
    for unsafe in (GetAttr(pathlib.Path, "unlink"), Call()):
        torch.save(content | {"x": unsafe}, path)
        with pytest.raises(UnreadableWeights, match="x.ckpt: refused"):
            read_weights_file(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, suffix, keep):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pt":
        torch.save({"w": torch.randn(64, 64)}, path)
    else:
        safetensors.numpy.save_file({"w": np.ones((64, 64), np.float32)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UnreadableWeights, match=f"x{suffix}"):
        read_state_dict(path)


def test_other_files_are_named(tmp_path):
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme", "no pickle here")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    torch.save({"w": torch.ones(2), "lr": 0.1}, tmp_path / "mixed.pt")
    torch.save({"w": torch.ones(2).to_sparse()}, tmp_path / "sparse.pt")
    (tmp_path / "w.h5").write_bytes(b"")
    for name in ("page.pt", "zip.pt", "list.pt", "mixed.pt", "sparse.pt", "w.h5"):
        with pytest.raises(UnreadableWeights, match=name):
            read_state_dict(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="none.pt"):
        read_state_dict(tmp_path / "none.pt")


def test_bfloat16_keeps_its_values(tmp_path):
    value = torch.tensor([1.0, -2.5, 3e38], dtype=torch.bfloat16)
    torch.save({"w": value}, tmp_path / "x.pt")
    found = read_state_dict(tmp_path / "x.pt")["w"]
    np.testing.assert_array_equal(found.astype(np.float32), value.float())


def test_shards_are_joined_and_an_index_cannot_leave_its_folder(tmp_path):
    for i in range(2):
        safetensors.numpy.save_file(
            {f"w{i}": np.full(2, i, np.float32)}, tmp_path / f"{i}.safetensors"
        )
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {f"w{i}": f"{i}.safetensors" for i in range(2)}}))
    assert sorted(read_hf_weights(tmp_path)) == ["w0", "w1"]
    index.write_text(json.dumps({"weight_map": {"w0": "../0.safetensors"}}))
    with pytest.raises(UnreadableWeights, match="outside"):
        read_hf_weights(tmp_path)
    index.unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        read_hf_weights(tmp_path)
