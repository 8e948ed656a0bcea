"""Files in the published layout: found, read with their settings, and written so again."""

import dataclasses
import os

import numpy as np
import pytest
import torch
import yaml
from tiny_parts import ENCODER, SPEC, assert_same_weights, tiny_parts

from elm_jax.convert import released, single_file
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.probe import ProbeMismatch
from elm_jax.convert.reader import UnreadableWeights, read_state_dict
from elm_jax.convert.standalone.elm_torch import Elm
from elm_jax.data.spec import SpecError


def published(directory, *, prefix="", name="model_0_checkpoint.pt", **changes):
    """What a run of the authors' code leaves: a ``.pt`` and a YAML, nothing of ours."""
    torch.manual_seed(0)
    model = Elm(20, ENCODER["kernels"], ENCODER["pool_sizes"], (7, 6), ENCODER["block_kernels"])
    state = {prefix + k: v for k, v in model.state_dict().items()}
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(state, directory / name)
    settings = dict(
        in_channels=20,
        n_time_samples=80,
        encoder_conv1_params=ENCODER["kernels"],
        encoder_res_params=ENCODER["block_kernels"],
        encoder_blocks=2,
        encoder_pool_size=ENCODER["pool_sizes"],
        encoder_dropout_p=False,
        res_dropout_p=0.2,
        ELM=dict(eeg_proj_size=[7, 6]),
    )
    content = dict(dataset=dict(sfreq=100), model=settings | changes)
    (directory / "config_xy.yaml").write_text(yaml.safe_dump(content))
    return directory / name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_reads_a_users_own_file_and_its_folder_also_of_data_parallel_training(tmp_path, prefix):
    path = published(tmp_path, prefix=prefix)
    for place in (path, tmp_path):
        parts = released.read_released(place)
        assert parts.assumed == ("mean", "std") and parts.trained_on is None and not parts.origin
        assert parts.spec == SPEC.replace(mean=0.0, std=1.0)
        assert parts.recipe["encoder"] == ENCODER | {"dropout": 0.0}
        assert parts.recipe["objective"]["signal_projection"] == [7, 6]
        assert parts.recipe["text"] is None
        counters = {name for name in parts.report.excused if name.endswith("tracked")}
        assert set(parts.report.excused) == counters and len(counters) == 8
        assert not parts.report.missing and not parts.report.unexpected


def test_the_yaml_is_the_only_one_or_has_the_same_name_or_is_named(tmp_path):
    path = published(tmp_path)
    (tmp_path / "config_xy.yaml").rename(tmp_path / "anything.yaml")
    released.read_released(path)
    (tmp_path / "second.yaml").write_text("a: 1\n")
    with pytest.raises(ConvertError, match=r"anything.yaml, second.yaml.*--config"):
        released.read_released(path)
    released.read_released(path, config=tmp_path / "anything.yaml")
    (tmp_path / "anything.yaml").rename(tmp_path / "model_0_checkpoint.yaml")
    released.read_released(path)
    for file in tmp_path.glob("*.yaml"):
        file.unlink()
    with pytest.raises(ConvertError, match="found none"):
        released.read_released(path)
    with pytest.raises(FileNotFoundError, match="no.yaml"):
        released.read_released(path, config=tmp_path / "no.yaml")


