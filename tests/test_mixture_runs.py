"""Training on directories of two montages, and what becomes of it on any other montage."""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import jax
import mne
import numpy as np
import pytest
from etils import epath
from mixture_on_processes import run
from ml_collections import ConfigDict
from tiny_montages import NINE, SFREQ_HZ, SIX, recipe, write_montage

from configs import elm_embed
from elm_jax import build, cost, demo, embed, evaluate, start, train
from elm_jax.channels import UnknownChannels
from elm_jax.checkpoint import Checkpoints
from elm_jax.data.corpus import Corpus
from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.pipeline import Windows
from elm_jax.data.spec import SpecError
from elm_jax.finished import open_finished
from elm_jax.metrics import read_metrics
from elm_jax.preemption import Preempted
from elm_jax.pretrained import load_pretrained
from elm_jax.query import source
from elm_jax.signals.one_recording import UnusableSignal

HERE = pathlib.Path(__file__).resolve().parent
VALID = dict(split="valid", every_epochs=1.0, monitor="loss", mode="min", patience_epochs=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six electrodes of four people, 30 windows; nine of one person: fewer than fill a batch."""
    folder = tmp_path_factory.mktemp("mixture")
    write_montage(folder / "six", SIX, people=(4, 1, 1))
    write_montage(folder / "nine", NINE, people=(1, 2, 0), seconds=5.0, seed=1)
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Ten steps, twice as many as an epoch has; validated on both directories' people."""
    workdir = epath.Path(tmp_path_factory.mktemp("run")) / "whole"
    summary = run(folder, workdir, validation=ConfigDict(VALID))
    return workdir, summary


def tree_of(workdir):
    return Checkpoints(workdir, read_only=True).read_model()


# -- training -------------------------------------------------------------------------------------


def test_a_run_on_two_montages_learns_from_and_tells_of_both(whole, folder):
    workdir, summary = whole
    rows = read_metrics(workdir)
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert rows[-1]["epoch"] == 2 and all(np.isfinite(row["loss"]) for row in rows)
    assert summary["simulated"] and summary["data_dir"] == str(folder / "six")
    (other,) = summary["trained_with"]
    assert other["data_dir"] == str(folder / "nine") and other["channels"] == list(NINE)
    about = Checkpoints(workdir, read_only=True).describe()
    assert about.trained_on.counts == {"of6": 4, "of9": 1}
    assert about.selected_on.counts == {"of6": 1, "of9": 2}
    assert about.spec.channels == SIX and (about.spec.mean, about.spec.std) == (0.0, 1.0)
    # Validation is over all windows of both, wherever they lie.
    assert np.isfinite(rows[4]["valid/loss"]) and "valid/loss" not in rows[3]
    assert "config.data.more" in (workdir / "report.html").read_text()
    # The vector of an electrode that only the second directory has was learnt, too.
    names = tree_of(workdir)["params"]["encoder"]["names"]
    fresh = build.build_objective(recipe([folder / "six"], **plain()), about.spec, None)
    signal = np.zeros((1, 6, 64), np.float32)
    first, _ = jax.jit(fresh.init)(jax.random.key(0), {"signal": signal})
    moved = np.abs(names - np.asarray(first["encoder"]["names"])).max(axis=1) > 0
    assert moved.sum() == 15


def plain():
    return {"encoder": dict(name="plain_by_name"), "objective": dict(name="loudness")}


def test_a_run_that_is_stopped_within_an_epoch_goes_on_bit_for_bit(whole, folder, tmp_path):
    expected, _ = whole
    validation = dict(validation=ConfigDict(VALID))
    for stop in (3, 7):  # in the first epoch, then in the second

        def tell(self, stop=stop, done=[]):  # noqa: B006
            done.append(1)
            if self._start + len(done) == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted):
            patch.setattr(train.Progress, "advance", tell)
            run(folder, tmp_path, **validation)
    run(folder, tmp_path, **validation)
    ours, theirs = tree_of(tmp_path), tree_of(expected)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    for found, wanted in zip(read_metrics(tmp_path), read_metrics(expected), strict=True):
        same = {"step", "loss", "valid/loss", "l2_grads"} & wanted.keys()
        assert {k: found[k] for k in same} == {k: wanted[k] for k in same}


