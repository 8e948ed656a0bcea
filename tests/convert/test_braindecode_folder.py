"""Folders in braindecode's layout: what is not whole, known or sayable there is refused by name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny_eeg import SPEC, tiny_eeg
from tiny_parts import assert_same_weights, tiny_parts

import elm_jax
from elm_jax.convert import braindecode_config, braindecode_folder, folder
from elm_jax.convert.__main__ import main
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.reader import UnreadableWeights, read_state_dict
from elm_jax.sources import read_parts


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(parts, their folder): a two-stage head, projected channels."""
    path = tmp_path_factory.mktemp("written") / "theirs"
    parts = tiny_eeg("two_stage")
    return parts, path, braindecode_folder.write_folder(parts, path)


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "copy")


def edit(path, **changes):
    values = json.loads((path / "config.json").read_text())
    gone = [name for name, value in changes.items() if value is KeyError]
    values |= {name: value for name, value in changes.items() if name not in gone}
    for name in gone:
        del values[name]
    (path / "config.json").write_text(json.dumps(values))


def test_a_folder_comes_back_bit_for_bit(written):
    parts, path, report = written
    assert not report.missing and not report.unexpected
    config = json.loads((path / "config.json").read_text())
    assert set(config) == set(braindecode_config.DEFAULTS) | {"braindecode_version"}
    assert [ch["ch_name"] for ch in config["chs_info"]][:4] == ["FP1", "C3", "CZ", "T8"]
    found = read_parts(path)
    assert_same_weights(found, parts)
    assert found.spec.channels == SPEC.channels and found.recipe["objective"]["labels"]["classes"]
    reports = json.loads((path / "load_report.json").read_text())
    assert not reports["written"]["unexpected"]


def test_the_command_writes_one_and_says_what_it_leaves_out(tmp_path, capsys):
    parts = tiny_eeg("masked")
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)
    words = [str(tmp_path / "saved"), str(tmp_path / "x"), "--to", "braindecode"]
    assert main(words) == 2
    assert "predictor, reconstructor" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert main([*words, "--leave_out", "predictor,reconstructor"]) == 0
    out = capsys.readouterr().out
    assert "momentum twin" in out and "left out as asked" in out
    assert main([*words, "--leave_out", "predictor,reconstructor"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--leave_out", "predictor,reconstructor", "--overwrite"]) == 0
    twin = parts.model_state["target"]["encoder"]["summary_token"]
    np.testing.assert_array_equal(
        read_parts(tmp_path / "x").params["encoder"]["summary_token"], twin
    )


def fake_predict(batch):
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(window="4 s"), r"arguments \['window'\] are not known"),
        (dict(depth="8"), "wrong kind: {'depth': '8'}"),
        (dict(qkv_bias=1), "wrong kind: {'qkv_bias': 1}"),
        (dict(n_times=True), "wrong kind"),
        (dict(chs_info=["Fp1"]), "wrong kind"),
        (dict(depth=3), "layer_2/mlp/up/kernel: missing"),
        (dict(embed_dim=32), r"expected shape \(32,\), found \(16,\)"),
        (dict(num_heads=3), "3 heads do not divide an encoder 16 wide"),
        (dict(chan_proj_type="conv2d"), "chan_proj_type is 'conv2d'"),
        (dict(chan_proj_type="linear"), "parametrizations.*unexpected"),
        (dict(chan_proj_type="none"), "chans_id"),
        (dict(n_outputs=None), "n_outputs is None"),
        (dict(n_outputs=7), "probe2"),
        (dict(n_times=None), "neither n_times nor input_window_seconds"),
        (dict(n_times=128), "probe2"),
        (dict(chs_info=None), "neither n_chans nor chs_info"),
        (dict(return_encoder_output=True), "no head; n_outputs="),
    ],
)
def test_a_config_that_is_not_the_tensors_is_refused(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(ConvertError, match=message):
        read_parts(copy)


def test_arguments_that_an_older_config_lacks_are_their_defaults(copy):
    edit(copy, init_std=KeyError, mlp_ratio=KeyError, final_layer=KeyError)
    assert read_parts(copy).recipe["encoder"]["mlp_ratio"] == 4.0
    edit(copy, num_heads=KeyError)
    with pytest.raises(FileNotFoundError, match="braindecode's EEGPT.*found"):
        (copy / "model.safetensors").rename(copy / "weights.bytes")
        read_parts(copy)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.update(stray=np.ones(1, np.float32)), ConvertError, "stray: unexpected"),
        (lambda s: s.pop("final_layer.probe1.bias"), ConvertError, "probe1/bias: missing"),
        (
            lambda s: s.update({"chan_proj.proj.bias": np.full(19, np.inf, np.float32)}),
            ConvertError,
            "chan_proj.proj.bias.*infinity",
        ),
        (lambda s: s["chans_id"].__setitem__((0, 3), 61), ConvertError, "chans_id.*61"),
        (lambda s: s.pop("target_encoder.summary_token"), ConvertError, "EEGPT's layout"),
    ],
)
def test_tensors_that_are_not_whole_are_refused(copy, change, error, message):
    state = {
        name: value.copy() for name, value in read_state_dict(copy / "model.safetensors").items()
    }
    change(state)
    folder.write_safetensors(state, copy / "model.safetensors")
    with pytest.raises(error, match=message):
        read_parts(copy)


def test_broken_files_are_named(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:500])
    with pytest.raises(UnreadableWeights, match="model.safetensors"):
        read_parts(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises((ConvertError, FileNotFoundError), match="config.json|yaml|YAML"):
        braindecode_folder.read_folder(copy)


@pytest.mark.parametrize(
    ("kind", "encoder", "message"),
    [
        ("linear", {}, "head 'linear'"),
        ("mlp", {}, "adapter 'conv_stack'"),
        ("attention", {}, "adapter 'none'.*\n.*another number|samples|head 'attention'"),
        ("features", dict(patch_norm=True), "normed patches"),
        ("features", dict(dictionary_size=80), "a table of 80 electrodes"),
    ],
)
def test_what_their_class_cannot_say_is_refused_in_words(tmp_path, kind, encoder, message):
    with pytest.raises(ConvertError, match=message):
        braindecode_folder.write_folder(tiny_eeg(kind, **encoder), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_outputs_in_a_unit_and_heads_of_other_widths_are_not_theirs(tmp_path, written):
    parts = written[0]
    objective = parts.recipe["objective"]
    for changes, message in (
        (dict(head=dict(name="two_stage", hidden=8)), "hidden"),
        (dict(labels=dict(name="age", kind="regression", mean=50.0, std=9.0)), "unit of their own"),
        (dict(adapter=dict(name="conv", channels=["C3", "C4"])), "other electrodes"),
        (dict(adapter=dict(objective["adapter"], max_norm=None)), "not constrained"),
    ):
        recipe = parts.recipe | {"objective": objective | changes}
        with pytest.raises(ConvertError, match=message):
            braindecode_folder.config_of(dataclasses.replace(parts, recipe=recipe))
    with pytest.raises(ConvertError, match="is no 'conv_eeg'"):
        braindecode_folder.write_folder(tiny_parts("projector"), tmp_path / "x")


def test_another_folder_is_never_replaced(written, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="something else"):
        braindecode_folder.write_folder(written[0], tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep me"


def test_n_outputs_is_for_kinds_whose_head_can_be_rebuilt(tmp_path):
    folder.write_folder(tiny_eeg("features"), tmp_path / "saved", predict=fake_predict)
    with pytest.raises(ValueError, match="saved model.*n_outputs means nothing"):
        elm_jax.load_pretrained(tmp_path / "saved", n_outputs=4)
