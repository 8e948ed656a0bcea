"""Signals by name: what becomes of a recording for EEGPT, beside the same steps done by mne."""

import json

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.channels import DICTIONARY, channel_id, known_channels
from elm_jax.convert.standalone import preprocess
from elm_jax.data.spec import SignalSpec, SpecError
from elm_jax.signals.filters import design_bandpass, design_notch
from elm_jax.signals.montage import MEAN, montage_rows
from elm_jax.signals.pipeline import EVAL_OPTIONS, judge, prepare_file, process, windows
from elm_jax.signals.profiles import BY_NAME, EEGPT58, EEGPT_SPEC, ELM_SPEC, PROFILES, profile
from elm_jax.signals.recording import channel_names, from_mne, read_edf
from elm_jax.signals.resample import half_rate_is_enough
from tests.signals.conftest import ELECTRODES, eeg_like

mne.set_log_level("error")
TWELVE = EEGPT_SPEC.replace(channels=ELECTRODES[:12])


def raw_of(x_uv, sfreq_hz, names=ELECTRODES):
    return mne.io.RawArray(x_uv * 1e-6, mne.create_info(list(names), sfreq_hz, "eeg"))


def by_mne(raw, names, lowpass_hz, *, notch_hz=(), highpass_hz=0.1):
    """Microvolts against the mean of ``names``, filtered, clipped and at 256 Hz."""
    raw = raw.copy().load_data().pick(list(names))
    raw.set_eeg_reference("average", projection=False)
    raw.filter(highpass_hz, lowpass_hz)
    if notch_hz:
        raw.notch_filter(list(notch_hz))
    raw._data[:] = np.clip(raw._data, -800e-6, 800e-6)
    if raw.info["sfreq"] != 256:
        raw.resample(256.0)
    return raw.get_data() * 1e6


# -- real recordings ------------------------------------------------------------------------------


def test_160_hz_of_64_electrodes_become_256_hz_against_the_mean_of_the_58_as_with_mne(shared):
    path = shared / "data" / "eegmmidb_S001" / "S001R04.edf"
    (piece,), judgement = prepare_file(path, EEGPT_SPEC, EVAL_OPTIONS)
    assert judgement.usable and not judgement.defects  # the whole band fits under 80 Hz
    raw = mne.io.read_raw_edf(path)
    label_of = dict(zip((from_mne(raw).channels), raw.ch_names, strict=True))
    expected = by_mne(raw, [label_of[name] for name in EEGPT58], 75.0)
    np.testing.assert_allclose(piece.signal, expected, atol=2e-3, rtol=0)
    crops = windows(piece.signal, EEGPT_SPEC)
    assert crops.shape == (31, 58, 1024)
    # Network values are millivolts; the mean over electrodes is nothing, up to what clips.
    assert 0.01 < crops.std() < 0.1 and np.abs(crops.mean(axis=1)).max() < 1e-3


def test_500_hz_of_19_electrodes_become_256_hz_as_with_mne(shared):
    path = shared / "data" / "eegmat" / "Subject00_2.edf"
    names, dropped = known_channels(channel_names(path))
    assert len(names) == 19 and dropped == ("A2-A1", "ECG ECG")
    spec = EEGPT_SPEC.replace(channels=tuple(sorted(names, key=channel_id)), notch_hz=(50.0,))
    (piece,), judgement = prepare_file(path, spec, EVAL_OPTIONS)
    assert not judgement.defects
    labels = [f"EEG {name}" for name in spec.channels]
    expected = by_mne(mne.io.read_raw_edf(path), labels, 75.0, notch_hz=(50.0,))
    np.testing.assert_allclose(piece.signal, expected, atol=2e-3, rtol=0)


