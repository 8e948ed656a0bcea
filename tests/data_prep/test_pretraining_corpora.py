"""SEED, SSVEP benchmark, M3CV, High-Gamma and EEGPT's tensors, each as it is published."""

import pathlib

import h5py
import numpy as np
import pytest
import scipy.io
from layouts import edf_bytes, prepare
from published_arrays import bbci_file, cnt_file, eeg, listed, m3cv_part, seed_session

from data_prep.corpora import corpus_class, m3cv, seed, tsu_ssvep
from data_prep.corpora.base import CorpusError, Source
from data_prep.split import split_people
from elm_jax.channels import known_channels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.pipeline import EVAL_OPTIONS
from elm_jax.signals.profiles import EEGPT58, EEGPT_SPEC

RNG = np.random.default_rng(0)


def kinds(corpus):
    return [f["kind"] for f in corpus.findings]


# SEED


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory):
    """Two people, the first with two sessions."""
    folder = tmp_path_factory.mktemp("SEED") / "Preprocessed_EEG"
    rng = np.random.default_rng(1)
    for name in ("1_20131027", "1_20131030", "12_20131127"):
        seed_session(folder, name, rng)
    scipy.io.savemat(folder / "label.mat", {"label": np.array([[1, 0, -1]])})
    (folder / "readme.txt").write_text("")
    return folder


def test_clips_of_a_session_are_stretches_with_their_emotion(seed_folder):
    corpus, sources = listed("seed", seed_folder.parent)
    assert [(s.recording, s.person, s.labels) for s in sources] == [
        ("12_20131127", "seed:12", {"session": 1}),
        ("1_20131027", "seed:1", {"session": 1}),
        ("1_20131030", "seed:1", {"session": 2}),
    ]
    assert corpus.findings == []
    pieces, judgement = corpus.pieces(sources[1], EEGPT_SPEC, EVAL_OPTIONS)
    # CB1 is not proposed as C1.
    assert judgement.usable and not judgement.unknown
    assert [p.labels for p in pieces] == [
        {"trial": 1, "emotion": "positive", "emotion_class": 2},
        {"trial": 2, "emotion": "neutral", "emotion_class": 1},
        {"trial": 3, "emotion": "negative", "emotion_class": 0},
    ]
    # Real time: 12 s stay 12 s.
    assert [p.signal.shape for p in pieces] == [(58, 3072), (58, 3073), (58, 3075)]


def test_rows_keep_their_names_and_their_unit(seed_folder):
    values = scipy.io.loadmat(seed_folder / "1_20131027.mat")
    corpus, sources = listed("seed", seed_folder)
    recording = corpus.read(sources[1])
    assert (recording.sfreq_hz, recording.unit) == (200, "uV")
    for name, row in (("Fp1", 0), ("T3", 23), ("Oz", 59), ("O2", 60)):
        found = recording.signal_uv[recording.channels.index(name), :2400]
        np.testing.assert_allclose(found, values["djc_eeg1"][row], rtol=1e-6)


def test_seed_goes_into_shards_by_person(seed_folder, tmp_path):
    assert prepare("seed", seed_folder, tmp_path / "out", "--split", "train=0.5,test=0.5") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.spec.channels == EEGPT58 and manifest.spec.sfreq_hz == 256
    assert sorted(map(len, manifest.people.values())) == [0, 1, 1]
    words = {p.labels["emotion"] for r in load_recordings(tmp_path / "out") for p in r.pieces}
    assert words == set(seed.EMOTIONS)
    assert "emotion" in manifest.counts["labels"]


def test_files_of_features_and_missing_labels_are_listed(seed_folder, tmp_path):
    seed_session(tmp_path / "ExtractedFeatures", "1_20131027", RNG, clips=0)
    seed_session(tmp_path / "Preprocessed_EEG", "2_20131027", RNG, clips=1)
    corpus, (source,) = listed("seed", tmp_path)
    assert sorted(kinds(corpus)) == ["not_in_layout", "recording_without_label"]
    pieces, _ = corpus.pieces(source, EEGPT_SPEC, EVAL_OPTIONS)
    assert [p.labels for p in pieces] == [{"trial": 1}]


