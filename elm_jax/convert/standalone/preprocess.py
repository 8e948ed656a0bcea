"""Electrodes -> network windows by an export's ``config.json``: NumPy only, a file on its own.

    from preprocess import load_spec, network_windows
    spec = load_spec("FOLDER")
    windows, start_s = network_windows(signal, names, sfreq_hz, spec, unit="uV")   # [b, c, t], [b]

``signal`` is ``[electrodes, time]`` of one gap-free stretch (of an ECG, ``[leads, time]``: what is
done with it stands in ``ecg_preprocess.py``, beside this file). The steps are those that the model
was trained with: a zero-phase FIR band-pass (and notches), the montage, clipping, resampling,
scaling. They equal mne's ``Raw.filter``, ``Raw.notch_filter`` and ``Raw.resample`` with their
defaults. What this file leaves to you: reading files, gaps, flat and saturated electrodes. A spec
with ``resample: polyphase`` needs SciPy as well.

Where the spec's ``moments`` is "recording", each channel is divided by its standard deviation in
all of the recording. Of a recording in several stretches:

    moments = recording_moments([conditioned(x, names, sfreq_hz, spec, unit="uV") for x in all])
    windows, start_s = network_windows(x, names, sfreq_hz, spec, unit="uV", moments=moments)

Part of elm_jax, Apache-2.0.
"""

import json
import math
import pathlib
import re

import numpy as np

UV_PER_UNIT = {"V": 1e6, "mV": 1e3, "uV": 1.0, "nV": 1e-3}
MONTAGES = ("tcp20", "electrodes", "average")
RENAMED = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}  # today's names -> the montage's
REFERENCE = re.compile(r"-(REF|LE|AVG|AV|AR|CAR|A1|A2|M1|M2|A1A2|AA|\(A1\+A2\)/2)$")
HAMMING_LENGTH = 3.3  # taps x transition width / rate


def load_spec(folder):
    """The signal description in an export's ``config.json``, as a dict."""
    path = pathlib.Path(folder) / "config.json"
    return json.loads(path.read_text(encoding="utf-8"))["spec"]


def network_windows(signal, names, sfreq_hz, spec, *, unit, moments=None):
    """One gap-free stretch of electrodes as the network's windows.

    Args:
      signal: ``[electrodes, time]``.
      names: of the electrodes, in any usual spelling ("EEG FP1-REF", "Fp1", "T7"); of leads ("aVR",
        "Lead I", "MDC_ECG_LEAD_V1").
      sfreq_hz: sampling rate.
      spec: from :func:`load_spec`.
      unit: of ``signal``: "V", "mV", "uV" or "nV".
      moments: mean and deviation of the whole recording (:func:`recording_moments`), where the spec
        normalises by recording; those of this stretch by default.

    Returns:
      float32 network values ``[b, c, t]`` without overlap (the rest at the end goes), and where
      each begins in seconds.

    Raises:
      ValueError: electrodes are missing (all are named), the rate is too low, values are not
        finite, the stretch is shorter than a window, or a channel is flat in a recording that it
        is to be normalised by.
    """
    return cut(scale(conditioned(signal, names, sfreq_hz, spec, unit=unit), spec, moments), spec)


def conditioned(signal, names, sfreq_hz, spec, *, unit):
    """A stretch filtered, in the spec's montage, clipped and resampled: ``[c, t]`` in its unit.

    Arguments and errors are those of :func:`network_windows`.
    """
    signal = np.asarray(signal, np.float64)
    if signal.ndim != 2 or len(signal) != len(names):
        raise ValueError(f"signal must be [electrodes, time], {len(names)} names: {signal.shape}")
    if not np.isfinite(signal).all():
        raise ValueError("signal holds NaN or infinity: cut such stretches out first")
    if unit not in UV_PER_UNIT:
        raise ValueError(f"unit is {unit!r}; known: {sorted(UV_PER_UNIT)}")
    if spec["montage"] == "leads":
        from ecg_preprocess import conditioned as leads_conditioned

        return leads_conditioned(signal, names, sfreq_hz, spec, unit=unit)
    if spec["montage"] not in MONTAGES:
        raise ValueError(f"montage is {spec['montage']!r}; known here: {MONTAGES}")
    x = montage(signal * UV_PER_UNIT[unit], names, spec["channels"])
    if spec["montage"] == "average":
        x = x - x.mean(axis=0)
    x = band_pass(x, sfreq_hz, spec["highpass_hz"], *edges_hz(sfreq_hz, spec))
    clip_uv = spec["clip"] * UV_PER_UNIT[spec["unit"]]
    x = resample(np.clip(x, -clip_uv, clip_uv), sfreq_hz, spec["sfreq_hz"], spec["resample"])
    return x / UV_PER_UNIT[spec["unit"]]


