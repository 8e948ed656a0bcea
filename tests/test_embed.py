"""config.mode=embed: every window's vector in one file, in bounded memory, whatever interrupts."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from etils import epath
from tiny_pretrained import TEXT, tiny_pretrained
from tiny_shards import tiny_spec, write_tiny_shards

from configs import elm_embed
from elm_jax import embed
from elm_jax.data.corpus import Corpus
from elm_jax.data.embedding_file import EmbeddingFile, EmbeddingFileError, partial_path
from elm_jax.data.manifest import ManifestError
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.spec import SpecError
from elm_jax.data.tokens import TextTooLong
from elm_jax.evals.zero_shot.prompt_files import load_questions
from elm_jax.pretrained import load_pretrained

QUESTIONS = {"abnormal": {"positive": ["Slowing.", "Abnormal EEG."], "negative": ["Normal EEG."]}}
TESTS = pathlib.Path(__file__).resolve().parent
ROWS = 8  # of one batch: every test runs the same compiled shape


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(
        tmp_path_factory.mktemp("embed") / "shards", people=3, test_people=2, seconds=20.0
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_pretrained(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    return tiny_pretrained(tmp_path_factory.mktemp("silent"), text=False)


def corpus_of(shards, text=TEXT):
    return Corpus.fitting(shards, tiny_spec(), hint="", text=text)


def write(model, shards, path, splits=(), text=TEXT, **settings):
    settings = dict(rows_per_batch=ROWS) | settings
    corpus = corpus_of(shards, text).with_normalisation(model.spec)
    return embed.embed_corpus(model, corpus, splits, path, **settings)


def by_hand(model, shards, split):
    """Vectors by ``encode``, from the stored integers through the spec's formula."""
    reader = ShardReader(shards, split)
    windows = Windows.of(reader.recordings, 500)
    stored = windows.read(reader, np.arange(len(windows)))
    spec = model.spec
    values = (stored / reader.manifest.steps_per_unit * spec.scale - spec.mean) / spec.std
    return model.encode(values.astype(np.float32)), windows


def test_vectors_are_those_of_encode_and_columns_say_whose(model, shards, tmp_path):
    path = write(model, shards, tmp_path / "e.h5", features="both", text_strings=True)
    with EmbeddingFile(path) as file:
        train, windows = by_hand(model, shards, "train")
        test, test_windows = by_hand(model, shards, "test")
        expected = np.concatenate([train.projection, test.projection])
        np.testing.assert_allclose(file.projection, expected, atol=1e-5)
        expected = np.concatenate([train.features, test.features])
        np.testing.assert_allclose(file.features, expected, atol=1e-5)
        both = np.concatenate([windows.recording, test_windows.recording + 3])
        np.testing.assert_array_equal(file.subject_ids, both)
        assert [r.recording for r in file.recordings] == [f"rec{i:02d}" for i in range(5)]
        assert [r.split for r in file.recordings] == ["train"] * 3 + ["test"] * 2
        # Two pieces of 20 and 10 s, stored one after the other: windows begin anew in each.
        starts = file.start_s[file.recordings[0].rows]
        assert len(starts) == 6 and set(np.diff(starts[:4])) == {5.0}
        np.testing.assert_array_equal(file.label("abnormal"), both % 2)


def test_the_published_layout_is_kept(model, shards, tmp_path):
    path = write(model, shards, tmp_path / "e.h5")
    with h5py.File(path) as file:
        n = len(file["subject_ids"])
        assert file["features"].shape == (n, 6) and file["features"].dtype == np.float32
        assert file["features"].chunks is None and file["features"].compression is None
        for name in ("unique_subject_ids", "long_subject_id", "abnormal"):  # one a window
            assert file[name].shape == (n,)
        assert file["long_subject_id"][0] == b"test:p00"
        assert len(file["text_embedding"]) == len(file["text_subject_ids"]) == 10
        assert file.attrs["complete"] and json.loads(file.attrs["about"])["simulated"]


