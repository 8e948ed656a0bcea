"""Sleep stagers in braindecode's layout: what is not whole, known or sayable is refused by name."""

import dataclasses
import json
import runpy
import shutil
import sys

import numpy as np
import pytest
from tiny_parts import assert_same_weights, tiny_parts

from elm_jax.braindecode import SleepStagerChambon2018
from elm_jax.convert import folder, sleep_config, sleep_folder
from elm_jax.convert.__main__ import main
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.reader import read_state_dict
from elm_jax.signals.profiles import SLEEP_SPEC
from elm_jax.sources import read_parts

SPEC = SLEEP_SPEC.replace(window_s=4.0, sfreq_hz=32.0, lowpass_hz=16.0).normalised_by("recording")
ENCODER = dict(name="sleep_conv", filters=3, outputs=6, batch_norm=True)
STAGES = dict(name="stage", kind="multiclass", classes=["W", "N2", "R"])
LINEAR = dict(name="linear", max_norm=None)


def tiny_sleep(objective=sleep_config.EMBEDS, **encoder):
    return tiny_parts("sleep", encoder=ENCODER | encoder, objective=dict(objective), spec=SPEC)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("sleep") / "theirs"
    parts = tiny_sleep()
    sleep_folder.write_folder(parts, path)
    return parts, path


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "copy")


def edit(path, **changes):
    values = json.loads((path / "config.json").read_text()) | changes
    kept = {k: v for k, v in values.items() if v is not KeyError}
    (path / "config.json").write_text(json.dumps(kept))


def test_a_folder_comes_back_bit_for_bit(written):
    parts, path = written
    found = read_parts(path)
    assert_same_weights(found, parts)
    assert found.spec == SPEC and found.assumed == sleep_config.ASSUMED
    config = json.loads((path / "config.json").read_text())
    assert set(config) == set(sleep_config.DEFAULTS) | {"braindecode_version"}
    assert "SleepStagerChambon2018.from_pretrained" in (path / "README.md").read_text()


def test_arguments_that_a_config_lacks_are_their_defaults(copy):
    edit(copy, activation=KeyError, drop_prob=KeyError, pad_size_s=KeyError)
    assert read_parts(copy).recipe["encoder"]["dropout"] == 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(window="4 s"), r"arguments \['window'\] are not known"),
        (dict(n_conv_chs="3"), "wrong kind: {'n_conv_chs': '3'}"),
        (dict(apply_batch_norm=1), "wrong kind"),
        (dict(n_conv_chs=4), r"expected shape \(4,\), found \(3,\)"),
        (dict(time_conv_size_s=0.25), "conv_0/kernel: expected shape"),
        (dict(apply_batch_norm=False), "the model has no such parameter"),
        (dict(n_outputs=7), r"expected shape \(7,\)"),
        (dict(n_outputs=None), "n_outputs is null"),
        (dict(return_feats=True), "final_layer.1.weight.*no such parameter"),
        (dict(n_times=64), "out/kernel"),
        (dict(n_times=None), "two of n_times, input_window_seconds and sfreq"),
        (dict(n_times=4), "no network can be built.*leaves none"),
        (dict(sfreq=-1.0), "must be positive"),
        (dict(input_window_seconds=3.0), "n_times=128 is not"),
        (dict(n_chans=3), "n_chans=3 but chs_info has 2"),
        (dict(chs_info=None), "n_chans is None"),
        (dict(chs_info=None, n_chans=1), "spatial_conv"),
        (dict(activation="torch.nn.modules.activation.PReLU"), "known: torch.nn.ELU"),
        (dict(activation="os.system"), "'os.system' is not known"),
    ],
)
def test_a_config_that_is_not_the_tensors_is_refused(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(ConvertError, match=message):
        read_parts(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(stray=np.ones(1, np.float32)), "stray: unexpected"),
        (lambda s: s.pop("feature_extractor.4.bias"), "conv_1/bias: missing"),
        (lambda s: s.pop("feature_extractor.5.running_var"), "norm_1/var: missing"),
        (lambda s: s["spatial_conv.bias"].fill(np.nan), "spatial_conv.bias.*NaN"),
        (
            lambda s: s.update({"fc.1.bias": s["final_layer.1.bias"]}),
            "already filled by another tensor",
        ),
    ],
)
def test_tensors_that_are_not_whole_are_refused(copy, change, message):
    state = {k: v.copy() for k, v in read_state_dict(copy / "model.safetensors").items()}
    change(state)
    folder.write_safetensors(state, copy / "model.safetensors")
    with pytest.raises(ConvertError, match=message):
        read_parts(copy)


