"""Resampling by mne's padded FFT method, on a signal or on every second sample of it."""

import dataclasses
import fractions
import math

import numpy as np
import scipy.fft
from jaxtyping import Float32


@dataclasses.dataclass(frozen=True)
class FftPlan:
    """The sizes of ``mne``'s FFT resampling with ``npad="auto"``, ``pad="reflect_limited"``.

    A signal of ``n`` samples is padded to a power of two and transformed; the length after
    resampling is *rounded*, which stretches time (by 15 ppm from 250 Hz to 100 Hz). The released
    weights and the reference values have that stretch, so it is kept.
    """

    n: int
    n_padded: int
    pad_left: int
    n_new: int
    trim_left: int
    n_out: int

    @classmethod
    def make(cls, n: int, sfreq_hz: float, new_hz: float) -> "FftPlan":
        """The plan for ``n`` samples at ``sfreq_hz``."""
        ratio = float(new_hz) / sfreq_hz
        min_add = min(n // 8, 100) * 2
        n_padded = 2 ** math.ceil(math.log2(n + min_add))
        pad_left = (n_padded - n) // 2
        n_new = max(round(ratio * n_padded), 1)
        n_out = max(round(ratio * n), 1)
        return cls(n, n_padded, pad_left, n_new, round(ratio * pad_left), n_out)


def empty_padded(plan: FftPlan, n_rows: int, step: int) -> Float32[np.ndarray, "r p"]:
    """Room for the padded signal: every ``step``-th sample."""
    return np.empty((n_rows, plan.n_padded // step), np.float32)


def core_of(plan: FftPlan, step: int) -> tuple[int, int, int]:
    """Where the signal lies in the padded array.

    Returns:
      the first signal sample on the grid (0 or 1), its column, and the column after the last.
    """
    first = (-plan.pad_left) % step
    column = (plan.pad_left + first) // step
    count = -(-(plan.n - first) // step)
    return first, column, column + count


def _mirror(padded, plan: FftPlan, step: int, ends) -> None:
    """Odd reflection about the first and the last sample; zero where it runs out of signal."""
    first, a, b = core_of(plan, step)
    head, tail = (np.asarray(end, np.float32)[:, None] for end in ends)
    # Left: the sample q < 0 mirrors -q. The grid's nearest such q is first - step.
    source = -(first - step)
    begin = a + (source - first) // step
    mirror = padded[:, begin:b][:, :a][:, ::-1]
    np.subtract(2 * head, mirror, out=padded[:, a - mirror.shape[1] : a])
    padded[:, : a - mirror.shape[1]] = 0
    # Right: q >= n mirrors 2 (n - 1) - q.
    q = first + (b - a) * step
    end = a + (2 * (plan.n - 1) - q - first) // step + 1
    mirror = padded[:, a:end][:, ::-1][:, : padded.shape[1] - b]
    np.subtract(2 * tail, mirror, out=padded[:, b : b + mirror.shape[1]])
    padded[:, b + mirror.shape[1] :] = 0


def resample_padded(
    padded: Float32[np.ndarray, "r p"],
    plan: FftPlan,
    *,
    step: int,
    ends: tuple[np.ndarray, np.ndarray],
) -> Float32[np.ndarray, "r m"]:
    """Resamples what stands in the core of ``padded``; fills in the padding itself.

    Args:
      padded: from :func:`empty_padded`; columns of :func:`core_of` hold the signal. Overwritten.
      plan: the sizes.
      step: 1, or 2 if only every second sample is there (nothing above a quarter of the rate).
      ends: the exact first and last sample of each row, about which mne reflects.
    """
    _mirror(padded, plan, step, ends)
    spectrum = scipy.fft.rfft(padded, overwrite_x=True)
    n_bins = plan.n_new // 2 + 1
    shorter = min(plan.n_new, plan.n_padded)
    if n_bins > spectrum.shape[1]:
        spectrum = np.pad(spectrum, ((0, 0), (0, n_bins - spectrum.shape[1])))
    spectrum = spectrum[:, :n_bins]
    if shorter % 2 == 0:
        spectrum[:, shorter // 2] *= 2 if plan.n_new < plan.n_padded else 0.5
    spectrum *= np.float32(step * plan.n_new / plan.n_padded)
    out = scipy.fft.irfft(spectrum, plan.n_new, overwrite_x=True)
    return out[:, plan.trim_left : plan.trim_left + plan.n_out]


def mne_fft(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, new_hz: float
) -> Float32[np.ndarray, "c m"]:
    """``mne.io.Raw.resample(new_hz)`` with its default padding, in float32."""
    plan = FftPlan.make(x.shape[1], sfreq_hz, new_hz)
    padded = empty_padded(plan, len(x), 1)
    _, a, b = core_of(plan, 1)
    padded[:, a:b] = x
    return resample_padded(padded, plan, step=1, ends=(x[:, 0], x[:, -1]))


def polyphase(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, new_hz: float
) -> Float32[np.ndarray, "c m"]:
    """Exact-ratio resampling with scipy's polyphase filter, ends continued by a line."""
    from scipy import signal

    ratio = (fractions.Fraction(new_hz) / fractions.Fraction(sfreq_hz)).limit_denominator(10_000)
    out = signal.resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return out.astype(np.float32, copy=False)


def same_rate(sfreq_hz: float, new_hz: float) -> bool:
    """Whether there is nothing to resample, to mne's tolerance."""
    return math.isclose(sfreq_hz, new_hz, rel_tol=1e-6)
