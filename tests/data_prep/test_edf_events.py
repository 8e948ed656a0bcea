"""Windows out of the annotations of EDF+ files: any folder, and PhysioNet's motor imagery."""

from collections import Counter

import mne
import numpy as np
import pytest
from edf_plus import noise, write_edf_plus
from hypothesis import given
from hypothesis import strategies as st
from layouts import kinds, prepare, records

from data_prep.corpora.edf_events import EdfEvents, parse_event_labels
from data_prep.corpora.eegmmidb import EVENTS, TASKS, meanings
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.signals.pipeline import EVAL_OPTIONS, prepare_file
from elm_jax.signals.profiles import EEGPT_SPEC

HZ = 160
NAMES = ("Fc5.", "C3..", "Cz..", "C4..", "T9..")


def write(path, *marks, seconds=40, seed=0):
    """A recording of a few electrodes with annotations (onset, duration, text)."""
    signals = {name: (noise(seconds * HZ, seed + i), HZ) for i, name in enumerate(NAMES)}
    write_edf_plus(path, signals, marks)
    return path


@pytest.fixture
def events(tmp_path):
    """events(*more): the folder ``edf`` as edf_events; [(recording, start_s, event, class)]."""

    def run(*more, out="out", status=0, corpus="edf_events"):
        words = ("--signal", "eegpt", "--split", "train=1", *more)
        assert prepare(corpus, tmp_path / "edf", tmp_path / out, *words) == status
        if status:
            return None
        return [
            (row.recording, round(p.start_s, 2), p.labels["event"], p.labels["event_class"])
            for row in load_recordings(tmp_path / out)
            for p in row.pieces
        ]

    return run


LR = ("--event_labels", "T1=left,T2=right")


def test_windows_begin_at_what_is_asked_for_and_have_its_label(events, tmp_path):
    path = write(
        tmp_path / "edf" / "a.edf",
        (0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.2, "T0"), (12.5, 4.1, "T1"), (20, 4.1, "T2"),
    )  # fmt: skip
    assert events(*LR) == [("a", 4.2, "right", 1), ("a", 12.5, "left", 0), ("a", 20.0, "right", 1)]
    manifest = Manifest.load(tmp_path / "out")
    assert not manifest.defects
    assert manifest.counts["labels"]["event"]["train"] == {
        "left": {"recordings": 1, "windows": 1}, "right": {"recordings": 1, "windows": 2},
    }  # fmt: skip
    assert manifest.options["event_labels"] == {"T1": "left", "T2": "right"}
    (piece,), _ = prepare_file(
        path, EEGPT_SPEC.replace(channels=manifest.spec.channels), EVAL_OPTIONS
    )
    start_s, labels, stored = records(tmp_path / "out", "train")[1]
    assert (start_s, labels["event"]) == (12.5, "left") and stored.shape == (4, 1024)
    np.testing.assert_allclose(
        stored / 32, piece.signal[:, 3200 : 3200 + 1024], atol=0.5 / 32 + 1e-3
    )


@pytest.mark.parametrize(
    ("marks", "more", "starts", "odd"),
    [
        # A long one gives windows one after another, a moment gives one.
        ([(2, 12.0, "T1")], (), [2, 6, 10], []),
        ([(2, 11.9, "T1")], (), [2, 6], []),
        ([(5, 0, "T1")], (), [5], []),
        # Later and earlier by an offset; a long one is that much shorter.
        ([(5, 0, "T1")], ("--event_offset_s", "1.5"), [6.5], []),
        ([(5, 0, "T1")], ("--event_offset_s=-2",), [3], []),
        ([(2, 8, "T1")], ("--event_offset_s", "0.5"), [2.5], []),
        # Beyond the recording: left out and listed, never moved.
        ([(5, 4, "T1"), (37, 4, "T1")], (), [5], ["event_lost"]),
        ([(5, 4, "T1"), (1, 4, "T1")], ("--event_offset_s=-2",), [3], ["event_lost"]),
        ([(30, 20, "T1")], (), [30, 34], ["event_cut"]),
        # Shorter than a window: said, but for moments.
        ([(5, 3.5, "T1"), (15, 0, "T1")], (), [5, 15], ["event_short"]),
        # Twice the same, spaces around the text, overlapping ones.
        ([(5, 4, "T1"), (5, 4, "T1"), (7, 4, " T1 ")], (), [5, 7], []),
    ],
)
def test_events(events, tmp_path, marks, more, starts, odd):
    write(tmp_path / "edf" / "a.edf", *marks)
    assert [start for _, start, *_ in events("--event_labels", "T1", *more)] == starts
    assert kinds(Manifest.load(tmp_path / "out")) == odd