def test_two_processes_train_alike_as_one(whole, folder, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    command = [sys.executable, str(HERE / "mixture_on_processes.py"), str(port)]
    children = [
        subprocess.Popen(
            [*command, str(i), str(folder), str(tmp_path)],
            env=os.environ | {"PYTHONPATH": paths},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        said = [child.communicate(timeout=600)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], "\n".join(said)
    ours, theirs = read_metrics(tmp_path), read_metrics(whole[0])
    np.testing.assert_allclose([r["loss"] for r in ours], [r["loss"] for r in theirs], rtol=1e-5)


def test_microbatches_of_each_montage_give_what_whole_batches_give(whole, folder, tmp_path):
    run(folder, tmp_path, microbatches=2)
    ours, theirs = read_metrics(tmp_path), read_metrics(whole[0])
    np.testing.assert_allclose([r["loss"] for r in ours], [r["loss"] for r in theirs], rtol=1e-5)


def test_the_demo_of_several_montages_makes_a_corpus_of_each(folder, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(demo, "run_command", lambda words, _: commands.append(" ".join(words)))
    config = recipe([folder / "six"]).unlock()
    config.data.dir, config.data.demo_people, config.data.demo_split = "", 4, ""
    config.data.demo_signal, config.data.demo_channels = "eegpt", ("dictionary", "Fp1,Cz,O1,O2")
    demo.use_demo_corpus(config, epath.Path(tmp_path) / "run", already_small=True)
    assert config.data.dir.endswith("4p_eegpt") and config.data.more[0].endswith("4p_eegpt_4ch")
    assert [c.rpartition("--channels ")[2] for c in commands] == ["dictionary", "Fp1,Cz,O1,O2"]
    assert all("demo --out" in c and "--signal eegpt" in c for c in commands)


def test_a_step_is_compiled_for_each_shape_and_its_cost_is_the_mean_over_batches(folder):
    config = recipe([folder / "six", folder / "nine"], **plain())
    corpus = Corpus.open(config, open_fields=build.open_fields(config)).without_normalisation()
    _, batches = build.build_batches(config, corpus, None)
    kinds = batches.kinds()
    assert [(k.example["signal"].shape[1], k.share) for k in kinds] == [(6, 0.8), (9, 0.2)]
    mesh = train.make_mesh({"data": -1})

    @jax.jit
    def step(state, batch):
        signal = batch["signal"].astype(np.float32)
        return state, {"loss": (signal.reshape(8, -1, 8) @ np.ones((8, 8), np.float32)).sum()}

    for kind in kinds:  # one channel's cost times the number of channels
        cost.compile_steps(step, 0.0, [kind], mesh, dtype="float32")
    alone = [
        cost.compile_steps(step, 0.0, [kind], mesh, dtype="float32")[1].flops for kind in kinds
    ]
    both, found = cost.compile_steps(step, 0.0, kinds, mesh, dtype="float32")
    assert found.flops == pytest.approx(0.8 * alone[0] + 0.2 * alone[1])
    for kind in kinds:
        batch = jax.device_put(kind.example)
        assert both(0.0, batch)[1]["loss"] == step(0.0, batch)[1]["loss"]


# -- directories that do not go together ----------------------------------------------------------


def opened(directories, **changes):
    config = recipe(directories, **plain() | changes)
    return config, Corpus.open(config, open_fields=build.open_fields(config))


@pytest.mark.parametrize(
    ("field", "value"),
    [("sfreq_hz", 64.0), ("scale", 0.001), ("window_s", 1.0), ("montage", "electrodes")],
)
def test_directories_of_different_signals_are_refused_by_name(folder, tmp_path, field, value):
    other = write_montage(tmp_path / "other", NINE, people=(1, 0, 0), **{field: value})
    with pytest.raises(SpecError) as caught:
        opened([folder / "six", other])
    for words in (str(folder / "six"), str(other), f"{field}: expected", f"found {value}"):
        assert words in str(caught.value)


def test_directories_that_store_another_unit_or_other_integers_are_refused(folder, tmp_path):
    other = write_montage(tmp_path / "other", NINE, people=(1, 0, 0))
    manifest = json.loads((other / "manifest.json").read_text())
    for key, value in (("unit", "mV"), ("steps_per_unit", 64)):
        changed = json.loads(json.dumps(manifest))
        changed["spec" if key == "unit" else "storage"][key] = value
        (other / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(SpecError, match=f"expected (uV|32), found {value}") as caught:
            opened([folder / "six", other])
        assert str(other) in str(caught.value) and str(folder / "six") in str(caught.value)


def test_whom_one_directory_validates_on_and_another_trains_on_is_said(folder, tmp_path, caplog):
    opened([folder / "six", folder / "nine"])
    assert "validation people" not in caplog.text
    other = write_montage(tmp_path / "other", NINE, people=(6, 0, 0), name="of6")
    opened([folder / "six", other])
    assert f"1 of 1 validation people of {folder / 'six'} are trained on in {other}" in caplog.text
    assert "(of6:p04)" in caplog.text


def test_a_directory_named_twice_or_read_by_no_sampler_is_refused(folder):
    with pytest.raises(ValueError, match=r"name .*six twice"):
        opened([folder / "six", folder / "nine", folder / "." / "six"])
    config, corpus = opened([folder / "six", folder / "nine"])
    config = config.unlock()
    config.sampler = ConfigDict(dict(name="windows", windows_per_batch=8))
    with pytest.raises(ValueError, match="1 more directories, which sampler 'windows' does not"):
        build.build_batches(config, corpus, None)
    config = recipe([folder / "six", folder / "nine"], **{"data.normalisation": "corpus"})
    with pytest.raises(ValueError, match="'corpus' would scale each of the directories"):
        start.normalised(config, corpus, start.Start())


def test_channels_that_the_dictionary_lacks_are_refused_with_their_directory(folder, tmp_path):
    other = write_montage(tmp_path / "other", (*NINE, "Iz", "A1"), people=(1, 0, 0))
    config, corpus = opened([folder / "six", other])
    with pytest.raises(UnknownChannels, match=r"other: 2 of 11 channels(.|\n)*'Iz'"):
        build.build_batches(config, corpus, None)


def test_channels_of_the_signal_are_the_directory_s_unless_they_are_named(folder):
    _, corpus = opened([folder / "nine"])
    assert corpus.spec.channels == NINE
    with pytest.raises(SpecError, match="channels: expected .*Fp1.*found .*F3"):
        opened([folder / "nine"], **{"signal.channels": SIX})


# -- a finished model on other montages -----------------------------------------------------------


def features(model, corpus, tmp_path):
    path = tmp_path / f"{corpus.directory.name}.h5"
    embed.embed_corpus(model, corpus, ("train",), path, features="encoder", rows_per_batch=8)
    with EmbeddingFile(path) as file:
        return file.features[:]


def finished(workdir, directory, **changes):
    config = elm_embed.get_config().unlock()
    config.model, config.data.dir = str(workdir), str(directory)
    config.update_from_flattened_dict(changes)
    return open_finished(config, epath.Path(directory) / "none")


def test_a_finished_model_embeds_directories_of_other_channels_orders_and_windows(
    whole, folder, tmp_path
):
    workdir, _ = whole
    model, corpus = finished(workdir, folder / "six")
    own = features(model, corpus, tmp_path)
    order = np.random.default_rng(0).permutation(6)
    turned = write_montage(tmp_path / "turned", SIX, order=order)
    model, corpus = finished(workdir, turned)
    assert model.spec.channels == tuple(SIX[i] for i in order)
    np.testing.assert_allclose(features(model, corpus, tmp_path), own, atol=1e-5)
    longer = write_montage(tmp_path / "longer", NINE, people=(2, 0, 0), window_s=3.5)
    model, corpus = finished(workdir, longer)
    found = features(model, corpus, tmp_path)
    assert len(found) == len(Windows.of(corpus.recordings("train"), 112)) > 0
    assert model.spec == corpus.spec and model.spec.window_s == 3.5
    loaded = load_pretrained(workdir)
    assert loaded.taking(corpus.spec) is loaded.taking(corpus.spec)
    assert model.randomised(1).spec == corpus.spec


def test_what_a_finished_model_cannot_take_is_refused_with_the_reason(whole, folder, tmp_path):
    workdir, _ = whole
    ragged = write_montage(tmp_path / "ragged", SIX, people=(1, 0, 0), window_s=2.25)
    with pytest.raises(
        SpecError, match=r"does not take 6 channels in windows of 2.25 s(.|\n)*patch"
    ):
        finished(workdir, ragged)
    unknown = write_montage(tmp_path / "unknown", (*SIX, "Iz"), people=(1, 0, 0))
    with pytest.raises(SpecError, match="does not take 7 channels(.|\n)*'Iz'"):
        finished(workdir, unknown)
    faster = write_montage(tmp_path / "faster", SIX, people=(1, 0, 0), sfreq_hz=64.0)
    with pytest.raises(SpecError, match="sfreq_hz: expected 32.0, found 64.0"):
        finished(workdir, faster)


def test_another_band_than_in_training_is_told(whole, tmp_path, caplog):
    narrow = write_montage(tmp_path / "narrow", SIX, people=(1, 0, 0), lowpass_hz=12.0)
    with caplog.at_level("WARNING", logger="elm_jax"):
        finished(whole[0], narrow)
    assert "lowpass_hz: expected 15.0, found 12.0" in caplog.text


def test_evals_run_on_a_directory_of_another_montage(whole, tmp_path):
    other = write_montage(tmp_path / "other", NINE[::-1], people=(4, 2, 4), seed=3, name="new")
    config = elm_embed.get_config().unlock()
    config.mode, config.model, config.data.dir = "evaluate", str(whole[0]), str(other)
    config.evals.map = dict(name="embedding_map", split="test", label="slow")
    out = evaluate.evaluate(config, epath.Path(tmp_path) / "evaluated")
    assert out["signal"]["channels"] == list(NINE[::-1]) and "map" in out["evals"]
    assert out["people"]["warnings"] == []


def raw_of(channels, seconds=9.0, seed=0, rate_hz=SFREQ_HZ):
    rng = np.random.default_rng(seed)
    info = mne.create_info(list(channels), rate_hz, "eeg", verbose=False)
    data = rng.normal(0, 3e-5, (len(channels), round(seconds * rate_hz)))
    return mne.io.RawArray(data, info, verbose=False)


def test_a_recording_is_embedded_with_the_electrodes_that_the_model_knows(whole, caplog):
    model = load_pretrained(whole[0])
    raw = raw_of(("T7", "Iz", "cz", "FP1", "P4", "Oz"))
    with caplog.at_level("INFO", logger="elm_jax"):
        found = model.embed(raw)
    assert found.channels == ("Fp1", "T3", "Cz", "P4", "Oz")  # in the dictionary's order
    # Of six and of nine electrodes it was trained on, whatever its own spec has.
    assert "not trained on 1 of these 5 electrodes" in caplog.text and ": Oz" in caplog.text
    assert "5 electrodes read by name; left out: Iz" in caplog.text
    assert found.features.shape == (4, 4) and found.start_s.tolist() == [0.0, 2.0, 4.0, 6.0]
    again = model.embed(raw.copy().reorder_channels(["Oz", "P4", "FP1", "cz", "T7", "Iz"]))
    np.testing.assert_allclose(again.features, found.features, atol=1e-6)
    assert not np.allclose(model.embed(raw.drop_channels(["Oz"])).features, found.features)


def test_a_query_shows_the_electrodes_of_the_file_that_were_embedded(whole, tmp_path):
    path = tmp_path / "any.edf"
    raw = raw_of(("Iz", "Fp2", "C4", "F4", "P4"), seconds=10.0)
    mne.export.export_raw(path, raw, verbose=False)
    model = load_pretrained(whole[0])
    encoded = model.embed(path)
    model.embed = lambda *_, **__: encoded._replace(projection=encoded.features)
    found = source.of_file(model, str(path))
    assert found.spec.channels == ("Fp2", "F4", "C4", "P4")
    signal_uv, start_s = found.signal_uv(0, 0.0)
    assert signal_uv.shape[0] == 4 and start_s == 0
    np.testing.assert_allclose(signal_uv.mean(axis=0), 0, atol=1e-2)  # against their mean


def test_flat_electrodes_are_left_out_and_too_few_are_refused(whole, caplog):
    model = load_pretrained(whole[0])
    raw = raw_of(("C3", "Cz", "C4", "P3", "Pz"))
    raw._data[1] = 0.0
    with caplog.at_level("INFO", logger="elm_jax"):
        assert model.embed(raw).channels == ("C3", "C4", "P3", "Pz")
    assert "left out: Cz (flat)" in caplog.text
    with pytest.raises(UnusableSignal, match=r"3 electrodes are known by name(.|\n)*at least 4"):
        model.embed(raw_of(("C3", "Cz", "C4", "Iz")))


def test_a_mean_of_each_channel_goes_by_their_names(whole):
    model = load_pretrained(whole[0])
    spec = model.spec.replace(mean=tuple(range(6)), std=(2.0,) * 6)
    own = dataclasses.replace(model, spec=spec)
    assert spec.of_channels(("O2", "C3"), source="x").mean == (5, 2)
    with pytest.raises(SpecError, match=r"and none for \['Cz'\]"):
        own.embed(raw_of(("C3", "Cz", "C4", "O1", "O2")))


def test_a_run_starts_from_a_model_of_another_montage(whole, folder, tmp_path):
    workdir, _ = whole
    begun = {"init_from": str(workdir), "optimizer.rate": 0.0}
    run_of = recipe([folder / "nine"], **plain() | begun)
    train.train(run_of, epath.Path(tmp_path))
    found, expected = tree_of(tmp_path)["params"], tree_of(workdir)["params"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    about = Checkpoints(tmp_path, read_only=True).describe()
    assert about.spec.channels == NINE and about.trained_on.counts == {"of6": 4, "of9": 1}