def test_of_several_weights_the_published_name_is_the_encoder_else_it_is_not_guessed(tmp_path):
    path = published(tmp_path)
    torch.save({"a": torch.ones(1)}, tmp_path / "model_2_checkpoint.pt")
    released.read_released(tmp_path)
    path.rename(tmp_path / "mine.pt")
    with pytest.raises(ConvertError, match="mine.pt, model_2_checkpoint.pt"):
        released.read_released(tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        released.read_released(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks dataset.sfreq, model.in_channels, .*model.ELM.eeg_proj_size"),
        ("[1, 2]", "lacks dataset.sfreq"),
        ("model: [", "no YAML"),
        ("!!python/object/apply:os.system ['touch witness']", "no YAML"),
    ],
)
def test_a_yaml_without_the_settings_is_refused_and_runs_nothing(tmp_path, content, message):
    path = published(tmp_path)
    (tmp_path / "config_xy.yaml").write_text(content)
    before = os.listdir(".")
    with pytest.raises(ConvertError, match=message):
        released.read_released(path)
    assert os.listdir(".") == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (dict(in_channels=19), ConvertError, "model.in_channels is 19"),
        (dict(n_time_samples=None), ConvertError, "wrong kind"),
        (dict(encoder_conv1_params=3), ConvertError, "wrong kind"),
        (dict(encoder_pool_size=[3]), ValueError, "pool_sizes"),
        (dict(ELM=dict(eeg_proj_size=[6])), ConvertError, "proj"),
        (dict(n_time_samples=0), SpecError, "window_s"),
    ],
)
def test_settings_that_are_not_the_weights_are_refused(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        released.read_released(published(tmp_path, **changes))


def test_a_single_field_that_is_missing_is_named(tmp_path):
    path = published(tmp_path)
    values = yaml.safe_load((tmp_path / "config_xy.yaml").read_text())
    del values["model"]["res_dropout_p"]
    (tmp_path / "config_xy.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConvertError, match="it lacks model.res_dropout_p$"):
        released.read_released(path)


# -- written --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts():
    return tiny_parts("projector")


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_a_file_comes_back_bit_for_bit_with_signal_and_people_and_its_probe(parts, tmp_path, name):
    report = single_file.write_single_file(parts, tmp_path / "new" / name)
    assert not report.missing and not report.unexpected
    names = [name, "x.load_report.json", "x.probe.npz", "x.yaml"]
    assert sorted(os.listdir(tmp_path / "new")) == sorted(names)
    found = released.read_released(tmp_path / "new" / name)
    assert_same_weights(found, parts)
    assert (found.spec, found.trained_on) == (parts.spec, parts.trained_on)
    assert found.recipe == parts.recipe and found.assumed == ()
    assert found.probe is not None


def test_a_published_file_goes_to_us_and_back_bit_for_bit(tmp_path):
    path = published(tmp_path / "theirs")
    state = torch.load(path, weights_only=True)
    for name in state:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(len(name))
    torch.save(state, path)
    single_file.write_single_file(released.read_released(path), tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert set(back) == set(state)
    for name, value in state.items():
        assert back[name].dtype == value.dtype and torch.equal(back[name], value), name


def test_the_probe_is_needed_and_checked_where_it_was_written(parts, tmp_path):
    single_file.write_single_file(parts, tmp_path / "x.pt")
    single_file.write_single_file(tiny_parts("projector", seed=1), tmp_path / "y.pt")
    (tmp_path / "y.probe.npz").rename(tmp_path / "x.probe.npz")
    with pytest.raises(ProbeMismatch):
        single_file.write_single_file(released.read_released(tmp_path / "x.pt"), tmp_path / "z.pt")
    (tmp_path / "x.probe.npz").unlink()
    with pytest.raises(FileNotFoundError, match="x.probe.npz"):
        released.read_released(tmp_path / "x.pt")


def test_a_classifier_or_text_side_goes_only_if_it_is_named(tmp_path):
    parts = tiny_parts("frozen_tower")
    with pytest.raises(ConvertError, match="text_projector: .*--to folder.*--leave_out"):
        single_file.write_single_file(parts, tmp_path / "x.pt")
    assert not any(tmp_path.iterdir())
    report = single_file.write_single_file(parts, tmp_path / "x.pt", leave_out=["text_projector"])
    assert "left out" in report.excused["params/text_projector/hidden/kernel"]
    found = released.read_released(tmp_path / "x.pt")
    assert set(found.params) == {"encoder", "signal_projector"} and found.recipe["text"] is None


def test_files_that_are_there_stay_unless_asked(parts, tmp_path):
    (tmp_path / "x.yaml").write_text("mine: 1\n")
    with pytest.raises(FileExistsError, match=r"x.yaml.*overwrite"):
        single_file.write_single_file(parts, tmp_path / "x.pt")
    assert os.listdir(tmp_path) == ["x.yaml"]
    single_file.write_single_file(parts, tmp_path / "x.pt", overwrite=True)
    released.read_released(tmp_path / "x.pt")


def test_a_nan_a_truncated_file_and_a_wrong_type_are_refused(parts, tmp_path):
    path = tmp_path / "x.safetensors"
    single_file.write_single_file(parts, path)
    good, state = path.read_bytes(), read_state_dict(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(UnreadableWeights, match="x.safetensors"):
        released.read_released(path)
    name = "bn1.running_var"
    for value in (state[name] * np.float32("nan"), state[name].astype(np.float64)):
        from elm_jax.convert.folder import write_safetensors

        write_safetensors(state | {name: value}, path)
        with pytest.raises(ConvertError, match=name):
            released.read_released(path)


def test_the_spec_in_our_section_must_be_that_of_the_settings(parts, tmp_path):
    single_file.write_single_file(parts, tmp_path / "x.pt")
    values = yaml.safe_load((tmp_path / "x.yaml").read_text())
    values["model"]["n_time_samples"] = 160
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConvertError, match="windows of 80 samples.*160"):
        released.read_released(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(elm_jax=7), "expected a section"),
        (lambda v: v["elm_jax"].pop("spec"), "lacks .*spec"),
        (lambda v: v["elm_jax"].update(extra=[1]), "wrong kind: .*extra"),
        (lambda v: v["elm_jax"].update(dtype="int8"), "dtype is 'int8'"),
        (lambda v: v["elm_jax"].update(assumed=["weights"]), "assumed"),
        (lambda v: v["elm_jax"].update(origin="me"), "origin is 'me'"),
    ],
)
def test_our_section_is_not_believed_either(parts, tmp_path, change, message):
    single_file.write_single_file(parts, tmp_path / "x.pt", predict=fake_predict)
    values = yaml.safe_load((tmp_path / "x.yaml").read_text())
    change(values)
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConvertError, match=message):
        released.read_released(tmp_path / "x.pt")


def fake_predict(batch):
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


def test_an_encoder_without_projector_goes_both_ways(tmp_path):
    parts = tiny_parts("classifier")
    single_file.write_single_file(parts, tmp_path / "x.pt", leave_out=["classifier"])
    found = released.read_released(tmp_path / "x.pt")
    assert set(found.params) == {"encoder"}
    expected = dataclasses.replace(
        parts,
        params={"encoder": parts.params["encoder"]},
        model_state={"batch_stats": {"encoder": parts.model_state["batch_stats"]["encoder"]}},
    )
    assert_same_weights(found, expected)
