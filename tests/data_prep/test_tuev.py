import argparse

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import REF, edf_bytes, kinds, prepare, rec, records, whole

from data_prep.corpora.base import CorpusError
from data_prep.corpora.tuev import Tuev
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows
from elm_jax.signals.pipeline import ELM_SPEC


@pytest.fixture
def tuev(tmp_path, write_edf):
    """Two people to train on, one to test on; 250 Hz; returns the folder of edf/."""
    root = tmp_path / "tuev"
    for i, person in enumerate(("aaaaaaar", "aaaaaaas")):
        path = root / "edf" / "train" / person / f"{person}_00000001.edf"
        write_edf(path, seconds=30, seed=i, sfreq_hz=250, labels=REF)
        rec(path.with_suffix(".rec"), (10.0, 11.0, 6), (20.5, 21.5, 1 + i))
    path = root / "edf" / "eval" / "032" / "bckg_032_a_.edf"
    write_edf(path, seconds=30, seed=9, sfreq_hz=250, labels=REF)
    rec(path.with_suffix(".rec"), (12.0, 13.0, 6))
    return root


def args(folder):
    return argparse.Namespace(input=folder, institution=None)


def first(root):
    return root / "edf" / "train" / "aaaaaaar" / "aaaaaaar_00000001.rec"


def starts_and_events(out, recording="aaaaaaar_00000001"):
    (row,) = [r for r in load_recordings(out) if r.recording == recording]
    return [(p.start_s, p.labels["event"]) for p in row.pieces]


def test_a_window_is_five_seconds_of_the_whole_filtered_recording_two_before_the_event(
    tuev, tmp_path
):
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    everything = whole(first(tuev).with_suffix(".edf"))
    found = [r for r in records(tmp_path / "out", "train") if r[1]["event"] != "gped"][:2]
    assert [(start_s, labels["event"]) for start_s, labels, _ in found] == [
        (8.0, "bckg"), (18.5, "spsw"),
    ]  # fmt: skip
    for start_s, labels, signal in found:
        begin = round(start_s * 100)
        # One step of 1/32 uV: sums are rounded otherwise with several threads.
        np.testing.assert_allclose(signal, everything[:, begin : begin + 500], atol=1)
        assert labels["event_class"] == {"bckg": 5, "spsw": 0}[labels["event"]]
        assert labels["eval_set"] == "TUEV_train"


@pytest.mark.parametrize(
    ("rows", "expected", "lost"),
    [
        # At the very start and end: clamped.
        ([(0.0, 1.0, 6)], [(0.0, "bckg")], []),
        ([(0.4, 1.4, 4), (29.0, 30.0, 5)], [(0.0, "eyem"), (25.0, "artf")], []),
        # Beyond the end, in part or wholly: left out and listed.
        ([(10.0, 11.0, 6), (29.5, 30.5, 6), (99.0, 100.0, 1)], [(8.0, "bckg")], ["event_lost"]),
        # Overlapping events: a window each; two labels at one time: both.
        ([(10.0, 11.0, 1), (10.5, 11.5, 2)], [(8.0, "spsw"), (8.5, "gped")], []),
        ([(10.0, 11.0, 3), (10.0, 11.0, 2)], [(8.0, "gped"), (8.0, "pled")], []),
        # Not in order, and between samples: the sample at or after it.
        ([(20.0, 21.0, 6), (10.003, 11.003, 6)], [(8.01, "bckg"), (18.0, "bckg")], []),
        # Codes that are none, and an end before the beginning.
        ([(10.0, 11.0, 6), (12.0, 13.0, 7), (12.0, 13.0, 0), (15.0, 14.0, 6)], [(8.0, "bckg")],
         ["events_not_understood"] * 3),
    ],
)  # fmt: skip
def test_events(tuev, tmp_path, rows, expected, lost):
    rec(first(tuev), *rows)
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    found = [(round(a, 6), event) for a, event in starts_and_events(tmp_path / "out")]
    assert found == expected
    assert kinds(Manifest.load(tmp_path / "out")) == lost


