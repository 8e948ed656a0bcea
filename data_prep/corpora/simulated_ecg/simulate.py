"""The twelve leads of a simulated ECG, in millivolts.

Everything is a *simulation* to try programs with. A dipole (``heart.py``) beats at times that the
rhythm gives; the leads see it by the matrix of Dower et al. 1980, turned and with gains as people
and electrodes differ; noise enters at the ten electrodes, so that Einthoven's and Goldberger's laws
hold for it, too.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from data_prep.corpora.simulated_ecg.exams import Exam
from data_prep.corpora.simulated_ecg.heart import Beats, Wave, beats_of, ectopic_waves, turned

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SFREQ_HZ = 500
DURATION_S = 10
MAINS_HZ = 50.0
# x, y, z -> I, II, V1 to V6. Dower, Machado, Osborne 1980, "On deriving the electrocardiogram from
# vectorcardiographic leads", Clin. Cardiol. 3:87.
DOWER = np.array([
    [0.632, -0.235, 0.059], [0.235, 1.066, -0.132],
    [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387], [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230],
])  # fmt: skip
# RA, LA, LL, V1 to V6 -> I, II, V1 to V6; the others follow from I and II.
_OF_ELECTRODES = np.zeros((8, 9))
_OF_ELECTRODES[0, [0, 1]] = -1, 1
_OF_ELECTRODES[1, [0, 2]] = -1, 1
_OF_ELECTRODES[2:, :3] = -1 / 3
_OF_ELECTRODES[2:, 3:] = np.eye(6)


@dataclasses.dataclass(frozen=True)
class Tracing:
    """A simulated ECG.

    Attributes:
      leads_mv: at ``SFREQ_HZ``, rows are ``LEADS``.
      axis_deg: of QRS in the frontal plane.
      noisy: kind of noise -> the leads that it is seen in.
    """

    leads_mv: Float[np.ndarray, "12 t"]
    axis_deg: float
    noisy: dict[str, tuple[str, ...]]


def twelve(eight: Float[np.ndarray, "8 t"]) -> Float[np.ndarray, "12 t"]:
    """I, II, V1 to V6 -> the twelve leads, by Einthoven's and Goldberger's laws."""
    i, ii = eight[0], eight[1]
    limb = np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2])
    return np.concatenate([limb, eight[2:]])


def simulate(exam: Exam, seed: int) -> Tracing:
    """The signal of one exam; the same exam and seed give the same samples."""
    rng = np.random.default_rng([seed, exam.patient.number, exam.visit, 3])
    n = SFREQ_HZ * DURATION_S
    beats, lead_field = beats_of(exam), _lead_field(exam)
    clean = twelve(lead_field @ _beating(rng, exam, beats, n))
    noise, noisy = _noise(rng, exam, n)
    qrs = twelve(lead_field @ _drawn(beats.qrs, np.arange(0, 0.2, 1 / SFREQ_HZ)))
    return Tracing(clean + twelve(noise), _axis_deg(qrs), noisy)


def one_beat(exam: Exam, time_s: Float[np.ndarray, " t"]) -> Float[np.ndarray, "12 t"]:
    """The leads over one beat, in millivolts, without noise; QRS begins at 0."""
    beats = beats_of(exam)
    waves = (*beats.p, *beats.qrs, *beats.after_qrs(60 / exam.rate_bpm))
    return twelve(_lead_field(exam) @ _drawn(waves, time_s))


def _lead_field(exam: Exam) -> Float[np.ndarray, "8 3"]:
    """What I, II and V1 to V6 see of the dipole; chests weaken some electrodes more than others."""
    gains = np.array([1.0, 1.0, *exam.patient.electrode_gains])[:, None] * exam.patient.gain
    return gains * (DOWER @ turned(exam))


def _axis_deg(qrs: Float[np.ndarray, "12 t"]) -> float:
    """By the areas of QRS in I and aVF; aVF is smaller than Einthoven's leads by 2 / sqrt(3)."""
    return math.degrees(math.atan2(qrs[5].sum() * 2 / math.sqrt(3), qrs[0].sum()))


