"""TUAB and TUEV as EEGPT and DARE-EEG cut them, beside their steps done by mne."""

import mne
import numpy as np
import pytest
from layouts import edf_bytes, prepare, rec, records

from data_prep.corpora.base import CorpusError
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows
from elm_jax.signals.profiles import TUH23, TUH_SPEC

LABELS = [f"EEG {name.upper()}-REF" for name in TUH23]
MORE = [*reversed(LABELS), "EEG EKG1-REF", "EEG OZ-REF", "PHOTIC-REF"]


def write(path, seed, seconds=26, labels=LABELS, sfreq_hz=250):
    """EEG-like noise with mains of 50 Hz, and what the file then holds of it in uV."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(labels), seconds * sfreq_hz)).cumsum(axis=1)
    noise -= np.linspace(0, 1, noise.shape[1]) * noise[:, -1:]
    noise += 20 * np.sin(2 * np.pi * 50 * np.arange(noise.shape[1]) / sfreq_hz)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(edf_bytes(noise * 2, labels, sfreq_hz))
    return path


def published(path):
    """The steps of both papers' scripts: order, band, notch, 200 Hz; microvolts."""
    with mne.utils.use_log_level("ERROR"):
        raw = mne.io.read_raw_edf(path, preload=True)
        raw.pick(LABELS).reorder_channels(LABELS)
        raw.filter(l_freq=0.1, h_freq=75.0).notch_filter(50.0).resample(200)
    return raw.get_data(units="uV")


@pytest.fixture(scope="module")
def tuab(tmp_path_factory):
    """Ten people to train on, of whom one is in both classes; two to test on."""
    root = tmp_path_factory.mktemp("tuab")
    stems = [f"train/normal/01_tcp_ar/aaaaaaa{c}_s001_t000" for c in "abcde"]
    stems += [f"train/abnormal/01_tcp_ar/aaaaaaa{c}_s002_t000" for c in "efghij"]
    stems += [f"eval/{kind}/01_tcp_ar/aaaaaab{kind[0]}_s001_t000" for kind in ("normal", "ab")]
    for i, stem in enumerate(s.replace("/ab/", "/abnormal/") for s in stems):
        write(root / "edf" / f"{stem}.edf", i, labels=MORE if i == 0 else LABELS)
    return root


def test_windows_are_ten_seconds_of_the_whole_recording_as_published(tuab, tmp_path, capsys):
    assert prepare("tuab_windows", tuab, tmp_path / "out") == 0
    assert "eegpt_finetune.py --config.init_from=MODEL" in capsys.readouterr().out
    manifest = Manifest.load(tmp_path / "out")
    spec = manifest.spec
    assert (spec.channels, spec.sfreq_hz, spec.window_s) == (TUH23, 200, 10)
    assert spec.replace(mean=0.0, std=1.0) == TUH_SPEC
    rows = load_recordings(tmp_path / "out")
    # 26 s give two windows from the first sample on, as 5200 // 2000.
    windows = Windows.of(rows, spec.window_samples)
    assert len(windows_of := window_labels(rows, windows, "abnormal")) == 2 * 13
    assert sum(windows_of) == 2 * 7
    name = next(r for r in rows if r.recording == "aaaaaaaa_s001_t000")
    stored = [r for r in records(tmp_path / "out", name.split) if r[2].shape[1] == 5200]
    whole = published(tuab / "edf/train/normal/01_tcp_ar/aaaaaaaa_s001_t000.edf")
    best = min(np.abs(signal / 32 - whole).max() for _, _, signal in stored)
    # Half of a stored step of 1/32 uV, and float32.
    assert best < 0.02 and whole.std() > 20


