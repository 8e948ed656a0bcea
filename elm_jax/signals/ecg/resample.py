"""Another sampling rate for an ECG, on true time: sample k of the result lies at k / new_hz.

ECG-Bench interpolates between equally spaced points of [0, n / rate], both ends included, for the
old and the new samples: that stretches time by n / (n - 1), and not by the same factor for both. A
sample at t is here what the signal is at t.
"""

import fractions
import math

import numpy as np
from jaxtyping import Float32

from elm_jax.signals.resample import same_rate

_LARGEST = 10_000  # of numerator and denominator: the filter has twenty times as many taps
_RATIO_ERROR = 1e-8  # 0.1 us in 10 s


def exact_ratio(sfreq_hz: float, new_hz: float) -> fractions.Fraction | None:
    """The ratio of the rates, or None if it is none of numbers up to 10,000."""
    ratio = fractions.Fraction(new_hz) / fractions.Fraction(sfreq_hz)
    near = ratio.limit_denominator(_LARGEST)
    fits = near.numerator and max(near.numerator, near.denominator) <= _LARGEST
    return near if fits and abs(float(near / ratio) - 1) <= _RATIO_ERROR else None


def resampled_length(n: int, sfreq_hz: float, new_hz: float) -> int:
    """Samples of the result: all whose time lies before the end of the last sample's."""
    if same_rate(sfreq_hz, new_hz):
        return n
    ratio = exact_ratio(sfreq_hz, new_hz)
    if ratio is None:
        return math.ceil(n * new_hz / sfreq_hz - 1e-6)
    return -(-n * ratio.numerator // ratio.denominator)


def resample(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, new_hz: float, method: str
) -> Float32[np.ndarray, "c m"]:
    """Resamples rows.

    Args:
      x: the signal.
      sfreq_hz: its rate.
      new_hz: the rate of the result.
      method: "polyphase" (``scipy.signal.resample_poly``: low-pass, and the ends continued by a
        line) or "cubic" (splines through the samples, no low-pass: what lies above half of the new
        rate folds back, as in ECG-Bench).

    Raises:
      ValueError: "polyphase" between rates without a ratio of small whole numbers.
    """
    if same_rate(sfreq_hz, new_hz):
        return x
    if method == "cubic":
        return _cubic(x, sfreq_hz, new_hz)
    from scipy import signal

    ratio = exact_ratio(sfreq_hz, new_hz)
    if ratio is None:
        raise ValueError(f"{sfreq_hz} Hz to {new_hz} Hz is no ratio of small whole numbers")
    up, down = ratio.numerator, ratio.denominator
    return signal.resample_poly(x, up, down, axis=-1, padtype="line").astype(np.float32, copy=False)


def _cubic(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, new_hz: float
) -> Float32[np.ndarray, "c m"]:
    from scipy.interpolate import CubicSpline

    n = x.shape[1]
    at = np.arange(resampled_length(n, sfreq_hz, new_hz)) * (sfreq_hz / new_hz)
    # Beyond the last sample a line goes on: a cubic would run away with what noise stood there.
    continued = np.concatenate([x, 2 * x[:, -1:] - x[:, -2:-1]], axis=1)
    return CubicSpline(np.arange(n + 1), continued, axis=1)(at).astype(np.float32)
