import argparse
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LE, REF, csv_bi, edf_bytes, kinds, prepare, records, whole

from data_prep.corpora.base import CorpusError
from data_prep.corpora.event_files import Event, read_csv_bi
from data_prep.corpora.tusz import Tusz, consecutive
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import Manifest, load_recordings
from elm_jax.data.pipeline import Windows

FILES = {
    "train": "train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000",
    "dev": "dev/aaaaaaad/s002_2008_03_02/01_tcp_ar/aaaaaaad_s002_t001",
    "eval": "eval/aaaaaaae/s001_2015/03_tcp_ar_a/aaaaaaae_s001_t000",
}


@pytest.fixture
def tusz(tmp_path, write_edf):
    """One recording of 33 s a published set, each in another montage; returns the release."""
    root = tmp_path / "tusz"
    for i, stem in enumerate(FILES.values()):
        path = (root / "edf" / stem).with_suffix(".edf")
        write_edf(path, seconds=33, seed=i, sfreq_hz=256, labels=REF if i == 1 else LE)
        rows = (0.0, 12.0, "bckg"), (12.0, 20.5, "seiz"), (20.5, 33.0, "bckg")
        csv_bi(path.with_suffix(".csv_bi"), *rows, duration="33.00")
    return root


def args(folder):
    return argparse.Namespace(input=folder, institution=None)


def events_of(root, split="train"):
    return (root / "edf" / FILES[split]).with_suffix(".csv_bi")


def starts(out, split="train"):
    (row,) = load_recordings(out, split)
    return [(round(p.start_s, 4), p.labels["event"]) for p in row.pieces]


def test_events_are_cut_into_consecutive_windows_the_last_begun_included_and_shifted_at_the_end(
    tusz, tmp_path
):
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    expected = [
        (0.0, "bckg"), (5.0, "bckg"), (10.0, "bckg"),
        (12.0, "seiz"), (17.0, "seiz"),
        # 20.5 and three windows end at 35.5: 2.5 s too late.
        (18.0, "bckg"), (23.0, "bckg"), (28.0, "bckg"),
    ]  # fmt: skip
    found = starts(tmp_path / "out")
    assert sorted(found) == sorted(expected)
    assert found == sorted(found, key=lambda row: row[0])
    everything = whole(events_of(tusz).with_suffix(".edf"))
    for start_s, labels, signal in records(tmp_path / "out", "train"):
        begin = round(start_s * 100)
        # One step of 1/32 uV: sums are rounded otherwise with several threads.
        np.testing.assert_allclose(signal, everything[:, begin : begin + 500], atol=1)
        assert labels["event_class"] == {"bckg": 0, "seiz": 1}[labels["event"]]


def test_published_splits_are_kept_and_labelled(tusz, tmp_path):
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert dict(manifest.people) == {
        "train": ("tuh:aaaaaaac",), "valid": ("tuh:aaaaaaad",), "test": ("tuh:aaaaaaae",),
    }  # fmt: skip
    (row,) = load_recordings(tmp_path / "out", "valid")
    assert row.labels == {
        "session": "s002", "token": "t001", "montage": "01_tcp_ar", "eval_set": "TUSZ_dev",
    }  # fmt: skip
    windows = Windows.of([row], 500)
    assert window_labels([row], windows, "event_class").sum() == 2
    assert manifest.counts["labels"]["event"]["valid"] == {
        "bckg": {"recordings": 1, "windows": 6},
        "seiz": {"recordings": 1, "windows": 2},
    }


@pytest.mark.parametrize(
    ("rows", "expected", "noticed"),
    [
        # Shorter than a window, at the start, and at the very end.
        ([(0.0, 0.1, "seiz"), (32.9, 33.0, "seiz")], [(0.0, "seiz"), (28.0, "seiz")], []),
        # Ends just after the recording, as in TUSZ's own files; or long after; or begins there.
        ([(30.0, 33.9, "seiz")], [(28.0, "seiz")], []),
        ([(27.0, 40.0, "seiz")], [(23.0, "seiz"), (28.0, "seiz")], ["event_cut"]),
        ([(0.0, 5.0, "bckg"), (33.0, 40.0, "seiz")], [(0.0, "bckg")], ["event_lost"]),
        # No room to shift back: the last window is left out.
        ([(1.0, 33.0, "bckg")], [(1.0 + 5 * k, "bckg") for k in range(6)], []),
        # Overlapping events.
        ([(0.0, 5.0, "bckg"), (4.0, 9.0, "seiz")], [(0.0, "bckg"), (4.0, "seiz")], []),
        # Twice the same; words in capitals; unknown words; an end before the beginning.
        ([(0.0, 5.0, "BCKG"), (0.0, 5.0, "bckg")], [(0.0, "bckg")], []),
        ([(0.0, 5.0, "bckg"), (5.0, 9.0, "fnsz"), (9.0, 9.0, "seiz")], [(0.0, "bckg")],
         ["events_not_understood"] * 2),
    ],
)  # fmt: skip
def test_events(tusz, tmp_path, rows, expected, noticed):
    csv_bi(events_of(tusz), *rows, duration="33.00")
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    assert starts(tmp_path / "out") == expected
    assert kinds(Manifest.load(tmp_path / "out")) == noticed


