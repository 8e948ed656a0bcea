"""The image encoder draws what network values mean in millivolts, and takes published towers."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict
from tiny_leads import SPEC, WINDOW_S, beats, encoder_settings, write_tiny_leads

from elm_jax import build, evaluate, image_encoder, train
from elm_jax.convert.vit import Vit, save_vit
from elm_jax.convert.vit_config import Pixels
from elm_jax.data.spec import SpecError
from elm_jax.images.paper import ImageError
from elm_jax.images.picture import EcgPicture
from elm_jax.layer_decay import layer_factors
from elm_jax.models.vit_config import VitConfigError, published
from elm_jax.pretrained import load_pretrained
from elm_jax.signals.ecg.leads import STANDARD_ORDER
from elm_jax.signals.ecg.recording import from_array


def make(spec=SPEC, **changes):
    config = ConfigDict(dict(dtype="float32", encoder=encoder_settings(**changes)))
    return build.build_encoder(config, spec)


def signals(n=2, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([beats(rng, WINDOW_S) for _ in range(n)])


def drawn(encoder, values):
    return np.asarray(jax.jit(encoder.draw)(jnp.asarray(values, jnp.float32)))


@pytest.mark.parametrize(
    "changes",
    [
        dict(scale=2.5, mean=0.3, std=0.5),
        dict(mean=tuple(np.linspace(-1, 1, 12)), std=tuple(np.linspace(0.5, 2, 12))),
        dict(unit="uV", clip=1e4, scale=0.001),
        dict(channels=STANDARD_ORDER),
    ],
)
def test_the_same_millivolts_are_the_same_picture_however_they_were_normalised(changes):
    spec = SPEC.replace(**changes)
    mv = signals()
    rows = [SPEC.channels.index(name) for name in spec.channels]
    stored = mv[:, rows] * (1000 if spec.unit == "uV" else 1)
    mean, std = (np.reshape(v, (-1, 1)) for v in (spec.mean, spec.std))
    values = (stored * spec.scale - mean) / std
    expected = drawn(make(), mv)
    np.testing.assert_allclose(drawn(make(spec), values), expected, atol=2e-4)
    assert np.ptp(expected) > 0.5


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        (SPEC.normalised_by("recording"), SpecError, "config.data.normalisation='corpus'"),
        (SPEC.normalised_by("window"), SpecError, "each window"),
        (SPEC.replace(unit="sd"), SpecError, "no voltage"),
        (SPEC.replace(channels=SPEC.channels[:-1]), ImageError, r"missing \['V6'\]"),
        (SPEC.replace(channels=(*SPEC.channels[:-1], "Fp1")), ImageError, r"\['Fp1'\]"),
    ],
)
def test_signals_that_are_no_millivolts_of_twelve_leads_are_refused(spec, error, match):
    with pytest.raises(error, match=match):
        make(spec)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (dict(image="photo"), "form is 'photo'"),
        (dict(image="paper_12x1"), "a larger image"),
        (dict(image_size=40), "whole number of patches"),
        (dict(tower=dict(image_size=64)), "interpolate_positions=True"),
        (dict(tower=dict(wide=3)), r"unknown \['wide'\]"),
        (dict(tower=dict(name="resnet")), "known"),
        (dict(gain=3), r"config.encoder: unknown \['gain'\]"),
        (dict(tower=dict(resample="nearest")), "resample is 'nearest'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        make(**changes)


@pytest.mark.parametrize("form", ["paper", "stacked"])
def test_tokens_are_the_patches_and_padding_may_hold_anything(form):
    encoder = make(image=form, tower=dict(name="clip", projection=5))
    values = signals(3)
    variables = jax.jit(lambda x: encoder.init(jax.random.key(0), x, train=False))(values)
    assert set(variables) == {"params"} and set(variables["params"]) == {"tower"}
    apply = jax.jit(lambda v, x, ok: encoder.apply(v, x, valid=ok, train=False))
    valid = jnp.asarray([True, True, False])
    found = apply(variables, values, valid)
    assert found.tokens.shape == (3, 9, 16) and found.pooled.shape == (3, 5)
    values[2] = np.nan
    again = apply(variables, values, valid)
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a[:2], b[:2])
        assert np.isfinite(a).all() and np.isfinite(b).all()
    assert np.abs(found.pooled[0] - found.pooled[1]).max() > 1e-6
    with pytest.raises(ValueError, match="keep=None"):
        encoder.apply(variables, jnp.asarray(values), keep=jnp.zeros((1, 1), int), train=False)
    with pytest.raises(ValueError, match="12 channels x 200 samples"):
        encoder.apply(variables, jnp.asarray(values[:, :, 1:]), train=False)


def test_early_layers_of_the_tower_can_learn_more_slowly():
    encoder = make(tower=dict(depth=2))
    params = jax.eval_shape(
        lambda x: encoder.init(jax.random.key(0), x, train=False)["params"], jnp.asarray(signals())
    )
    tower = layer_factors({"encoder": params, "head": {"w": 0}}, 0.5)["encoder"]["tower"]
    assert set(jax.tree.leaves(tower["layer_1"])) == {0.5}
    assert set(jax.tree.leaves(tower["layer_0"])) == {0.25}
    assert tower["position_embed"] == tower["patch_embed"]["kernel"] == 0.125
    assert tower["norm"]["scale"] == 1.0


def test_a_picture_says_its_scale():
    picture = EcgPicture("paper", (224, 224), SPEC.channels, 250.0, 2500)
    assert "25 mm/s, 10 mm/mV, 0.853 pixels a mm: one is 46.9 ms and 0.12 mV" in str(picture)


# -- towers from Hugging Face directories ---------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A Hugging Face directory of a tiny CLIP tower with a projection."""
    folder = tmp_path_factory.mktemp("hf") / "clip"
    sizes = dict(width=16, depth=1, heads=2, mlp_width=24, patch_size=16, image_size=(32, 32))
    config = published("clip", projection=6, **sizes)
    image = jnp.zeros((1, 32, 32, 3))
    variables = jax.jit(lambda x: Vit(config).init(jax.random.key(7), x, train=False))(image)
    pixels = Pixels((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")
    save_vit(folder, config, jax.device_get(variables), pixels)
    return folder, variables["params"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_leads(tmp_path_factory.mktemp("leads") / "shards")


def recipe(shards, **encoder):
    from configs import ecg_vit

    config = ecg_vit.get_config("smoke")
    config.data.dir = str(shards)
    with config.unlocked(), config.ignore_type():
        config.encoder = ConfigDict(dict(name="ecg_image", image="paper") | encoder)
        config.objective = ConfigDict(dict(name="masked_image", hidden_share=0.5))
        config.evals = ConfigDict(dict(rows_per_batch=8, trained_on_people="refuse"))
        config.sampler.windows_per_batch = 3
        config.optimizer.rules = (("encoder/tower/.*", "freeze"), (".*", "train"))
    return config


def test_a_published_tower_is_loaded_settled_resumed_and_read_without_its_folder(
    clip, shards, tmp_path, caplog
):
    folder, params = clip
    moved = folder.with_name("moved")
    settings = dict(
        image_size=48, interpolate_positions=True, tower=dict(name="clip", weights=str(folder))
    )
    caplog.set_level(logging.INFO)
    train.train(recipe(shards, **settings), epath.Path(tmp_path / "run"))
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("encoder")]
    assert any("image tower clip from" in line and "24 tensors converted" in line for line in told)
    assert any("preprocessor_config.json" in line for line in told)
    assert any("draws paper 3x4, 48 x 48 pixels" in line for line in told)
    settled = json.loads((tmp_path / "run/config.json").read_text())["encoder"]["tower"]
    assert (settled["projection"], settled["image_size"]) == (6, [32, 32])
    assert settled["pixel_mean"] == [0.1, 0.2, 0.3] and settled["resample"] == "bilinear"

    folder.rename(moved)  # a finished model, and a run that goes on, need it no longer
    try:
        model = load_pretrained(tmp_path / "run")
        found = model.params["encoder"]["tower"]
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(params))
        vectors = model.embed(from_array(signals(1)[0], SPEC.channels, SPEC.sfreq_hz, "mV"))
        assert vectors.features.shape == (1, 6)
        longer = recipe(shards, **settings)
        longer.optimizer.schedule.total_steps = 3
        assert train.train(longer, epath.Path(tmp_path / "run"))["step"] == 3
        again = recipe(shards, **settings)
        again.optimizer.schedule.total_steps = 3
        again.mode = "evaluate"
        evaluate.evaluate(again, epath.Path(tmp_path / "run"))
    finally:
        moved.rename(folder)


def test_a_tower_from_scratch_says_so(shards, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = recipe(shards, **{k: v for k, v in encoder_settings().items() if k != "name"})
    image_encoder.settle(config, None)
    image_encoder.overlay(config, make(), lambda params: params, resumed=False)
    assert "begins with random weights" in caplog.text


def test_sizes_beside_weights_must_be_the_tower_s(clip, shards):
    config = recipe(shards, tower=dict(name="clip", weights=str(clip[0]), width=32))
    with pytest.raises(VitConfigError, match=r"width=32 \(it has 16\)"):
        image_encoder.settle(config, None)
    config = recipe(shards, tower=dict(name="vit", weights=str(clip[0])))
    with pytest.raises(VitConfigError, match=r"name=vit \(it has clip\)"):
        image_encoder.settle(config, None)
    config = recipe(shards, tower=dict(name="vit", weights=str(clip[0] / "nothing")))
    with pytest.raises(FileNotFoundError, match="config.encoder.tower.weights="):
        image_encoder.settle(config, None)
    config = recipe(shards, tower=dict(name="clip", weights=str(clip[0]), drop_path=0.1))
    image_encoder.settle(config, None)
    assert config.encoder.tower.drop_path == 0.1 and config.encoder.tower.width == 16
