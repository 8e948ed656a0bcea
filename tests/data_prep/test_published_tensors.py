"""EEGPT's pretraining windows as they are published: tensors of unknown people."""

import sys

import numpy as np
import pytest
from layouts import prepare, records
from published_arrays import eeg, listed

from data_prep.corpora.base import CorpusError
from elm_jax.data.manifest import Manifest
from elm_jax.data.people import People
from elm_jax.signals.pipeline import EVAL_OPTIONS
from elm_jax.signals.profiles import EEGPT58, EEGPT_SPEC

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    torch = pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("pretrain") / "merged"
    for folder, name, samples in (
        ("TrainFolder/0", "PhysioNetMI_7", 1536), ("TrainFolder/0", "PhysioNetMI_12", 1536),
        ("TrainFolder/0", "PhysioNetMI_120", 1536), ("TrainFolder/3", "tsu_benchmark_1", 1024),
        ("ValidFolder/0", "seed_3", 2560),
    ):  # fmt: skip
        (root / folder).mkdir(parents=True, exist_ok=True)
        x = torch.tensor(eeg(RNG, 58, samples) / 1000, dtype=torch.float32)
        torch.save(x - x.mean(0), root / folder / f"{name}.edf")
    return root


def test_tensors_are_windows_of_the_published_electrodes_in_millivolts(merged):
    torch = pytest.importorskip("torch")
    corpus, sources = listed("torch_tensors", merged)
    assert [(s.recording, s.split, s.labels["set"]) for s in sources] == [
        ("train_0_PhysioNetMI_000000", "train", "PhysioNetMI"),
        ("train_0_PhysioNetMI_000100", "train", "PhysioNetMI"),
        ("train_3_tsu_benchmark_000000", "train", "tsu_benchmark"),
        ("valid_0_seed_000000", "valid", "seed"),
    ]
    recording = corpus.read(sources[0])
    stored = torch.load(merged / "TrainFolder/0/PhysioNetMI_7.edf", weights_only=True).numpy()
    np.testing.assert_allclose(recording.signal_uv[:, :1536], stored * 1000, rtol=1e-6)
    assert recording.channels == EEGPT58 and recording.sfreq_hz == 256
    pieces, _ = corpus.pieces(sources[0], EEGPT_SPEC, EVAL_OPTIONS)
    assert [p.signal.shape for p in pieces] == [(58, 1536)] * 2


def test_unknown_people_are_said_and_nobody_is_tested_on(merged, tmp_path, capsys):
    assert prepare("torch_tensors", merged, tmp_path / "out") == 0
    assert "people who are not named" in capsys.readouterr().out
    manifest = Manifest.load(tmp_path / "out")
    assert {k: len(v) for k, v in manifest.people.items()} == {"train": 3, "valid": 1, "test": 0}
    assert any(d["kind"] == "person_unknown" for d in manifest.defects)
    assert len(records(tmp_path / "out", "valid")) == 1
    # What a model that was trained on it remembers, and says where it is evaluated.
    assert People.of(manifest.people["train"]).unknown and not People.of(["seed:1"]).unknown


def test_that_people_are_unknown_cannot_be_named_away(merged, tmp_path, capsys):
    assert prepare("torch_tensors", merged, tmp_path / "out", "--institution", "mine") == 2
    assert "--institution mine: torch_tensors are windows of several" in capsys.readouterr().err


def test_code_in_a_file_is_never_run(merged, tmp_path):
    torch = pytest.importorskip("torch")
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    folder = tmp_path / "TrainFolder" / "0"
    folder.mkdir(parents=True)
    torch.save(Evil(), folder / "x_1.edf")
    torch.save({"a": torch.zeros(3)}, folder / "y_1.edf")
    (folder / "z_1.edf").write_bytes(b"0       X X X")
    torch.save(torch.zeros(19, 1024), folder / "q_1.edf")
    corpus, sources = listed("torch_tensors", tmp_path)
    for source in sources:
        verdict = corpus.judge(source, EEGPT_SPEC, EVAL_OPTIONS)
        assert not verdict.usable and verdict.skipped.startswith("bad_array")
    assert not ran.exists()


def test_without_torch_it_says_what_to_install(merged, monkeypatch):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else there(name)
    )
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(CorpusError, match=r"pip install 'elm_jax\[torch\]'"):
        listed("torch_tensors", merged)