def test_windows_line_ends_spaces_blank_lines_and_suffixes_in_capitals_are_read(tuev, tmp_path):
    first(tuev).unlink()
    first(tuev).with_suffix(".REC").write_bytes(b"\xef\xbb\xbf0, 10.0, 11.0, 6.0\r\n\r\n")
    first(tuev).with_suffix(".edf").rename(first(tuev).with_suffix(".EDF"))
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    assert starts_and_events(tmp_path / "out") == [(8.0, "bckg")]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (None, "events_missing", "no aaaaaaar_00000001.rec"),
        (b"0,10.0,11.0,6\n0,10.0,11.0\n", "events_unreadable", "line 2: expected channel,start"),
        (b"0,ten,11.0,6\n", "events_unreadable", "line 1: a time or code is not"),
        (b"0,nan,11.0,6\n", "events_unreadable", "line 1: a time or code"),
        (bytes(range(256)), "events_unreadable", "not a text"),
        (b"", "no_events", "none of 0 events"),
        (b"0,40.0,41.0,6\n", "no_events", "none of 1 events"),
    ],
)
def test_a_recording_without_usable_events_is_skipped_listed_and_counted(
    tuev, tmp_path, text, kind, said
):
    first(tuev).write_bytes(text or b"")
    if text is None:
        first(tuev).unlink()
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["skipped"] == {kind: 1}
    (defect,) = [d for d in manifest.defects if d["kind"] == kind]
    assert said in defect["detail"] and manifest.counts["total"]["recordings"] == 2


def test_a_recording_shorter_than_a_window_or_without_an_electrode_is_skipped(
    tuev, tmp_path, write_edf
):
    write_edf(first(tuev).with_suffix(".edf"), seconds=4, labels=REF)
    second = tuev / "edf" / "train" / "aaaaaaas" / "aaaaaaas_00000001.edf"
    write_edf(second, seconds=20, labels=[x.replace("EEG T3", "EEG X9") for x in REF])
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    skipped = Manifest.load(tmp_path / "out").counts["skipped"]
    assert skipped == {"missing_electrodes": 1, "nothing_left": 1}


def test_an_event_in_a_flat_stretch_is_lost_and_one_beside_it_is_clamped_to_its_stretch(
    tuev, tmp_path, write_edf
):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(19, 3000)).cumsum(axis=1)
    noise -= np.linspace(0, 1, 3000) * noise[:, -1:]
    noise[3, 1000:1500] = noise[3, 1000]
    first(tuev).with_suffix(".edf").write_bytes(edf_bytes(noise * 2, REF))
    rec(first(tuev), (5.0, 6.0, 6), (8.8, 9.8, 5), (12.0, 13.0, 1), (16.0, 17.0, 2))
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    found = starts_and_events(tmp_path / "out")
    assert [event for _, event in found] == ["bckg", "artf", "gped"]
    assert [a for a, _ in found] == pytest.approx([3.0, 5.0, 15.0], abs=0.02)
    assert "event_lost" in kinds(Manifest.load(tmp_path / "out"))


def test_published_splits_and_people(tuev):
    by_name = {s.recording: s for s in Tuev().sources(args(tuev))}
    assert {n: (s.person, s.split) for n, s in by_name.items()} == {
        "aaaaaaar_00000001": ("tuh:aaaaaaar", "train"),
        "aaaaaaas_00000001": ("tuh:aaaaaaas", "train"),
        "bckg_032_a_": ("tuh_tuev_eval:032", "test"),
    }


@pytest.mark.parametrize("inside", ["edf", "edf/train"])
def test_the_input_may_be_a_folder_of_the_release(tuev, inside):
    assert {s.split for s in Tuev().sources(args(tuev / inside))} >= {"train"}


def test_the_first_release_numbers_people_as_tueg_v06(tmp_path):
    path = tmp_path / "edf" / "train" / "00002275" / "00002275_00000001.edf"
    rec(path.with_suffix(".rec"), (10.0, 11.0, 6))
    path.write_bytes(b"")
    (source,) = Tuev().sources(args(tmp_path))
    assert source.person == "tuh_v06:00002275"