def test_attributes_say_what_the_vectors_are(shards, tmp_path):
    model = tiny_pretrained(tmp_path, text=False, mean=0.25, std=2.0)
    model.assumed = ("mean", "std")
    corpus = corpus_of(shards, None)
    as_model = corpus.with_normalisation(model.spec)
    embed.embed_corpus(model, as_model, ("test",), tmp_path / "m.h5", rows_per_batch=ROWS)
    own = dict(rows_per_batch=ROWS, normalisation="corpus")
    embed.embed_corpus(model, corpus, ("test",), tmp_path / "c.h5", **own)
    with EmbeddingFile(tmp_path / "m.h5") as file, EmbeddingFile(tmp_path / "c.h5") as other:
        about = file.attributes
        assert about["features"] == "projection" and about["dtype"] == "float32"
        assert about["weights_sha256"] == model.weights_sha256 and about["source"] == "tiny"
        assert about["splits"] == ["test"] and about["corpus"] == "tiny"
        expected = {"mean": 0.25, "std": 2.0, "from": "model", "assumed": ["mean", "std"]}
        assert about["normalisation"] == expected and file.spec.mean == 0.25
        own = {"mean": corpus.spec.mean, "std": corpus.spec.std, "from": "corpus", "assumed": []}
        assert other.attributes["normalisation"] == own and corpus.spec.std != 1
        vectors, _ = by_hand(model, shards, "test")
        np.testing.assert_allclose(file.projection, vectors.projection, atol=1e-5)
        assert np.abs(file.projection - other.projection).max() > 1e-3


def test_texts_and_prompts_are_the_model_s_own(model, shards, tmp_path):
    questions = load_questions(QUESTIONS)
    path = write(
        model, shards, tmp_path / "e.h5", ("test",), text_strings=True, questions=questions
    )
    with EmbeddingFile(path) as file:
        assert file.text_subject_ids.tolist() == [0, 0, 1, 1]
        assert "Normal EEG." in file.texts[3] or "Abnormal EEG." in file.texts[3]
        np.testing.assert_allclose(file.text_embedding, model.encode_text(file.texts), atol=1e-5)
        sides = file.prompts["abnormal"]
        assert list(file.prompts) == ["abnormal"] and set(sides) == {"positive", "negative"}
        expected = model.encode_text(QUESTIONS["abnormal"]["positive"])
        np.testing.assert_allclose(sides["positive"], expected, atol=1e-5)
    with EmbeddingFile(write(model, shards, tmp_path / "no.h5", texts=False)) as file:
        with pytest.raises(EmbeddingFileError, match="config.embed.texts=False"):
            _ = file.text_embedding


def test_a_model_without_text_side_gives_signals_alone_and_says_so(silent, shards, tmp_path):
    path = write(silent, shards, tmp_path / "e.h5", questions=load_questions(QUESTIONS), text=None)
    with EmbeddingFile(path) as file:
        with pytest.raises(EmbeddingFileError, match="the model has no text tower"):
            _ = file.text_embedding
        with pytest.raises(EmbeddingFileError, match="the model has no text tower"):
            _ = file.prompts


@pytest.mark.parametrize("rows", [5, 64])
def test_the_size_of_a_batch_changes_nothing(silent, shards, tmp_path, rows):
    one = write(silent, shards, tmp_path / "one.h5", text=None)
    other = write(silent, shards, tmp_path / "other.h5", text=None, rows_per_batch=rows)
    with EmbeddingFile(one) as a, EmbeddingFile(other) as b:
        np.testing.assert_allclose(a.projection, b.projection, atol=1e-5)
        np.testing.assert_array_equal(a.start_s, b.start_s)


class Killed(Exception):
    pass


def killed_after(model, batches, monkeypatch):
    """A model whose predictor ends the run after so many batches of windows."""
    made = model.predictor
    seen = []

    def predictor(*args):
        predict = made(*args)

        def run(batch):
            if "signal" in batch:
                seen.append(int(batch["signal_valid"].sum()))
                if len(seen) > batches:
                    raise Killed
            return predict(batch)

        return run

    monkeypatch.setattr(model, "predictor", predictor)
    return seen


@pytest.mark.parametrize("batches", [0, 2])
def test_an_interrupted_run_goes_on_and_gives_the_same(
    model, shards, tmp_path, monkeypatch, batches
):
    whole = write(model, shards, tmp_path / "whole.h5")
    with monkeypatch.context() as patch:
        first = killed_after(model, batches, patch)
        with pytest.raises(Killed):
            write(model, shards, tmp_path / "e.h5")
    assert not (tmp_path / "e.h5").exists() and partial_path(tmp_path / "e.h5").exists()
    with monkeypatch.context() as patch:
        seen = killed_after(model, 99, patch)
        path = write(model, shards, tmp_path / "e.h5")
        write(model, shards, path)  # finished: nothing is computed again
    assert sum(seen) + sum(first[:batches]) == len(EmbeddingFile(whole))
    with EmbeddingFile(path) as file, EmbeddingFile(whole) as other:
        np.testing.assert_allclose(file.projection, other.projection, atol=1e-5)
        np.testing.assert_array_equal(file.text_embedding, other.text_embedding)


