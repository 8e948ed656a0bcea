"""A saved model of ECG pictures stands alone, in PyTorch too; its tower goes to Hugging Face."""

import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_leads import SPEC, WINDOW_S, beats, encoder_settings

from elm_jax import build
from elm_jax.convert.__main__ import main
from elm_jax.convert.vit import load_vit
from elm_jax.data.people import People
from elm_jax.pretrained import Pretrained, load_pretrained
from elm_jax.sources import read_parts

MODELS = {
    "vit": dict(image_size=48, tower=dict(activation="gelu_pytorch_tanh", depth=2)),
    "vit_mean": dict(image_size=(64, 48), tower=dict(pooling="mean", qkv_bias=False)),
    "clip": dict(
        image="paper_12x1", image_size=(128, 64), interpolate_positions=True,
        tower=dict(name="clip", projection=5, patch_size=32, image_size=(96, 64)),
    ),
    "siglip": dict(image="stacked", image_size=48, tower=dict(name="siglip", resample="bilinear")),
}  # fmt: skip


def model(kind, objective=None, seed=0):
    spec = SPEC.replace(mean=tuple(np.linspace(-0.2, 0.2, 12)), std=0.7)
    objective = objective or dict(name="two_tower", signal_projection=(8, 6), text_projection=None)
    recipe = dict(
        dtype="float32", encoder=encoder_settings(**MODELS[kind]), objective=objective, text=None
    )
    made = build.build_objective(ConfigDict(recipe), spec, None)
    batch = {"signal": jnp.zeros((1, 12, SPEC.window_samples))}
    params, state = jax.jit(made.init)(jax.random.key(seed), batch)
    rng = np.random.default_rng(seed)  # as made, biases are zero and norms one
    params, state = jax.tree.map(
        lambda x: np.float32(np.abs(x) + 0.05 + 0.1 * rng.random(x.shape)) * np.sign(x + 0.01),
        jax.device_get((params, state)),
    )
    return Pretrained(
        spec=spec, recipe=recipe, objective=made, params=params, model_state=state, texts=None,
        trained_on=People(), source="tiny",
    )  # fmt: skip


def signals():
    rng = np.random.default_rng(3)
    return np.stack([beats(rng, WINDOW_S, height_mv=6.0), beats(rng, WINDOW_S)])


@pytest.mark.parametrize("kind", ["vit", "clip", "siglip"])
def test_a_folder_gives_the_model_back_here_and_in_pytorch(kind, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    own = model(kind)
    own.save_pretrained(tmp_path / "saved")
    again = load_pretrained(tmp_path / "saved")  # checks its outputs by the probe
    jax.tree.map(np.testing.assert_array_equal, again.params, own.params)
    values = signals()
    expected = own.encode(values)
    monkeypatch.syspath_prepend(str(tmp_path / "saved"))
    for name in ("image_torch", "elm_torch", "heads_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    twin = importlib.import_module("image_torch").load(tmp_path / "saved")
    with torch.inference_mode():
        images = twin.picture(torch.from_numpy(values)).numpy()
        features, projection = twin(torch.from_numpy(values))
    drawn = jax.jit(own.objective.encoder.draw)(jnp.asarray(values))
    np.testing.assert_allclose(images, drawn, atol=2e-5)
    scale = np.abs(expected.features).max()
    np.testing.assert_allclose(features.numpy(), expected.features, atol=1e-4 * scale)
    scale = np.abs(expected.projection).max()
    np.testing.assert_allclose(projection.numpy(), expected.projection, atol=1e-4 * scale)


def test_verify_checks_a_pretraining_s_folder_without_this_project(tmp_path):
    pytest.importorskip("torch")
    own = model("vit_mean", dict(name="masked_image", hidden_share=0.5))
    own.save_pretrained(tmp_path / "saved")
    done = subprocess.run(
        [sys.executable, "verify.py"], cwd=tmp_path / "saved", capture_output=True, text=True
    )
    assert done.returncode == 0 and "features: equal" in done.stdout, done.stdout + done.stderr
    card = (tmp_path / "saved/README.md").read_text()
    assert "features of 16 numbers" in card and "image_torch" in card


def test_a_tower_goes_to_hugging_face_and_back_by_the_command(tmp_path, capsys):
    own = model("clip")
    own.save_pretrained(tmp_path / "saved")
    source, target = str(tmp_path / "saved"), tmp_path / "tower"
    assert main([source, str(target), "--to", "hf_tower"]) == 0
    assert "as hf_tower" in capsys.readouterr().out
    loaded = load_vit(target)
    assert loaded.config == own.objective.encoder.sizes
    tower = own.params["encoder"]["tower"]
    jax.tree.map(np.testing.assert_array_equal, loaded.variables["params"], tower)
    assert main([source, str(target), "--to", "hf_tower"]) == 2
    assert main([source, str(target), "--to", "hf_tower", "--overwrite"]) == 0
    with pytest.raises(ValueError, match="config.encoder.tower.weights=FOLDER"):
        read_parts(target)
    assert main([source, str(tmp_path / "one.safetensors")]) == 2  # no layout for pictures
    assert "--to folder" in capsys.readouterr().err