def test_files_outside_the_layout_are_listed_and_nothing_else_is_an_error_that_says_so(tmp_path):
    for file in ("edf/train/aaaaaaar/aaaaaaaq_00000001.edf", "edf/other/aaaaaaar/x.edf"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(CorpusError, match=r"(?s)1 not_in_layout.*person_conflict"):
        Tuev().sources(args(tmp_path))


def test_who_is_in_both_published_sets_stays_in_the_evaluation_set_only(
    tuev, tmp_path, write_edf, capsys
):
    path = tuev / "edf" / "eval" / "aaaaaaar" / "aaaaaaar_00000002.edf"
    write_edf(path, seconds=30, labels=REF)
    rec(path.with_suffix(".rec"), (10.0, 11.0, 6))
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.people["train"] == ("tuh:aaaaaaas",)
    assert manifest.people["test"] == ("tuh:aaaaaaar", "tuh_tuev_eval:032")
    assert manifest.counts["skipped"] == {"split_conflict": 1}
    assert (
        "split_conflict: the person is in the published evaluation set" in capsys.readouterr().out
    )


def test_validation_people_come_from_the_training_people(tuev, tmp_path):
    assert prepare("tuev", tuev, tmp_path / "out", "--split", "train=0.5,valid=0.5") == 0
    people = Manifest.load(tmp_path / "out").people
    assert len(people["train"]) == len(people["valid"]) == 1
    assert people["test"] == ("tuh_tuev_eval:032",)


def test_every_window_has_its_label_in_the_list_and_the_summary_counts_them(tuev, tmp_path, capsys):
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    rows = load_recordings(tmp_path / "out", "train")
    windows = Windows.of(rows, ELM_SPEC.window_samples)
    assert window_labels(rows, windows, "event").tolist() == ["bckg", "spsw", "bckg", "gped"]
    assert window_labels(rows, windows, "event_class").tolist() == [5, 0, 5, 1]
    counted = Manifest.load(tmp_path / "out").counts["labels"]["event"]
    assert counted["train"]["bckg"] == {"recordings": 2, "windows": 2}
    assert counted["test"] == {"bckg": {"recordings": 1, "windows": 1}}
    said = capsys.readouterr().out
    assert "Windows (recordings) by label 'event'" in said and "2 (2)" in said


def test_a_dry_run_says_events_and_windows_of_every_file_and_writes_nothing(tuev, tmp_path, capsys):
    rec(first(tuev), (10.0, 11.0, 6), (12.0, 13.0, 6), (29.5, 30.5, 1))
    assert prepare("tuev", tuev, tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "events: 2 bckg, 1 spsw" in said and "windows: 2 bckg\n" in said
    assert "event_lost 29.5-30.5 s: 1 spsw" in said and not (tmp_path / "out").exists()
    assert "windows: 4 bckg, 1 gped" in said.partition("Total:")[2]


def test_other_events_are_another_preparation_and_the_same_are_nothing_to_do(
    tuev, tmp_path, capsys
):
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    assert prepare("tuev", tuev, tmp_path / "out") == 0
    assert "nothing to do" in capsys.readouterr().out
    rec(first(tuev), (10.0, 11.0, 5))
    assert prepare("tuev", tuev, tmp_path / "out") == 2
    assert "prepared otherwise" in capsys.readouterr().err


def test_a_longer_window_has_the_event_in_its_middle(tuev, tmp_path):
    assert prepare("tuev", tuev, tmp_path / "out", "--window_s", 11) == 0
    assert starts_and_events(tmp_path / "out") == [(5.0, "bckg"), (15.5, "spsw")]


def test_hdf5_has_the_classes_as_elm_has_them_and_reads_back(tuev, tmp_path):
    file = tmp_path / "tuev.h5"
    assert prepare("tuev", tuev, tmp_path / "out", "--hdf5", file) == 0
    with h5py.File(file) as h5:
        assert h5["PAT"][()].tolist() == [5, 0, 5, 1, 5]
        assert h5["eval_sets"].asstr()[()].tolist() == ["TUEV_train"] * 4 + ["TUEV_eval"]
        assert set(h5["session_ids"].asstr()[()]) == {"s999"}
        assert set(h5["time_ids"].asstr()[()]) == {"t999"} and "pathology" not in h5
    assert prepare("hdf5", file, tmp_path / "back", "--hdf5_unit", "1e5V") == 0
    for split in ("train", "test"):
        there, back = records(tmp_path / "out", split), records(tmp_path / "back", split)
        for (a_s, labels, signal), (b_s, more, again) in zip(there, back, strict=True):
            assert a_s == b_s and np.array_equal(signal, again)
            assert {k: more.get(k) for k in labels} == labels and "abnormal" not in more


@given(
    begin=st.integers(-200, 4000), n=st.integers(500, 3000), window_s=st.sampled_from([1.0, 5.0])
)
def test_a_window_lies_in_its_stretch_and_holds_its_event(begin, n, window_s):
    spec = ELM_SPEC.replace(window_s=window_s)
    firsts = Tuev().firsts(begin, begin + 100, n, spec)
    assert bool(firsts) == (0 <= begin <= n - 100)
    for at in firsts:
        assert 0 <= at <= n - spec.window_samples
        assert at <= begin and begin + 100 <= at + spec.window_samples
        if 200 <= begin <= n - 300:
            assert at == begin - round((window_s - 1) * 50)