def _drawn(waves: tuple[Wave, ...], time_s: Float[np.ndarray, " t"]) -> Float[np.ndarray, "3 t"]:
    total = np.zeros((3, time_s.size))
    for wave in waves:
        if not any(wave.mv):
            continue
        first = np.searchsorted(time_s, wave.at_s - 4 * wave.rise_s)
        last = np.searchsorted(time_s, wave.at_s + 4 * wave.fall_s)
        away_s = time_s[first:last] - wave.at_s
        width_s = np.where(away_s < 0, wave.rise_s, wave.fall_s)
        total[:, first:last] += np.outer(wave.mv, np.exp(-0.5 * (away_s / width_s) ** 2))
    return total


def _beating(
    rng: np.random.Generator, exam: Exam, beats: Beats, n: int
) -> Float[np.ndarray, "3 t"]:
    """The dipole over time; breathing turns the heart a little and changes its size."""
    time_s = np.arange(n) / SFREQ_HZ
    breath_hz, phase = rng.uniform(0.18, 0.32), rng.uniform(0, 2 * math.pi)
    breathing = np.sin(2 * math.pi * breath_hz * time_s + phase)
    starts_s, is_early = _starts_s(rng, exam, breath_hz, phase)
    premature = ectopic_waves(rng, exam.ectopic, beats) if exam.ectopic else ()
    total = _atria(rng, exam, time_s)
    for k, start_s in enumerate(starts_s):
        rr_s = start_s - starts_s[k - 1] if k else 60 / exam.rate_bpm
        waves = premature if is_early[k] else (
            *beats.p, *beats.qrs, *beats.after_qrs(float(np.clip(rr_s, 0.4, 1.5)))
        )  # fmt: skip
        total += (1 + rng.normal(0, 0.015)) * _drawn(waves, time_s - start_s)
    total *= 1 + rng.uniform(0.01, 0.05) * breathing
    tilt = math.radians(rng.uniform(0.5, 3.0)) * breathing
    x, y = total[0].copy(), total[1].copy()
    total[0], total[1] = x - tilt * y, y + tilt * x
    return total


def _starts_s(
    rng: np.random.Generator, exam: Exam, breath_hz: float, phase: float
) -> tuple[list[float], list[bool]]:
    """Begins of QRS, and which of them come too early."""
    mean_s = 60 / exam.rate_bpm
    age = (exam.patient.age - 18) / 71
    depth = {"SARRH": rng.uniform(0.10, 0.2)}.get(exam.rhythm, rng.uniform(0.005, 0.035) * (
        1 - 0.6 * age
    ))  # fmt: skip
    at_s, starts_s = -rng.uniform(0.3, 1.0) * mean_s - 0.4, []
    while at_s < DURATION_S + 0.5:
        starts_s.append(at_s)
        if exam.rhythm == "AFIB":
            step_s = mean_s * float(np.clip(rng.lognormal(0, 0.21), 0.55, 1.8))
        elif exam.rhythm == "AFLT":
            # Most of the time one beat in so many gets through; at times one more or less.
            step_s = mean_s * float(rng.choice([1, 1, 1, 1.33])) * (1 + rng.normal(0, 0.004))
        else:
            wave = math.sin(2 * math.pi * breath_hz * at_s + phase)
            step_s = mean_s * (1 + depth * wave + rng.normal(0, 0.008))
        at_s += step_s
    is_early = [False] * len(starts_s)
    inside = [k for k, t in enumerate(starts_s) if 1.0 < t < DURATION_S - 0.8]
    for k in sorted(_apart(rng, inside, exam.ectopic_beats)):
        is_early[k] = True
        before_s = starts_s[k - 1]
        starts_s[k] = before_s + (starts_s[k] - before_s) * rng.uniform(0.58, 0.7)
        if exam.ectopic == "PAC":  # the sinus node is reset: no pause that makes up for it
            shift_s = 0.8 * mean_s * (1 - 0.64)
            starts_s[k + 1 :] = [t - shift_s for t in starts_s[k + 1 :]]
    return starts_s, is_early


def _apart(rng: np.random.Generator, places: list[int], count: int) -> list[int]:
    """So many of the places, none next to another, as far as there are such."""
    chosen: list[int] = []
    for k in rng.permutation(places) if places else []:
        if len(chosen) < count and all(abs(int(k) - c) > 1 for c in chosen):
            chosen.append(int(k))
    return chosen


