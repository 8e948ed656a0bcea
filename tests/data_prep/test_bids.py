"""BIDS folders of EEG: what is read of them, what labels it, and what is said of broken ones."""

import sys

import numpy as np
import pytest
from bids_folder import describe, recording
from hypothesis import given
from hypothesis import strategies as st
from layouts import kinds, prepare, records

from data_prep.corpora.bids_tables import Participants, institution_of, read_events
from data_prep.corpora.event_files import EventsError
from elm_jax.data.manifest import Manifest, load_recordings

pytest.importorskip("mne_bids", reason="reads BIDS folders: install .[bids]")

EVENTS = [(1, 0, "left"), (7, 0, "right"), (12, 8, "left")]
PEOPLE = [("sub-01", "34", "F"), ("sub-02", "n/a", "M"), ("sub-03", "61", "f")]
TRAIN = ("--split", "train=1")


def rows(out):
    return {row.recording: row for row in load_recordings(out)}


def windows(out, name):
    return [(p.start_s, p.labels["event"]) for p in rows(out)[name].pieces]


def defects(out, kind):
    return [d for d in Manifest.load(out).defects if d["kind"] == kind]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The same signal in five formats; in one of the recordings nothing happens."""
    root = tmp_path_factory.mktemp("bids")
    describe(root / "in", PEOPLE)
    recording(root / "in", "sub-01_ses-a_task-move", ".edf", 1, EVENTS)
    recording(root / "in", "sub-01_ses-b_task-move", ".vhdr", 1, EVENTS)
    recording(root / "in", "sub-02_task-move_run-1", ".set", 1, EVENTS)
    recording(root / "in", "sub-02_task-move_run-2", ".bdf", 1, EVENTS)
    recording(root / "in", "sub-03_task-rest", ".fif", 1)
    recording(root / "in" / "derivatives" / "clean", "sub-01_task-move", ".edf", 1, EVENTS)
    assert prepare("bids", root / "in", root / "out", *TRAIN) == 0
    return root


def test_windows_of_events_are_labelled_by_their_kind_whatever_the_format(prepared):
    found = [(1, "left"), (7, "right"), (12, "left"), (16, "left")]
    moves = sorted(name for name in rows(prepared / "out") if "move" in name)
    assert len(moves) == 4
    for name in moves:
        assert windows(prepared / "out", name) == found
    stored = list(records(prepared / "out", "train"))
    signals = [x for _, labels, x in stored if "event" in labels]
    (whole,) = [x.astype(int) for _, labels, x in stored if "event" not in labels]  # FIF
    first, *others = (np.stack(signals[k : k + 4]).astype(int) for k in (0, 4, 8, 12))
    # EDF rounds to 16 bits of its own range, others hold 24 or floats.
    assert max(np.abs(first - other).max() for other in others) <= 2
    assert np.abs(first[0] - whole[:, 256:1280]).max() <= 2


def test_what_was_made_of_recordings_is_not_read_as_one(prepared):
    assert len(rows(prepared / "out")) == 5
    assert kinds(Manifest.load(prepared / "out")) == ["events_unknown"]


def test_a_recording_without_events_is_kept_whole_and_listed(prepared):
    (piece,) = rows(prepared / "out")["sub-03_task-rest"].pieces
    assert piece.n_samples == 20 * 256 and not piece.labels
    (said,) = defects(prepared / "out", "events_unknown")
    assert "no events.tsv" in said["detail"]


def test_the_participants_table_and_the_files_names_are_labels(prepared):
    labels = {name: row.labels for name, row in rows(prepared / "out").items()}
    assert labels == {
        "sub-01_ses-a_task-move": {"age": 34, "sex": "female", "session": "a", "task": "move"},
        "sub-01_ses-b_task-move": {"age": 34, "sex": "female", "session": "b", "task": "move"},
        "sub-02_task-move_run-1": {"sex": "male", "task": "move", "run": "1"},
        "sub-02_task-move_run-2": {"sex": "male", "task": "move", "run": "2"},
        "sub-03_task-rest": {"age": 61, "sex": "female", "task": "rest"},
    }


def test_people_are_those_of_their_data_set(prepared, tmp_path):
    assert rows(prepared / "out")["sub-02_task-move_run-1"].person == "bids_small_study:sub-02"
    describe(tmp_path / "in", name="Zweite Studie: Schlaf!")
    recording(tmp_path / "in", "sub-02_task-move")
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    assert rows(tmp_path / "out")["sub-02_task-move"].person == "bids_zweite_studie_schlaf:sub-02"
    describe(tmp_path / "in", name="[Unspecified]")  # as mne-bids writes it
    assert institution_of(tmp_path / "in") == "bids_in"


def test_sessions_tasks_runs_and_kinds_of_events_can_be_chosen(prepared, capsys):
    out = prepared / "chosen"
    asked = ("--bids_tasks", "move", "--bids_sessions", "b", "--event_labels", "right=R,left=L")
    assert prepare("bids", prepared / "in", out, *TRAIN, *asked) == 0
    assert list(rows(out)) == ["sub-01_ses-b_task-move"]
    assert windows(out, "sub-01_ses-b_task-move")[0] == (1, "L")
    assert rows(out)["sub-01_ses-b_task-move"].pieces[0].labels["event_class"] == 1
    stated = Manifest.load(out).options
    assert stated["bids_sessions"] == ["b"] and stated["cut"] == "events"
    assert prepare("bids", prepared / "in", out / "x", *TRAIN, "--bids_runs", "7") == 2
    assert "no recording of --bids_runs 7 lies in the layout" in capsys.readouterr().err
    assert prepare("bids", prepared / "in", out / "x", *TRAIN, "--event_labels", "go") == 2
    assert "no event is one of go; found: left (8), right (4)" in capsys.readouterr().err


def test_stretches_that_events_mark_as_bad_are_no_class_and_in_no_window(tmp_path):
    describe(tmp_path / "in", PEOPLE)
    bad = [(2, 1, "BAD_movement"), (19.9, 0, "edge boundary")]
    recording(tmp_path / "in", "sub-01_task-move", events=[*EVENTS, *bad])
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    assert Manifest.load(tmp_path / "out").options["event_labels"] == {
        "left": "left", "right": "right",
    }  # fmt: skip
    assert windows(tmp_path / "out", "sub-01_task-move") == [(7, "right"), (12, "left")]
    assert defects(tmp_path / "out", "event_lost")


def test_recordings_can_be_taken_whole(prepared):
    out = prepared / "whole"
    asked = ("--cut", "recordings", "--bids_sessions", "a")
    assert prepare("bids", prepared / "in", out, *TRAIN, *asked) == 0
    (piece,) = rows(out)["sub-01_ses-a_task-move"].pieces
    assert (piece.start_s, piece.labels) == (0, {})


def test_channels_marked_as_bad_are_left_out_unless_wanted_and_listed_either_way(tmp_path):
    describe(tmp_path / "in", PEOPLE)
    recording(tmp_path / "in", "sub-01_task-move")
    recording(tmp_path / "in", "sub-02_task-move", seed=2)
    recording(tmp_path / "in", "sub-03_task-move", seed=3, bad=("O1", "Cz"))
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    (said,) = defects(tmp_path / "out", "channels_marked_bad")
    assert said["detail"].startswith("Cz, O1: left out") and "sub-03" in said["file"]
    (other,) = defects(tmp_path / "out", "other_channels")
    assert "lacks Cz, O1" in other["detail"]
    kept = tmp_path / "kept"
    assert prepare("bids", tmp_path / "in", kept, *TRAIN, "--bids_keep_bad") == 0
    assert len(rows(kept)) == 3 and "used all the same" in str(Manifest.load(kept).defects)


def test_a_folder_without_participants_or_with_a_broken_table_says_so(tmp_path, capsys):
    describe(tmp_path / "in")
    recording(tmp_path / "in", "sub-01_task-move")
    recording(tmp_path / "in", "sub-02_task-move", seed=2)
    assert prepare("bids", tmp_path / "in", tmp_path / "none", *TRAIN) == 0
    assert [d["file"] for d in defects(tmp_path / "none", "sidecar_missing")] == [
        "participants.tsv"
    ]
    assert rows(tmp_path / "none")["sub-01_task-move"].labels == {"task": "move"}
    table = tmp_path / "in" / "participants.tsv"
    for text, said in (
        ("participant_id\tage\nsub-01\t3\t4\n", "participants.tsv:2: has more cells"),
        ("subject\tage\nsub-01\t3\n", "lacks the column participant_id; found: subject, age"),
        (
            "participant_id\tage\nsub-01\t3\n01\t4\n",
            "tsv:3: sub-01 stands there twice",
        ),
        ("", "holds no text"),
    ):
        table.write_text(text)
        assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 2
        assert said in (told := capsys.readouterr().err) and "mend the table" in told
    table.write_text("participant_id\tage\nsub-01\t3\n")
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    assert defects(tmp_path / "out", "recording_without_label")[0]["detail"] == "not in it: sub-02"


@pytest.mark.parametrize(
    ("suffix", "text", "kind", "said"),
    [
        ("channels.tsv", "name\tkind\nC3\tEEG\n", "sidecar_broken", "lacks the column type"),
        ("channels.tsv", "name\ttype\nC3\n", "sidecar_broken", "channels.tsv:2: has fewer cells"),
        ("eeg.json", '{"TaskName": "move",', "sidecar_broken", "eeg.json:1: expected JSON"),
        ("eeg.json", "[]", "sidecar_broken", "expected an object of JSON, found list"),
        ("eeg.json", '{"RecordingType": "epoched"}', "not_in_layout", "says epoched"),
        ("events.tsv", "onset\ttrial_type\n1\tleft\n", "events_unreadable", "column duration"),
        ("events.tsv", "onset\tduration\ttrial_type\nx\t0\tleft\n", "events_unreadable",
         "events.tsv:2: onset is not a number"),
        ("events.tsv", "onset\tduration\n1\t0\n", "events_unreadable", "trial_type or value"),
        ("eeg.edf", "no recording", "bad_array", "mne-bids could not read it"),
    ],
)  # fmt: skip
def test_a_broken_file_of_a_recording_is_named_and_the_others_are_prepared(
    tmp_path, suffix, text, kind, said
):
    describe(tmp_path / "in", PEOPLE)
    for person in ("01", "02"):
        recording(tmp_path / "in", f"sub-{person}_task-move", events=EVENTS[:1])
    (tmp_path / "in" / "sub-01" / "eeg" / f"sub-01_task-move_{suffix}").write_text(text)
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    assert list(rows(tmp_path / "out")) == ["sub-02_task-move"]
    (found,) = defects(tmp_path / "out", kind)
    assert said in found["detail"] and "sub-01" in found["file"]


def test_tables_that_several_recordings_share_are_found(tmp_path):
    describe(tmp_path / "in", PEOPLE)
    for person in ("01", "02"):
        path = recording(tmp_path / "in", f"sub-{person}_task-move", events=EVENTS)
        events = path.with_name(f"sub-{person}_task-move_events.tsv")
        events.rename(tmp_path / "in" / "task-move_events.tsv")
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    assert all(len(row.pieces) == 4 for row in rows(tmp_path / "out").values())


def test_a_table_that_changed_makes_another_preparation(tmp_path, capsys):
    describe(tmp_path / "in", PEOPLE)
    path = recording(tmp_path / "in", "sub-01_task-move", events=EVENTS)
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 0
    table = path.with_name("sub-01_task-move_channels.tsv")
    table.write_text(table.read_text().replace("EEG\tuV\tgood", "MISC\tuV\tgood", 1))
    assert prepare("bids", tmp_path / "in", tmp_path / "out", *TRAIN) == 2
    assert "was prepared otherwise" in capsys.readouterr().err


def test_what_is_no_bids_folder_says_what_one_has(tmp_path, capsys, monkeypatch):
    recording(tmp_path / "in", "sub-01_task-move")
    (tmp_path / "in" / "sub-01").rename(tmp_path / "in" / "somebody")
    assert prepare("bids", tmp_path / "in", tmp_path / "out") == 2
    assert "such as sub-01/eeg/sub-01_task-rest_eeg.edf" in capsys.readouterr().err
    (tmp_path / "in" / "somebody").rename(tmp_path / "in" / "sub-01")
    (tmp_path / "in" / "dataset_description.json").write_text("{")
    assert prepare("bids", tmp_path / "in", tmp_path / "out") == 2
    assert "mend the file, or give --institution NAME" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    assert prepare("bids", tmp_path / "in", tmp_path / "out") == 2
    assert "pip install 'elm_jax[bids]'" in capsys.readouterr().err


def test_the_reader_says_nothing_beside_the_summary(prepared, capfd, recwarn):
    out = prepared / "quiet"
    assert prepare("bids", prepared / "in", out, *TRAIN, "--bids_tasks", "rest") == 0
    assert not capfd.readouterr().err and not recwarn.list
    assert kinds(Manifest.load(out)) == ["events_unknown"]


CELLS = st.one_of(
    st.sampled_from(["n/a", ""]), st.floats(-5, 1e5, allow_nan=False).map(repr), st.just("x y")
)


@given(rows=st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["go", "stop", "n/a"])), max_size=8))
def test_events_are_all_that_have_a_time_and_a_kind_and_what_is_no_time_is_refused(
    tmp_path_factory, rows
):
    path = tmp_path_factory.mktemp("events") / "sub-1_events.tsv"
    lines = ["onset\tduration\ttrial_type", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    used = [r for r in rows if r[0] not in ("n/a", "") and r[2] != "n/a"]
    if rows and all(kind == "n/a" for *_, kind in rows):
        expected = "trial_type"
    elif any("x y" in row[:2] for row in used):
        expected = "is not a number of seconds"
    else:
        found = read_events(path)
        assert found == sorted(
            (float(a), max(float(b), 0.0) if b not in ("n/a", "") else 0.0, kind)
            for a, b, kind in used
        )
        return
    with pytest.raises(EventsError, match=expected):
        read_events(path)


def test_participants_may_be_named_without_their_prefix(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\tSex\tgroup\n01\t7.5\tmale\tn/a\n")
    assert Participants.read(path).rows == {"sub-01": {"age": 7.5, "Sex": "male"}}
