"""Units, rates, references, flat and saturated electrodes, durations, and what is secret."""

import logging

import mne
import numpy as np
import pytest

from elm_jax.signals.pipeline import (
    ELM_SPEC,
    EVAL_OPTIONS,
    PrepOptions,
    judge,
    prepare_file,
    process,
    windows,
)
from elm_jax.signals.recording import Recording, from_mne, read_edf
from tests.signals.conftest import ELECTRODES, SECRETS, eeg_like

RATE = 200


def _kinds(judgement):
    return [d.kind for d in judgement.defects]


def _signal(seconds=70):
    return eeg_like(19, seconds * RATE, RATE)


@pytest.mark.parametrize(
    "unit, unit_uv", [("uV", 1), ("µV", 1), ("mV", 1e3), ("V", 1e6), ("nV", 1e-3), ("uv", 1)]
)
def test_units_of_the_header_become_microvolts(edf, unit, unit_uv):
    recording = read_edf(edf(unit=unit, unit_uv=unit_uv))
    plain = read_edf(edf("b.edf"))
    np.testing.assert_allclose(recording.signal_uv, plain.signal_uv, rtol=1e-3, atol=0.2)
    assert not recording.defects


@pytest.mark.parametrize("unit", ["", "ADU", "Jane"])
def test_an_unknown_unit_is_taken_as_microvolts_and_listed(edf, unit):
    _, judgement = prepare_file(edf(unit=unit), ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["unknown_unit"] and judgement.usable
    assert "Jane" not in str(judgement)


@pytest.mark.parametrize("factor", [1e-3, 100])
def test_a_typical_amplitude_outside_1_to_200_uv_is_a_probable_unit_error(edf, factor):
    path = edf(signals_uv=_signal() * factor, limit_uv=32767 * max(factor / 100, factor * 0.1))
    _, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["unit_suspect"] and judgement.usable


def test_drift_of_millivolts_is_no_unit_error(edf):
    x = _signal() + 2000 * np.sin(
        2 * np.pi * np.arange(70 * RATE) / RATE / 60 + np.arange(19)[:, None]
    )
    _, judgement = prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)
    assert not judgement.defects


def test_offset_gain_and_channel_order_are_those_of_mne(shared, edf):
    for path in (edf(), shared / "data" / "eegmat" / "Subject00_2.edf",
                 shared / "data" / "eegmmidb_S001" / "S001R01.edf"):  # fmt: skip
        recording = read_edf(path)
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        taken = from_mne(raw)
        assert taken.channels == recording.channels
        assert taken.sfreq_hz == recording.sfreq_hz
        np.testing.assert_allclose(taken.signal_uv, recording.signal_uv, rtol=1e-5, atol=1e-3)


def test_a_real_64_channel_cap_with_dots_in_its_names_has_the_montage(shared):
    path = shared / "data" / "eegmmidb_S001" / "S001R01.edf"
    pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    assert judgement.usable and not judgement.unknown and len(judgement.electrodes_found) == 64
    assert len(windows(pieces[0].signal, ELM_SPEC)) == 12


def test_a_bdf_reads_like_its_edf(edf, tmp_path):
    raw = edf().read_bytes()
    start = 256 * 20
    samples = np.frombuffer(raw[start:], "<i2").astype("<i4")
    wide = samples.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    path = tmp_path / "a.bdf"
    path.write_bytes(b"\xffBIOSEMI" + raw[8:start] + wide)
    assert np.array_equal(read_edf(path).signal_uv, read_edf(tmp_path / "a.edf").signal_uv)


def test_channels_of_another_rate_are_left_out(edf):
    labels = (*ELECTRODES, "ECG", "A1")
    x = np.zeros((21, 70 * RATE))
    x[:19] = _signal()
    # ECG at twice the rate by taking A1's room: 400 + 0 samples in a record.
    path = edf(labels=labels, signals_uv=x, widths={"ECG": "300", "A1": "100"})
    recording = read_edf(path)
    assert recording.sfreq_hz == RATE and "A1" not in recording.channels
    assert [d.kind for d in recording.defects] == ["channel_other_rate"]
    assert np.array_equal(read_edf(edf("b.edf", signals_uv=x[:19])).signal_uv, recording.signal_uv)
    path = edf(labels=labels, signals_uv=x, widths={"Fp1": "100", "A1": "300"})
    assert prepare_file(path, ELM_SPEC, EVAL_OPTIONS)[1].electrodes_missing == ("Fp1",)