def test_other_weights_or_settings_never_mix_with_what_is_there(model, shards, tmp_path):
    path = write(model, shards, tmp_path / "e.h5", ("test",))
    other = tiny_pretrained(tmp_path, seed=1)
    for change in (dict(model=other), dict(features="encoder"), dict(dtype="float16")):
        settings = dict(model=model, splits=("test",)) | change
        with pytest.raises(EmbeddingFileError, match="holds other vectors"):
            write(shards=shards, path=path, **settings)
    write(other, shards, path, ("test",), replace=True)
    assert EmbeddingFile(path).attributes["weights_sha256"] == other.weights_sha256


def test_half_precision_is_close_and_too_large_is_an_error(silent, shards, tmp_path, monkeypatch):
    full = write(silent, shards, tmp_path / "full.h5", ("test",), text=None)
    half = write(silent, shards, tmp_path / "half.h5", ("test",), text=None, dtype="float16")
    with EmbeddingFile(full) as a, EmbeddingFile(half) as b:
        assert b.projection.dtype == np.float16
        np.testing.assert_allclose(a.projection, b.projection, rtol=1e-3, atol=1e-3)
    made = silent.predictor
    monkeypatch.setattr(
        silent,
        "predictor",
        lambda *args: lambda batch: {k: v * 1e9 for k, v in made(*args)(batch).items()},
    )
    with pytest.raises(ValueError, match="more than float16 can .*dtype=float32"):
        write(silent, shards, tmp_path / "over.h5", ("test",), text=None, dtype="float16")
    assert not (tmp_path / "over.h5").exists()


def test_what_does_not_fit_is_said_before_anything_is_computed(model, silent, shards, tmp_path):
    with pytest.raises(ValueError, match=r"config.embed.features is 'tokens'; known: \('proj"):
        write(model, shards, tmp_path / "e.h5", features="tokens")
    with pytest.raises(ManifestError, match="config.embed.splits is 'test'; known: a list"):
        write(model, shards, tmp_path / "e.h5", "test")
    with pytest.raises(ManifestError, match="split 'valid' holds no recordings"):
        write(model, shards, tmp_path / "e.h5", ("valid",))
    endless = {"q": {"positive": ["slow " * 200], "negative": ["Normal EEG."]}}
    with pytest.raises(TextTooLong, match="tokens"):
        write(model, shards, tmp_path / "e.h5", questions=load_questions(endless))
    long = tiny_pretrained(tmp_path, text=False, window_s=60.0)
    with pytest.raises(SpecError, match="window_s: expected 60.0, found 5.0"):
        embed.embed_corpus(long, corpus_of(shards, None), (), tmp_path / "e.h5")
    assert not list(tmp_path.glob("e.h5*"))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    model.save_pretrained(folder)
    return folder


def test_killed_on_two_devices_and_gone_on_with_on_one(saved, model, shards, tmp_path, monkeypatch):
    path = tmp_path / "e.h5"
    env = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    command = [sys.executable, str(TESTS / "embed_on_devices.py"), saved, shards, path]
    process = subprocess.Popen(
        [str(c) for c in command], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # Two devices share out six rows where five were asked for.
    assert process.stdout.readline().split() == ["2", "6"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(EmbeddingFileError, match="not finished"):
        EmbeddingFile(path)
    with EmbeddingFile(write(model, shards, tmp_path / "whole.h5")) as whole:
        loaded = load_pretrained(saved)
        text = loaded.recipe["text"]
        seen = killed_after(loaded, 99, monkeypatch)
        with EmbeddingFile(write(loaded, shards, path, text=text)) as file:
            np.testing.assert_allclose(file.projection, whole.projection, atol=1e-5)
            np.testing.assert_allclose(file.text_embedding, whole.text_embedding, atol=1e-5)
            assert sum(seen) == len(file) - 6


def test_the_recipe_writes_a_file_a_map_and_a_summary(saved, shards, tmp_path):
    config = elm_embed.get_config("smoke")
    config.model, config.data.dir = str(saved), str(shards)
    config.embed.features = "both"
    workdir = epath.Path(tmp_path / "run")
    content = embed.embed(config, workdir)
    assert content["embeddings"]["windows"] == 24
    assert (workdir / "figures" / "embedding_pca.png").exists()
    with EmbeddingFile(workdir) as file:
        assert file.features.shape == (24, 4) and file.projection.shape == (24, 6)
        assert len(file.prompts["abnormal"]["negative"]) >= 20  # the templates that are shipped
        assert content["about"]["weights_sha256"] == file.attributes["weights_sha256"]
    config.data.normalisation = "corpus"
    with pytest.raises(EmbeddingFileError, match="normalisation.from: it has 'model', asked"):
        embed.embed(config, workdir)