# -- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sfreq_hz", "lowpass_hz", "notch_hz"),
    [
        (128, 57.6, ()), (160, 75.0, (60.0,)), (200, 75.0, (50.0,)), (250, 75.0, ()),
        (256, 75.0, (50.0,)), (500, 75.0, (50.0, 100.0)), (512, 75.0, ()), (1000, 75.0, (60.0,)),
    ],
)  # fmt: skip
def test_every_rate_equals_mne_and_what_exports_carry(sfreq_hz, lowpass_hz, notch_hz):
    x = eeg_like(19, round(31.3 * sfreq_hz), sfreq_hz, seed=sfreq_hz)
    x += np.linspace(0, 4000, 19)[:, None]  # offsets of the electrodes
    x[2, 9 * sfreq_hz : 9 * sfreq_hz + sfreq_hz // 8] += 4000  # clips
    raw, spec = raw_of(x, sfreq_hz), TWELVE.replace(notch_hz=notch_hz)
    (piece,), defects = process(from_mne(raw), spec, EVAL_OPTIONS)
    expected = by_mne(raw, spec.channels, lowpass_hz, notch_hz=notch_hz)
    assert (np.abs(expected).max() > 700) and piece.signal.shape == expected.shape
    np.testing.assert_allclose(piece.signal, expected, atol=5e-3, rtol=0)
    assert [d.kind for d in defects] == (["band_narrowed"] if lowpass_hz < 75 else [])
    written = json.loads(json.dumps(spec.to_dict()))  # as an export has it
    exported, _ = preprocess.network_windows(x, ELECTRODES, sfreq_hz, written, unit="uV")
    np.testing.assert_allclose(exported, windows(piece.signal, spec), atol=5e-6, rtol=0)


def test_the_shortcut_over_half_the_rate_is_not_taken_to_as_high_a_rate():
    assert half_rate_is_enough(500.0, 60.0, 100.0)
    assert not half_rate_is_enough(500.0, 60.0, 256.0)
    assert not half_rate_is_enough(512.0, 60.0, 256.0)


@pytest.mark.parametrize("sfreq_hz", [160.0, 250.0, 256.0, 500.0])
@pytest.mark.parametrize("middle_hz", [50.0, 60.0])
def test_a_notch_has_the_coefficients_of_mne(sfreq_hz, middle_hz):
    ours = design_notch(sfreq_hz, middle_hz)
    impulse = np.zeros(20_001)
    impulse[10_000] = 1
    theirs = mne.filter.notch_filter(impulse, sfreq_hz, middle_hz, pad="constant")
    reach = len(ours) // 2
    np.testing.assert_allclose(theirs[10_000 - reach : 10_001 + reach], ours, atol=1e-12)
    assert abs(theirs[: 10_000 - reach]).max() < 1e-12


def test_a_notch_takes_mains_out_and_leaves_the_neighbours():
    h = design_bandpass(256.0, 0.1, 75.0, (50.0,))
    gain = np.abs(np.fft.rfft(h, 2**16))
    hz = np.fft.rfftfreq(2**16, 1 / 256)
    at = {f: gain[np.argmin(abs(hz - f))] for f in (0.0, 10.0, 48.0, 50.0, 52.0)}
    assert at[0.0] < 1e-9 and at[50.0] < 5e-3
    assert all(abs(at[f] - 1) < 0.01 for f in (10.0, 48.0, 52.0))


def test_a_notch_that_the_rate_does_not_hold_is_left_out_not_refused():
    spec = TWELVE.replace(notch_hz=(50.0, 60.0))
    x = eeg_like(19, 3000, 100)
    (piece,), defects = process(from_mne(raw_of(x, 100)), spec, EVAL_OPTIONS)
    assert [d.kind for d in defects] == ["band_narrowed"] and np.isfinite(piece.signal).all()
    same, _ = process(from_mne(raw_of(x, 100)), TWELVE, EVAL_OPTIONS)
    assert np.array_equal(piece.signal, same[0].signal)


def test_only_the_electrodes_used_are_averaged_and_their_common_part_is_gone():
    x = eeg_like(19, 256 * 20, 256)
    x[12:] += 1e4 * np.sin(np.arange(x.shape[1]) / 9)  # not among the twelve
    common = 3e4 + 200 * np.cos(np.arange(x.shape[1]) / 40)
    x[:12] += common
    (piece,), _ = process(from_mne(raw_of(x, 256)), TWELVE, EVAL_OPTIONS)
    (without,), _ = process(from_mne(raw_of(x - common, 256)), TWELVE, EVAL_OPTIONS)
    # float32 holds 30 mV to 2 nV.
    np.testing.assert_allclose(piece.signal, without.signal, atol=0.02)
    assert np.abs(piece.signal.mean(axis=0)).max() < 1e-2


@settings(max_examples=15)
@given(st.permutations(range(19)), st.integers(2, 19))
def test_the_order_of_a_files_channels_changes_nothing(order, n):
    x = eeg_like(19, 256 * 5, 256)
    spec = EEGPT_SPEC.replace(channels=ELECTRODES[:n])
    names = [ELECTRODES[i] for i in order]
    (piece,), _ = process(from_mne(raw_of(x[order], 256, names)), spec, EVAL_OPTIONS)
    (sorted_,), _ = process(from_mne(raw_of(x, 256)), spec, EVAL_OPTIONS)
    np.testing.assert_allclose(piece.signal, sorted_.signal, atol=1e-4)


def test_electrodes_against_several_references_are_averaged_and_said(edf):
    labels = tuple(f"EEG {e}-{'A1' if i % 2 else 'A2'}" for i, e in enumerate(ELECTRODES))
    judgement = judge(read_edf(edf(labels=labels)), TWELVE, EVAL_OPTIONS)
    (defect,) = judgement.defects
    assert judgement.usable and defect.kind == "mixed_reference" and "A1 and A2" in defect.detail


def test_derivations_cannot_be_averaged():
    spec = EEGPT_SPEC.replace(channels=("Fp1-F7", "Cz"))
    with pytest.raises(ValueError, match="Fp1-F7"):
        judge(from_mne(raw_of(eeg_like(19, 3000, 256), 256)), spec, EVAL_OPTIONS)
    rows, missing = montage_rows("average", ("Cz", "Oz"), ("Cz", "Fz"))
    assert missing == ["Oz"] and rows[0].minus == MEAN


def test_a_slow_source_is_refused_where_the_signal_says_so():
    recording = from_mne(raw_of(eeg_like(19, 128 * 20, 128), 128))
    assert judge(recording, TWELVE, EVAL_OPTIONS).usable
    refused = judge(recording, TWELVE.replace(slow_source="refuse"), EVAL_OPTIONS)
    assert not refused.usable and refused.skipped.startswith("low_rate")


def test_exports_refuse_a_montage_that_they_do_not_know():
    spec = TWELVE.to_dict() | {"montage": "laplacian"}
    with pytest.raises(ValueError, match="laplacian"):
        preprocess.network_windows(np.zeros((19, 2000)), ELECTRODES, 256.0, spec, unit="uV")


# -- descriptions ---------------------------------------------------------------------------------


def test_what_was_written_before_there_were_notches_reads_and_is_written_the_same():
    old = ELM_SPEC.to_dict()
    assert {"notch_hz", "slow_source"}.isdisjoint(old) and len(old) == 13
    assert SignalSpec.from_dict(json.loads(json.dumps(old))) == ELM_SPEC


@pytest.mark.parametrize("spec", [EEGPT_SPEC, EEGPT_SPEC.replace(notch_hz=(50.0, 100.0)), ELM_SPEC])
def test_descriptions_survive_json(spec):
    assert SignalSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"notch_hz": (128.0,)},
        {"notch_hz": (0.0,)},
        {"notch_hz": (float("nan"),)},
        {"slow_source": "whatever"},
    ],
)
def test_impossible_filters_are_refused(change):
    with pytest.raises(SpecError, match=next(iter(change))):
        EEGPT_SPEC.replace(**change)


def test_the_published_electrodes_are_in_the_dictionary_in_the_houses_spelling():
    ids = [channel_id(name) for name in EEGPT58]
    assert len(EEGPT58) == 58 and ids == sorted(ids)
    assert {DICTIONARY[i] for i in range(62)} - {DICTIONARY[i] for i in ids} == {
        "AF7", "AF8", "PO5", "PO6"
    }  # fmt: skip
    assert "T3" in EEGPT58 and "T7" not in EEGPT58


def test_profiles_are_found_by_name_and_unknown_ones_list_the_known():
    assert profile("eegpt") is EEGPT_SPEC and set(PROFILES) >= {"elm", "eegpt"} | BY_NAME
    with pytest.raises(SpecError, match="elm"):
        profile("biot")