def test_a_file_in_the_bipolar_montage_is_taken_as_it_is(edf):
    electrodes, _ = prepare_file(edf(), ELM_SPEC, EVAL_OPTIONS)
    x = read_edf(edf()).signal_uv
    index = {e: i for i, e in enumerate(ELECTRODES)}
    rows = [x[index[a]] - x[index[b]] for a, b in (n.split("-") for n in ELM_SPEC.channels)]
    rows[3] = -rows[3]
    labels = [n.upper().replace("T5", "P7") for n in ELM_SPEC.channels]
    labels[3] = "O1-P7"
    path = edf("b.edf", labels=tuple(labels), signals_uv=np.array(rows))
    pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    assert not judgement.defects
    np.testing.assert_allclose(pieces[0].signal, electrodes[0].signal, atol=0.1)
    path = edf("c.edf", labels=tuple(labels[1:]), signals_uv=np.array(rows)[1:])
    _, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    assert judgement.electrodes_missing == ("Fp1-F7",)


def test_electrodes_of_different_references_are_listed_where_they_meet(edf):
    odd = {"Fp1", "F7", "F3", "T3", "C3", "T5", "P3", "O1", "Cz", "Fz", "Pz"}
    labels = tuple(f"{e}-{'A1' if e in odd else 'A2'}" for e in ELECTRODES)
    _, judgement = prepare_file(edf(labels=labels), ELM_SPEC, EVAL_OPTIONS)
    assert judgement.usable
    assert [(d.kind, d.channel) for d in judgement.defects] == [("mixed_reference", "Cz-C4")]


def test_of_two_channels_with_one_meaning_the_first_is_used(edf):
    x = np.concatenate([_signal(), _signal()[:1] * 3])
    path = edf(labels=(*ELECTRODES, "EEG FP1-LE"), signals_uv=x)
    recording = read_edf(path)
    assert [(d.kind, d.channel) for d in recording.defects] == [("duplicate_channel", "EEG FP1-LE")]
    assert np.array_equal(recording.signal_uv, read_edf(edf("b.edf")).signal_uv)


def test_a_flat_electrode_makes_the_recording_useless_unless_no_row_needs_it(edf):
    x = _signal()
    x[ELECTRODES.index("Pz")] = 0
    assert prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)[1].usable
    x[ELECTRODES.index("C3")] = 7
    _, judgement = prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)
    assert [(d.kind, d.channel) for d in judgement.defects] == [("flat_channel", "C3")]
    assert not judgement.usable


def test_an_electrode_that_hears_only_its_amplifier_is_flat(edf):
    x = _signal()
    x[ELECTRODES.index("C3")] = 0.1 * np.random.default_rng(0).integers(-1, 2, x.shape[1])
    _, judgement = prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["flat_channel"]


@pytest.mark.parametrize("value, kind", [(12.0, "flat_stretch"), (3276.7, "saturated_stretch")])
def test_a_flat_or_saturated_stretch_is_cut_out_and_what_is_around_it_is_clean(edf, value, kind):
    x = _signal()
    x[ELECTRODES.index("O1"), 30 * RATE : 34 * RATE] = value
    pieces, judgement = prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)
    (defect,) = judgement.defects
    assert (defect.kind, defect.channel) == (kind, "O1")
    assert defect.start_s == pytest.approx(30, abs=0.1) and defect.stop_s == pytest.approx(
        34, abs=0.1
    )
    assert [round(p.start_s) for p in pieces] == [0, 34]
    assert all(np.abs(p.signal).max() < 300 for p in pieces)


