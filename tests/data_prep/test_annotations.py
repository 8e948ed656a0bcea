"""Annotations of EDF+ files, as ``mne`` reads them and where it does not."""

import mne
import numpy as np
import pytest
from edf_plus import noise, write_edf_plus
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.event_files import EventsError

HZ = 100
MARKS = [(0, 4.2, "T0"), (4.2, 0, "T2"), (4.2, 0, "T1"), (7.25, 3, "a text, of words")]
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=8)


def write(path, marks=MARKS, x=None):
    write_edf_plus(path, {"EEG Cz": (noise(12 * HZ) if x is None else x, HZ)}, marks)
    return path


def by_mne(path):
    found = mne.read_annotations(path)
    rows = zip(found.onset, found.duration, found.description, strict=True)
    return sorted((float(a), float(b), str(c)) for a, b, c in rows)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40), TEXTS.map(str.strip)), max_size=9)
)
def test_what_is_written_is_read_as_with_mne(tmp_path_factory, marks):
    marks = [(a / 40, b / 8, text) for a, b, text in marks if text]
    path = write(tmp_path_factory.mktemp("a") / "a.edf", marks)
    assert read_annotations(path) == by_mne(path) == sorted(marks)


def test_real_files_read_as_with_mne_hypnograms_of_no_record_duration_among_them(shared):
    folder = shared / "data"
    paths = [*(folder / "eegmmidb_S001").glob("*R0[14].edf")]
    paths += sorted((folder / "sleep_edf").rglob("*Hypnogram.edf"))[:5]
    assert len(paths) == 7
    for path in paths:
        assert read_annotations(path) == by_mne(path) != []


def test_signals_are_not_taken_for_annotations(tmp_path):
    path = write(tmp_path / "a.edf")
    raw = bytearray(path.read_bytes())
    # One record of signal, before the first annotations: samples that spell one.
    start = 256 * 3
    spelt = b"+1\x14no annotation\x14\x00"
    raw[start : start + len(spelt)] = spelt
    path.write_bytes(raw)
    assert any(text == "no annotation" for *_, text in by_mne(path))
    assert read_annotations(path) == MARKS[:1] + sorted(MARKS[1:3]) + MARKS[3:]


def test_suffixes_in_capitals_and_texts_in_latin_1_are_read(tmp_path):
    path = write(tmp_path / "a.edf", [(1, 0, "xAugenx")])
    path.write_bytes(path.read_bytes().replace(b"xAugenx", "Lidschläge"[3:].encode("latin-1")))
    assert read_annotations(path.rename(tmp_path / "A.EDF")) == [(1.0, 0.0, "schläge")]


def test_times_count_from_the_first_record(tmp_path):
    path = write(tmp_path / "a.edf", [(1, 0, "T1")])
    raw = path.read_bytes().replace(b"+0\x14\x14\x00\x00\x00", b"+0.5\x14\x14\x00", 1)
    path.write_bytes(raw)
    assert read_annotations(path) == by_mne(path) == [(0.5, 0.0, "T1")]


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"", "not_edf"), (b"0       " + b"x" * 300, "bad_header"), (None, "unreadable_file")],
)
def test_what_is_no_edf_says_so_and_repeats_nothing(tmp_path, raw, message):
    path = tmp_path / "a.edf"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(EventsError, match=message):
        read_annotations(path)


def test_a_file_without_annotations_has_none(tmp_path, write_edf):
    assert read_annotations(write_edf(tmp_path / "a.edf")) == []


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=120))
def test_whatever_stands_in_the_channel_only_known_errors_come(tmp_path_factory, junk):
    path = write(tmp_path_factory.mktemp("a") / "a.edf")
    raw = path.read_bytes()
    at = raw.index(b"+0\x14\x14\x00")
    path.write_bytes(raw[:at] + junk + raw[at + len(junk) :])
    rows = read_annotations(path)
    assert all(np.isfinite(a) and np.isfinite(b) for a, b, _ in rows)
