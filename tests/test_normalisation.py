"""``config.data.normalisation`` by recording or window, through every door of a model."""

import json

import jax
import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict
from tiny_pretrained import tiny_pretrained
from tiny_shards import tiny_spec, write_tiny_shards

from configs import relpos_sleep
from data_prep.prepare import main as prepare
from elm_jax import embed, finished, train
from elm_jax.channels import DICTIONARY
from elm_jax.checkpoint import Checkpoints
from elm_jax.convert.standalone import preprocess
from elm_jax.data.corpus import Corpus, normalisation_of
from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.manifest import Manifest
from elm_jax.data.mixture import MixturePlan, Part
from elm_jax.data.pipeline import to_network
from elm_jax.data.spec import SpecError
from elm_jax.evals.robustness import _only
from elm_jax.evaluate import evaluate
from elm_jax.metrics import read_metrics
from elm_jax.pretrained import load_pretrained
from elm_jax.signals.one_recording import UnusableSignal, windows_of

ELECTRODES = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 T5 T6 C3 C4 P3 P4 O1 O2 Cz".split()


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Features of three people's nights: what changes slowly, and noise; one file has a gap."""
    folder = tmp_path_factory.mktemp("nights")
    for i in range(3):
        rng = np.random.default_rng(i)
        y = np.repeat(rng.integers(0, 3, 12), 10)
        x = np.stack([y + rng.normal(0, 0.3, len(y)), 1e4 * (1 + rng.normal(size=len(y)))], 1)
        x[60:64] = np.nan if i == 0 else x[60:64]
        np.savez(folder / f"P{i}N1.npz", X=x, y=y)
    out = folder / "shards"
    words = ["feature_arrays", "--input", folder, "--out", out, "--workers", 0, "--min_shards", 1]
    words += ["--split", "train=0.34,valid=0.33,test=0.33", "--class_names", "W,N1,N2"]
    assert prepare([str(word) for word in words]) == 0
    return out


def recipe(directory, normalisation="recording", **sampler):
    config = relpos_sleep.get_config("smoke")
    with config.unlocked(), config.ignore_type():
        config.encoder = ConfigDict(dict(name="mlp", hidden=(4,), outputs=3))
        config.evals = ConfigDict(dict(rows_per_batch=32, trained_on_people="refuse"))
    config.data.dir, config.data.normalisation = str(directory), normalisation
    return config


@pytest.fixture(scope="module")
def trained(nights, tmp_path_factory):
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    train.train(recipe(nights), folder)
    return folder


def test_a_trained_model_knows_how_its_signals_were_normalised(trained, nights, tmp_path):
    model = load_pretrained(trained)
    assert model.spec.moments == "recording" and (model.spec.mean, model.spec.std) == (0.0, 1.0)
    assert Manifest.load(nights).spec.moments == "fixed"  # shards keep what they hold
    assert json.loads((trained / "summary.json").read_text())["signal"]["moments"] == "recording"
    told = load_pretrained(trained, mean=1.0).spec  # what a user says is a fixed mean
    assert (told.moments, told.mean, told.std) == ("fixed", 1.0, 1.0)


def test_going_on_with_another_normalisation_is_refused(trained, nights):
    with pytest.raises((SpecError, ValueError), match="recording"):
        train.train(recipe(nights, "corpus"), trained)


def test_a_run_by_recording_that_is_stopped_goes_on_bit_for_bit_and_evaluates_as_it_ended(
    nights, tmp_path, monkeypatch
):
    config = recipe(nights).unlock()
    config.sampler.pairs_per_recording = 12  # two steps an epoch
    config.optimizer.schedule.total_steps = 5
    config.checkpoint.every_epochs = 0.5
    config.evals.pretext = dict(name="pretext", split="test")
    advance, steps = train.Progress.advance, []

    def stop_in_an_epoch(self):
        advance(self)
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    whole, stopped = (epath.Path(tmp_path / name) for name in ("whole", "stopped"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.Progress, "advance", stop_in_an_epoch)
        train.train(config, stopped)
    summary, again = train.train(config, whole), train.train(config, stopped)
    assert len(steps) == 4 and again["pretext"] == summary["pretext"]
    ours, theirs = (read_metrics(workdir) for workdir in (stopped, whole))
    assert [row["step"] for row in ours] == [1, 2, 3, 4, 5]
    same = ("loss", "accuracy", "train/loss", "train/accuracy", "valid/loss", "valid/accuracy")
    for name in same:
        values = [row.get(name) for row in theirs]
        assert [row.get(name) for row in ours] == values and any(values)
    found, expected = (Checkpoints(w, read_only=True).read_model() for w in (stopped, whole))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    config.mode = "evaluate"
    assert evaluate(config, stopped)["pretext"] == summary["pretext"]


def test_a_finished_model_meets_data_as_it_was_trained_unless_told_otherwise(trained, nights):
    config = ConfigDict(dict(data=dict(dir=str(nights)), model=str(trained), mesh=dict(data=-1)))
    config.mesh.update(fsdp=1, model=1)
    for how, moments in (("model", "recording"), ("window", "window"), ("corpus", "fixed")):
        config.data.normalisation = how
        model, corpus = finished.open_finished(config, epath.Path(trained))
        assert model.spec.moments == corpus.spec.moments == moments
        assert (corpus.reader("test").moments_of(np.array([0])) is None) == (how != "model")
    with pytest.raises(ValueError, match="'recordings'; known.*'recording', 'window'"):
        normalisation_of(ConfigDict(dict(data=dict(normalisation="recordings"))), default="model")


@pytest.fixture(scope="module")
def raw():
    """Two minutes in volts whose electrodes lie and spread differently; one is stuck for 6 s."""
    import mne

    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (len(ELECTRODES), 120 * 100)).cumsum(axis=1)
    x -= np.linspace(0, 1, x.shape[1]) * x[:, -1:]
    x *= np.linspace(1, 4, len(x))[:, None]
    x[2, 3000:3600] = x[2, 3000]
    info = mne.create_info(ELECTRODES, 100.0, "eeg")
    return mne.io.RawArray(x * 1e-6, info, verbose="error")


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    """The same as an EDF file, prepared whole."""
    folder = tmp_path_factory.mktemp("prepared")
    raw.copy().export(folder / "a.edf", physical_range=(-800, 800), verbose="error")
    words = ["edf_folder", "--input", folder, "--out", folder / "shards", "--workers", 0]
    words += ["--drop_start_s", 0, "--cut_multiple_s", 0, "--min_duration_s", 0]
    assert prepare([str(w) for w in [*words, "--min_shards", 1, "--split", "train=1"]]) == 0
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    encoder = dict(name="mlp", hidden=(4,), outputs=3)
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_pretrained(folder, text=False, encoder=encoder, moments="recording")


