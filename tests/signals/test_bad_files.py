"""Bad files: each defect has a name, and none of them is a crash."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.header import parse_header
from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, PrepOptions, judge_file, prepare_file
from elm_jax.signals.recording import read_edf
from tests.signals.conftest import ELECTRODES, EdfFile, eeg_like

HEADER = 256 * 20
FP1 = "EEG FP1-REF"


def _kinds(judgement):
    return [d.kind for d in judgement.defects]


def _prepare(path, options=EVAL_OPTIONS, **kwargs):
    pieces, judgement = prepare_file(path, ELM_SPEC, options, **kwargs)
    assert judgement.usable == bool(pieces)
    assert judgement == judge_file(path, ELM_SPEC, options, **kwargs)  # the dry run says the same
    return pieces, judgement


def test_truncated_in_a_record_whole_records_are_used(edf):
    pieces, judgement = _prepare(edf(spoil=lambda b: b[:-1001]))
    assert _kinds(judgement) == ["record_count_wrong", "truncated_record"]
    assert judgement.duration_s == 69
    assert pieces[0].signal.shape == (20, 6900)


@pytest.mark.parametrize("count", ["-1", "999999", "3"])
def test_a_wrong_number_of_records_is_counted_anew(edf, count):
    pieces, judgement = _prepare(edf(n_records=count))
    assert _kinds(judgement) == ["record_count_wrong"]
    assert judgement.duration_s == 70


@pytest.mark.parametrize("date", ["99.99.99", "31.02.20", "XX.XX.XX", ""])
def test_an_impossible_date_is_listed_and_not_repeated(edf, date):
    pieces, judgement = _prepare(edf(date=date))
    assert _kinds(judgement) == ["impossible_date"]
    assert pieces and (not date or date not in str(judgement.defects[0]))


@pytest.mark.parametrize("limits", [("0", "0"), ("100", "-100")])
def test_a_channel_without_digital_range_is_dropped(edf, limits):
    pieces, judgement = _prepare(edf(digital={FP1: limits}))
    assert not pieces
    assert _kinds(judgement) == ["channel_no_digital_range", "missing_electrodes"]
    assert judgement.electrodes_missing == ("Fp1",)
    # Pz is in no derivation: without it, the recording is used.
    pieces, judgement = _prepare(edf(digital={"EEG PZ-REF": limits}))
    assert pieces and _kinds(judgement) == ["channel_no_digital_range"]


@pytest.mark.parametrize(
    "changes, spoil, kind",
    [
        ({"widths": {FP1: "99999999"}}, None, "absurd_samples_per_record"),
        ({}, lambda b: b[:HEADER], "header_only"),
        ({}, lambda b: b[: HEADER + 100], "no_whole_record"),
        ({}, lambda b: b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 99, "not_edf"),
        ({}, lambda b: b"", "not_edf"),
        ({}, lambda b: b[:200], "bad_header"),
        ({}, lambda b: b[:2000], "bad_header"),
        ({"record_s": "0"}, None, "bad_header"),
        ({"record_s": "Jane"}, None, "bad_header"),
        ({"widths": {FP1: "-5"}}, None, "bad_header"),
        ({"labels": ("ECG", "RESP")}, None, "no_eeg"),
        ({"reserved": "EDF+D"}, None, "record_times_unreadable"),
    ],
)
def test_files_that_can_not_be_used_say_why(edf, changes, spoil, kind):
    path = edf(seconds=5, spoil=spoil, **changes)
    pieces, judgement = _prepare(path, file="folder/a.edf")
    assert not pieces and not judgement.usable
    assert judgement.defects[-1].kind == kind
    assert judgement.file == judgement.defects[-1].file == "folder/a.edf"
    assert judgement.skipped.startswith(kind)
    with pytest.raises(UnusableRecording, match=kind):
        read_edf(path)


def test_a_missing_file_is_named(tmp_path):
    _, judgement = _prepare(tmp_path / "none.edf")
    assert _kinds(judgement) == ["unreadable_file"]


def test_missing_electrodes_are_listed_with_what_they_may_be_called(edf):
    labels = tuple("FPI" if e == "Fp1" else e for e in ELECTRODES)
    _, judgement = _prepare(edf(labels=labels))
    assert judgement.electrodes_missing == ("Fp1",)
    assert judgement.unknown == {"FPI": "Fp1"}
    assert "FPI" in judgement.skipped
    pieces, judgement = _prepare(edf(labels=labels), rename={"fpi": "Fp1"})
    assert pieces and not judgement.unknown and not judgement.defects


def test_the_rename_map_wins_over_the_label(edf):
    plain, _ = _prepare(edf())
    swapped, _ = _prepare(edf(), rename={"EEG FP1-REF": "Fp2", "EEG FP2-REF": "Fp1"})
    fp1_f3 = ELM_SPEC.channels.index("Fp1-F3")
    assert not np.allclose(plain[0].signal[fp1_f3], swapped[0].signal[fp1_f3], atol=1)
    _, judgement = _prepare(edf(), rename={"EEG FP1-REF": None})
    assert judgement.electrodes_missing == ("Fp1",)


@pytest.mark.parametrize("sfreq_hz", [200, 250])
def test_no_piece_runs_over_a_gap_and_filtering_does_not_either(edf, sfreq_hz):
    x = eeg_like(19, 80 * sfreq_hz, sfreq_hz)
    x[:, 50 * sfreq_hz :] += 3000 * (np.arange(19) % 2)[:, None]  # would ring across the gap
    onsets = [*range(50), *range(500, 530)]
    path = edf(signals_uv=x, sfreq_hz=sfreq_hz, reserved="EDF+D", onsets_s=onsets)
    pieces, judgement = _prepare(path)
    assert _kinds(judgement) == ["record_gap"]
    assert (judgement.defects[0].start_s, judgement.defects[0].stop_s) == (50, 500)
    assert [(p.start_s, p.signal.shape[1]) for p in pieces] == [(0, 5000), (500, 3000)]
    alone, _ = _prepare(edf("b.edf", signals_uv=x[:, : 50 * sfreq_hz], sfreq_hz=sfreq_hz))
    np.testing.assert_allclose(pieces[0].signal, alone[0].signal, atol=1e-3)
    pieces, _ = _prepare(path, PrepOptions())
    # 50 s less 10 s less one sample are 30 s and the end sample, as in the reference.
    assert [(p.start_s, p.signal.shape[1]) for p in pieces] == [(10, 3000), (500, 2000)]


def test_a_stretch_between_gaps_shorter_than_a_window_is_dropped_and_listed(edf):
    onsets = [*range(40), *range(100, 103), *range(200, 227)]
    pieces, judgement = _prepare(edf(reserved="EDF+D", onsets_s=onsets))
    assert [p.start_s for p in pieces] == [0, 200]
    assert _kinds(judgement).count("short_stretch") == 1


def test_continuous_edf_plus_has_one_piece(edf):
    pieces, judgement = _prepare(edf(reserved="EDF+C", annotation="x"))
    assert len(pieces) == 1 and not judgement.defects


VALID = EdfFile(eeg_like(19, 400, 200), onsets_s=[0, 1], reserved="EDF+D").bytes()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 256 * 21), st.binary(min_size=1, max_size=10)), max_size=6),
    st.integers(0, len(VALID)),
    st.booleans(),
)
def test_no_bytes_make_the_header_parser_fail_in_another_way(changes, cut, whole):
    raw = bytearray(VALID)
    for at, new in changes:
        raw[at : at + len(new)] = new
    raw = bytes(raw if whole else raw[:cut])
    try:
        header = parse_header(raw[: 256 * 21], len(raw), "a.edf")
    except UnusableRecording as verdict:
        assert verdict.defect.file == "a.edf"
    else:
        assert header.n_records >= 1 and header.record_bytes >= 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.integers(0, len(VALID)), st.binary(min_size=1, max_size=8)), max_size=8)
)
def test_no_bytes_make_reading_a_file_fail_in_another_way(tmp_path, changes):
    raw = bytearray(VALID)
    for at, new in changes:
        raw[at : at + len(new)] = new
    path = tmp_path / "mutated.edf"
    path.write_bytes(raw)
    pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    assert judgement.usable or (judgement.skipped and not pieces)