@pytest.mark.parametrize("broken", ["rows", "empty", "text", "cut", "nan"])
def test_a_broken_session_is_a_defect_and_no_crash(tmp_path, broken):
    values = seed_session(tmp_path, "1_20131027", RNG, clips=1)
    path = tmp_path / "1_20131027.mat"
    x = values["djc_eeg1"]
    if broken == "nan":
        x[3, 1000:1010] = np.nan
    new = {"rows": {"djc_eeg1": x[:60]}, "empty": {"other": x}, "text": {"djc_eeg1": "x"}}
    if broken == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        scipy.io.savemat(path, new.get(broken, {"djc_eeg1": x}))
    corpus, (source,) = listed("seed", tmp_path)
    pieces, judgement = corpus.pieces(source, EEGPT_SPEC, EVAL_OPTIONS)
    if broken == "nan":
        assert [p.start_s for p in pieces] == [0, 5.05]
        assert "non_finite" in {d.kind for d in judgement.defects}
    else:
        assert not pieces and not judgement.usable and judgement.skipped.startswith("bad_array")
    assert corpus.judge(source, EEGPT_SPEC, EVAL_OPTIONS).skipped == judgement.skipped


def test_raw_sessions_are_read_by_mne_in_microvolts(tmp_path):
    names = [*seed.CHANNELS, "M1", "VEO"]
    signal_uv = eeg(RNG, len(names), 12_000)
    cnt_file(tmp_path / "SEED_RAW_EEG" / "3_2.cnt", names, signal_uv, 1000)
    corpus, (source,) = listed("seed", tmp_path)
    assert (source.person, source.labels, source.kind) == ("seed:3", {"session": 1}, "cnt")
    recording = corpus.read(source)
    assert recording.sfreq_hz == 1000 and "M1" in recording.channels
    assert corpus.channel_names(source) == (
        *recording.channels[:57],
        "CB1",
        *recording.channels[57:60],
        "CB2",
        "M1",
        "VEO",
    )
    np.testing.assert_allclose(recording.signal_uv[0], signal_uv[0], atol=0.006)
    pieces, judgement = corpus.pieces(source, EEGPT_SPEC, EVAL_OPTIONS)
    assert judgement.usable and pieces[0].signal.shape == (58, 3072)
    (tmp_path / "SEED_RAW_EEG" / "3_3.cnt").write_bytes(b"no header")
    corpus, sources = listed("seed", tmp_path)
    assert not corpus.judge(sources[1], EEGPT_SPEC, EVAL_OPTIONS).usable


def test_the_same_sessions_raw_and_preprocessed_are_an_error(tmp_path):
    seed_session(tmp_path, "1_20131027", RNG, clips=1)
    cnt_file(tmp_path / "1_1.cnt", seed.CHANNELS, eeg(RNG, 62, 1000), 1000)
    with pytest.raises(CorpusError, match="both as .mat and as .cnt"):
        listed("seed", tmp_path)


# The SSVEP benchmark


@pytest.fixture
def tsu(tmp_path, monkeypatch):
    """Two people with 2 of 40 targets and 2 of 6 blocks."""
    shape = (64, 1500, 2, 2)
    monkeypatch.setattr(tsu_ssvep, "SHAPE", shape)
    data = eeg(RNG, 64 * 4, 1500).reshape(2, 2, 64, 1500).transpose(2, 3, 1, 0)
    for name in ("S1", "S35"):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"data": data})
    scipy.io.savemat(tmp_path / "Freq_Phase.mat", {"freqs": [[8.0, 9.2]], "phases": [[0, 1.5]]})
    return tmp_path, data


