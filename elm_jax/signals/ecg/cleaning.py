"""What is taken out of a gap-free stretch of ECG: band, mains, baseline wander, noise."""

import math

import numpy as np
from jaxtyping import Float32

from elm_jax.data.spec import SignalSpec

_ORDER = 2  # of the Butterworth edges; both ways make it 4
_NOTCH_Q = 30.0  # middle over width, as usual for mains
_EDGE_S = 3.0  # a stretch is continued so far, by odd reflection, before it is filtered
_QRS_S, _BEAT_S = 0.2, 0.6  # widths of the two medians
_WAVELET = "sym4"
_NOISE_FROM_HZ = 12.0  # bands of the wavelet transform below hold P, QRS and T and are kept whole


def clean(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, spec: SignalSpec
) -> Float32[np.ndarray, "c t"]:
    """Baseline, band, notches, wavelet, in this order, as far as ``spec`` asks for them.

    Args:
      x: one gap-free stretch, finite.
      sfreq_hz: its rate.
      spec: ``cleaning``, ``highpass_hz``, ``lowpass_hz`` and ``notch_hz`` are looked at. An upper
        edge, or a notch, that the rate does not hold has nothing to take out.
    """
    if "baseline" in spec.cleaning:
        x = x - baseline(x, sfreq_hz)
    sections = _sections(sfreq_hz, spec)
    if len(sections):
        from scipy.signal import sosfiltfilt

        pad = min(round(_EDGE_S * sfreq_hz), x.shape[1] - 1)
        x = sosfiltfilt(sections, x, axis=-1, padtype="odd", padlen=pad)
    if "wavelet" in spec.cleaning:
        x = denoised(np.asarray(x, np.float32), sfreq_hz)
    return np.asarray(x, np.float32)


def baseline(x: Float32[np.ndarray, "c t"], sfreq_hz: float) -> Float32[np.ndarray, "c t"]:
    """What an ECG wanders about: a median over 200 ms, and over 600 ms of what that gives.

    The first takes away QRS and P, the second T (de Chazal, O'Dwyer, Reilly 2004,
    doi:10.1109/TBME.2004.827359). Unlike a high-pass it leaves the ST segment's level.
    """
    from scipy.ndimage import median_filter

    for width_s in (_QRS_S, _BEAT_S):
        width = max(round(width_s * sfreq_hz), 1) | 1
        x = np.stack([median_filter(row, width, mode="nearest") for row in x])
    return x


def denoised(x: Float32[np.ndarray, "c t"], sfreq_hz: float) -> Float32[np.ndarray, "c t"]:
    """Soft thresholds on the fine scales of a wavelet transform (sym4).

    The threshold of a scale is the universal one, ``sigma sqrt(2 ln n)`` (Donoho and Johnstone
    1994, doi:10.1093/biomet/81.3.425), with sigma from the median of that scale's own coefficients:
    noise fills a scale, beats are few of its coefficients.

    Raises:
      ImportError: PyWavelets is not installed; says how.
    """
    try:
        import pywt
    except ImportError as error:
        raise ImportError(
            "cleaning an ECG by wavelets needs PyWavelets: pip install 'elm_jax[ecg]'"
        ) from error
    deepest = pywt.dwt_max_level(x.shape[1], pywt.Wavelet(_WAVELET).dec_len)
    # Scale k holds the octave above sfreq / 2^(k + 1).
    levels = min(max(int(math.log2(sfreq_hz / _NOISE_FROM_HZ)) - 1, 0), deepest)
    if not levels:
        return x
    coarse, *fine = pywt.wavedec(x, _WAVELET, mode="symmetric", level=levels, axis=-1)
    shrunk = [coarse]
    for band in fine:
        sigma = np.median(np.abs(band), axis=-1, keepdims=True) / 0.6745
        limit = sigma * math.sqrt(2 * math.log(x.shape[1]))
        shrunk.append(np.sign(band) * np.maximum(np.abs(band) - limit, 0))
    restored = pywt.waverec(shrunk, _WAVELET, mode="symmetric", axis=-1)
    return restored[:, : x.shape[1]].astype(np.float32)


def edges_hz(sfreq_hz: float, spec: SignalSpec) -> tuple[float | None, float | None]:
    """Lower and upper edge of the filter for a rate; None where there is nothing to filter.

    Half of the spec's rate as the upper edge stands for no filter: resampling has its own.
    """
    low = spec.highpass_hz or None
    open_end = math.isclose(spec.lowpass_hz, spec.sfreq_hz / 2)
    high = None if open_end or spec.lowpass_hz >= sfreq_hz / 2 else spec.lowpass_hz
    return low, high


def _sections(sfreq_hz: float, spec: SignalSpec) -> np.ndarray:
    """Second-order sections of all filters, one after another."""
    named = zip(("highpass", "lowpass"), edges_hz(sfreq_hz, spec), strict=True)
    edges = [(kind, edge_hz) for kind, edge_hz in named if edge_hz is not None]
    notches = [middle_hz for middle_hz in spec.notch_hz if middle_hz < sfreq_hz / 2]
    if not edges and not notches:
        return np.empty((0, 6))  # whose import takes longer than reading a hundred records
    from scipy import signal

    sections = [signal.butter(_ORDER, hz, kind, fs=sfreq_hz, output="sos") for kind, hz in edges]
    for middle_hz in notches:
        taps = signal.iirnotch(middle_hz, _NOTCH_Q, fs=sfreq_hz)
        sections.append(signal.tf2sos(*taps))
    return np.concatenate(sections)