def _atria(
    rng: np.random.Generator, exam: Exam, time_s: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "3 t"]:
    """What fibrillating or fluttering atria do all of the time; zeros where they beat."""
    if exam.rhythm == "AFLT":
        phase = (time_s * rng.uniform(4.5, 5.2) + rng.random()) % 1
        # A slow fall and a quick rise: a saw, seen in II, III, aVF.
        saw = np.where(phase < 0.7, 1 - phase / 0.35, -1 + (phase - 0.7) / 0.15)
        return np.outer((-0.02, 0.13, -0.05), np.convolve(saw, np.ones(15) / 15, "same"))
    if exam.rhythm != "AFIB":
        return np.zeros((3, time_s.size))
    size, total = rng.uniform(0.012, 0.05), np.zeros((3, time_s.size))
    for axis, share in enumerate((0.6, 0.8, 1.0)):
        pace_hz = rng.uniform(5, 8) + np.cumsum(rng.normal(0, 0.03, time_s.size))
        turn = 2 * math.pi * np.cumsum(np.clip(pace_hz, 4, 9)) / SFREQ_HZ
        swell = 1 + 0.4 * np.sin(2 * math.pi * rng.uniform(0.3, 0.8) * time_s + 6 * rng.random())
        total[axis] = (
            share * size * swell * (np.sin(turn) + 0.35 * np.sin(2 * turn + 6 * rng.random()))
        )
    return total


def _noise(
    rng: np.random.Generator, exam: Exam, n: int
) -> tuple[Float[np.ndarray, "8 t"], dict[str, tuple[str, ...]]]:
    """What else the electrodes see: drift, muscle, mains; and what is much enough to be named."""
    time_s = np.arange(n) / SFREQ_HZ
    at = np.zeros((9, n))
    for electrode in at:
        electrode += _drift_mv(rng, n, rng.uniform(0.01, 0.05))
        electrode += _muscle_mv(rng, n, rng.uniform(0.003, 0.012))
        mains_mv = rng.uniform(0, 0.006)
        electrode += mains_mv * np.sin(2 * math.pi * MAINS_HZ * time_s + rng.uniform(0, 6.28))
    noisy: dict[str, tuple[str, ...]] = {}
    for kind in exam.noise:
        # A limb's electrode is in all leads; one on the chest in its own alone.
        chest = int(rng.integers(3, 9)) if rng.random() < 0.6 else None
        k = int(rng.integers(0, 3)) if chest is None else chest
        if kind == "baseline":
            at[k] += _drift_mv(rng, n, rng.uniform(0.15, 0.35))
        elif kind == "static":
            at[k] += _muscle_mv(rng, n, rng.uniform(0.02, 0.05))
        else:
            at[k] += _burst_mv(rng, time_s)
        limbs = (("I", "II", "AVR"), ("I", "III", "AVL"), ("II", "III", "AVF"))
        noisy[kind] = limbs[k] if chest is None else (LEADS[3 + chest],)
    return _OF_ELECTRODES @ at, noisy


def _drift_mv(rng: np.random.Generator, n: int, size_mv: float) -> Float[np.ndarray, " t"]:
    """Slower than 0.5 Hz: breathing and electrodes that settle."""
    time_s = np.arange(n) / SFREQ_HZ
    total = np.zeros(n)
    for _ in range(4):
        total += rng.normal(0, 0.5) * np.sin(
            2 * math.pi * rng.uniform(0.05, 0.45) * time_s + rng.uniform(0, 6.28)
        )
    return size_mv * total


def _muscle_mv(rng: np.random.Generator, n: int, rms_mv: float) -> Float[np.ndarray, " t"]:
    """White noise between 20 and 140 Hz, as bursts of many small muscles sum up to."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    freq_hz = np.fft.rfftfreq(n, 1 / SFREQ_HZ)
    spectrum *= (freq_hz > 20) & (freq_hz < 140)
    x = np.fft.irfft(spectrum, n)
    return rms_mv * x / x.std()


def _burst_mv(rng: np.random.Generator, time_s: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """A movement: a second or two of large noise."""
    at_s, width_s = rng.uniform(1, DURATION_S - 1), rng.uniform(0.2, 0.6)
    envelope = np.exp(-0.5 * ((time_s - at_s) / width_s) ** 2)
    return envelope * (_muscle_mv(rng, time_s.size, 0.15) + 0.3 * np.sin(9 * (time_s - at_s)))