def test_trials_are_stretches_with_their_target_block_and_flicker(tsu):
    folder, data = tsu
    corpus, sources = listed("tsu_ssvep", folder)
    assert [s.person for s in sources] == ["tsu_ssvep:1", "tsu_ssvep:35"] and not corpus.findings
    pieces, _ = corpus.pieces(sources[0], EEGPT_SPEC, EVAL_OPTIONS)
    assert [(p.start_s, p.labels) for p in pieces] == [
        (0, {"target": 0, "block": 0, "frequency_hz": 8.0}),
        (6, {"target": 1, "block": 0, "frequency_hz": 9.2}),
        (12, {"target": 0, "block": 1, "frequency_hz": 8.0}),
        (18, {"target": 1, "block": 1, "frequency_hz": 9.2}),
    ]
    assert {p.signal.shape for p in pieces} == {(58, 1536)}
    recording = corpus.read(sources[0])
    np.testing.assert_allclose(recording.signal_uv[0, 1500:3000], data[0, :, 1, 0], rtol=1e-5)


def test_no_trial_leaks_into_the_next(tsu):
    folder, data = tsu
    corpus, sources = listed("tsu_ssvep", folder)
    before = corpus.pieces(sources[0], EEGPT_SPEC, EVAL_OPTIONS)[0]
    data[:, :, 1, 0] = eeg(np.random.default_rng(9), 64, 1500)
    scipy.io.savemat(folder / "S1.mat", {"data": data})
    after = corpus.pieces(sources[0], EEGPT_SPEC, EVAL_OPTIONS)[0]
    same = [np.array_equal(a.signal, b.signal) for a, b in zip(before, after, strict=True)]
    assert same == [True, False, True, True]


def test_files_of_matlab_7_3_are_read_alike_and_nothing_outside_of_them(tsu, tmp_path):
    folder, data = tsu
    corpus, sources = listed("tsu_ssvep", folder)
    before = corpus.read(sources[0])
    with h5py.File(folder / "S1.mat", "w") as file:
        file["data"] = data.transpose()
    np.testing.assert_array_equal(corpus.read(sources[0]).signal_uv, before.signal_uv)
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["data"] = data.transpose()
    with h5py.File(folder / "S1.mat", "w") as file:
        file["data"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "data")
    with pytest.raises(UnusableRecording, match="bad_array"):
        corpus.read(sources[0])


def test_another_shape_and_a_missing_table_are_said(tsu):
    folder, data = tsu
    (folder / "Freq_Phase.mat").unlink()
    scipy.io.savemat(folder / "S1.mat", {"data": data[:, :1000]})
    corpus, sources = listed("tsu_ssvep", folder)
    assert kinds(corpus) == ["recording_without_label"]
    verdict = corpus.judge(sources[0], EEGPT_SPEC, EVAL_OPTIONS).skipped
    assert "data is 64 x 1000 x 2 x 2, expected 64 x 1500 x 2 x 2" in verdict


# M3CV


@pytest.fixture
def m3cv_folder(tmp_path):
    """Person 1 on two days and in two tasks, person 2 on one; one epoch of nobody known."""
    root = tmp_path / "aistudio"
    enrolled = [
        ("epoch000001", "sub001", "ses-01", 1, "x"), ("epoch000002", "sub001", "ses-01", 1, "x"),
        ("epoch000003", "sub001", "ses-01", 12, "x"), ("epoch000004", "sub002", "ses-01", 1, "x"),
    ]  # fmt: skip
    tested = [("epoch000005", "sub001", "ses-02", 1, "x"), ("epoch000006", "None", "", 1, "x")]
    m3cv_part(root, "Enrollment", enrolled, RNG)
    m3cv_part(root, "Testing", tested, RNG)
    return root


def test_epochs_of_a_person_day_and_task_are_one_recording(m3cv_folder):
    corpus, sources = listed("m3cv", m3cv_folder)
    assert [(s.person, s.labels["task"], len(s.extra["epochs"])) for s in sources] == [
        ("m3cv:sub001", "1", 2), ("m3cv:sub001", "12", 1), ("m3cv:sub002", "1", 1),
        ("m3cv:sub001", "1", 1),
    ]  # fmt: skip
    assert kinds(corpus) == ["person_unknown"]
    pieces, judgement = corpus.pieces(sources[0], EEGPT_SPEC, EVAL_OPTIONS)
    # An epoch is one window of EEGPT: 1000 samples at 250 Hz are 1024 at 256 Hz.
    assert judgement.usable and [p.signal.shape for p in pieces] == [(58, 1024)] * 2
    assert split_people(sources, None, 0).keys() == {"m3cv:sub001", "m3cv:sub002"}


