"""WFDB records: what is wrong with one is named, and nothing is passed over in silence."""

import sys

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfdb_records import TWELVE, beats, write_record

from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.ecg.leads import STANDARD_ORDER
from elm_jax.signals.ecg.wfdb_file import header_path, read_header_text, read_wfdb


def kinds(recording):
    return [defect.kind for defect in recording.defects]


def refused(path, **options):
    with pytest.raises(UnusableRecording) as caught:
        read_wfdb(path, **options)
    return caught.value.defect


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_is_named_by_its_name_its_header_or_its_samples(tmp_path, suffix):
    x = beats()
    write_record(tmp_path, "r", x)
    found = read_wfdb(tmp_path / f"r{suffix}")
    np.testing.assert_allclose(found.signal_mv, x, atol=1e-6)
    assert (found.leads, found.sfreq_hz, found.duration_s, found.unit) == (
        STANDARD_ORDER, 100.0, 10.0, "mV",
    )  # fmt: skip
    assert not found.defects and found.signal_mv.dtype == np.float32


def test_a_dot_in_a_records_name_is_part_of_it(tmp_path):
    write_record(tmp_path, "a.1", beats())
    assert header_path(tmp_path / "a.1").name == header_path(tmp_path / "a.1.dat").name == "a.1.hea"


def test_real_records_are_what_wfdb_reads(shared):
    paths = ("ptbxl/records100/00000/00001_lr", "ptbxl/records500/00000/00007_hr",
             "cpsc2018_cinc2020/A0005", "ptbdiag_wfdb/s0010_re")  # fmt: skip
    for path in paths:
        expected = wfdb.rdrecord(str(shared / "data" / path))
        found = read_wfdb(shared / "data" / path)
        np.testing.assert_allclose(found.signal_mv, expected.p_signal.T, atol=2e-6)
        assert found.sfreq_hz == expected.fs and not found.defects
        assert [name.upper() for name in found.leads] == [n.upper() for n in expected.sig_name]


def test_only_the_asked_leads_are_loaded_and_all_are_listed(tmp_path):
    x = beats()
    write_record(tmp_path, "r", x)
    found = read_wfdb(tmp_path / "r", leads=("V1", "II"))
    assert found.leads == ("II", "V1") and found.found == STANDARD_ORDER
    np.testing.assert_allclose(found.signal_mv, x[[1, 6]], atol=1e-6)


@pytest.mark.parametrize(("gain", "factor"), [("1/uV", 1), ("1000(100)/mV", 1), ("1e6/V", 1)])
def test_units_become_millivolts(tmp_path, gain, factor):
    x = beats() + (0.1 if "(100)" in gain else 0.0)
    write_record(tmp_path, "r", x, gain=gain)
    np.testing.assert_allclose(read_wfdb(tmp_path / "r").signal_mv, beats(), atol=1e-6)


@pytest.mark.parametrize("gain", ["0/mV", "0"])
def test_a_gain_of_0_is_uncalibrated_and_said_so(tmp_path, gain):
    write_record(tmp_path, "r", beats(), gain=gain)
    found = read_wfdb(tmp_path / "r")
    assert kinds(found) == ["gain_assumed"] and "200 steps per mV" in found.defects[0].detail
    np.testing.assert_allclose(found.signal_mv, beats() * 5, atol=1e-5)


def test_an_unknown_unit_is_taken_as_millivolts_and_named(tmp_path):
    header = write_record(tmp_path, "r", beats())
    text = header.read_text()
    header.write_text(text.replace("1000/mV", "1000/NU", 1))
    found = read_wfdb(header)
    assert kinds(found) == ["unknown_unit"] and found.defects[0].detail.startswith("I: expected mV")


def test_invalid_samples_are_not_numbers(tmp_path):
    x = beats()
    x[3, 10:20] = np.nan
    write_record(tmp_path, "r", x)
    assert np.isnan(read_wfdb(tmp_path / "r").signal_mv).sum() == 10


def test_a_missing_file_of_samples_is_named(tmp_path):
    header = write_record(tmp_path, "r", beats())
    (tmp_path / "r.dat").unlink()
    defect = refused(header)
    assert defect.kind == "signal_missing" and "r.dat" in defect.detail