def test_windows_line_ends_and_other_capitals_of_the_suffix_are_read(tusz, tmp_path):
    events_of(tusz).unlink()
    csv_bi(events_of(tusz).with_suffix(".CSV_BI"), (0.0, 5.0, "seiz"), end="\r\n")
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    assert starts(tmp_path / "out") == [(0.0, "seiz")]
    # "duration = 60.00 secs" over a recording of 33 s.
    assert kinds(Manifest.load(tmp_path / "out")) == ["events_other_length"]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (None, "events_missing", "no aaaaaaac_s001_t000.csv_bi"),
        ("# version = csv_v2.0.0\nchannel,start_time,stop_time,label\n", "events_unreadable",
         "version csv_v2.0.0, expected csv_v1.0.0"),
        ("# version = csv_v1.0.0\n", "events_unreadable", "no table"),
        ("channel,start,stop,label\nTERM,0,1,bckg\n", "events_unreadable", "start_time, stop_time"),
        ("channel,start_time,stop_time,label\nTERM,0,1\n", "events_unreadable", "line 2: expected"),
        ("channel,start_time,stop_time,label\nTERM,0,end,bckg\n", "events_unreadable",
         "line 2: a time"),
        ("channel,start_time,stop_time,label\n", "no_events", "none of 0"),
    ],
)  # fmt: skip
def test_a_recording_without_usable_events_is_skipped_listed_and_counted(
    tusz, tmp_path, text, kind, said
):
    events_of(tusz).write_text(text or "")
    if text is None:
        events_of(tusz).unlink()
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["skipped"] == {kind: 1}
    assert any(said in d["detail"] for d in manifest.defects if d["kind"] == kind)


def test_a_release_without_files_of_events_is_an_error_that_says_so(tusz, tmp_path):
    for split in FILES:
        events_of(tusz, split).unlink()
    with pytest.raises(CorpusError, match=r"(?s)3 events_missing.*no aaaaaaad_s002_t001\.csv_bi"):
        Tusz().sources(args(tusz))


def test_montages_without_ears_are_built_and_one_without_an_electrode_is_skipped(
    tusz, tmp_path, write_edf
):
    # None of the 20 derivations needs A1 or A2; each needs its own electrodes.
    write_edf(events_of(tusz, "eval").with_suffix(".edf"), seconds=33,
              labels=[name.replace("T5", "T1") for name in LE])  # fmt: skip
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.counts["total"]["recordings"] == 2
    (defect,) = manifest.defects
    assert defect["kind"] == "missing_electrodes" and "T5" in defect["detail"]


def test_a_recording_shorter_than_a_window_gives_none(tusz, tmp_path, write_edf):
    write_edf(events_of(tusz).with_suffix(".edf"), seconds=4, labels=LE)
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    assert Manifest.load(tmp_path / "out").counts["skipped"] == {"nothing_left": 1}


def test_events_are_cut_on_both_sides_of_a_stretch_that_is_not_used(tusz, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(19, 3000)).cumsum(axis=1)
    noise -= np.linspace(0, 1, 3000) * noise[:, -1:]
    noise[3, 1200:1500] = noise[3, 1200]
    events_of(tusz).with_suffix(".edf").write_bytes(edf_bytes(noise * 2, LE))
    csv_bi(events_of(tusz), (0.0, 30.0, "bckg"), duration="30.00")
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    found = [start_s for start_s, _ in starts(tmp_path / "out")]
    assert found == pytest.approx([0.0, 5.0, 15.0, 20.0, 25.0], abs=0.02)


def test_no_text_that_was_typed_into_a_file_of_events_is_repeated(tusz, tmp_path, contents, capfd):
    csv_bi(events_of(tusz), (0.0, 5.0, "bckg"), (5.0, 9.0, "Jane Doeberger"), duration="33.00")
    events_of(tusz, "dev").write_text("# version = Doeberger\n")
    text = "channel,start_time,stop_time,label\nTERM,Doeberger,1,bckg\n"
    events_of(tusz, "eval").write_text(text)
    assert prepare("tusz", tusz, tmp_path / "out") == 0
    said = capfd.readouterr()
    assert "events_not_understood" in said.out and "events_unreadable" in said.out
    assert "doeberger" not in (said.out + said.err).lower()
    for name, data in contents(tmp_path / "out").items():
        assert b"doeberger" not in data.lower(), name