def test_validation_people_are_of_no_other_split_though_in_both_classes(tuab, tmp_path):
    assert prepare("tuab_windows", tuab, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    people = {split: set(names) for split, names in manifest.people.items()}
    assert {split: len(names) for split, names in people.items()} == {
        "train": 8, "valid": 2, "test": 2,
    }  # fmt: skip
    assert not people["train"] & people["valid"]
    rows = load_recordings(tmp_path / "out")
    assert len({r.split for r in rows if r.recording.startswith("aaaaaaae")}) == 1
    assert {r.labels["eval_set"] for r in rows} == {"TUAB_train", "TUAB_eval"}


def test_dare_eeg_takes_them_at_256_hz(tuab, tmp_path):
    assert prepare("tuab_windows", tuab, tmp_path / "out", "--sfreq_hz", 256) == 0
    spec = Manifest.load(tmp_path / "out").spec
    assert (spec.sfreq_hz, spec.window_samples, spec.lowpass_hz) == (256, 2560, 75)


def test_recordings_of_another_montage_are_skipped_and_listed(tuab, tmp_path):
    root = tmp_path / "tuab"
    for path in (tuab / "edf").rglob("*.edf"):
        copy = root / path.relative_to(tuab)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    lacking = root / "edf/train/normal/02_tcp_le/aaaaaaaz_s001_t000.edf"
    write(lacking, 3, labels=LABELS[:-2])
    assert prepare("tuab_windows", root, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["skipped"] == {"missing_electrodes": 1}
    assert "T1, T2" in manifest.defects[0]["detail"]


@pytest.fixture(scope="module")
def tuev(tmp_path_factory):
    """Two people to train on and one to test on; events marked on two channels each."""
    root = tmp_path_factory.mktemp("tuev")
    names = [f"train/aaaaaaa{c}/aaaaaaa{c}_00000001" for c in "rs"] + ["eval/032/bckg_032_a_"]
    for i, name in enumerate(names):
        path = write(root / "edf" / f"{name}.edf", 20 + i)
        rec(path.with_suffix(".rec"), (0.5, 1.5, 6), (10.0, 11.0, 6), (20.5, 21.5, 1 + i))
    return root


def test_every_row_of_a_rec_file_is_a_window(tuev, tmp_path):
    argv = ("--split", "train=1")
    assert prepare("tuev_rows", tuev, tmp_path / "rows", *argv) == 0
    assert prepare("tuev", tuev, tmp_path / "once", *argv) == 0
    starts = {}
    for kind in ("rows", "once"):
        (row,) = [r for r in load_recordings(tmp_path / kind) if r.recording == "aaaaaaar_00000001"]
        starts[kind] = [(p.start_s, p.labels["event"]) for p in row.pieces]
    assert starts["once"] == [(0.0, "bckg"), (8.0, "bckg"), (18.5, "spsw")]
    assert starts["rows"] == [event for event in starts["once"] for _ in range(2)]
    manifest = Manifest.load(tmp_path / "rows")
    assert (manifest.spec.window_samples, manifest.spec.channels) == (1000, TUH23)
    assert manifest.counts["labels"]["event"]["test"]["bckg"]["windows"] == 4


def test_windows_around_events_are_those_published(tuev, tmp_path):
    assert prepare("tuev_rows", tuev, tmp_path / "out") == 0
    whole = published(tuev / "edf/eval/032/bckg_032_a_.edf")
    found = records(tmp_path / "out", "test")
    assert [start_s for start_s, *_ in found] == [0, 0, 8, 8, 18.5, 18.5]
    # At the edge theirs has 1.5 s of the recording's end in front.
    for start_s, _, signal in found:
        first = round(start_s * 200)
        np.testing.assert_allclose(signal / 32, whole[:, first : first + 1000], atol=0.02)


def test_one_in_five_training_people_validates_and_the_test_people_stay(tuev, tmp_path):
    assert prepare("tuev_rows", tuev, tmp_path / "out") == 0
    people = Manifest.load(tmp_path / "out").people
    assert people["test"] == ("tuh_tuev_eval:032",)
    assert {len(people["train"]), len(people["valid"])} == {1}


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(CorpusError, match="no .edf file"):
        from data_prep.arguments import parse
        from data_prep.plan import make_plan

        make_plan(parse(["tuev_rows", "--input", str(tmp_path), "--out", str(tmp_path / "o")]))