def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path):
    x = beats()
    header = write_record(tmp_path, "r", x)
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data[: 24 * 700 + 5])
    found = read_wfdb(header)
    np.testing.assert_allclose(found.signal_mv, x[:, :700], atol=1e-6)
    assert kinds(found) == ["truncated_record"] and "700 are read" in found.defects[0].detail
    (tmp_path / "r.dat").write_bytes(b"")
    assert refused(header).kind == "header_only"


def test_a_truncated_mat_is_counted_behind_its_header(tmp_path):
    header = write_record(tmp_path, "r", beats(), mat=True)
    data = (tmp_path / "r.mat").read_bytes()
    (tmp_path / "r.mat").write_bytes(data[: 24 + 24 * 300])
    found = read_wfdb(header)
    assert found.signal_mv.shape == (12, 300) and kinds(found) == ["truncated_record"]


def test_samples_of_another_checksum_are_used_and_named(tmp_path):
    header = write_record(tmp_path, "r", beats())
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[24 * 5 + 2] ^= 1  # one bit of II
    (tmp_path / "r.dat").write_bytes(data)
    found = read_wfdb(header)
    assert kinds(found) == ["checksum_wrong"] and found.defects[0].detail.startswith("II:")


def test_of_a_doubled_lead_the_first_is_used_and_unnamed_channels_are_listed(tmp_path):
    x = beats(4)
    write_record(tmp_path, "r", x, labels=("I", "Lead I", "V1", ""))
    found = read_wfdb(tmp_path / "r")
    assert found.leads == ("I", "V1") and kinds(found) == ["duplicate_channel"]
    assert found.unknown == {"channel 4": None}
    np.testing.assert_allclose(found.signal_mv, x[[0, 2]], atol=1e-6)


def test_a_rename_map_says_what_a_channel_is(tmp_path):
    write_record(tmp_path, "r", beats(2), labels=("MLII", "RESP"))
    defect = refused(tmp_path / "r")
    assert defect.kind == "no_leads" and "'MLII' (like II?)" in defect.detail
    assert read_wfdb(tmp_path / "r", rename={"mlii": "II"}).leads == ("II",)


def test_a_record_of_several_segments_is_joined_with_holes_where_nothing_was_recorded(tmp_path):
    x = beats(2, 4)
    write_record(tmp_path, "a", x[:, :100], labels=("I", "II"))
    write_record(tmp_path, "b", x[:, 100:300], labels=("I", "II"))
    lines = ("m/3 2 100 400", "a 100", "~ 100", "b 200")
    (tmp_path / "m.hea").write_text("\n".join(lines) + "\n")
    found = read_wfdb(tmp_path / "m.hea").signal_mv
    assert found.shape == (2, 400) and np.isnan(found[:, 100:200]).all()
    np.testing.assert_allclose(found[:, 200:], x[:, 100:300], atol=1e-6)


def test_a_rate_that_is_not_stated_is_the_formats_and_said_so(tmp_path):
    header = write_record(tmp_path, "r", beats(1), labels=("I",))
    header.write_text("r 1\nr.dat 16 1000/mV 16 0 0 0 0 I\n")
    found = read_wfdb(header)
    assert found.sfreq_hz == 250.0 and "rate_assumed" in kinds(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line"),
        ("r twelve 100 10\n", "first line"),
        ("r 1 fast 10\nr.dat 16 1000/mV 16 0 0 0 0 I\n", "sampling rate is not a number"),
        ("r 1 0 10\nr.dat 16 1000/mV 16 0 0 0 0 I\n", "sampling rate is not positive"),
        ("r 2 100 10\nr.dat 16 1000/mV 16 0 0 0 0 I\n", "2 signals are stated, and 1 described"),
        ("r 1 100 10\n../r.dat 16 1000/mV 16 0 0 0 0 I\n", "outside of its folder"),
        ("r 1 100 10\n/etc/passwd 16 1000/mV 16 0 0 0 0 I\n", "outside of its folder"),
    ],
)
def test_a_broken_header_is_refused_with_what_is_wrong(tmp_path, text, said):
    write_record(tmp_path, "r", beats(1), labels=("I",))
    (tmp_path / "r.hea").write_text(text)
    defect = refused(tmp_path / "r")
    assert defect.kind == "bad_header" and said in defect.detail