def test_windows_do_not_run_across_what_is_cut_out(events, tmp_path):
    x = noise(40 * HZ)
    x[10 * HZ : 14 * HZ] = x[10 * HZ]  # a lead that was off
    signals = {name: (x if name == "Cz.." else noise(40 * HZ, 9 + i), HZ)
               for i, name in enumerate(NAMES)}  # fmt: skip
    marks = [(4, 1, "T1"), (8, 1, "T1"), (12, 1, "T1"), (20, 1, "T1")]
    write_edf_plus(tmp_path / "edf" / "a.edf", signals, marks)
    assert [start for _, start, *_ in events("--event_labels", "T1")] == [4, 20]
    assert "event_lost" in kinds(Manifest.load(tmp_path / "out"))


def test_files_without_such_annotations_are_listed_without_their_texts(events, tmp_path):
    write(tmp_path / "edf" / "a.edf", (5, 4, "T1"))
    write(tmp_path / "edf" / "b.edf", (5, 4, "T0"), (6, 1, "Jane Smith coughs"), seed=5)
    write(tmp_path / "edf" / "c.edf", seed=6)
    assert [name for name, *_ in events(*LR)] == ["a"]
    manifest = Manifest.load(tmp_path / "out")
    assert kinds(manifest) == ["event_not_found", *["events_not_asked"] * 2]
    assert all("Jane" not in p.read_text("latin-1") for p in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("words", [(), ("--event_labels", "T3=x")])
def test_what_could_be_asked_for_is_said_where_nothing_is(events, tmp_path, capsys, words):
    write(tmp_path / "edf" / "a.edf", (5, 4, "T1"), (9, 4, "T1"), (1, 1, "Jane Smith"))
    events(*words, status=2)
    said = capsys.readouterr().err
    assert "T1 (2), 1 texts that are no codes" in said and "--event_labels T1=left" in said
    assert "Jane" not in said


def test_a_label_that_no_annotation_has_is_listed(events, tmp_path):
    write(tmp_path / "edf" / "a.edf", (5, 4, "T1"), (9, 4, "T2"))
    events("--event_labels", "T1=left,T3=right")
    (defect,) = Manifest.load(tmp_path / "out").defects
    assert (defect["kind"], defect["detail"]) == ("event_not_found", "--event_labels T3")


def test_files_that_cannot_be_read_are_named_where_none_can(events, tmp_path, capsys):
    (tmp_path / "edf").mkdir()
    (tmp_path / "edf" / "a.edf").write_bytes(b"no EDF")
    events("--event_labels", "T1", status=2)
    assert "1 files cannot be read, such as\n  a.edf: not_edf" in capsys.readouterr().err


@given(
    st.dictionaries(
        st.text("TS 0123#/", min_size=1, max_size=6).map(str.strip).filter(bool),
        st.text("abcé_ ", min_size=1, max_size=8).map(str.strip).filter(bool),
        min_size=1,
        max_size=5,
    )
)
def test_event_labels_are_read_as_they_are_written(labels):
    assert parse_event_labels(", ".join(f"{k} = {v}" for k, v in labels.items())) == labels


@pytest.mark.parametrize("text", ["", ",", "T1=", "=left", "T1=a,T1=b"])
def test_event_labels_that_say_nothing_are_refused(text):
    with pytest.raises(ValueError, match="expected|twice"):
        parse_event_labels(text)


@given(st.integers(-300, 3000), st.integers(0, 3000), st.integers(1024, 4000))
def test_windows_lie_within_the_stretch_do_not_overlap_and_begin_with_the_event(begin, length, n):
    firsts = EdfEvents().firsts(begin, begin + length, n, EEGPT_SPEC)
    assert all(first >= 0 and first + 1024 <= n for first in firsts)
    assert all(b - a == 1024 for a, b in zip(firsts, firsts[1:], strict=False))
    if 0 <= begin <= n - 1024:
        assert firsts[0] == begin and len(firsts) <= max((length + 2) // 1024, 1)
    else:
        assert firsts == []


# -- PhysioNet's motor imagery --------------------------------------------------------------------


def test_what_annotations_mean_goes_by_run_as_published():
    assert len(TASKS) == 14
    assert meanings(1) == meanings(2) == {"T0": "rest"}
    for runs, first, second in (((3, 4, 7, 8, 11, 12), "left", "right"),
                                ((5, 6, 9, 10, 13, 14), "fists", "feet")):  # fmt: skip
        for run in runs:
            assert meanings(run) == {"T0": "rest", "T1": first, "T2": second}
            assert TASKS[run].startswith("executed" if run % 2 else "imagined")


@pytest.fixture
def eegmmidb(tmp_path):
    """Two people, runs 1, 4 and 6 in the published layout, and a file that is none of it."""
    for person in ("S001", "S002"):
        folder = tmp_path / "edf" / person
        write(folder / f"{person}R01.edf", (0, 40, "T0"))
        for run in ("04", "06"):
            marks = (0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.2, "T0"), (12.5, 4.1, "T1")
            write(folder / f"{person}R{run}.edf", *marks, seed=int(run))
    write(tmp_path / "edf" / "other.edf", (0, 4, "T1"))


def test_whole_runs_are_the_default_with_the_person_and_the_task(eegmmidb, tmp_path, events):
    assert prepare("eegmmidb", tmp_path / "edf", tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.spec.montage == "average" and manifest.spec.sfreq_hz == 256  # EEGPT's
    assert manifest.counts["total"]["recordings"] == 6
    assert manifest.counts["total"]["people"] == 2 and "labels" not in manifest.counts
    assert kinds(manifest) == ["not_in_layout"]
    row = next(r for r in load_recordings(tmp_path / "out") if r.recording == "S002R06")
    assert row.person == "eegmmidb:S002"
    assert row.labels == {"run": 6, "task": "imagined_fists_feet"}
    assert [p.n_samples for p in row.pieces] == [40 * 256]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--runs", "4", "--event_labels", "left,right"), {"left": 2, "right": 2}),
        (("--runs", "4", *LR), {"left": 2, "right": 2}),
        (("--event_labels", "left,feet"), {"left": 2, "feet": 2}),
        (("--runs", "1"), {"rest": 20}),
        ((), {"rest": 28, "left": 2, "right": 2, "fists": 2, "feet": 2}),
    ],
)
def test_trials_are_labelled_by_run(eegmmidb, events, tmp_path, words, expected):
    found = events("--cut", "events", *words, corpus="eegmmidb")
    counts = Counter(event for _, _, event, _ in found)
    # Classes are numbered in the order asked for, else in that of the published tasks.
    asked = words[-1] if "--event_labels" in words else ",".join(EVENTS)
    order = list(parse_event_labels(asked).values())
    assert all(number == order.index(event) for _, _, event, number in found)
    assert counts == expected


def test_a_run_without_what_is_asked_for_is_one_message(eegmmidb, events, capsys):
    events("--cut", "events", "--runs", "6", "--event_labels", "left", corpus="eegmmidb", status=2)
    said = capsys.readouterr().err
    assert "asked for: --runs 6; --event_labels left; found: T0 (4), T1 (2), T2 (2)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--event_labels", "lefty,right"),
            "--event_labels lefty: the events of eegmmidb are rest",
        ),
        (("--runs", "4,15"), "--runs 15: the runs of eegmmidb are 1 to 14"),
    ],
)
def test_events_and_runs_that_the_study_lacks_are_refused(eegmmidb, events, capsys, words, said):
    events("--cut", "events", *words, corpus="eegmmidb", status=2)
    assert said in capsys.readouterr().err


def test_imagined_left_and_right_of_a_real_person(shared, tmp_path):
    folder = shared / "data" / "eegmmidb_S001"
    words = ("--cut", "events", "--runs", "4,8,12", *LR, "--split_by", "recording",
             "--test_recordings", "*R12")  # fmt: skip
    assert prepare("eegmmidb", folder, tmp_path / "out", *words) == 0
    manifest = Manifest.load(tmp_path / "out")
    counts = {s: manifest.counts[s]["windows"] for s in ("train", "test")}
    assert counts == {"train": 30, "test": 15} and not manifest.defects
    for row in load_recordings(tmp_path / "out"):
        marks = mne.read_annotations(folder / f"{row.recording}.edf")
        meant = {"T1": "left", "T2": "right"}
        both = zip(marks.onset, marks.description, strict=True)
        expected = [(onset_s, meant[text]) for onset_s, text in both if text != "T0"]
        found = [(p.start_s, p.labels["event"]) for p in row.pieces]
        assert [event for _, event in found] == [event for _, event in expected]
        # The sample at the onset, or the one after it.
        late = np.array([a for a, _ in found]) - np.array([a for a, _ in expected])
        assert late.min() > -1e-6 and late.max() < 1 / 256 and row.person == "eegmmidb:S001"
