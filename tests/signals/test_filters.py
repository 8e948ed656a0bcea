import mne
import numpy as np
import pytest

from elm_jax.signals import resample
from elm_jax.signals.filters import Rows, design_bandpass, filter_rows
from tests.signals.conftest import eeg_like


def bandpass(x, sfreq_hz, highpass_hz, lowpass_hz):
    """The band-pass alone, at the full rate, which ``mne.io.Raw.filter`` gives too."""
    x = np.ascontiguousarray(x, np.float32)
    band = (float(sfreq_hz), float(highpass_hz), float(lowpass_hz))
    picked = [(i, None, 1) for i in range(len(x))]
    rows = Rows(x, picked, len(design_bandpass(*band)), keep_constant=highpass_hz == 0)
    out = np.empty_like(x)
    filter_rows(rows, band, 0, out)
    return out


@pytest.mark.parametrize("sfreq_hz", [100, 125, 128, 160, 173.61, 200, 250, 256, 400, 500, 512,
                                      1000, 1024, 2000])  # fmt: skip
def test_coefficients_are_those_of_mne(sfreq_hz):
    expected = mne.filter.create_filter(None, sfreq_hz, 0.1, 49.0, verbose="error")
    assert np.array_equal(design_bandpass(float(sfreq_hz), 0.1, 49.0), expected)


@pytest.mark.parametrize("band", [(0.5, 40.0), (1.0, 70.0), (4.0, 30.0), (0.3, 75.0)])
def test_coefficients_of_other_bands_are_those_of_mne(band):
    expected = mne.filter.create_filter(None, 256, *band, verbose="error")
    assert np.array_equal(design_bandpass(256.0, *band), expected)


def test_no_highpass_is_a_lowpass():
    expected = mne.filter.create_filter(None, 256, None, 49.0, verbose="error")
    assert np.array_equal(design_bandpass(256.0, 0.0, 49.0), expected)
    x = eeg_like(2, 3000, 256) + 100
    expected = mne.io.RawArray(x.copy(), mne.create_info(2, 256.0, "eeg"), verbose="error")
    expected.filter(None, 49.0, verbose="error")
    np.testing.assert_allclose(bandpass(x, 256, 0.0, 49.0), expected.get_data(), atol=1e-3)


def test_a_band_over_half_the_rate_is_an_error():
    with pytest.raises(ValueError, match="does not fit under half of 90"):
        design_bandpass(90.0, 0.1, 49.0)


@pytest.mark.parametrize("n", [2, 500, 3300, 3301, 3302, 6601, 30_000])
def test_filtering_equals_raw_filter_down_to_signals_shorter_than_the_filter(n):
    x = eeg_like(3, n, 200) + 50
    raw = mne.io.RawArray(x.copy(), mne.create_info(3, 200.0, "eeg"), verbose="error")
    with pytest.warns() if n < 6601 else _nothing():
        raw.filter(0.1, 49.0, verbose="error" if n >= 6601 else "warning")
    np.testing.assert_allclose(bandpass(x, 200, 0.1, 49.0), raw.get_data(), atol=2e-4)


def _nothing():
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize("rates", [(500, 100), (250, 100), (100, 250), (173.61, 100), (64, 100)])
@pytest.mark.parametrize("n", [3, 10, 999, 4096, 5001])
def test_fft_resampling_equals_mne(rates, n):
    x = (eeg_like(2, n, rates[0])).astype(np.float32)
    raw = mne.io.RawArray(x.copy(), mne.create_info(2, rates[0], "eeg"), verbose="error")
    expected = raw.resample(rates[1], verbose="error").get_data()
    np.testing.assert_allclose(resample.mne_fft(x, *rates), expected, atol=2e-4)


def test_fft_resampling_of_a_long_signal_equals_mne():
    x = eeg_like(1, 70_001, 250.0).astype(np.float32)
    raw = mne.io.RawArray(x.astype(np.float64), mne.create_info(1, 250.0, "eeg"), verbose="error")
    expected = raw.resample(100, verbose="error").get_data()
    np.testing.assert_allclose(resample.mne_fft(x, 250.0, 100.0), expected, atol=2e-4)