def test_a_file_of_weights_needs_the_settings_that_tensors_do_not_show(written, tmp_path, capsys):
    state = read_state_dict(written[1] / "model.safetensors")
    siamese = {f"emb.{name}": value for name, value in state.items()}
    folder.write_safetensors(siamese, tmp_path / "w.safetensors")
    words = [str(tmp_path / "w.safetensors"), str(tmp_path / "x"), "--to", "braindecode"]
    assert main(words) == 2 and "sfreq and n_times at least" in capsys.readouterr().err
    (tmp_path / "w.yaml").write_text("sfreq: 32\n")
    assert main(words) == 2 and "two of n_times" in capsys.readouterr().err
    (tmp_path / "w.yaml").write_text("sfreq: 32\nn_times: 128\nwindow: 4\n")
    assert main(words) == 2 and "['window'] are not known" in capsys.readouterr().err
    (tmp_path / "w.yaml").write_text("sfreq: 32\nn_times: 128\n")
    assert main([*words, "--n_outputs", "3"]) == 2 and "fine-tune" in capsys.readouterr().err
    assert main(words) == 0  # without its classifier the network is an embedder
    assert read_parts(tmp_path / "x").weights_sha256 == written[0].weights_sha256


CLASSIFY = dict(name="classify", labels=STAGES, head=LINEAR)


@pytest.mark.parametrize(
    ("objective", "encoder", "message"),
    [
        (CLASSIFY, {}, "a classifier behind an output layer"),
        (CLASSIFY | dict(head=dict(name="mlp")), dict(outputs=None), "head 'mlp'"),
        (CLASSIFY | dict(head=dict(name="linear")), dict(outputs=None), "constrained weights"),
        (
            CLASSIFY | dict(head=LINEAR | dict(pooling="mean")),
            dict(outputs=None),
            "a head on pooled tokens",
        ),
        (
            CLASSIFY | dict(labels=dict(name="age", kind="regression", mean=50.0, std=9.0)),
            dict(outputs=None),
            "unit of their own",
        ),
        (CLASSIFY | dict(head=None), dict(outputs=None), "head None"),
        (
            dict(name="two_tower", signal_projection=[4], text_projection=None),
            {},
            "a projector",
        ),
        (sleep_config.PAIRS, {}, "--leave_out classifier"),
    ],
)
def test_what_their_class_cannot_say_is_refused_in_words(tmp_path, objective, encoder, message):
    with pytest.raises(ConvertError, match=message):
        sleep_folder.write_folder(tiny_sleep(objective, **encoder), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "encoder",
    [dict(hidden=[6, 4], batch_norm=True, outputs=3, activation="tanh"), dict(hidden=[5])],
    ids=["with norms", "without"],
)
def test_the_encoder_of_windows_of_features_is_saved_and_stands_alone(
    tmp_path, encoder, monkeypatch, capsys
):
    spec = SLEEP_SPEC.replace(channels=("power", "ratio", "slope"), window_s=0.02)
    parts = tiny_parts(
        "mlp", encoder=dict(name="mlp", **encoder), objective=sleep_config.PAIRS, spec=spec
    )
    folder.write_folder(parts, tmp_path / "saved")
    assert_same_weights(read_parts(tmp_path / "saved"), parts)
    monkeypatch.setattr(sys, "argv", ["verify.py", str(tmp_path / "saved")])
    monkeypatch.setattr(sys, "path", list(sys.path))
    pytest.importorskip("torch")
    code = runpy.run_path(str(tmp_path / "saved/verify.py"))["main"]()
    assert code == 0 and "features: equal" in capsys.readouterr().out


def test_another_folder_or_another_encoder_is_never_written(written, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="something else"):
        sleep_folder.write_folder(written[0], tmp_path, overwrite=True)
    with pytest.raises(ConvertError, match="is no 'conv_eeg'"):
        sleep_folder.write_folder(tiny_parts("projector"), tmp_path / "x")
    with pytest.raises(ConvertError, match="is no 'conv_eeg'"):
        saved = tmp_path / "saved"
        folder.write_folder(tiny_parts("projector"), saved, predict=fake_predict)
        SleepStagerChambon2018.from_pretrained(saved)


def fake_predict(batch):
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


def test_moments_that_a_user_gives_take_the_place_of_each_recordings(written):
    parts = read_parts(written[1]).with_moments(0.5, 20.0)
    assert (parts.spec.moments, parts.spec.mean, parts.spec.std) == ("fixed", 0.5, 20.0)
    assert "moments" not in parts.assumed and "lowpass_hz" in parts.assumed


def test_a_model_that_computes_in_half_precision_has_no_face(written, tmp_path):
    parts = dataclasses.replace(written[0], recipe=written[0].recipe | {"dtype": "bfloat16"})
    folder.write_folder(parts, tmp_path / "half", predict=fake_predict)
    with pytest.raises(ConvertError, match="bfloat16"):
        SleepStagerChambon2018.from_pretrained(tmp_path / "half")
