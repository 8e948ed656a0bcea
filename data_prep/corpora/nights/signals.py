"""The signals of a simulated night, in microvolts: what the electrodes of the cassette study see.

Everything is a *simulation* to try programs with; no parameter is fitted to a recording. Stages set
how large each rhythm typically is; around that every rhythm has a life of its own, so that epochs
of one stage differ and those of two stages overlap: envelopes wander over tens of seconds, stages
pass into each other, slow waves are smaller in the morning than in the evening, people differ in
everything (``people.py``), and the gain of an electrode drifts over the night.

Amplitude alone says little of a stage, as in people: with open eyes the forehead sees movements of
the eyes as large as slow waves (in five minutes awake of SC4001, 19 microvolts between 0.5 and 1.5
Hz at Fpz-Cz), in REM sleep, too, and skin drifts throughout. The wandering is quicker than the
minute in which windows count as near: else that, and not sleep, would tell near from far.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage

from data_prep.corpora.nights.hypnograms import EPOCH_S, MOVEMENT, UNSCORED, WAKE
from data_prep.corpora.nights.people import Person

SFREQ_HZ = 100
CHANNELS = ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal")
# Columns of the tables below.
STATES = ("W", "1", "2", "3", "4", "R")
# Rhythm -> (centre Hz, width Hz) of it, gains at Fpz-Cz and at Pz-Oz, root mean square in each of
# STATES in microvolts. Alpha and sigma have the person's own rate, alpha the person's own size.
RHYTHMS = {
    "slow": ((0.85, 0.5), (1.0, 0.5), (3.5, 5.0, 12.0, 23.0, 32.0, 5.0)),
    "delta": ((2.4, 1.5), (1.0, 0.6), (4.0, 5.0, 8.0, 13.0, 17.0, 5.0)),
    "theta": ((5.6, 1.8), (1.0, 0.8), (3.2, 7.0, 5.0, 4.8, 4.5, 4.8)),
    "alpha": ((0.0, 1.0), (0.3, 1.0), (0.9, 0.25, 0.12, 0.1, 0.1, 0.15)),
    "sigma": ((0.0, 1.8), (1.0, 0.6), (1.2, 1.3, 3.2, 2.8, 2.0, 1.2)),
    "beta": ((20.0, 9.0), (1.0, 0.8), (3.6, 2.2, 1.8, 1.4, 1.2, 3.0)),
    "muscle": ((34.0, 18.0), (1.0, 0.6), (3.2, 1.5, 0.9, 0.8, 0.8, 0.7)),
}
# How much the logarithm of each rhythm's size wanders, and over how many seconds.
WANDER = {
    "slow": (0.4, 25.0), "delta": (0.3, 25.0), "theta": (0.35, 20.0), "alpha": (0.7, 20.0),
    "sigma": (0.4, 25.0), "beta": (0.35, 30.0), "muscle": (0.8, 25.0),
}  # fmt: skip
# Drifts of half a hertz from skin and breath, whatever the stage: root mean square, microvolts.
SWEAT_UV = 8.0


def simulate(
    stages: Sequence[str], person: Person, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Simulates one recording.

    Args:
      stages: the text of each 30 s, as Sleep-EDF's hypnograms have it.
      person: whose it is.
      rng: of this night.

    Returns:
      Name of the channel -> float32 at 100 Hz in microvolts.
    """
    seconds = round(len(stages) * EPOCH_S)
    weights, moving = _states(stages, rng, seconds)
    frontal, posterior = _rhythms(rng, person, weights)
    for signal in (frontal, posterior):
        sweat = _noise(rng, seconds, _bell(0.45, 0.4))
        _modulate(sweat, SWEAT_UV * np.exp(_wander(rng, seconds, 0.8, 40.0)))
        signal += sweat
    eyes = _eyes(rng, weights, seconds)
    _add_transients(rng, person, weights, frontal, posterior)
    # What electrodes at the eyes and on the forehead see of each other.
    frontal += 0.35 * eyes
    posterior += 0.03 * eyes
    eyes += 0.3 * frontal
    signals = {}
    for name, signal in zip(CHANNELS, (frontal, posterior, eyes), strict=True):
        _modulate(signal, person.gain * np.exp(_drift(rng, seconds)))
        signal += _movements(rng, moving, seconds)
        signals[name] = signal
    return signals


