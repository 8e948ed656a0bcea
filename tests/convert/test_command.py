"""``python -m elm_jax.convert``: any form into any other, each tensor accounted for."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from tiny_parts import SPEC, assert_same_weights, tiny_parts

import elm_jax
from elm_jax.checkpoint import Checkpoints
from elm_jax.convert import folder, workdir
from elm_jax.convert.__main__ import kind_of, main
from elm_jax.sources import read_parts
from elm_jax.state import TrainState


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    place = tmp_path_factory.mktemp("start")
    parts = tiny_parts("projector")
    folder.write_folder(parts, place / "saved")
    return parts, place / "saved"


def test_a_model_goes_round_through_every_form_and_is_bit_for_bit_the_same(start, tmp_path, capsys):
    parts, source = start
    stops = [("a.pt", []), ("wd", ["--to", "orbax"]), ("b.safetensors", []), ("saved", [])]
    for name, options in stops:
        assert main([str(source), str(tmp_path / name), *options]) == 0
        out = capsys.readouterr().out
        kind = name.rpartition(".")[2] if "." in name else options[-1] if options else "folder"
        assert f"as {kind}" in out and "0 missing, 0 unexpected" in out
        source = tmp_path / name
        found = read_parts(source)
        assert_same_weights(found, parts)
        assert found.spec == SPEC and found.trained_on == parts.trained_on
    for path in ("a.load_report.json", "wd/load_report.json", "saved/load_report.json"):
        reports = json.loads((tmp_path / path).read_text())
        assert all(not r["missing"] and not r["unexpected"] for r in reports.values())


@pytest.mark.parametrize("kind", ["tower", "frozen_tower", "classifier"])
def test_whole_models_go_to_a_workdir_and_back(kind, tmp_path):
    parts = tiny_parts(kind, tmp_path)
    workdir.write_workdir(parts, tmp_path / "wd")
    found = read_parts(tmp_path / "wd")
    assert_same_weights(found, parts)
    assert found.recipe == json.loads(json.dumps(parts.recipe))
    folder.write_folder(found, tmp_path / "saved")
    workdir.write_workdir(folder.read_folder(tmp_path / "saved"), tmp_path / "again")
    again = read_parts(tmp_path / "again")
    assert_same_weights(again, parts)
    assert again.recipe == found.recipe
    if kind == "tower":
        texts = ["Diffuse slowing.", "Normal."]
        one = elm_jax.load_pretrained(tmp_path / "again").encode_text(texts)
        two = elm_jax.load_pretrained(tmp_path / "saved").encode_text(texts)
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_training_starts_from_a_converted_workdir_and_cannot_resume_it(start, tmp_path):
    parts, source = start
    main([str(source), str(tmp_path / "wd"), "--to", "orbax"])
    checkpoints = Checkpoints(tmp_path / "wd", read_only=True)
    about = checkpoints.describe()
    assert about.step == 0 and about.spec == SPEC and len(about.trained_on) == 2
    assert about.config["encoder"]["pool_sizes"] == [3, 0]
    zeros = jax.tree.map(jnp.zeros_like, (parts.params, parts.model_state))
    state = TrainState(jnp.zeros((), jnp.int32), *zeros, {"m": jnp.ones(2)})
    restored = checkpoints.restore_model(state)
    for ours, theirs in zip(
        jax.tree.leaves(restored.params), jax.tree.leaves(parts.params), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(FileNotFoundError, match="converted model.*--config.init_from"):
        checkpoints.restore(state)


def test_a_training_run_is_never_replaced_by_a_converted_model(start, tmp_path, capsys):
    _, source = start
    target = tmp_path / "wd"
    assert main([str(source), str(target), "--to", "orbax"]) == 0
    assert main([str(source), str(target), "--to", "orbax"]) == 2
    assert main([str(source), str(target), "--to", "orbax", "--overwrite"]) == 0
    (target / "metrics.jsonl").write_text("{}\n")
    assert main([str(source), str(target), "--to", "orbax", "--overwrite"]) == 2
    assert "something else" in capsys.readouterr().err


def test_mean_and_std_given_are_no_longer_assumed(tmp_path, capsys):
    from test_released import published

    published(tmp_path / "theirs")
    source, target = str(tmp_path / "theirs"), str(tmp_path / "x")
    assert main([source, target, "--mean", "0.5"]) == 0
    assert "does not tell std=1.0" in capsys.readouterr().out
    found = folder.read_folder(target)
    assert found.spec.mean == 0.5 and found.assumed == ("std",)
    assert "does not tell std" in (tmp_path / "x/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none", "{tmp}/x"], "no file or folder"),
        (["{source}", "{tmp}/x.pt", "--to", "folder"], "ends like a weights file"),
        (["{source}", "{tmp}/x.pt", "--to", "safetensors"], "must end in .safetensors"),
        (["{source}", "{tmp}/x", "--to", "pt"], "must end in .pt"),
        (["{source}", "{source}"], "overwrite"),
        (["{source}", "{tmp}/x", "--leave_out", "classifier"], "nothing for --to folder"),
        (["{tmp}/broken.pt", "{tmp}/x"], "broken.pt: "),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(start, tmp_path, capsys, arguments, message):
    (tmp_path / "broken.pt").write_text("<html>")
    words = [a.format(tmp=tmp_path, source=start[1]) for a in arguments]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
    assert not (tmp_path / "x").exists()


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    from test_released import published

    path = published(tmp_path)

    class Exploit:
        def __reduce__(self):
            return open, (str(tmp_path / "witness"), "w")

    torch.save({"w": Exploit()}, path)
    assert main([str(path), str(tmp_path / "x")]) == 2
    assert "refused" in capsys.readouterr().err and not (tmp_path / "witness").exists()


def test_the_kind_follows_from_the_suffix(tmp_path):
    kinds = {"a.pt": "pt", "a.bin": "pt", "a.safetensors": "safetensors", "a": "folder"}
    assert {name: kind_of(tmp_path / name, None) for name in kinds} == kinds
    assert kind_of(tmp_path / "v1.2", None) == "folder"
