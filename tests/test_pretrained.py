"""A finished model is what was trained, says what it is, and refuses what it cannot read."""

import json

import jax
import numpy as np
import pytest
from etils import epath
from tiny_shards import write_tiny_shards

import elm_jax
from configs import elm_5s
from elm_jax import pretrained, sources, train
from elm_jax.convert.probe import ProbeMismatch
from elm_jax.pretrained import TextTowerMissing, UnusableSignal, load_pretrained


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(tmp_path_factory.mktemp("shards") / "tiny", people=4, test_people=2)


@pytest.fixture(scope="module")
def workdir(shards, tmp_path_factory):
    """A tiny model with its own text tower, trained for two steps."""
    config = elm_5s.get_config("smoke")
    config.data.dir = str(shards)
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    train.train(config, folder)
    return folder


@pytest.fixture(scope="module")
def model(workdir):
    return load_pretrained(workdir)


def windows(model, n=3, seed=0):
    shape = (n, len(model.spec.channels), model.spec.window_samples)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_workdir_its_checkpoints_and_a_step_of_them_are_the_same_model(workdir, model):
    step = max(p for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
    for path in (workdir / "checkpoints", step):
        other = elm_jax.load_pretrained(path)
        assert other.weights_sha256 == model.weights_sha256
    x = windows(model)
    np.testing.assert_array_equal(other.encode(x).projection, model.encode(x).projection)


def test_a_window_gives_the_same_vector_whatever_it_comes_with(model):
    x = windows(model, 5)
    whole = model.encode(x)
    assert whole.features.shape == (5, 6) and whole.projection.shape == (5, 64)
    alone = model.encode(x[3:4])
    np.testing.assert_allclose(alone.projection[0], whole.projection[3], atol=1e-5)
    assert model.encode(x[:0]).features.shape == (0, 6)


def test_texts_lie_in_the_space_of_the_signals_in_the_order_asked(model):
    texts = ["Abnormal EEG.", "Normal EEG.", "Abnormal EEG."]
    vectors = model.encode_text(texts)
    assert vectors.shape == (3, model.encode(windows(model, 1)).projection.shape[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(model.encode_text("Normal EEG.")[0], vectors[1], atol=1e-5)
    with pytest.raises(ValueError, match="texts with words"):
        model.encode_text(["Normal EEG.", " "])
    with pytest.raises(ValueError, match="texts with words"):
        model.encode_text([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :19], "20 channels"),
        (lambda x: x[:, :, :-1], "500 samples"),
        (lambda x: x[0], r"found \(20, 500\)"),
        (lambda x: (x * 100).astype(np.int16), "floating-point network values, found int16"),
        (lambda x: np.where(np.arange(3)[:, None, None] == 1, np.nan, x), r"windows \[1\] hold"),
    ],
)
def test_arrays_that_are_no_windows_are_refused(model, change, message):
    with pytest.raises(UnusableSignal, match=message):
        model.encode(change(windows(model)))


def test_the_model_knows_its_people_and_its_normalisation(model, shards):
    manifest = json.loads((shards / "manifest.json").read_text())
    assert model.trained_on.overlap(manifest["people"]["train"]) == manifest["people"]["train"]
    assert not model.trained_on.overlap(manifest["people"]["test"])
    assert model.spec.mean == manifest["spec"]["mean"] and not model.notices


def test_a_random_model_is_another_model_of_the_same_shape(model):
    x = windows(model)
    one, again, two = (model.randomised(seed).encode(x).projection for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert one.shape == two.shape and not np.allclose(one, two)
    with pytest.raises(TextTowerMissing):
        model.randomised(0).encode_text(["Normal EEG."])


def test_tensors_that_are_not_of_the_recipe_are_named(workdir):
    parts = sources.read_parts(workdir)
    kernel = parts.params["signal_projector"]["out"].pop("kernel")
    parts.params["encoder"]["extra"] = np.zeros(3, np.float32)
    with pytest.raises(
        ValueError, match=r"missing: params/signal_projector/out/kernel(.|\n)*extra"
    ):
        pretrained.from_parts(parts)
    del parts.params["encoder"]["extra"]
    parts.params["signal_projector"]["out"]["kernel"] = kernel.T
    with pytest.raises(ValueError, match=r"out/kernel: expected \(128, 64\)"):
        pretrained.from_parts(parts)


def test_weights_that_are_not_those_of_the_checkpoint_are_refused(workdir):
    parts = sources.read_parts(workdir)
    assert parts.probe is not None
    fresh = pretrained.from_parts(parts).randomised(0)
    parts.params["encoder"] = jax.device_get(fresh.params["encoder"])
    with pytest.raises(ProbeMismatch, match="not the one that was saved"):
        pretrained.from_parts(parts)


def test_what_is_no_model_is_refused_with_what_is_there(tmp_path, workdir):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileNotFoundError, match=r"holds no model(.|\n)*notes.txt"):
        load_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected a weights file"):
        load_pretrained(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="has its own, or none"):
        load_pretrained(workdir, text_tower="somewhere")


def test_the_released_weights_give_the_golden_vectors_and_say_what_they_do_not_tell(shared, caplog):
    for size in ("5s", "60s"):
        golden = np.load(shared / f"golden/elm/encoder_{size}.npz")
        model = load_pretrained(shared / "weights/elm" / size)
        found = model.encode(golden["x"])
        np.testing.assert_allclose(found.features, golden["emb"], atol=1e-5)
        np.testing.assert_allclose(found.projection, golden["proj"], atol=1e-5)
    assert "does not tell mean and std" in caplog.text and model.trained_on is None
    told = load_pretrained(shared / "weights/elm/60s", mean=0.1, std=2.0)
    assert told.assumed == () and (told.spec.mean, told.spec.std) == (0.1, 2.0)
    with pytest.raises(TextTowerMissing, match="configs/elm_adapt.py"):
        told.encode_text(["Normal EEG."])
