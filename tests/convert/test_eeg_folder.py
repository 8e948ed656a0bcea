"""Saved folders of EEGPT's kind: complete, the same on coming back, and in PyTorch alone."""

import copy
import dataclasses
import json
import pathlib
import runpy
import sys

import jax
import numpy as np
import pytest
from tiny_eeg import OBJECTIVES, SPEC, tiny_eeg
from tiny_parts import assert_same_weights

import elm_jax
from elm_jax.channels import DICTIONARY
from elm_jax.convert import folder, workdir
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.probe import ProbeMismatch
from elm_jax.convert.reader import read_state_dict
from elm_jax.sources import read_parts


@pytest.fixture(scope="module", params=sorted(OBJECTIVES))
def saved(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "saved"
    normed = request.param in ("linear", "masked")
    parts = tiny_eeg(request.param, patch_norm=normed, patch_stride=16 if normed else None)
    return parts, path, folder.write_folder(parts, path)


def test_it_comes_back_bit_for_bit_from_a_folder_and_a_workdir(saved, tmp_path):
    parts, path, report = saved
    assert not report.missing and not report.unexpected
    workdir.write_workdir(parts, tmp_path / "wd")
    for place in (path, tmp_path / "wd"):
        found = read_parts(place)
        assert_same_weights(found, parts)
        assert found.spec == parts.spec and found.recipe == json.loads(json.dumps(parts.recipe))
    made = folder.read_folder(path).probe
    model = elm_jax.load_pretrained(path)  # the stored probe is checked here
    encoding = model.encode(made.input)
    np.testing.assert_allclose(encoding.features, made.outputs["features"], atol=1e-5)


def test_pytorch_alone_gives_every_output(saved, monkeypatch, capsys):
    parts, path, _ = saved
    monkeypatch.setattr(sys, "argv", ["verify.py", str(path)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = runpy.run_path(str(path / "verify.py"))["main"]()
    out = capsys.readouterr().out
    assert code == 0 and "features: equal" in out and "DIFFERS" not in out, out
    assert ("logits: equal" in out) == ("classifier" in parts.params)


def test_a_pretraining_has_the_published_names(saved):
    parts, path, _ = saved
    state = read_state_dict(path / "model.safetensors")
    twin = state["target_encoder.summary_token"][0]
    if "target" not in parts.model_state:
        assert not any(name.startswith("encoder.") for name in state)
        np.testing.assert_array_equal(twin, parts.params["encoder"]["summary_token"])
        return
    np.testing.assert_array_equal(twin, parts.model_state["target"]["encoder"]["summary_token"])
    own = state["encoder.summary_token"][0]
    np.testing.assert_array_equal(own, parts.params["encoder"]["summary_token"])
    assert state["predictor.mask_token"].shape == (1, 1, 2, 16)
    assert state["reconstructor.reconstructor_embed.weight"].shape == (8, 16)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(heads=4),
        dict(heads=1),
        dict(norm_eps=1.0),
        dict(patch_norm=True),
    ],
)
def test_settings_that_no_shape_shows_fail_by_the_probe(tmp_path, wrong):
    """The number of heads changes no tensor, and the published files disagree on it."""
    parts = tiny_eeg("two_stage")
    folder.write_folder(parts, tmp_path / "saved")
    config = json.loads((tmp_path / "saved/config.json").read_text())
    config["recipe"]["encoder"].update(wrong)
    (tmp_path / "saved/config.json").write_text(json.dumps(config))
    error = ConvertError if "patch_norm" in wrong else ProbeMismatch
    with pytest.raises(error, match="features|patch_embed"):
        elm_jax.load_pretrained(tmp_path / "saved")


def test_the_twin_is_what_the_probe_knows(tmp_path):
    parts = tiny_eeg("masked")
    folder.write_folder(parts, tmp_path / "saved")
    made = folder.read_folder(tmp_path / "saved").probe
    from elm_jax.convert import network

    swapped = copy.deepcopy(parts.model_state)
    swapped["target"]["encoder"] = parts.params["encoder"]
    with pytest.raises(ProbeMismatch):
        made.check(network.predict_of(dataclasses.replace(parts, model_state=swapped)))


def test_a_pretraining_goes_on_from_it_with_its_twin_and_its_heads(tmp_path):
    from elm_jax import start
    from elm_jax.convert import network
    from elm_jax.state import TrainState

    parts = tiny_eeg("aligned")
    folder.write_folder(parts, tmp_path / "saved")
    found = read_parts(tmp_path / "saved")
    objective = network.build_network(found.recipe, SPEC)
    signal = np.zeros((2, len(SPEC.channels), SPEC.window_samples), np.float32)
    batch = {"signal": signal, "signal_valid": np.ones(2, bool)}
    params, state = jax.jit(objective.init)(jax.random.key(3), batch)
    fresh = TrainState(np.zeros((), np.int32), params, state, ())
    new, words = start.overlay(fresh, found, start.LOAD_ALL)
    assert "loaded" in words
    for ours, theirs in ((new.params, parts.params), (new.model_state, parts.model_state)):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_stand_alone_files_know_the_same_electrodes(monkeypatch):
    place = pathlib.Path(folder.__file__).parent / "standalone"
    monkeypatch.syspath_prepend(str(place))
    import eeg_torch

    assert tuple(eeg_torch.DICTIONARY) == DICTIONARY
    assert eeg_torch.channel_ids(["T3", "T7", "Fp1", "CPZ"]).tolist() == [25, 25, 0, 38]
    with pytest.raises(ValueError, match="AFz"):
        eeg_torch.channel_ids(["Fp1", "AFz"])