def _rhythms(
    rng: np.random.Generator, person: Person, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Background and RHYTHMS at Fpz-Cz and Pz-Oz, as large as the stages have them."""
    seconds = len(weights)
    frontal, posterior = (_background(rng, person, seconds) for _ in range(2))
    pressure = _slow_pressure(weights)
    rates_hz = {"alpha": person.alpha_hz, "sigma": person.spindle_hz}
    of_person = {
        "slow": person.slow * pressure, "delta": 0.4 + 0.6 * person.slow * pressure,
        "alpha": person.alpha_uv, "muscle": person.muscle,
    }  # fmt: skip
    for name, ((centre_hz, width_hz), gains, sizes) in RHYTHMS.items():
        level = weights @ np.asarray(sizes, np.float32)
        level *= np.exp(_wander(rng, seconds, *WANDER[name]))
        level *= of_person.get(name, 1.0)
        own = [_noise(rng, seconds, _bell(rates_hz.get(name, centre_hz), width_hz)) for _ in "ab"]
        if name == "slow":
            own = [_peaked(wave) for wave in own]
        # What both derivations see is one source in part; muscles are local.
        both = 0.1 if name == "muscle" else 0.6
        _modulate(own[0], level * gains[0])
        _modulate(own[1], level * gains[1] * np.sqrt(1 - both**2))
        frontal += own[0]
        posterior += own[1]
        posterior += both * gains[1] / gains[0] * own[0]
    return frontal, posterior


def slow_channels(
    stages: Sequence[str], person: Person, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The channels of one sample a second: breath, chin muscle, temperature, the marker."""
    seconds = round(len(stages) * EPOCH_S)
    weights, _ = _states(stages, rng, seconds)
    t = np.arange(seconds)
    breath = np.sin(2 * np.pi * np.cumsum(0.24 + 0.02 * rng.standard_normal(seconds)))
    tone = weights @ np.array([3.5, 2.5, 2.0, 1.8, 1.6, 0.7])
    return {
        "Resp oro-nasal": 400 * breath,
        "EMG submental": person.muscle * tone * np.exp(_wander(rng, seconds, 0.3, 30.0)),
        "Temp rectal": 37.1 - 0.35 * np.sin(np.pi * t / max(seconds, 1)),
        "Event marker": np.zeros(seconds),
    }


def _states(
    stages: Sequence[str], rng: np.random.Generator, seconds: int
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each of STATES there is, and of movement, at every second.

    A scored epoch is in the stage of its greater part: the passage from one to the next lies
    anywhere around the epochs' border, and takes a while.
    """
    column = {f"Sleep stage {stage}": i for i, stage in enumerate(STATES)}
    column |= {UNSCORED: column[WAKE], MOVEMENT: column[WAKE]}
    index = np.array([column[stage] for stage in stages])
    borders = np.flatnonzero(np.diff(index)) + 1
    edges = (borders * EPOCH_S + rng.uniform(-9, 9, borders.size)).astype(int)
    runs = np.diff(np.concatenate([[0], edges, [seconds]]))
    each = np.repeat(index[np.concatenate([[0], borders])], runs)
    weights = np.eye(len(STATES), dtype=np.float32)[each]
    moving = np.repeat([stage == MOVEMENT for stage in stages], round(EPOCH_S))
    return scipy.ndimage.gaussian_filter1d(weights, 5.0, axis=0), moving


def _slow_pressure(weights: np.ndarray) -> np.ndarray:
    """How large slow waves are for the need of sleep that is left: less by a third in the end."""
    deep = np.cumsum(weights[:, 2] * 0.3 + weights[:, 3] + weights[:, 4])
    return (1.12 - 0.34 * deep / max(float(deep[-1]), 1.0)).astype(np.float32)


def _noise(rng: np.random.Generator, seconds: int, weight) -> np.ndarray:
    """Gaussian noise of root mean square 1 at 100 Hz with the amplitude spectrum ``weight(f)``."""
    n = seconds * SFREQ_HZ
    size = scipy.fft.next_fast_len(n, real=True)
    freq_hz = scipy.fft.rfftfreq(size, 1 / SFREQ_HZ).astype(np.float32)
    amplitude = weight(np.maximum(freq_hz, 1e-3))
    used = np.flatnonzero(amplitude > 1e-3 * amplitude.max())
    spectrum = np.zeros(freq_hz.size, np.complex64)
    draws = rng.standard_normal((used.size, 2), dtype=np.float32)
    spectrum[used] = draws.view(np.complex64)[:, 0] * amplitude[used]
    noise = scipy.fft.irfft(spectrum, size)[:n]
    return noise / np.float32(np.sqrt(np.mean(noise[::7] ** 2)))


def _bell(centre_hz: float, width_hz: float):
    return lambda f: np.exp(-0.5 * ((f - centre_hz) / (width_hz / 2)) ** 2)


def _background(rng: np.random.Generator, person: Person, seconds: int) -> np.ndarray:
    power = person.slope / 2
    # The amplifier's high-pass lets half a hertz begin to pass.
    noise = _noise(rng, seconds, lambda f: f ** (-power) * f**2 / (f**2 + 0.5**2) * (f < 48))
    noise *= np.float32(person.background_uv)
    return noise


def _peaked(wave: np.ndarray) -> np.ndarray:
    """Slow waves are no sines: their negative half is narrow and deep."""
    return wave - 0.3 * (wave**2 - 1) * (wave < 0)


def _wander(rng: np.random.Generator, seconds: int, deviation: float, over_s: float) -> np.ndarray:
    """A stationary course at each second with this deviation, whose memory is ``over_s``."""
    pad = round(3 * over_s)
    course = scipy.ndimage.gaussian_filter1d(rng.standard_normal(seconds + 2 * pad), over_s / 2)
    course = course[pad : pad + seconds] * np.sqrt(over_s * np.sqrt(np.pi))
    return (deviation * course).astype(np.float32)


def _drift(rng: np.random.Generator, seconds: int) -> np.ndarray:
    """The logarithm of an electrode's gain: over hours, with a step where it is moved."""
    course = _wander(rng, seconds, 0.08, 3600.0)
    for at in np.flatnonzero(rng.random(seconds) < 1 / 14400):
        course[at:] += 0.08 * rng.standard_normal(dtype=np.float32)
    return course


def _modulate(signal: np.ndarray, level: np.ndarray) -> None:
    """Multiplies, in place, by a level that is given at each second, in straight lines between."""
    level = level.astype(np.float32)
    step = np.append(np.diff(level), np.float32(0))
    ramp = np.arange(SFREQ_HZ, dtype=np.float32) / SFREQ_HZ
    signal.reshape(-1, SFREQ_HZ)[:] *= level[:, None] + step[:, None] * ramp


def _times(rng: np.random.Generator, per_min: np.ndarray) -> np.ndarray:
    """Samples at which events begin whose rate at each second is given; no two in one second."""
    at = np.flatnonzero(rng.random(per_min.size) < per_min / 60)
    return at * SFREQ_HZ + rng.integers(0, SFREQ_HZ, at.size)


def _bump(duration_s: float) -> np.ndarray:
    return np.hanning(max(int(duration_s * SFREQ_HZ), 4)).astype(np.float32)


def _add(signal: np.ndarray, at: int, shape: np.ndarray) -> None:
    stop = min(at + shape.size, signal.size)
    signal[at:stop] += shape[: stop - at]


def _eyes(rng: np.random.Generator, weights: np.ndarray, seconds: int) -> np.ndarray:
    """Blinks and saccades awake, slow rolling in N1, bursts of rapid movements in R."""
    awake, drowsy, rem = weights[:, 0], weights[:, 1], weights[:, 5]
    rolling = _noise(rng, seconds, _bell(0.35, 0.25))
    # Eyes are open in stretches; bursts of R come and go.
    looking = awake / (1 + np.exp(-4 * _wander(rng, seconds, 1.0, 40.0) - 1.0))
    bursts = rem * np.exp(_wander(rng, seconds, 1.3, 25.0))
    _modulate(rolling, 45 * drowsy + 15 * awake + 25 * looking + 6)
    for at in _times(rng, 16 * looking):
        _add(rolling, at, np.float32(rng.uniform(80, 250)) * _bump(rng.uniform(0.3, 0.5)))
    for at in _times(rng, np.minimum(8 * bursts, 55) + 30 * looking):
        step = rng.choice([-1.0, 1.0]) * rng.uniform(40, 220)
        length = int(rng.uniform(0.5, 2.0) * SFREQ_HZ)
        shape = np.exp(-np.arange(length) / (0.6 * length)) * np.minimum(np.arange(length) / 5, 1)
        _add(rolling, at, (step * shape).astype(np.float32))
    return rolling


def _add_transients(
    rng: np.random.Generator,
    person: Person,
    weights: np.ndarray,
    frontal: np.ndarray,
    posterior: np.ndarray,
) -> None:
    """Spindles, K-complexes, vertex waves and saw teeth, where stages have them."""
    _, drowsy, light, deep, deepest, rem = weights.T
    sleepy = np.exp(_wander(rng, len(weights), 0.5, 30.0))
    spindling = person.spindles_per_min * (light + 0.5 * deep + 0.15 * deepest) * sleepy
    for at in _times(rng, spindling):
        envelope = rng.uniform(0.6, 1.3) * person.spindle_uv * _bump(rng.uniform(0.5, 1.5))
        rate_hz = person.spindle_hz + rng.normal(0, 0.3)
        phase = 2 * np.pi * rate_hz * np.arange(envelope.size) / SFREQ_HZ
        shape = (envelope * np.sin(phase)).astype(np.float32)
        _add(frontal, at, shape)
        _add(posterior, at, np.float32(rng.uniform(0.2, 0.7)) * shape)
    for at in _times(rng, 1.5 * person.slow * (light + 0.5 * deep)):
        shape = np.concatenate([-_bump(rng.uniform(0.3, 0.5)), 0.6 * _bump(rng.uniform(0.5, 0.8))])
        shape *= np.float32(rng.uniform(60, 130))
        _add(frontal, at, shape)
        _add(posterior, at, 0.35 * shape)
    for at in _times(rng, 3 * drowsy + 0.6 * light):
        shape = np.concatenate([-_bump(0.18), 0.4 * _bump(0.25)]) * np.float32(rng.uniform(25, 60))
        _add(frontal, at, shape)
        _add(posterior, at, 0.3 * shape)
    teeth = ((np.arange(60) % 30) / 15 - 1).astype(np.float32) * np.hanning(60).astype(np.float32)
    for at in _times(rng, 8 * rem):
        _add(frontal, at, np.float32(rng.uniform(15, 35)) * teeth)


def _movements(rng: np.random.Generator, moving: np.ndarray, seconds: int) -> np.ndarray:
    """People turn over: seconds of sway, through movement time and now and then."""
    signal = np.zeros(seconds * SFREQ_HZ, np.float32)
    sway = _noise(rng, 600, lambda f: (f > 0.4) * (f < 6) / f)
    for at in _times(rng, 10.0 * moving + 0.05):
        shape = np.float32(rng.uniform(30, 150)) * _bump(rng.uniform(1.5, 6))
        first = int(rng.integers(0, sway.size - shape.size))
        _add(signal, at, shape * sway[first : first + shape.size])
    return signal
