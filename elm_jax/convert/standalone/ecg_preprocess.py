"""Leads of an ECG -> the signal that a model takes, by an export's ``config.json``: on its own.

``preprocess.network_windows`` comes here where the spec's montage is "leads"; use that. The steps
are those that the model was trained with: leads by name, what the spec takes out (baseline, band,
mains, noise), clipping, resampling on true time. Needs NumPy and SciPy; a spec with ``cleaning``
"wavelet" needs PyWavelets as well. Flat leads and holes are left to you.

Part of elm_jax, Apache-2.0.
"""

import math
import re
from fractions import Fraction

import numpy as np

MV_PER_UNIT = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}
PREFIX = re.compile(r"^(MDC[\s_]ECG[\s_]LEAD|E[CK]G[\s_:-]*LEAD|E[CK]G|LEAD)[\s_:-]+")
OTHER_NAMES = {"X": "VX", "Y": "VY", "Z": "VZ", "DI": "I", "DII": "II", "DIII": "III"}


def canonical(name):
    """``"Lead aVR" -> "AVR"``, in capitals."""
    bare = re.sub(r"(?<=AV)[\s_](?=[RLF]$)", "", PREFIX.sub("", name.strip().upper()).strip())
    return OTHER_NAMES.get(bare, bare)


def conditioned(signal, names, sfreq_hz, spec, *, unit):
    """A stretch of finite numbers, cleaned, clipped and resampled: ``[c, t]`` in the spec's unit.

    Raises:
      ValueError: leads are missing (all are named), or the rate is one that the spec refuses.
    """
    row_of = {}
    for i, name in enumerate(names):
        row_of.setdefault(canonical(name), i)
    if missing := [name for name in spec["channels"] if canonical(name) not in row_of]:
        raise ValueError(f"missing leads: {missing}; found: {sorted(row_of)}")
    if spec.get("slow_source", "refuse") == "refuse" and sfreq_hz / 2 < spec["lowpass_hz"]:
        raise ValueError(f"{sfreq_hz} Hz cannot hold the band up to {spec['lowpass_hz']} Hz")
    x = signal[[row_of[canonical(name)] for name in spec["channels"]]] * MV_PER_UNIT[unit]
    x = clean(x, sfreq_hz, spec) / MV_PER_UNIT[spec["unit"]]
    x = np.clip(x, -spec["clip"], spec["clip"])
    return resample(x, sfreq_hz, spec["sfreq_hz"], spec["resample"])


def clean(x, sfreq_hz, spec):
    """Baseline (medians over 200 and 600 ms), Butterworth band and notches both ways, wavelets."""
    if "baseline" in spec.get("cleaning", ()):
        from scipy.ndimage import median_filter

        wander = x
        for width_s in (0.2, 0.6):
            width = max(round(width_s * sfreq_hz), 1) | 1
            wander = np.stack([median_filter(row, width, mode="nearest") for row in wander])
        x = x - wander
    sections = sections_of(sfreq_hz, spec)
    if sections:
        from scipy.signal import sosfiltfilt

        pad = min(round(3.0 * sfreq_hz), x.shape[1] - 1)
        x = sosfiltfilt(np.concatenate(sections), x, axis=-1, padtype="odd", padlen=pad)
    return denoised(x, sfreq_hz) if "wavelet" in spec.get("cleaning", ()) else x


def sections_of(sfreq_hz, spec):
    """Second-order sections of the filters; half of the spec's rate as an upper edge is none."""
    from scipy import signal

    edges = []
    if spec["highpass_hz"]:
        edges.append(("highpass", spec["highpass_hz"]))
    is_open = math.isclose(spec["lowpass_hz"], spec["sfreq_hz"] / 2)
    if not is_open and spec["lowpass_hz"] < sfreq_hz / 2:
        edges.append(("lowpass", spec["lowpass_hz"]))
    sections = [signal.butter(2, hz, kind, fs=sfreq_hz, output="sos") for kind, hz in edges]
    notches = [hz for hz in spec.get("notch_hz", ()) if hz < sfreq_hz / 2]
    taps = [signal.iirnotch(hz, 30.0, fs=sfreq_hz) for hz in notches]
    return sections + [signal.tf2sos(*pair) for pair in taps]


def denoised(x, sfreq_hz):
    """Soft universal thresholds on the scales above 12 Hz of a wavelet transform (sym4)."""
    import pywt

    deepest = pywt.dwt_max_level(x.shape[1], pywt.Wavelet("sym4").dec_len)
    levels = min(max(int(math.log2(sfreq_hz / 12.0)) - 1, 0), deepest)
    if not levels:
        return x
    coarse, *fine = pywt.wavedec(x, "sym4", mode="symmetric", level=levels, axis=-1)
    shrunk = [coarse]
    for band in fine:
        sigma = np.median(np.abs(band), axis=-1, keepdims=True) / 0.6745
        limit = sigma * math.sqrt(2 * math.log(x.shape[1]))
        shrunk.append(np.sign(band) * np.maximum(np.abs(band) - limit, 0))
    return pywt.waverec(shrunk, "sym4", mode="symmetric", axis=-1)[:, : x.shape[1]]


def resample(x, sfreq_hz, new_hz, method):
    """Sample k of the result lies at ``k / new_hz``."""
    if math.isclose(sfreq_hz, new_hz, rel_tol=1e-6):
        return x
    exact = Fraction(new_hz) / Fraction(sfreq_hz)
    ratio = exact.limit_denominator(10_000)
    fits = 0 < ratio.numerator <= 10_000 and abs(float(ratio / exact) - 1) <= 1e-8
    n = x.shape[1]
    if method == "cubic":
        from scipy.interpolate import CubicSpline

        if fits:
            n_out = -(-n * ratio.numerator // ratio.denominator)
        else:
            n_out = math.ceil(n * new_hz / sfreq_hz - 1e-6)
        continued = np.concatenate([x, 2 * x[:, -1:] - x[:, -2:-1]], axis=1)
        at = np.arange(n_out) * (sfreq_hz / new_hz)
        return CubicSpline(np.arange(n + 1), continued, axis=1)(at)
    if not fits:
        raise ValueError(f"{sfreq_hz} Hz to {new_hz} Hz is no ratio of small whole numbers")
    from scipy.signal import resample_poly

    return resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
