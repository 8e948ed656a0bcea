"""The pipeline gives what the published preprocessing gives."""

import mne
import numpy as np
import pytest

from elm_jax.signals.pipeline import (
    ELM_SPEC,
    EVAL_OPTIONS,
    PrepOptions,
    prepare_file,
    process,
    windows,
)
from elm_jax.signals.recording import from_mne
from tests.signals.conftest import ELECTRODES, eeg_like
from tests.signals.reference import mne_reference

OPTIONS = {"eval": EVAL_OPTIONS, "pretrain": PrepOptions()}
STEP_UV = 1 / 32


def _golden(shared, kind):
    return np.load(shared / "golden" / "prep" / f"Subject00_1_{kind}.npz")


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_real_edf_gives_the_golden_values_also_as_stored(shared, kind):
    golden = _golden(shared, kind)
    path = shared / "data" / "eegmat" / "Subject00_1.edf"
    (piece,), judgement = prepare_file(path, ELM_SPEC, OPTIONS[kind])
    assert tuple(golden["channels"]) == ELM_SPEC.channels
    assert piece.start_s == (10.0 if kind == "pretrain" else 0.0)
    assert piece.signal.shape == golden["data"].shape
    assert judgement.usable and not judgement.defects
    np.testing.assert_allclose(piece.signal * 0.1, golden["data"], atol=2e-5, rtol=0)
    stored = np.round(piece.signal / STEP_UV).astype(np.int16)
    np.testing.assert_allclose(stored * STEP_UV * 0.1, golden["data"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_raw_object_gives_the_golden_values(shared, kind):
    raw = mne.io.read_raw_edf(shared / "data" / "eegmat" / "Subject00_1.edf", verbose="error")
    (piece,), defects = process(from_mne(raw), ELM_SPEC, OPTIONS[kind])
    assert not defects
    golden = _golden(shared, kind)["data"]
    np.testing.assert_allclose(piece.signal * 0.1, golden, atol=2e-5, rtol=0)


def test_the_24_recordings_give_575_windows(shared):
    total = 0
    for path in sorted((shared / "data" / "eegmat").glob("*.edf")):
        pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
        assert not judgement.defects
        for piece in pieces:
            crops = windows(piece.signal, ELM_SPEC)
            assert crops.shape[1:] == (20, 500)
            total += len(crops)
    assert total == 575


@pytest.mark.parametrize("pretrain", [False, True])
@pytest.mark.parametrize("sfreq_hz", [125, 160, 200, 250, 256, 400, 500, 512])
@pytest.mark.parametrize("clips", [False, True])
def test_every_rate_equals_mne_where_rows_clip_and_where_none_does(sfreq_hz, pretrain, clips):
    seconds = 71.3
    x = eeg_like(19, round(seconds * sfreq_hz), sfreq_hz, seed=int(sfreq_hz))
    x += np.linspace(0, 4000, 19)[:, None]  # offsets of the electrodes
    if clips:
        x[2, 30 * sfreq_hz : 30 * sfreq_hz + sfreq_hz // 10] += 2500
    info = mne.create_info(list(ELECTRODES), sfreq_hz, "eeg")
    raw = mne.io.RawArray(x * 1e-6, info, verbose="error")
    expected = mne_reference(raw, pretrain=pretrain)
    (piece,), _ = process(from_mne(raw), ELM_SPEC, OPTIONS["pretrain" if pretrain else "eval"])
    assert (np.abs(expected).max() > 70) == clips
    np.testing.assert_allclose(piece.signal * 0.1, expected, atol=4e-4, rtol=0)


@pytest.mark.parametrize("n", [16384 - 200 + 1, 16384 - 200, 5000])
def test_the_shortest_paddings_equal_mne(n):
    # Just under a power of two mne pads by 100 samples a side: its jump is near the signal.
    x = eeg_like(19, n, 250.0) * 3
    info = mne.create_info(list(ELECTRODES), 250.0, "eeg")
    raw = mne.io.RawArray(x * 1e-6, info, verbose="error")
    (piece,), _ = process(from_mne(raw), ELM_SPEC, EVAL_OPTIONS)
    expected = mne_reference(raw, pretrain=False)
    np.testing.assert_allclose(piece.signal * 0.1, expected, atol=4e-4, rtol=0)


def test_polyphase_keeps_exact_time():
    spec = ELM_SPEC.replace(resample="polyphase")
    t = np.arange(250 * 60) / 250
    x = np.zeros((19, len(t)))
    x[0] = 50 * np.sin(2 * np.pi * 7 * t)  # Fp1
    x += eeg_like(19, len(t), 250) * 1e-3
    raw = mne.io.RawArray(x * 1e-6, mne.create_info(list(ELECTRODES), 250, "eeg"), verbose="error")
    (piece,), _ = process(from_mne(raw), spec, EVAL_OPTIONS)
    expected = 50 * np.sin(2 * np.pi * 7 * np.arange(6000) / 100)
    np.testing.assert_allclose(piece.signal[0, 1000:-1000], expected[1000:-1000], atol=0.5)


def test_windows_are_in_network_values():
    spec = ELM_SPEC.replace(mean=1.0, std=2.0)
    signal = np.full((20, 1099), 50.0, np.float32)
    assert np.array_equal(windows(signal, spec), np.full((2, 20, 500), 2.0, np.float32))