def recording_moments(stretches):
    """Mean and standard deviation ``[c, 1]`` of each channel over :func:`conditioned` stretches."""
    whole = np.concatenate(stretches, axis=1)
    return whole.mean(1, keepdims=True), whole.std(1, keepdims=True)


def canonical(name):
    """``"EEG FP1-REF" -> "FP1"``, ``"T7" -> "T3"``, in capitals."""
    bare = re.sub(r"^(EEG|POL)[\s:_-]+", "", name.strip().upper())
    bare = REFERENCE.sub("", re.sub(r"\s", "", bare)).strip(".")
    parts = [RENAMED.get(part, part) for part in bare.split("-")]
    return "-".join(parts)


def montage(x_uv, names, channels):
    """Rows of the montage: differences of electrodes ("Fp1-F7"), or electrodes ("Fp1").

    Raises:
      ValueError: names what is missing.
    """
    row_of = {}
    for i, name in enumerate(names):
        row_of.setdefault(canonical(name), i)
    rows, missing = [], []
    for channel in channels:
        wanted = canonical(channel)
        left, _, right = wanted.partition("-")
        if right and left in row_of and right in row_of:
            rows.append(x_uv[row_of[left]] - x_uv[row_of[right]])
        elif wanted in row_of:
            rows.append(x_uv[row_of[wanted]])
        elif right and f"{right}-{left}" in row_of:
            rows.append(-x_uv[row_of[f"{right}-{left}"]])
        else:
            missing += [e for e in wanted.split("-") if e not in row_of]
    if missing:
        raise ValueError(f"missing electrodes: {sorted(set(missing))}; found: {sorted(row_of)}")
    return np.stack(rows)


def edges_hz(sfreq_hz, spec):
    """The band's upper edge and the notches, as far as the rate holds them.

    Raises:
      ValueError: it cannot hold the band, and the spec does not say that it may be narrowed.
    """
    lowpass_hz, half = spec["lowpass_hz"], sfreq_hz / 2
    if spec.get("slow_source", "refuse") == "narrow":
        if lowpass_hz > half - 1:
            lowpass_hz = 0.9 * half
    elif half <= lowpass_hz:
        raise ValueError(f"{sfreq_hz} Hz cannot hold the band up to {lowpass_hz} Hz")
    return lowpass_hz, [f for f in spec.get("notch_hz", ()) if f + f / 400 + 0.5 < half]