def test_no_text_of_a_header_enters_a_defect(tmp_path):
    header = write_record(tmp_path, "r", beats(), comments=("Name: Jane Doe",))
    header.write_text(header.read_text().replace("r 12 100", "r 13 100"))
    assert "Jane" not in str(refused(header))


def test_comments_come_along_without_empty_lines(tmp_path):
    header = write_record(tmp_path, "r", beats(), comments=("", " age: 81", " Diagnose:"))
    assert read_wfdb(header).comments == ("age: 81", "Diagnose:")


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(st.text("r12.0 /mV+-#\n()xdath~", max_size=30), max_size=6))
def test_any_header_is_read_or_refused(tmp_path, lines):
    write_record(tmp_path, "r", beats(1, 1), labels=("I",))
    (tmp_path / "r.hea").write_text("r 1 100 100\n" + "\n".join(lines))
    try:
        found = read_wfdb(tmp_path / "r")
    except UnusableRecording:
        return
    assert found.signal_mv.shape[1] > 0


def test_labels_are_known_without_reading_samples(tmp_path):
    header = write_record(tmp_path, "r", beats())
    (tmp_path / "r.dat").unlink()
    assert read_header_text(header, "r").labels == TWELVE


def test_without_wfdb_it_is_said_what_to_install(tmp_path, monkeypatch):
    write_record(tmp_path, "r", beats())
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(ImportError, match=r"pip install 'elm_jax\[ecg\]'"):
        read_wfdb(tmp_path / "r")


def test_segments_may_have_other_leads_and_describe_themselves_in_a_first_one(tmp_path):
    x = beats(3, 4)
    write_record(tmp_path, "a", x[:2, :200], labels=("I", "II"))
    write_record(tmp_path, "b", x[1:, 200:], labels=("II", "V1"))
    (tmp_path / "m_layout.hea").write_text("m_layout 0 100 0\n")
    lines = ("m/3 3 100 400", "m_layout 0", "a 200", "b 200")
    (tmp_path / "m.hea").write_text("\n".join(lines) + "\n")
    found = read_wfdb(tmp_path / "m.hea")
    assert found.leads == ("I", "II", "V1")
    assert np.isfinite(found.signal_mv).sum(axis=1).tolist() == [200, 400, 200]
    np.testing.assert_allclose(found.signal_mv[1], x[1], atol=1e-6)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("m/1 1 100 100", "../a 100"), "outside of its folder"),
        (("m/1 1 100 100", "m 100"), "of segments itself"),
        (("m/1 1 50 100", "a 100"), "segment a has 100 Hz, not 50"),
        (("m/1 1 100 100", "a"), "segment a has no length"),
    ],
)
def test_broken_segments_are_named(tmp_path, lines, said):
    write_record(tmp_path, "a", beats(1, 1), labels=("I",))
    (tmp_path / "m.hea").write_text("\n".join(lines) + "\n")
    assert said in refused(tmp_path / "m.hea").detail


def test_signals_of_several_samples_a_frame_come_at_the_rate_of_frames(tmp_path):
    x = np.round(beats(2, 2, 200.0) * 1000).astype("<i2")
    frames = np.concatenate([x[0].reshape(-1, 2), x[1, ::2][:, None]], axis=1)  # I, I, II
    (tmp_path / "r.dat").write_bytes(frames.tobytes())
    lines = ("r 2 100 200", "r.dat 16x2 1000/mV 16 0 0 1 0 I", "r.dat 16 1000/mV 16 0 0 1 0 II")
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    found = read_wfdb(tmp_path / "r")
    assert found.signal_mv.shape == (2, 200) and not found.defects
    np.testing.assert_allclose(found.signal_mv[1], x[1, ::2] / 1000, atol=1e-6)
