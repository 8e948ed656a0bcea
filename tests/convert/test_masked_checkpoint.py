"""Checkpoints of EEGPT's and DARE-EEG's pretraining: all of it read, what is left out listed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import elm_jax
from elm_jax import start
from elm_jax.convert import eegpt, network
from elm_jax.convert.__main__ import main
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.probe import ProbeMismatch
from elm_jax.convert.reader import read_state_dict
from elm_jax.sources import read_parts
from elm_jax.state import TrainState

BESIDE = {
    "epoch": 3,
    "global_step": 7,
    "pytorch-lightning_version": "2.0.4",
    "optimizer_states": [],
}


@pytest.fixture(scope="module", params=["nano", "embed4"])
def golden(request, shared):
    with np.load(shared / f"golden/eegpt/{request.param}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def nano(shared):
    with np.load(shared / "golden/eegpt/nano.npz") as file:
        return dict(file)


def checkpoint(golden, path, keep=lambda name: True, **changes):
    """What Lightning writes of the published class, as far as ``keep`` goes."""
    state = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")} | changes
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items() if keep(k)}
    torch.save(BESIDE | {"state_dict": tensors}, path)
    return path


def layer_normed(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_the_twin_gives_the_published_targets_and_all_tensors_are_there(golden, tmp_path):
    path = checkpoint(golden, tmp_path / "DARE-EEG_3_Nano@epoch=196.ckpt")
    model = elm_jax.load_pretrained(path)
    tokens = model._predict({"signal": golden["x"]})["tokens"]
    target = golden["target"]
    np.testing.assert_allclose(
        layer_normed(tokens.reshape(target.shape)), target, rtol=0, atol=1e-4
    )
    assert model.recipe["objective"]["name"] == "dual_aligned"
    assert model.recipe["encoder"]["heads"] == 4 and model.spec.window_samples == 1024
    assert len(model.spec.channels) == 58 and {"scale", "mean", "window_s"} <= set(model.assumed)
    report = model.parts.report
    learnt = {k[3:] for k in golden if k.startswith("sd.")} - set(report.excused)
    assert set(report.matched) == learnt and not report.unexpected
    assert set(report.excused) == {
        "predictor.time_embed.freqs",
        "reconstructor.time_embed.freqs",
        "loss_mc.temperature",
        *BESIDE,
    }
    own = golden["sd.encoder.blocks.0.attn.qkv.weight"]
    found = model.params["encoder"]["layer_0"]["attention"]["key"]["kernel"]
    np.testing.assert_array_equal(found, own[64:128].T)


def test_eegpts_own_has_no_views_and_a_twin_alone_needs_its_heads_told(nano, tmp_path):
    path = checkpoint(nano, tmp_path / "a.ckpt", lambda name: not name.startswith("loss_mc"))
    parts = read_parts(path)
    assert parts.recipe["objective"] == dict(
        name="masked_dual", predictor=dict(depth=2), reconstructor=dict(depth=4)
    )
    twin = checkpoint(nano, tmp_path / "b.ckpt", lambda name: name.startswith("target_encoder"))
    with pytest.raises(ConvertError, match="number of attention heads.*--config"):
        read_parts(twin)
    (tmp_path / "c.yaml").write_text("num_heads: 4\nchannels: [C3, t7, Oz]\nn_times: 512\n")
    alone = read_parts(twin, config=tmp_path / "c.yaml")
    assert alone.spec.channels == ("C3", "T3", "Oz") and alone.spec.window_s == 2
    assert set(alone.params) == {"encoder"} and "window_s" not in alone.assumed
    expected = parts.model_state["target"]["encoder"]["norm"]["scale"]
    np.testing.assert_array_equal(alone.params["encoder"]["norm"]["scale"], expected)


def test_a_wrong_number_of_heads_is_caught_by_the_rotary_frequencies(nano, tmp_path):
    path = checkpoint(nano, tmp_path / "a.ckpt")
    (tmp_path / "c.json").write_text(json.dumps(dict(num_heads=8)))
    with pytest.raises(ConvertError, match="contradict.*'predictor': 4.*8"):
        read_parts(path, config=tmp_path / "c.json")
    other = checkpoint(
        nano, tmp_path / "b.ckpt", **{"predictor.time_embed.freqs": eegpt.rotary_frequencies(64, 8)}
    )
    with pytest.raises(ConvertError, match="contradict"):
        read_parts(other)
    odd = checkpoint(
        nano, tmp_path / "b.ckpt", **{"predictor.time_embed.freqs": np.ones(3, np.float32)}
    )
    with pytest.raises(ConvertError, match="predictor: no number of heads"):
        read_parts(odd)


@pytest.mark.parametrize("width", [64, 128, 256, 512])
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_frequencies_tell_every_published_number_of_heads(width, heads):
    stored = 1.0 / 10000 ** (
        torch.arange(0, width // heads // 2, 2).float() / (width // heads // 2)
    )
    np.testing.assert_allclose(eegpt.rotary_frequencies(width, heads), stored, rtol=1e-6)
    assert eegpt.heads_of(stored.numpy(), width) == heads


def test_converted_it_has_the_same_bits_and_its_heads_with_them(nano, tmp_path, capsys):
    path = checkpoint(nano, tmp_path / "a.ckpt")
    assert main([str(path), str(tmp_path / "saved")]) == 0
    out = capsys.readouterr().out
    assert "state of the training" in out and "(epoch, ...)" in out and "0 unexpected" in out
    state = read_state_dict(tmp_path / "saved/model.safetensors")
    expected = {k[3:]: v for k, v in nano.items() if k.startswith("sd.") and "freqs" not in k}
    del expected["loss_mc.temperature"]
    assert set(state) == set(expected)
    assert all(state[name].tobytes() == value.tobytes() for name, value in expected.items())
    config = json.loads((tmp_path / "saved/config.json").read_text())
    assert config["recipe"]["encoder"]["heads"] == 4
    config["recipe"]["encoder"]["heads"] = 8
    (tmp_path / "saved/config.json").write_text(json.dumps(config))
    with pytest.raises(ProbeMismatch, match="heads"):
        elm_jax.load_pretrained(tmp_path / "saved")


def test_a_run_without_a_twin_begins_with_the_checkpoints(nano, tmp_path):
    parts = read_parts(checkpoint(nano, tmp_path / "a.ckpt"))
    zeros = {"encoder": jax.tree.map(jnp.zeros_like, parts.params["encoder"])}
    fresh = TrainState(jnp.zeros((), jnp.int32), zeros, {"batch_stats": {}}, ())
    new, _ = start.overlay(fresh, parts, start.LOAD_ALL)
    twin = nano["sd.target_encoder.norm.weight"]
    np.testing.assert_array_equal(new.params["encoder"]["norm"]["scale"], twin)


def test_n_outputs_puts_a_head_on_the_twin_and_leaves_pretraining_out(nano, tmp_path):
    path = checkpoint(nano, tmp_path / "a.ckpt")
    parts = read_parts(path, n_outputs=2)
    assert set(parts.params) == {"encoder", "classifier"} and parts.extra == {"fresh_head": 2}
    expected = nano["sd.target_encoder.norm.weight"]
    np.testing.assert_array_equal(parts.params["encoder"]["norm"]["scale"], expected)
    left = {n.split(".")[0] for n, why in parts.report.excused.items() if "pretraining" in why}
    assert left == {"encoder", "predictor", "reconstructor", "loss_mc"}
    assert network.build_network(parts.recipe, parts.spec).target.outputs == 2


@pytest.mark.parametrize(
    ("keep", "changes", "message"),
    [
        (lambda n: n != "predictor.mask_token", {}, "predictor/params/mask_token: missing"),
        (lambda n: not n.startswith("encoder."), {}, "encoder/params/norm/scale: missing"),
        (lambda n: not n.startswith("predictor"), {}, "lacks 'predictor.predictor_embed.weight'"),
        (lambda n: True, {"teacher.w": np.ones(1)}, "teacher.w: unexpected"),
        (
            lambda n: True,
            {"encoder.norm.weight": np.full(64, np.nan, np.float32)},
            "encoder.norm.weight.*NaN",
        ),
        (
            lambda n: True,
            {"target_encoder.chan_embed.weight": np.ones((61, 64), np.float32)},
            r"chan_embed.weight.*\(6[12], 64\)",
        ),
        (lambda n: n != "target_encoder.blocks.0.mlp.fc1.weight", {}, "not an encoder in EEGPT's"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_by_name(nano, tmp_path, keep, changes, message):
    path = checkpoint(nano, tmp_path / "a.ckpt", keep, **changes)
    with pytest.raises(ConvertError, match=message):
        read_parts(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heads: 4", "expected settings among .*num_heads"),
        ("num_heads: four", "wrong kind: .*four"),
        ("num_heads: true", "wrong kind"),
        ("num_heads: 5", "5 heads do not divide|contradict"),
        ("[", "no YAML"),
    ],
)
def test_settings_beside_it_are_not_believed_blindly(nano, tmp_path, text, message):
    path = checkpoint(nano, tmp_path / "a.ckpt", lambda name: name.startswith("target_encoder"))
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConvertError, match=message):
        read_parts(path, config=tmp_path / "c.yaml")


def test_what_means_nothing_for_a_kind_of_source_is_refused(nano, tmp_path):
    path = checkpoint(nano, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="pretraining checkpoint.*: step means nothing"):
        read_parts(path, step=3)
