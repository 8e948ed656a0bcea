"""The signal of a simulated recording: sources in microvolts, smeared over the electrodes.

Everything is a *simulation* to look at and to test with; no parameter is fitted to people.
"""

import numpy as np
import scipy.fft

from data_prep.corpora.demo.exams import REGIONS, Exam, Slowing
from data_prep.corpora.demo.geometry import ELECTRODES, background_mixing, gain

SFREQ_HZ = 250
BACKGROUND_MIXING = background_mixing()


def simulate(exam: Exam, seed: int) -> dict[str, np.ndarray]:
    """Simulates one recording.

    Returns:
      Channel name (``FP1`` ... ``T2``, ``EKG1``, ``PHOTIC``) -> float32 microvolts at 250 Hz,
      against one common reference.
    """
    rng = np.random.default_rng([seed, *exam.recording.encode()])
    n = exam.duration_s * SFREQ_HZ
    awake, drowsy, asleep = _states(rng, exam, n)
    eyes_open = _eyes_open(rng, awake, n)
    signal_uv = _background(rng, n, 1 + 0.25 * drowsy + 0.5 * asleep)
    signal_uv += _alpha(rng, exam, n, awake * (1 - 0.8 * eyes_open) + 0.25 * drowsy)
    signal_uv += _eyes(rng, n, awake, drowsy, eyes_open)
    if exam.drowsiness:
        theta_uv = 9 * _wave(rng, n, rng.uniform(4.5, 6), 1.5) * (drowsy + 0.6 * asleep)
        signal_uv += np.outer(gain(["FZ", "CZ"], 0.8), theta_uv)
    if exam.sleep:
        signal_uv += _sleep(rng, n, asleep)
    if exam.slowing:
        signal_uv += _slowing(rng, exam.slowing, n)
    if exam.sharp_waves:
        signal_uv += _sharp_waves(rng, exam, n)
    if exam.spike_wave:
        signal_uv += _spike_wave(rng, exam, n)
    if exam.beta:
        beta_uv = exam.beta.amplitude_uv / 2 * _wave(rng, n, exam.beta.rate_hz, 4.0)
        signal_uv += np.outer(gain(["FZ", "CZ"], 0.75), beta_uv)
    signal_uv += _muscle_floor(rng, n)
    if exam.artifact:
        signal_uv += _artifact(rng, exam.artifact, n)
    ekg_uv = _ekg(rng, exam.heart_rate_bpm, n)
    signal_uv += np.outer(0.006 * (gain("A2", 0.9) - gain("A1", 0.9)), ekg_uv)
    channels = dict(zip(ELECTRODES, signal_uv.astype(np.float32), strict=True))
    return {**channels, "EKG1": ekg_uv, "PHOTIC": np.zeros(n, np.float32)}


def _noise(rng: np.random.Generator, rows: int, n: int, weight) -> np.ndarray:
    """Gaussian noise [rows, n] of root mean square 1 with the amplitude spectrum ``weight(f)``."""
    size = scipy.fft.next_fast_len(n, real=True)
    freq_hz = scipy.fft.rfftfreq(size, 1 / SFREQ_HZ)
    amplitude = np.asarray(weight(np.maximum(freq_hz, 1e-3)), np.float32)
    used = np.flatnonzero(amplitude > 1e-4 * amplitude.max())
    spectrum = np.zeros((rows, freq_hz.size), np.complex64)
    draws = rng.standard_normal((rows, used.size, 2), dtype=np.float32)
    spectrum[:, used] = draws.view(np.complex64)[..., 0] * amplitude[used]
    noise = scipy.fft.irfft(spectrum, size, axis=1)[:, :n]
    return noise / np.sqrt(np.mean(noise**2, axis=1, keepdims=True))


def _slow(rng: np.random.Generator, n: int, period_s: float) -> np.ndarray:
    """Noise that changes over about ``period_s``: envelopes and drifts."""
    return _noise(rng, 1, n, lambda f: np.exp(-0.5 * (f * period_s) ** 2) * (f > 0.01))[0]


