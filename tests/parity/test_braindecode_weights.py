"""Weights of ``braindecode.models.EEGPT`` to us and back: the same outputs, the same bits."""

import inspect
import json
import pathlib
import warnings

import braindecode_reference
import numpy as np
import pytest

import elm_jax
from elm_jax.channels import DICTIONARY
from elm_jax.convert import braindecode_config, braindecode_folder, hub, network
from elm_jax.convert.engine import ConvertError
from elm_jax.sources import read_parts

SIZES = dict(embed_dim=16, depth=2, num_heads=4, embed_num=3, patch_size=32, mlp_ratio=2.0)
NAMED = {
    "few": ["Cz", "O1"],
    "old names in any order": ["T4", "Fp1", "POz", "T5", "c3", "FT7"],
    "all": list(DICTIONARY),
}


@pytest.fixture(scope="module")
def theirs():
    """braindecode's module, and a class with normed patches, which it has no name for."""
    module = braindecode_reference.import_eegpt()

    class PatchNormEmbed(module._PatchEmbed):
        def __init__(self, **kwargs):
            super().__init__(apply_norm=True, **kwargs)

    return module, PatchNormEmbed


def random_model(theirs, names, *, normed=False, seed=0, **changes):
    """A model of their class with no parameter left as it begins."""
    import torch

    module, patch_norm = theirs
    torch.manual_seed(seed)
    chs_info = names if names is None else [{"ch_name": name, "kind": 2} for name in names]
    settings = dict(chs_info=chs_info, n_outputs=3, n_times=300, sfreq=256) | SIZES
    settings |= dict(patch_module=patch_norm if normed else None)
    model = module.EEGPT(**settings | changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model


def run(model, x, **kwargs):
    import torch

    with torch.inference_mode():
        return model(torch.from_numpy(x), **kwargs)


def signal(channels, samples=300, seed=0):
    return np.random.default_rng(seed).normal(size=(2, channels, samples)).astype(np.float32)


def assert_same_outputs(parts, model, x):
    found = network.predict_of(parts)({"signal": x})
    features = run(model, x, return_features=True)["features"].mean(1).numpy()
    np.testing.assert_allclose(found["features"], features, rtol=0, atol=1e-5)
    if "logits" in found:
        np.testing.assert_allclose(found["logits"], run(model, x).numpy(), rtol=0, atol=1e-5)


def assert_same_state(model, other):
    ours, state = other.state_dict(), model.state_dict()
    assert set(ours) == set(state)
    for name, value in state.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape, name
        assert ours[name].numpy().tobytes() == value.numpy().tobytes(), name


def test_their_defaults_are_written_down_here(theirs):
    parameters = inspect.signature(theirs[0].EEGPT.__init__).parameters
    expected = {k: p.default for k, p in parameters.items() if k != "self"}
    assert expected == braindecode_config.DEFAULTS


@pytest.mark.parametrize(
    ("names", "projection", "changes"),
    [
        ("few", "none", dict(patch_stride=32)),
        ("old names in any order", "none", dict(patch_stride=20, qkv_bias=False, depth=1)),
        ("all", "none", dict(patch_stride=None, n_times=64, depth=1)),
        ("few", "conv1d_constraint", dict(patch_stride=16, chan_conv_max_norm=0.7)),
        ("old names in any order", "linear", dict(patch_stride=32, layer_norm_eps=1e-3, depth=1)),
    ],
)
def test_the_same_outputs_here_and_every_bit_on_the_way_back(
    theirs, tmp_path, names, projection, changes
):
    names = [name.replace("T4", "T8").replace("T5", "P7") for name in NAMED[names]]
    model = random_model(theirs, names, chan_proj_type=projection, **changes)
    model.save_pretrained(tmp_path / "theirs")
    parts = read_parts(tmp_path / "theirs")
    assert not parts.report.missing and not parts.report.unexpected
    assert "mean" in parts.assumed and parts.spec.sfreq_hz == 256
    assert_same_outputs(parts, model, signal(len(names), model.n_times))
    braindecode_folder.write_folder(parts, tmp_path / "ours")
    back = theirs[0].EEGPT.from_pretrained(tmp_path / "ours", strict=True)
    assert_same_state(model, back)
    assert back.channel_names == [n.upper() for n in model.channel_names]


def test_normed_patches_are_told_by_their_tensor_and_cannot_be_written(theirs, tmp_path):
    model = random_model(theirs, NAMED["few"], normed=True, patch_stride=16, depth=1)
    model.save_pretrained(tmp_path / "theirs")
    parts = read_parts(tmp_path / "theirs")
    assert parts.recipe["encoder"]["patch_norm"]
    assert_same_outputs(parts, model, signal(2))
    with pytest.raises(ConvertError, match="normed patches"):
        braindecode_folder.write_folder(parts, tmp_path / "ours")


def test_a_linear_final_layer_of_their_users_and_no_head_at_all(theirs, tmp_path):
    from torch import nn

    class Final(nn.Linear):
        def __init__(self):
            super().__init__(9 * 3 * 16, 5)

    changes = dict(chan_proj_type="none", patch_stride=32, depth=1)
    model = random_model(theirs, NAMED["few"], final_layer=Final, n_times=288, **changes)
    model.save_pretrained(tmp_path / "own")
    config = json.loads((tmp_path / "own/config.json").read_text())
    assert config["final_layer"]
    (tmp_path / "own/config.json").write_text(json.dumps(config | {"n_outputs": 5}))
    assert_same_outputs(read_parts(tmp_path / "own"), model, signal(2, 288))
    model = random_model(theirs, NAMED["few"], return_encoder_output=True, **changes)
    model.save_pretrained(tmp_path / "headless")
    parts = read_parts(tmp_path / "headless")
    assert set(parts.params) == {"encoder"}
    assert_same_outputs(parts, model, signal(2))
    braindecode_folder.write_folder(parts, tmp_path / "ours")
    assert_same_state(model, theirs[0].EEGPT.from_pretrained(tmp_path / "ours", strict=True))


def test_channels_without_names_are_numbered_through_and_said_to_be_assumed(theirs, tmp_path):
    model = random_model(theirs, None, n_chans=4, chan_proj_type="none", patch_stride=32, depth=1)
    model.save_pretrained(tmp_path / "a")
    parts = read_parts(tmp_path / "a")
    assert parts.spec.channels == ("Fp1", "Fpz", "Fp2", "AF7") and "channels" in parts.assumed
    assert_same_outputs(parts, model, signal(4))
    model = random_model(theirs, None, n_chans=4, patch_stride=32, sfreq=None, depth=1)
    model.save_pretrained(tmp_path / "b")
    parts = read_parts(tmp_path / "b")
    assert parts.spec.channels[0] == "channel 1" and "sfreq_hz" in parts.assumed


def test_names_that_they_guess_a_number_for_are_refused(theirs, tmp_path):
    names = ["Fp1", "EOG", "Cz"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it guesses, which MNE may be told not to say
        model = random_model(theirs, names, chan_proj_type="none", patch_stride=32)
    model.save_pretrained(tmp_path / "a")
    with pytest.raises(ConvertError, match="'EOG'.*its place's number"):
        read_parts(tmp_path / "a")


def test_n_outputs_keeps_the_stored_head_or_rebuilds_it_and_says_so(theirs, tmp_path, monkeypatch):
    model = random_model(theirs, NAMED["few"], patch_stride=32, depth=1)
    model.save_pretrained(tmp_path / "a")
    (tmp_path / "a/model.safetensors").unlink()  # what older versions of braindecode left
    stored = read_parts(tmp_path / "a")
    same = read_parts(tmp_path / "a", n_outputs=3)
    assert same.weights_sha256 == stored.weights_sha256 and not same.extra
    # As a repository of the hub would come.
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(tmp_path / "a"))
    assert hub.HUB_ID.fullmatch("braindecode/eegpt-pretrained")
    loaded = elm_jax.load_pretrained("braindecode/eegpt-pretrained", n_outputs=4)
    x = signal(2)
    found = loaded.encode(x)
    features = run(model, x, return_features=True)["features"].mean(1).numpy()
    np.testing.assert_allclose(found.features, features, rtol=0, atol=1e-5)
    assert any("head of 4 outputs is new" in notice for notice in loaded.notices)
    rebuilt = {k for k, why in loaded.parts.report.excused.items() if "n_outputs=4" in why}
    assert {k.split(".")[1] for k in rebuilt} == {"probe1", "probe2"}
    # The layers begin as theirs do, within what their sizes allow.
    kernel = loaded.params["classifier"]["probe1"]["kernel"]
    assert 0.5 / 48**0.5 < np.abs(kernel).max() <= 1 / 48**0.5
    loaded.save_pretrained(tmp_path / "saved")
    again = read_parts(tmp_path / "saved")
    assert again.extra["fresh_head"] == 4
    braindecode_folder.write_folder(again, tmp_path / "back")
    other = theirs[0].EEGPT.from_pretrained(tmp_path / "back", strict=True).eval()
    np.testing.assert_allclose(run(other, x).numpy(), found.logits, rtol=0, atol=1e-5)


def test_a_pretraining_of_ours_embeds_there_as_it_does_here(theirs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent.parent / "convert"))
    from tiny_eeg import tiny_eeg

    parts = tiny_eeg("masked")
    extra = ["predictor", "reconstructor"]
    braindecode_folder.write_folder(parts, tmp_path / "x", leave_out=extra)
    other = theirs[0].EEGPT.from_pretrained(tmp_path / "x", strict=True).eval()
    assert other.return_encoder_output and other.channel_names[3] == "T8"
    x = signal(8, 256)
    found = network.predict_of(parts)({"signal": x})["features"]
    np.testing.assert_allclose(run(other, x).flatten(2).mean(1).numpy(), found, atol=1e-5)