@pytest.mark.parametrize("start", range(0, 7))
def test_a_flat_stretch_of_two_seconds_is_found_wherever_it_begins(edf, start):
    x = _signal()
    at = 20 * RATE + 7 * start
    x[0, at : at + 2 * RATE] = 5
    _, judgement = prepare_file(edf(signals_uv=x), ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["flat_stretch"]


def test_an_electrode_that_often_stands_at_its_limit_is_listed(edf):
    x = _signal()
    x[2] = np.clip(x[2] * 10, -100, 100)
    _, judgement = prepare_file(edf(signals_uv=x, limit_uv=1000.0), ELM_SPEC, EVAL_OPTIONS)
    assert [(d.kind, d.channel) for d in judgement.defects] == [("saturated_channel", "F3")]


@pytest.mark.parametrize(
    "seconds, skipped", [(59, "too_short"), (60, None), (62, None), (181, "too_long")]
)
def test_duration_is_judged_on_the_raw_recording(edf, seconds, skipped):
    options = PrepOptions(max_duration_s=180.0)
    path = edf(seconds=seconds)
    pieces, judgement = prepare_file(path, ELM_SPEC, options)
    assert judgement.usable == (skipped is None)
    if skipped:
        assert _kinds(judgement) == [skipped] and not pieces
        assert process(read_edf(path), ELM_SPEC, options)[1][0].kind == skipped
    else:
        assert pieces[0].signal.shape[1] % 1000 == 0
    assert prepare_file(path, ELM_SPEC, EVAL_OPTIONS)[1].usable


def test_a_rate_too_low_for_the_band_is_said(edf):
    path = edf(sfreq_hz=90)
    assert _kinds(prepare_file(path, ELM_SPEC, EVAL_OPTIONS)[1]) == ["low_rate"]


def _raw(x=None, names=ELECTRODES):
    x = _signal() if x is None else x
    return mne.io.RawArray(x * 1e-6, mne.create_info(list(names), RATE, "eeg"), verbose="error")


def test_nan_is_cut_out_and_listed():
    x = _signal()
    x[5, 4000:4010] = np.nan
    x[6, 4005:4020] = np.inf
    pieces, _ = process(from_mne(_raw(x)), ELM_SPEC, EVAL_OPTIONS)
    judgement = judge(from_mne(_raw(x)), ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["non_finite"]
    assert [p.start_s for p in pieces] == [0, 4020 / RATE]
    assert all(np.isfinite(p.signal).all() for p in pieces)


def test_nan_that_a_recording_hides_is_an_error_never_a_window():
    x = _signal().astype(np.float32)
    x[5, 4000] = np.nan
    recording = Recording(x, ELECTRODES, 200.0, ((0, x.shape[1]),), (0.0,), 70.0)
    with pytest.raises(ValueError, match="not finite"):
        process(recording, ELM_SPEC, EVAL_OPTIONS)


@pytest.mark.parametrize("with_date", [False, True])
def test_bad_annotations_and_boundaries_of_a_raw_are_gaps(with_date):
    raw = _raw()
    if with_date:
        raw.set_meas_date(1_600_000_000)
    raw.set_annotations(mne.Annotations(
        [20, 40, 50], [5, 0, 1], ["BAD_Jane moved", "EDGE boundary", "Jane sleeps"],
        orig_time=raw.info["meas_date"],
    ))  # fmt: skip
    raw.crop(5)
    recording = from_mne(raw)
    pieces, defects = process(recording, ELM_SPEC, EVAL_OPTIONS)
    assert [p.start_s for p in pieces] == [0, 20, 35]
    assert [p.signal.shape[1] for p in pieces] == [1500, 1500, 3000]
    assert "Jane" not in str(recording) + str(defects)


def test_bad_channels_of_a_raw_are_missing():
    raw = _raw()
    raw.info["bads"] = ["C3"]
    judgement = judge(from_mne(raw), ELM_SPEC, EVAL_OPTIONS)
    assert _kinds(judgement) == ["channel_marked_bad", "missing_electrodes"]


@pytest.mark.parametrize("spoil", [None, lambda b: b[:-777], lambda b: b[:6000], lambda b: b[:400]])
@pytest.mark.parametrize("changes", [
    {}, {"date": "99.99.99"}, {"record_s": "Jane"}, {"n_records": "Smith"}, {"unit": "Smith"},
    {"digital": {"EEG FP1-REF": ("Jane", "Smith")}}, {"widths": {"EEG FP1-REF": "Jane"}},
    {"reserved": "EDF+D"}, {"reserved": "EDF+C"},
])  # fmt: skip
def test_nothing_of_who_it_is_leaves_the_file(edf, caplog, capfd, spoil, changes):
    path = edf(
        spoil=spoil, onsets_s=[*range(40), *range(50, 80)],
        patient="MRN555 F 04-MAY-1961 Jane_Smith", recording="Startdate X Dr_Who 555-1234",
        annotation="Jane Smith collapsed at home", **changes,
    )  # fmt: skip
    with caplog.at_level(logging.DEBUG):
        pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
        said = repr(judgement) + repr([d.to_dict() for d in judgement.defects])
        try:
            recording = read_edf(path)
        except Exception as error:
            said += repr(error) + str(error) + repr(error.__context__) + repr(error.__cause__)
        else:
            said += repr({k: v for k, v in vars(recording).items() if k != "signal_uv"})
    said += caplog.text + "".join(capfd.readouterr())
    for secret in (*SECRETS, "MRN555", "Jane_Smith"):
        assert secret not in said