def _wave(rng: np.random.Generator, n: int, rate_hz: float, width_hz: float) -> np.ndarray:
    """A waxing and waning rhythm whose typical peak is about 1."""
    carrier = _noise(rng, 1, n, lambda f: np.exp(-0.5 * ((f - rate_hz) / (width_hz / 2)) ** 2))[0]
    return 0.7 * carrier * np.clip(1 + 0.35 * _slow(rng, n, 3.0), 0.3, 1.8)


def _smooth_step(n: int, start: int, stop: int, rise_s: float) -> np.ndarray:
    t = np.arange(n, dtype=np.float32)
    rise = rise_s * SFREQ_HZ
    return np.clip((t - start) / rise, 0, 1) * np.clip((stop - t) / rise, 0, 1)


def _states(rng: np.random.Generator, exam: Exam, n: int) -> tuple[np.ndarray, ...]:
    """How awake, drowsy and asleep (0 to 1) the person is at every sample."""
    asleep, drowsy = np.zeros(n, np.float32), np.zeros(n, np.float32)
    onset = n
    if exam.sleep:
        onset = int(n * rng.uniform(0.55, 0.65))
        asleep = _smooth_step(n, onset, 2 * n, 3.0)
    if exam.drowsiness:
        begin = int(min(onset, n * rng.uniform(0.5, 0.9)) - rng.uniform(18, 28) * SFREQ_HZ)
        stop = onset if exam.sleep else begin + int(rng.uniform(18, 28) * SFREQ_HZ)
        drowsy = _smooth_step(n, max(begin, 0), stop + 3 * SFREQ_HZ, 3.0) * (1 - asleep)
    return np.clip(1 - drowsy - asleep, 0, 1), drowsy, asleep


def _eyes_open(rng: np.random.Generator, awake: np.ndarray, n: int) -> np.ndarray:
    """Two or three stretches of open eyes, in which the posterior rhythm attenuates."""
    opened = np.zeros(n, np.float32)
    for start in rng.uniform(0.05, 0.9, rng.integers(2, 4)):
        first = int(start * n)
        stop = first + int(rng.uniform(3, 7) * SFREQ_HZ)
        opened = np.maximum(opened, _smooth_step(n, first, stop, 0.4))
    return opened * awake


def _background(rng: np.random.Generator, n: int, level: np.ndarray) -> np.ndarray:
    power_slope = rng.uniform(1.1, 1.5)
    sources = _noise(
        rng, len(ELECTRODES), n, lambda f: (f > 0.3) * f ** (-power_slope / 2) * (f < 70)
    )
    return rng.uniform(7, 10) * level * (BACKGROUND_MIXING @ sources)


def _alpha(rng: np.random.Generator, exam: Exam, n: int, level: np.ndarray) -> np.ndarray:
    """Both occipital sources share most of their course; the right is often a little larger."""
    shared, left, right = (_wave(rng, n, exam.alpha_hz, 1.0) for _ in range(3))
    # The spread lets parietal electrodes see about half of it, frontal ones hardly anything.
    signal_uv = np.outer(gain("O1", 0.62), 0.85 * shared + 0.4 * left)
    signal_uv += rng.uniform(1.0, 1.2) * np.outer(gain("O2", 0.62), 0.85 * shared + 0.4 * right)
    return exam.alpha_uv / 2 * level * signal_uv


def _add(signal: np.ndarray, at: int, shape: np.ndarray, gains: np.ndarray) -> None:
    """Adds one event's course, seen by every electrode with its gain, beginning at a sample."""
    stop = min(at + shape.size, signal.shape[1])
    if 0 <= at < stop:
        signal[:, at:stop] += np.outer(gains, shape[: stop - at])


