"""The same small files read by moabb and braindecode: equal samples, names, units and trials."""

import argparse
import importlib.util
import pathlib

import numpy as np
import pytest
import scipy.io
from layouts import edf_bytes
from published_arrays import bbci_file, eeg

from data_prep.corpora import corpus_class, tsu_ssvep
from data_prep.corpora.hgd import read_bbci_cues
from elm_jax.signals.names import parse_label
from elm_jax.signals.profiles import EEGPT58
from elm_jax.signals.recording import read_edf

ARGS = {"institution": None, "split_by": "person", "cut": "recordings", "event_labels": None}


def read(name, folder):
    corpus = corpus_class(name)()
    (source,) = corpus.sources(argparse.Namespace(input=folder, **ARGS))
    return corpus.read(source)


def canonical(names):
    return [parse_label(name).name for name in names]


def test_the_ssvep_benchmark_is_read_as_moabb_reads_it(tmp_path, monkeypatch):
    wang = pytest.importorskip("moabb.datasets.ssvep_wang")
    monkeypatch.setattr(tsu_ssvep, "SHAPE", (64, 1500, 2, 6))  # its blocks cannot be fewer
    data = eeg(np.random.default_rng(0), 64 * 12, 1500).reshape(2, 6, 64, 1500)
    scipy.io.savemat(tmp_path / "S1.mat", {"data": data.transpose(2, 3, 0, 1)})
    theirs = wang.Wang2016()
    monkeypatch.setattr(theirs, "data_path", lambda subject: str(tmp_path / "S1.mat.zip"))
    monkeypatch.setattr(theirs, "event_id", {"8": 1, "8.2": 2})
    raw = theirs._get_single_subject_data(1)["0"]["0"]
    ours = read("tsu_ssvep", tmp_path)
    known = [n for n in canonical(raw.ch_names[:64]) if n not in ("CB1", "CB2")]
    assert list(ours.channels) == known
    rows = [i for i, name in enumerate(raw.ch_names[:64]) if not name.startswith("CB")]
    # Theirs: targets outermost, each trial less its mean, 50 zeros before and after; volts.
    trials = raw.get_data()[rows].reshape(62, 2, 6, 1600)[..., 50:-50] * 1e6
    found = ours.signal_uv.reshape(62, 6, 2, 1500).swapaxes(1, 2)
    np.testing.assert_allclose(found - found.mean(axis=-1, keepdims=True), trials, atol=1e-2)
    labels = [(of["target"], of["block"]) for of in ours.segment_labels]
    assert labels == [(target, block) for block in range(6) for target in range(2)]


def test_a_high_gamma_edf_is_read_as_moabb_reads_it(tmp_path, monkeypatch):
    module = pytest.importorskip("moabb.datasets.schirrmeister2017")
    names = [f"EEG {name}" for name in EEGPT58] + ["EOG EOGh", "EMG EMG_RF"]
    path = tmp_path / "train" / "1.edf"
    path.parent.mkdir()
    signal_uv = eeg(np.random.default_rng(1), 60, 2000)
    path.write_bytes(edf_bytes(signal_uv, names, 500, annotation="rest"))
    theirs = module.Schirrmeister2017()
    monkeypatch.setattr(theirs, "data_path", lambda subject: [str(path)] * 2)
    raw = theirs._get_single_subject_data(1)["0"]["0train"]
    ours = read_edf(path)
    assert list(ours.channels) == canonical(raw.ch_names) == list(EEGPT58)
    np.testing.assert_allclose(ours.signal_uv, raw.get_data() * 1e6, atol=1e-3)
    assert "rest" in raw.annotations.description


def test_a_high_gamma_mat_file_is_read_as_braindecode_reads_it(tmp_path):
    found = importlib.util.find_spec("braindecode")
    if found is None:
        pytest.skip("braindecode is not installed")
    # This file alone: the package pulls in all of its networks.
    file = pathlib.Path(found.origin).parent / "datasets" / "bbci.py"
    spec = importlib.util.spec_from_file_location("bbci", file)
    bbci = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bbci)
    names = [*EEGPT58, "FFC5h", "AFp3h", "CCP1h", "CCP2h", "CPP1h", "I1", "EOGh", "BIP1"]
    signal_uv = eeg(np.random.default_rng(2), len(names), 3000)
    cues = [(1000.0, 4), (3000.0, 1), (5002.0, 2)]
    path = tmp_path / "test" / "2.mat"
    bbci_file(path, names, signal_uv, 500, cues)
    # Its markers it writes where present versions of mne let nobody write.
    raw = bbci.BBCIDataset(str(path))._load_continuous_signal()
    ours = read("hgd", tmp_path)
    assert set(ours.channels) == {*EEGPT58, "I1"} and len(raw.ch_names) == 64
    for row, name in zip(ours.signal_uv, ours.channels, strict=True):
        at = canonical(raw.ch_names).index(name)
        np.testing.assert_allclose(row, raw.get_data()[at], rtol=1e-5)
    assert read_bbci_cues(path, "2.mat") == [
        (1.0, 4.0, "feet"), (3.0, 4.0, "right_hand"), (5.002, 4.0, "left_hand"),
    ]  # fmt: skip