def test_a_dry_run_says_events_and_windows_of_every_file(tusz, tmp_path, capsys):
    assert prepare("tusz", tusz, tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().out
    assert said.count("events: 2 bckg, 1 seiz") == 3 and said.count("windows: 6 bckg, 2 seiz") == 3
    assert "windows: 18 bckg, 6 seiz" in said


def test_hdf5_has_the_classes_as_elm_has_them(tusz, tmp_path):
    assert prepare("tusz", tusz, tmp_path / "out", "--hdf5", tmp_path / "tusz.h5") == 0
    with h5py.File(tmp_path / "tusz.h5") as h5:
        assert h5["PAT"][:8].sum() == 2 and h5["PAT"].shape == h5["subject_ids"].shape
        assert sorted(set(h5["eval_sets"].asstr()[()])) == ["TUSZ_dev", "TUSZ_eval", "TUSZ_train"]
        assert h5["session_ids"].asstr()[8] == "s002" and h5["time_ids"].asstr()[8] == "t001"


def test_elms_own_files_of_one_second_crops_become_windows_of_events(tusz, tmp_path, capsys):
    """Its evaluations repeat a window's class for each of its crops."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 1, 0], 5)
    with h5py.File(tmp_path / "evals.h5", "w") as h5:
        h5["features"] = rng.normal(size=(20, 20, 100)).astype(np.float16)
        h5["subject_ids"] = np.repeat([0, 1], 10)
        h5["long_subject_id"] = np.repeat([b"aaaaaaac", b"aaaaaaad"], 10)
        h5["PAT"], h5["eval_sets"] = classes, [b"TUSZ_train"] * 20
    more = ("--hdf5_unit", "1e5V", "--split", "train=1")
    assert prepare("hdf5", tmp_path / "evals.h5", tmp_path / "back", *more) == 0
    rows = load_recordings(tmp_path / "back")
    assert [p.labels["event"] for row in rows for p in row.pieces] == [
        "bckg", "seiz", "seiz", "bckg",
    ]  # fmt: skip
    assert [p.start_s for p in rows[1].pieces] == [0.0, 5.0]
    assert all("abnormal" not in row.labels for row in rows)


def test_crops_of_two_classes_in_one_window_are_listed(tmp_path):
    with h5py.File(tmp_path / "evals.h5", "w") as h5:
        h5["features"] = np.random.default_rng(0).normal(size=(13, 20, 100))
        h5["subject_ids"], h5["unique_subject_ids"] = np.zeros((2, 13), int)
        h5["PAT"], h5["eval_sets"] = [0, 0, 1, 1, 1] + [1] * 8, [b"TUSZ_dev"] * 13
    more = ("--hdf5_unit", "1e5V", "--split", "train=1")
    assert prepare("hdf5", tmp_path / "evals.h5", tmp_path / "back", *more) == 0
    assert kinds(Manifest.load(tmp_path / "back")) == ["event_lost", "event_lost"]
    (row,) = load_recordings(tmp_path / "back")
    assert [(p.start_s, p.labels["event"]) for p in row.pieces] == [(5.0, "seiz")]


def test_published_files_read(shared, tmp_path):
    """A real header and annotations as published; the signal is too short for a window."""
    fixtures = shared / "data" / "format_fixtures_synthetic"
    found = read_csv_bi(fixtures / "aaaaaool_s001_t000.csv_bi", ("bckg", "seiz"))
    assert found.events == (Event(0.0, 1.0551, "bckg"),) and found.duration_s == 466.0
    folder = tmp_path / "edf" / "train" / "aaaaaaac" / "s001_2002" / "02_tcp_le"
    folder.mkdir(parents=True)
    shutil.copy(fixtures / "aaaaaaac_s001_t000_sample.edf", folder / "aaaaaaac_s001_t000.edf")
    shutil.copy(fixtures / "aaaaahln_s002_t000.csv_bi", folder / "aaaaaaac_s001_t000.csv_bi")
    (source,) = Tusz().sources(args(tmp_path))
    assert source.extra == {"events": [[0.0, 1.0, "bckg"]], "stated_s": 305.0}
    from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS

    judgement = Tusz().judge(source, ELM_SPEC, EVAL_OPTIONS)
    assert judgement.electrodes_missing == ()


@given(
    begin=st.integers(0, 3000), long=st.integers(1, 3000), n=st.integers(500, 3000),
    length=st.sampled_from([100, 500]),
)  # fmt: skip
def test_windows_cover_their_event_as_far_as_there_is_room(begin, long, n, length):
    end = min(begin + long, n)
    firsts = consecutive(begin, end, n, length)
    assert bool(firsts) == (begin < end)
    assert all(0 <= at <= n - length for at in firsts)
    assert all(b - a == length for a, b in zip(firsts, firsts[1:], strict=False))
    if firsts:
        # Before the end: from the event's begin. At the end: back, but no further than needed.
        wanted = -(-(end - begin) // length)
        if begin + wanted * length <= n:
            assert firsts[0] == begin and len(firsts) == wanted
        elif wanted * length <= n:
            assert firsts[-1] + length == n and len(firsts) == wanted
        else:
            assert firsts[0] == begin and len(firsts) == wanted - 1