def _times(rng: np.random.Generator, n: int, every_s: float, jitter: float = 0.5) -> np.ndarray:
    """Sample indices of events about ``every_s`` apart, neither regular nor overlapping."""
    steps_s = every_s * rng.uniform(1 - jitter, 1 + jitter, int(n / SFREQ_HZ / every_s * 2) + 2)
    at = (np.cumsum(steps_s) * SFREQ_HZ).astype(int)
    return at[at < n]


def _bump(duration_s: float, skew: float = 0.5) -> np.ndarray:
    """One smooth half wave with its peak (1) at the fraction ``skew`` of its duration."""
    t = np.linspace(0, 1, max(int(duration_s * SFREQ_HZ), 4), dtype=np.float32)
    warped = np.where(t < skew, t / skew / 2, 0.5 + (t - skew) / (1 - skew) / 2)
    return np.sin(np.pi * warped) ** 2


def _eyes(rng, n, awake, drowsy, eyes_open) -> np.ndarray:
    """Blinks (the upward turn of the eyes makes the frontal poles positive), slow rolling."""
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    frontal = gain(["FP1", "FP2"], 0.42)
    for at in _times(rng, n, rng.uniform(3.5, 7), 0.6):
        # Blinks come with open eyes, and rarely else (flutter under closed lids).
        if awake[at] > 0.5 and rng.random() < 0.35 + 0.65 * eyes_open[at]:
            shape = rng.uniform(100, 190) * _bump(rng.uniform(0.25, 0.4), 0.4)
            _add(signal_uv, at, shape, frontal)
    rolling_uv = 65 * _wave(rng, n, 0.4, 0.2) * drowsy
    return signal_uv + np.outer(gain("F7", 0.45) - gain("F8", 0.45), rolling_uv)


def _sleep(rng: np.random.Generator, n: int, asleep: np.ndarray) -> np.ndarray:
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    rate_hz, central, vertex = rng.uniform(12.2, 14), gain(["C3", "C4", "FZ"], 0.6), gain("CZ", 0.6)
    for at in _times(rng, n, 3.5):
        if asleep[at] > 0.6:
            envelope = rng.uniform(24, 40) * _bump(rng.uniform(0.6, 1.5))
            phase = 2 * np.pi * rate_hz * np.arange(envelope.size) / SFREQ_HZ
            _add(signal_uv, at, envelope * np.sin(phase), central)
    for at in _times(rng, n, 6.0):
        if asleep[at] > 0.4:
            shape = np.concatenate([-_bump(0.18), 0.4 * _bump(0.25)])
            _add(signal_uv, at, rng.uniform(60, 110) * shape, vertex)
    return signal_uv


def _slowing(rng: np.random.Generator, slowing: Slowing, n: int) -> np.ndarray:
    if slowing.side == "generalized":
        centers = [("FZ",), ("F3", "C3"), ("F4", "C4"), ("T5", "P3"), ("T6", "P4"), ("CZ",)]
        spread_rad, own = 0.7, 0.8
    else:
        centers, spread_rad, own = [REGIONS[slowing.region][slowing.side]], 0.5, 0.0
    shared_uv = _slow_course(rng, slowing, n)
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    for center in centers:
        course_uv = (1 - own) * shared_uv + (own * _slow_course(rng, slowing, n) if own else 0)
        signal_uv += np.outer(gain(center, spread_rad), course_uv)
    if not slowing.continuous:
        # Intermittent: runs of several seconds, over about two thirds of the time.
        signal_uv *= 0.12 + 0.88 / (1 + np.exp(-6 * (_slow(rng, n, 5.0) + 0.45)))
    return signal_uv


def _slow_course(rng: np.random.Generator, slowing: Slowing, n: int) -> np.ndarray:
    delta = _wave(rng, n, slowing.delta_hz, 1.2)
    theta = _wave(rng, n, slowing.theta_hz, 1.5)
    share = slowing.delta_share
    return slowing.amplitude_uv / 2 * (share * delta + (1 - share) * theta) * 1.35