@pytest.mark.parametrize("moments", ["recording", "window"])
def test_a_file_gives_the_windows_and_vectors_of_its_shards(model, prepared, tmp_path, moments):
    spec = model.spec.normalised_by(moments)
    corpus = Corpus.fitting(prepared / "shards", tiny_spec(), hint="").with_normalisation(spec)
    found = windows_of(prepared / "a.edf", spec)
    windows, reader = corpus.windows("train"), corpus.reader("train")
    assert len(windows) == len(found.signal) > 20 and len(reader) > 1  # a gap in between
    rows = np.arange(len(windows))
    batch = {"signal": windows.read(reader, rows), **windows.moments(reader, rows)}
    stored = np.asarray(to_network(corpus.spec, 32)(batch)["signal"])
    scale = 1 if moments == "recording" else 8  # some windows hardly move: steps are larger there
    np.testing.assert_allclose(found.signal, stored, atol=scale * 0.01)
    if moments == "window":
        return
    spread = found.signal.swapaxes(0, 1).reshape(20, -1)  # all of it, across the gap
    np.testing.assert_allclose(spread.std(1), 1, atol=0.05)
    to = dict(rows_per_batch=8, by="threads")
    path = embed.embed_corpus(model, corpus, (), tmp_path / "e.h5", **to)
    vectors = model.embed(prepared / "a.edf").projection
    with EmbeddingFile(path) as file:
        assert file.spec.moments == moments
        np.testing.assert_allclose(file.projection, vectors, atol=2e-3)


def test_a_saved_model_comes_back_with_it_and_its_own_preprocessing_does_it(raw, model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    spec = preprocess.load_spec(tmp_path / "saved")
    again = load_pretrained(tmp_path / "saved")
    assert spec["moments"] == again.spec.moments == "recording"
    assert "of each recording" in (tmp_path / "saved" / "README.md").read_text()
    x, both = raw.get_data(), (slice(0, 3000), slice(3600, None))
    parts = [preprocess.conditioned(x[:, s], ELECTRODES, 100.0, spec, unit="V") for s in both]
    moments = preprocess.recording_moments(parts)
    got = [
        preprocess.network_windows(x[:, s], ELECTRODES, 100.0, spec, unit="V", moments=moments)[0]
        for s in both
    ]
    expected = windows_of(raw, again.spec).signal
    np.testing.assert_allclose(np.concatenate(got), expected, atol=2e-3)
    spec["moments"] = "window"
    got, _ = preprocess.network_windows(x[:, both[0]], ELECTRODES, 100.0, spec, unit="V")
    expected = windows_of(raw, again.spec.normalised_by("window")).signal[: len(got)]
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_a_flat_derivation_is_no_recording_for_such_a_model(raw):
    twins = raw.copy()
    twins._data[ELECTRODES.index("F3")] = twins._data[ELECTRODES.index("Fp1")]
    spec = tiny_spec().normalised_by("recording")
    with pytest.raises(UnusableSignal, match="Fp1-F3 do not vary in all of the recording"):
        windows_of(twins, spec)
    flat = windows_of(twins, spec.normalised_by("window")).signal
    assert np.isfinite(flat).all() and not flat[:, spec.channels.index("Fp1-F3")].any()


def test_channels_that_are_left_out_take_their_moments_along_and_directories_in_turn_have_theirs(
    tmp_path,
):
    write_tiny_shards(tmp_path / "s", people=2, test_people=1, reports=False)
    corpus = Corpus.fitting(tmp_path / "s", tiny_spec(), hint="").normalised_by("recording")
    part = Part(corpus.reader("train"), corpus.windows("train"))
    recording, crop = np.array([1, 0, 0]), np.array([0, 2, -1])
    batch = part.batch(MixturePlan(0, recording, crop, None))
    stored = [row.moments.std for row in corpus.reader("train").recordings]
    np.testing.assert_allclose(batch["signal_std"][:2], [stored[1], stored[0]], rtol=1e-6)
    assert (batch["signal_std"][2] == 1).all()
    fewer = _only(batch, np.array([4, 7]), DICTIONARY[:20])
    np.testing.assert_array_equal(fewer["signal_mean"], batch["signal_mean"][:, [4, 7]])
    assert fewer["signal_valid"].shape == (3,) and fewer["signal"].shape == (3, 2, 500)