def test_the_other_release_and_missing_files_are_understood(tmp_path):
    rows = [("epoch000001", "sub001", "3"), ("epoch000002", "sub001", "3")]
    m3cv_part(tmp_path, "Enrollment", rows, RNG, "EpochID,subject,condition", {"epoch000002"})
    corpus, (source,) = listed("m3cv", tmp_path)
    assert source.labels == {"task": "3", "part": "Enrollment"}
    assert kinds(corpus) == ["file_missing"]
    assert corpus.pieces(source, EEGPT_SPEC, EVAL_OPTIONS)[0][0].signal.shape == (58, 1024)


def test_a_table_without_epochs_is_an_error(tmp_path):
    m3cv_part(tmp_path, "Testing", [], RNG, "name,person")
    with pytest.raises(CorpusError, match="lacks the columns epochid"):
        listed("m3cv", tmp_path)


def test_rows_without_markers_have_the_same_names(m3cv_folder):
    path = m3cv_folder / "Enrollment" / "epoch000003.mat"
    epoch = scipy.io.loadmat(path)["epoch_data"]
    corpus, sources = listed("m3cv", m3cv_folder)
    scipy.io.savemat(path, {"epoch_data": epoch[:-1]})
    recording = corpus.read(sources[1])
    at = recording.channels.index("FCz")
    np.testing.assert_allclose(recording.signal_uv[at], epoch[m3cv.CHANNELS.index("FCZ")])
    scipy.io.savemat(path, {"epoch_data": epoch[:, :500]})
    with pytest.raises(UnusableRecording, match="64 x 500, expected 64 x 1000"):
        corpus.read(sources[1])


# The High-Gamma Dataset

HGD_NAMES = ["Fp1", "FFC5h", "EOG EOGh", *EEGPT58[1:], "AFp3h", "EMG_RF"]


def test_runs_are_recordings_whole_in_both_kinds_of_file(tmp_path):
    signal_uv = eeg(RNG, len(HGD_NAMES), 6000)
    bbci_file(tmp_path / "mat" / "train" / "1.mat", HGD_NAMES, signal_uv, 500)
    edf = tmp_path / "edf" / "train" / "1.edf"
    edf.parent.mkdir(parents=True)
    labels = [f"EEG {name}" for name in HGD_NAMES]
    edf.write_bytes(edf_bytes(signal_uv, labels, 500))
    made = {}
    for kind in ("mat", "edf"):
        corpus, (source,) = listed("hgd", tmp_path / kind)
        assert (source.recording, source.person, source.labels) == (
            "train_1", "hgd:1", {"part": "train"},
        )  # fmt: skip
        assert set(EEGPT58) < set(corpus.channel_names(source))
        pieces, judgement = corpus.pieces(source, EEGPT_SPEC, EVAL_OPTIONS)
        assert judgement.usable and judgement.sfreq_hz == 500
        made[kind] = pieces[0].signal
    assert made["mat"].shape == (58, 3072)
    np.testing.assert_allclose(made["mat"], made["edf"], atol=0.3)  # 0.1 uV steps in the EDF


def test_train_and_test_of_a_person_stay_together(tmp_path):
    for part in ("train", "test"):
        for person in ("1", "2"):
            bbci_file(tmp_path / part / f"{person}.mat", ["Cz"], eeg(RNG, 1, 100), 500)
    corpus, sources = listed("hgd", tmp_path)
    assert {s.split for s in sources} == {None}
    assert split_people(sources, None, 0).keys() == {"hgd:1", "hgd:2"}
    _, sources = listed("hgd", tmp_path, split_by="recording")
    assert {s.recording: s.split for s in sources} == {
        "test_1": "test", "test_2": "test", "train_1": "train", "train_2": "train",
    }  # fmt: skip
    (tmp_path / "train" / "1.edf").write_bytes(b"")
    with pytest.raises(CorpusError, match="the same recording"):
        listed("hgd", tmp_path)