def _sharp_waves(rng: np.random.Generator, exam: Exam, n: int) -> np.ndarray:
    sharp = exam.sharp_waves
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    gains = gain(sharp.electrodes, 0.42)
    for at in _times(rng, n, sharp.every_s):
        spike = -_bump(rng.uniform(0.08, 0.13), 0.35)
        after = np.concatenate([0.3 * _bump(0.09), -0.4 * _bump(rng.uniform(0.25, 0.4))])
        shape = np.concatenate([spike, after])
        _add(signal_uv, at, sharp.amplitude_uv * rng.uniform(0.75, 1.2) * shape, gains)
    return signal_uv


def _spike_wave(rng: np.random.Generator, exam: Exam, n: int) -> np.ndarray:
    found = exam.spike_wave
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    gains = 0.12 + 0.88 * gain(["F3", "F4"], 0.62)
    wave_s = 1 / found.rate_hz - 0.07
    complex_ = np.concatenate([-0.8 * _bump(0.07), -0.15 - 0.7 * _bump(wave_s) + 0.15])
    for at in _times(rng, n, found.every_s, 0.3):
        count = round(found.burst_s * rng.uniform(0.7, 1.3) * found.rate_hz)
        for index in range(count):
            # Within a burst the rate slows a little, as it does in people.
            start = at + int(index * (1 + 0.01 * index) * SFREQ_HZ / found.rate_hz)
            size_uv = found.amplitude_uv * rng.uniform(0.85, 1.1) * min(1, 0.6 + 0.3 * index)
            _add(signal_uv, start, size_uv * complex_, gains)
    return signal_uv


def _muscle_floor(rng: np.random.Generator, n: int) -> np.ndarray:
    """A little muscle everywhere and amplifier noise: no real recording is without."""
    level = np.array([2.0 if e in ("T3", "T4", "F7", "F8") else 0.8 for e in ELECTRODES])
    noise = _noise(rng, len(ELECTRODES), n, lambda f: 1.0 * (f > 15) * (f < 100))
    return level[:, None].astype(np.float32) * noise


def _artifact(rng: np.random.Generator, kind: str, n: int) -> np.ndarray:
    signal_uv = np.zeros((len(ELECTRODES), n), np.float32)
    if kind == "muscle":
        for center in (("T3",), ("T4",), ("FP1", "FP2")):
            bursts = 1 / (1 + np.exp(-5 * (_slow(rng, n, 4.0) - 0.3)))
            noise = _noise(rng, 1, n, lambda f: (f > 18) * (f < 90) * 1.0)[0]
            signal_uv += np.outer(gain(center, 0.4), rng.uniform(18, 30) * bursts * noise)
    elif kind == "electrode":
        row = int(rng.integers(0, 19))
        decay = np.exp(-np.arange(SFREQ_HZ // 2) / (0.08 * SFREQ_HZ))
        only = np.eye(len(ELECTRODES), dtype=np.float32)[row]
        for at in _times(rng, n, 4.0, 0.7):
            _add(signal_uv, at, rng.choice([-1, 1]) * rng.uniform(80, 180) * decay, only)
    else:
        for at in _times(rng, n, 25.0, 0.6):
            length = int(rng.uniform(1.0, 2.5) * SFREQ_HZ)
            sway = _noise(rng, 1, length, lambda f: (f > 0.4) * (f < 4) / f)[0]
            shape = 70 * np.hanning(length) * sway
            _add(signal_uv, at, shape, rng.uniform(0.3, 1, len(ELECTRODES)))
    return signal_uv


def _ekg(rng: np.random.Generator, heart_rate_bpm: int, n: int) -> np.ndarray:
    signal_uv = np.zeros((1, n), np.float32)
    beat = np.concatenate([0.1 * _bump(0.09), np.zeros(10), _bump(0.06), -0.2 * _bump(0.04),
                           np.zeros(20), 0.25 * _bump(0.2)])  # fmt: skip
    for at in _times(rng, n, 60 / heart_rate_bpm, 0.04):
        _add(signal_uv, at, 900 * beat, np.ones(1))
    return signal_uv[0]
