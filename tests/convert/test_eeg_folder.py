"""Saved folders of EEGPT's kind: complete, the same on coming back, and in PyTorch alone."""

import dataclasses
import functools
import importlib
import json
import pathlib
import runpy
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_eeg import tiny_eeg
from tiny_parts import assert_same_weights

import elm_jax
from elm_jax import start
from elm_jax.channels import DICTIONARY
from elm_jax.convert import folder, network, workdir
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.probe import ProbeMismatch
from elm_jax.convert.reader import read_state_dict
from elm_jax.sources import read_parts
from elm_jax.state import TrainState

KINDS = ("features", "aligned", "two_stage", "mlp", "attention", "linear")
NORMED = dict(patch_norm=True, patch_stride=16)


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    """From a kind to (parts, folder, report of writing it); written once."""

    @functools.cache
    def of(kind):
        path = tmp_path_factory.mktemp(kind) / "saved"
        more = {"linear": NORMED, "aligned": NORMED, "features": dict(depth=2)}
        parts = tiny_eeg(kind, **more.get(kind, {}))
        return parts, path, folder.write_folder(parts, path)

    return of


@pytest.fixture(params=KINDS)
def saved(request, save):
    return save(request.param)


def test_it_comes_back_bit_for_bit_and_passes_its_probe(saved):
    parts, path, report = saved
    assert not report.missing and not report.unexpected
    found = read_parts(path)
    assert_same_weights(found, parts)
    assert found.spec == parts.spec and found.recipe == json.loads(json.dumps(parts.recipe))
    found.probe.check(network.predict_of(found), "here")


@pytest.mark.parametrize("kind", ["aligned", "mlp"])
def test_the_way_through_a_workdir_keeps_every_bit(save, tmp_path, kind):
    parts, path, _ = save(kind)
    workdir.write_workdir(parts, tmp_path / "wd", predict=lambda batch: folder_outputs(path))
    found = read_parts(tmp_path / "wd")
    assert_same_weights(found, parts)
    assert found.spec == parts.spec and found.recipe == json.loads(json.dumps(parts.recipe))


def folder_outputs(path):
    return folder.read_folder(path).probe.outputs


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


@pytest.mark.parametrize("wrong", [dict(heads=4), dict(norm_eps=1.0), dict(patch_norm=True)])
def test_settings_that_no_shape_shows_fail_by_the_probe(save, tmp_path, wrong):
    """The number of heads changes no tensor, and the published files disagree on it."""
    path = shutil.copytree(save("features")[1], tmp_path / "saved")
    config = json.loads((path / "config.json").read_text())
    config["recipe"]["encoder"].update(wrong)
    (path / "config.json").write_text(json.dumps(config))
    error = ConvertError if "patch_norm" in wrong else ProbeMismatch
    with pytest.raises(error, match="features|patch_embed"):
        elm_jax.load_pretrained(path)


def test_the_twin_is_what_embeds(save):
    parts, path, _ = save("aligned")
    made = folder.read_folder(path).probe
    swapped = parts.model_state | {"target": {"encoder": parts.params["encoder"]}}
    with pytest.raises(ProbeMismatch):
        made.check(network.predict_of(dataclasses.replace(parts, model_state=swapped)))


def test_a_pretraining_goes_on_from_it_with_its_twin_and_its_heads(save):
    parts, path, _ = save("aligned")
    found = read_parts(path)
    zeros = jax.tree.map(jnp.zeros_like, (found.params, found.model_state))
    fresh = TrainState(jnp.zeros((), jnp.int32), *zeros, ())
    new, words = start.overlay(fresh, found, start.LOAD_ALL)
    assert "loaded" in words
    for ours, theirs in ((new.params, parts.params), (new.model_state, parts.model_state)):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_stand_alone_files_know_the_same_electrodes(monkeypatch):
    place = pathlib.Path(folder.__file__).parent / "standalone"
    monkeypatch.syspath_prepend(str(place))
    eeg_torch = importlib.import_module("eeg_torch")
    assert tuple(eeg_torch.DICTIONARY) == DICTIONARY
    assert eeg_torch.channel_ids(["T3", "T7", "Fp1", "CPZ"]).tolist() == [25, 25, 0, 38]
    with pytest.raises(ValueError, match="AFz"):
        eeg_torch.channel_ids(["Fp1", "AFz"])
