import argparse

import numpy as np
import pytest
from edf_plus import noise
from layouts import kinds, prepare, records

from data_prep.corpora.base import CorpusError
from data_prep.corpora.kaggle_ern import FEEDBACKS, TEST_PEOPLE, KaggleErn, feedbacks
from elm_jax.data.manifest import Manifest, load_recordings

CHANNELS = (
    "Fp1,Fp2,AF7,AF3,AF4,AF8,F7,F5,F3,F1,Fz,F2,F4,F6,F8,FT7,FC5,FC3,FC1,FCz,FC2,FC4,FC6,FT8,T7,C5,"
    "C3,C1,Cz,C2,C4,C6,T8,TP7,CP5,CP3,CP1,CPz,CP2,CP4,CP6,TP8,P7,P5,P3,P1,Pz,P2,P4,P6,P8,PO7,POz,"
    "PO8,O1,O2"
).split(",")  # fmt: skip
HEADER = ",".join(["Time", *CHANNELS, "EOG", "FeedBackEvent"])


def session(path, shown_s, *, seed=0, header=HEADER, step_s=0.005, seconds=None, end="\n"):
    """A session as published; feedback is shown at these times. Returns the signal ``[c, t]``."""
    n = round(200 * (seconds or max(shown_s, default=2.0) + 2))
    signal = np.stack([noise(n, 100 * seed + k) + 50 * k for k in range(len(CHANNELS) + 1)])
    event = np.zeros(n, int)
    event[[round(200 * t) for t in shown_s]] = 1
    lines = [header]
    for k in range(n):
        values = ",".join(f"{x:.3f}" for x in signal[:, k])
        lines.append(f"{k * step_s:.4g},{values},{event[k]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return signal


def train_labels(root, **sessions):
    """``TrainLabels.csv``: ``S02_Sess01="011"``."""
    lines = ["IdFeedBack,Prediction"]
    for name, values in sessions.items():
        lines += [f"{name}_FB{k:03d},{value}" for k, value in enumerate(values, 1)]
    (root / "TrainLabels.csv").write_text("\n".join(lines) + "\n")


def args(folder):
    return argparse.Namespace(input=folder, institution=None)


@pytest.fixture(scope="module")
def ern(tmp_path_factory):
    """Two people to train on; the third session of test person 3 has 60 feedbacks."""
    root = tmp_path_factory.mktemp("KaggleERN")
    signal = session(root / "train" / "Data_S02_Sess01.csv", [1.0, 3.0, 5.5])
    session(root / "train" / "Data_S06_Sess05.csv", [2.0, 4.0], seed=1)
    train_labels(root, S02_Sess01="011", S06_Sess05="10")
    session(root / "test" / "Data_S03_Sess03.csv", [1.0 + 0.1 * k for k in range(60)], seed=2)
    # All labels are 1, but for the third session of the second person.
    labels = np.ones(340 * len(TEST_PEOPLE), int)
    labels[340 + 120 : 340 + 180] = [k % 2 for k in range(60)]
    (root / "true_labels.csv").write_text("label\n" + "".join(f"{x}\n" for x in labels))
    return root, signal


@pytest.fixture(scope="module")
def prepared(ern, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    assert prepare("kaggle_ern", ern[0], out) == 0
    return out


def test_windows_run_from_seven_tenths_before_the_feedback_to_thirteen_tenths_after(prepared, ern):
    import mne

    spec = Manifest.load(prepared).spec
    assert (spec.window_samples, spec.montage, len(spec.channels)) == (512, "average", 56)
    rows = {r.recording: r for r in load_recordings(prepared)}
    row = rows["S02_Sess01"]
    assert [p.start_s for p in row.pieces] == pytest.approx([0.3, 2.3, 4.8], abs=1 / 256)
    assert [p.labels["event"] for p in row.pieces] == ["error", "correct", "correct"]
    assert [p.labels["event_class"] for p in row.pieces] == [0, 1, 1]
    info = mne.create_info(CHANNELS, 200.0, "eeg")
    raw = mne.io.RawArray(ern[1][:-1] * 1e-6, info, verbose="ERROR")
    raw.set_eeg_reference("average", projection=False, verbose="ERROR")
    raw.filter(0.1, 75.0, verbose="ERROR").resample(256, npad="auto", verbose="ERROR")
    published = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    order = [CHANNELS.index(published.get(name, name)) for name in spec.channels]
    expected_uv = raw.get_data()[order] * 1e6
    (found,) = [x for at, _, x in records(prepared, "train") if at == row.pieces[1].start_s]
    start = round(2.3 * 256)
    np.testing.assert_allclose(found / 32, expected_uv[:, start : start + 512], atol=0.05)


def test_published_people_are_split_and_true_labels_count_through_people_and_sessions(prepared):
    rows = {r.recording: r for r in load_recordings(prepared)}
    assert {r.person: r.split for r in rows.values()} == {
        "kaggle_ern:S02": "train", "kaggle_ern:S06": "train", "kaggle_ern:S03": "test",
    }  # fmt: skip
    row = rows["S03_Sess03"]
    assert [p.labels["event_class"] for p in row.pieces] == [k % 2 for k in range(60)]
    assert row.labels["session"] == 3 and sum(FEEDBACKS.values()) == 340


def test_that_no_unit_is_published_is_said_of_every_session(prepared):
    assert kinds(Manifest.load(prepared)).count("unknown_unit") == 3


def test_without_true_labels_the_test_set_is_left_out_and_listed(ern, tmp_path):
    corpus = KaggleErn()
    (tmp_path / "in").mkdir()
    for name in ("train", "test", "TrainLabels.csv"):
        (tmp_path / "in" / name).symlink_to(ern[0] / name)
    found = corpus.sources(args(tmp_path / "in"))
    assert {s.split for s in found} == {"train"}
    assert [f["detail"] for f in corpus.findings] == ["no true_labels.csv"]


@pytest.mark.parametrize(
    ("labels", "kind", "said"),
    [
        ("IdFeedBack,Prediction\nS02_Sess01_FB001,1\n", "label_conflict", "2 feedbacks, labels"),
        ("IdFeedBack,Prediction\nS02_Sess01_FB001,2\n", "events_missing", "line 2 is neither 0"),
        ("IdFeedBack,Prediction\nS02_Sess01_FB002,1\n", "events_missing", "are not 1, 2, ..."),
        ("IdFeedBack,Prediction\nfirst,1\n", "events_missing", "line 2 names no feedback"),
        ("Id,Prediction\nS02_Sess01_FB001,1\n", "events_missing", "lacks the column IdFeedBack"),
        ("IdFeedBack,Prediction\n" + "S02_Sess01_FB001,1\n" * 2, "events_missing", "labels a feed"),
        (None, "events_missing", "no TrainLabels.csv"),
    ],
)  # fmt: skip
def test_sessions_whose_labels_do_not_fit_are_listed(tmp_path, labels, kind, said):
    session(tmp_path / "train" / "Data_S02_Sess01.csv", [1.0, 2.0])
    if labels:
        (tmp_path / "TrainLabels.csv").write_text(labels)
    with pytest.raises(CorpusError, match=rf"(?s){kind}.*{said}"):
        KaggleErn().sources(args(tmp_path))


def test_labels_of_a_test_set_of_another_size_are_refused(ern, tmp_path):
    (tmp_path / "test").symlink_to(ern[0] / "test")
    (tmp_path / "true_labels.csv").write_text("label\n1\n0\n")
    with pytest.raises(CorpusError, match="true_labels.csv: has 2 labels, expected 3400"):
        KaggleErn().sources(args(tmp_path))


def test_broken_sessions_are_skipped_and_the_others_prepared(tmp_path, ern):
    folder = tmp_path / "in" / "train"
    session(folder / "Data_S02_Sess01.csv", [1.0], end="\r\n")
    session(folder / "Data_S02_Sess02.csv", [1.0], step_s=0.01)
    session(folder / "Data_S02_Sess03.csv", [1.0])
    text = (folder / "Data_S02_Sess03.csv").read_text().splitlines()
    text[300] = text[300].replace(",", ";")  # a row that is none
    (folder / "Data_S02_Sess03.csv").write_text("\n".join(text))
    (folder / "Data_S02_Sess04.csv").write_text("Time,Fp1\n0,1\n")
    session(folder / "Data_S02_Sess05.csv", [1.0, 1.5], seconds=2.5)  # too near to its end
    train_labels(tmp_path / "in", S02_Sess01="1", S02_Sess02="1", S02_Sess03="1", S02_Sess05="10")
    assert prepare("kaggle_ern", tmp_path / "in", tmp_path / "out", "--split", "train=1") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert {r.recording for r in load_recordings(tmp_path / "out")} == {"S02_Sess01", "S02_Sess05"}
    assert manifest.counts["skipped"] == {"bad_array": 1, "events_unreadable": 2}
    assert "event_lost" in kinds(manifest)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["0,1,0", "0,1,1", "0,1,0"], [0.005]),
        (["0,1,0.0", "0,1,1.0", "", "0,1,1"], [0.005, 0.01]),
        ([], []),
    ],
)
def test_feedback_is_found_at_the_ends_of_lines(tmp_path, rows, expected):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["Time,Fp1,FeedBackEvent", *rows]) + "\n")
    assert feedbacks(path) == expected