def design_notch(sfreq_hz, middle_hz):
    """Taps of the FIR band-stop that mne designs for a notch: 1/200 wide, edges of 0.5 Hz."""
    n_taps = max(math.ceil(HAMMING_LENGTH / 0.5 * sfreq_hz), 1) | 1
    taps = np.zeros(n_taps)
    taps[n_taps // 2] = 1.0
    for side, sign in ((1, -1.0), (-1, 1.0)):
        inner = middle_hz * (1 + side / 400)
        add_lowpass(taps, *sorted((inner, inner + side * 0.5)), sfreq_hz, sign)
    return taps


def add_lowpass(taps, start_hz, stop_hz, sfreq_hz, sign):
    """Adds a windowed sinc that falls from ``start_hz`` to ``stop_hz`` to the middle of taps."""
    start, stop = 2 * start_hz / sfreq_hz, 2 * stop_hz / sfreq_hz
    n = round(HAMMING_LENGTH / ((stop - start) / 2)) | 1
    cutoff = (start + stop) / 2
    sinc = cutoff * np.sinc(cutoff * (np.arange(n) - (n - 1) / 2)) * np.hamming(n)
    offset = (len(taps) - n) // 2
    taps[offset : len(taps) - offset] += sign * sinc / sinc.sum()


def design_band_pass(sfreq_hz, highpass_hz, lowpass_hz):
    """Taps of the FIR filter that mne designs (windowed sinc, Hamming)."""
    low = min(max(0.25 * highpass_hz, 2.0), highpass_hz)
    high = min(max(0.25 * lowpass_hz, 2.0), sfreq_hz / 2 - lowpass_hz)
    narrowest = min(w for w in (low, high) if w > 0)
    n_taps = max(math.ceil(HAMMING_LENGTH / narrowest * sfreq_hz), 1) | 1
    taps = np.zeros(n_taps)
    edges = [(lowpass_hz, lowpass_hz + high, 1.0)]
    if highpass_hz > 0:
        edges.append((highpass_hz - low, highpass_hz, -1.0))
    for start_hz, stop_hz, sign in edges:
        add_lowpass(taps, start_hz, stop_hz, sfreq_hz, sign)
    return taps


def band_pass(x, sfreq_hz, highpass_hz, lowpass_hz, notch_hz=()):
    """Filters without shift; the ends go on mirrored about their last value, then as zeros."""
    taps = design_band_pass(sfreq_hz, highpass_hz, lowpass_hz)
    for middle_hz in notch_hz:
        taps = np.convolve(taps, design_notch(sfreq_hz, middle_hz))
    n, reach = x.shape[1], len(taps) // 2
    edge = min(len(taps), n) - 1
    extended = mirrored(x, edge, edge)
    n_fft = 2 ** math.ceil(math.log2(extended.shape[1] + len(taps)))
    response = np.fft.rfft(taps, n_fft)
    out = np.empty_like(x)
    for row, target in zip(extended, out, strict=True):  # one row at a time: little memory
        full = np.fft.irfft(np.fft.rfft(row, n_fft) * response, n_fft)
        target[:] = full[edge + reach : edge + reach + n]
    return out


def mirrored(x, left, right):
    """``x`` with odd reflections about its ends, zeros where they run out of signal."""
    n = x.shape[1]
    use_left, use_right = min(left, n - 1), min(right, n - 1)
    head = 2 * x[:, :1] - x[:, 1 : use_left + 1][:, ::-1]
    tail = 2 * x[:, -1:] - x[:, n - 1 - use_right : n - 1][:, ::-1]
    body = np.concatenate([head, x, tail], axis=1)
    return np.pad(body, ((0, 0), (left - use_left, right - use_right)))


def resample(x, sfreq_hz, new_hz, method):
    """``mne_fft``: by mne's padded Fourier method; ``polyphase``: by SciPy's polyphase filter."""
    if math.isclose(sfreq_hz, new_hz, rel_tol=1e-6):
        return x
    if method == "polyphase":
        from fractions import Fraction

        from scipy.signal import resample_poly

        ratio = (Fraction(new_hz) / Fraction(sfreq_hz)).limit_denominator(10_000)
        return resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    n, ratio = x.shape[1], new_hz / sfreq_hz
    n_padded = 2 ** math.ceil(math.log2(n + 2 * min(n // 8, 100)))
    left = (n_padded - n) // 2
    n_new = max(round(ratio * n_padded), 1)
    first, n_out = round(ratio * left), max(round(ratio * n), 1)
    out = np.empty((len(x), n_out))
    for row, target in zip(mirrored(x, left, n_padded - n - left), out, strict=True):
        target[:] = change_length(np.fft.rfft(row), n_padded, n_new)[first : first + n_out]
    return out


def change_length(spectrum, n, n_new):
    """The signal of ``n_new`` samples that has the spectrum of one of ``n``."""
    shorter = min(n, n_new)
    kept = np.zeros(n_new // 2 + 1, complex)
    kept[: shorter // 2 + 1] = spectrum[: shorter // 2 + 1]
    if shorter % 2 == 0:  # the bin at half the rate stands for two
        kept[shorter // 2] *= 2 if n_new < n else 0.5
    return np.fft.irfft(kept, n_new) * (n_new / n)


def scale(x, spec, moments=None):
    """``(x * scale - mean) / std``, or with the mean and std of the recording or of each window."""
    how = spec.get("moments", "fixed")
    if how == "window":
        return x  # by cut(), once there are windows
    if how == "recording":
        mean, std = recording_moments([x]) if moments is None else moments
        if not np.all(std > 0):
            raise ValueError(f"channels {np.flatnonzero(np.ravel(std) <= 0).tolist()} are flat")
        return ((x - mean) / std).astype(np.float32)
    if how != "fixed":
        raise ValueError(f"the spec's moments is {how!r}; known: fixed, recording, window")
    mean, std = (np.reshape(np.asarray(spec[k], float), (-1, 1)) for k in ("mean", "std"))
    return ((x * spec["scale"] - mean) / std).astype(np.float32)


def cut(x, spec):
    """Windows ``[b, c, t]`` and their starts in seconds."""
    length = round(spec["window_s"] * spec["sfreq_hz"])
    n = x.shape[1] // length
    if not n:
        raise ValueError(f"a stretch of {x.shape[1]} samples holds no window of {length}")
    windows = x[:, : n * length].reshape(len(x), n, length).swapaxes(0, 1)
    if spec.get("moments") == "window":
        flat = (windows == windows[..., :1]).all(-1, keepdims=True)
        centred = np.where(flat, 0, windows - windows.mean(-1, keepdims=True))
        windows = (centred / np.where(flat, 1, windows.std(-1, keepdims=True))).astype(np.float32)
    return np.ascontiguousarray(windows), np.arange(n) * spec["window_s"]