def test_trials_are_cut_from_their_cues_alike_in_both_kinds_of_file(tmp_path, capsys):
    signal_uv = eeg(RNG, len(HGD_NAMES), 15_000)
    cues = [(2000, 1), (9500, 4), (16_000, 2), (28_000, 3)]  # the last one is cut off
    bbci_file(tmp_path / "mat" / "train" / "3.mat", HGD_NAMES, signal_uv, 500, cues)
    edf = tmp_path / "edf" / "train" / "3.edf"
    edf.parent.mkdir(parents=True)
    labels = [f"EEG {name}" for name in HGD_NAMES]
    edf.write_bytes(edf_bytes(signal_uv, labels, 500, annotation="rest"))  # at 1.5 s
    argv = ("--cut", "events", "--split", "train=1")
    for kind in ("mat", "edf"):
        assert prepare("hgd", tmp_path / kind, tmp_path / f"{kind}_out", *argv) == 0
    (row,) = load_recordings(tmp_path / "mat_out")
    assert [(p.start_s, p.labels["event"], p.labels["event_class"]) for p in row.pieces] == [
        (2, "right_hand", 0), (9.5, "feet", 3), (16, "left_hand", 1),
    ]  # fmt: skip
    assert [d["kind"] for d in Manifest.load(tmp_path / "mat_out").defects] == ["event_lost"]
    (row,) = load_recordings(tmp_path / "edf_out")
    assert [(p.start_s, p.labels["event"]) for p in row.pieces] == [(1.5, "rest")]
    argv = ("--cut", "events", "--event_labels", "left_hand=left,right_hand=right")
    assert prepare("hgd", tmp_path / "mat", tmp_path / "two", *argv, "--split", "train=1") == 0
    (row,) = load_recordings(tmp_path / "two")
    assert [(p.labels["event"], p.labels["event_class"]) for p in row.pieces] == [
        ("right", 1), ("left", 0),
    ]  # fmt: skip


def test_a_mat_file_of_something_else_is_a_defect(tmp_path):
    (tmp_path / "train").mkdir()
    scipy.io.savemat(tmp_path / "train" / "1.mat", {"x": np.zeros(3)})
    corpus, (source,) = listed("hgd", tmp_path)
    assert not corpus.judge(source, EEGPT_SPEC, EVAL_OPTIONS).usable


def test_what_the_dictionary_knows_of_a_corpus_can_be_prepared(seed_folder, tmp_path):
    argv = ("--channels", "dictionary", "--split", "train=1")
    assert prepare("seed", seed_folder, tmp_path / "out", *argv) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert set(manifest.spec.channels) - set(EEGPT58) == {"PO5", "PO6"}
    choice = manifest.options["channel_choice"]
    assert choice["left_out"] == {"CB1": 3, "CB2": 3} and choice["sets"] == [[60, 3]]


@pytest.mark.parametrize(
    ("name", "known"), [("tsu_ssvep", 60), ("m3cv", 60), ("torch_tensors", 58)]
)
def test_every_corpus_has_the_published_electrodes(name, known):
    corpus = corpus_class(name)()
    names = corpus.channel_names(Source("r", "i:p", pathlib.Path("x"), "x", kind="mat"))
    assert set(EEGPT58) <= set(names) and len(known_channels(names)[0]) == known


@pytest.mark.parametrize("name", ["seed", "tsu_ssvep", "m3cv", "hgd", "torch_tensors"])
def test_another_folder_is_an_error_that_shows_the_layout(name, tmp_path):
    for file in ("x.mat", "x.csv", "x.edf"):
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(CorpusError, match="layout of"):
        listed(name, tmp_path)
