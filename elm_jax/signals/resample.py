"""Resampling by mne's padded FFT method, on a signal or on every second sample of it.

Every second sample is enough for a band-limited signal, but mne's padding is not band-limited: it
has kinks where it begins (an odd reflection about the first and the last sample) and a jump where
its two ends meet on the FFT's circle. Their high frequencies would fold back. Around these three
places the full rate is looked at, and what would fold back is taken out (:class:`Corners`).
"""

import dataclasses
import fractions
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex64, Float32


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


def scratch_for(plan: FftPlan, n_rows: int, step: int) -> Float32[np.ndarray, " s"]:
    """Room for :func:`padded_in`, to be used again and again."""
    return np.empty(n_rows * (plan.n_padded // step), np.float32)


def padded_in(
    scratch: Float32[np.ndarray, " s"], plan: FftPlan, n_rows: int, step: int
) -> Float32[np.ndarray, "r p"]:
    """Room for the padded signal: every ``step``-th sample."""
    n_columns = plan.n_padded // step
    return scratch[: n_rows * n_columns].reshape(n_rows, n_columns)


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


class Corners(NamedTuple):
    """Stretches of the signal at the full rate, smoothed by the alias kernel and as long as it.

    Attributes:
      head: from the first sample on.
      tail: up to the last sample.
      left_turn: up to the sample that the padding's first one mirrors.
      right_turn: from the sample that the padding's last one mirrors.
    """

    head: np.ndarray
    tail: np.ndarray
    left_turn: np.ndarray
    right_turn: np.ndarray


def corner_starts(plan: FftPlan) -> tuple[int, int, int, int]:
    """Where each stretch of :class:`Corners` begins, as a sample of the signal."""
    pad_right, last = plan.n_padded - plan.n - plan.pad_left, plan.n - 1
    return 0, last - KERNEL_TAPS + 1, plan.pad_left - KERNEL_TAPS + 1, last - pad_right


def kinks(plan: FftPlan) -> tuple[int, int, int, int]:
    """The samples of the signal at, or next to, which the padding has a kink or a jump."""
    pad_right, last = plan.n_padded - plan.n - plan.pad_left, plan.n - 1
    return 0, last, plan.pad_left, last - pad_right


KERNEL_TAPS = 99  # mne pads by 100 samples at least: each place is on its own
_KERNEL_DB = 75.0


def half_rate_is_enough(sfreq_hz: float, pass_hz: float, new_hz: float) -> bool:
    """Whether every second sample of a signal without content above ``pass_hz`` will do.

    Not where the new rate is as high: what the filter leaves of the upper frequencies (-53 dB)
    would all fold back into what is kept.
    """
    return new_hz < sfreq_hz / 2 and _kernel_db(sfreq_hz, pass_hz, new_hz) >= _KERNEL_DB


def _kernel_db(sfreq_hz: float, pass_hz: float, new_hz: float) -> float:
    """What a kernel attenuates that has from ``pass_hz`` to where halving the rate folds back."""
    from scipy import signal

    width_hz = (sfreq_hz - new_hz) / 2 - pass_hz
    if width_hz <= 0:
        return 0.0
    return float(signal.kaiser_atten(KERNEL_TAPS, width_hz / (sfreq_hz / 2)))


@functools.lru_cache(maxsize=16)
def alias_kernel(sfreq_hz: float, pass_hz: float, new_hz: float) -> tuple[float, ...]:
    """A low-pass that keeps ``pass_hz`` and stops what halving the rate folds into the result."""
    from scipy import signal

    beta = signal.kaiser_beta(min(_kernel_db(sfreq_hz, pass_hz, new_hz), 140.0))
    middle_hz = ((sfreq_hz - new_hz) / 2 + pass_hz) / 2
    taps = signal.firwin(KERNEL_TAPS, middle_hz, window=("kaiser", beta), fs=sfreq_hz)
    return tuple(taps.tolist())


def _remove_folding(padded, plan: FftPlan, ends, corners: Corners, kernel) -> None:
    """Takes what would fold back at the padding's kinks out of every second sample."""
    first, last = (np.asarray(end, np.float32)[:, None] for end in ends)
    kernel, after = np.asarray(kernel, np.float32), plan.pad_left + plan.n
    stretches = (
        (plan.pad_left, (2 * first - corners.head[:, :0:-1], corners.head)),
        (after, (corners.tail, 2 * last - corners.tail[:, -2::-1])),
        (0, (2 * last - corners.right_turn[:, ::-1], 2 * first - corners.left_turn[:, ::-1])),
    )
    reach = len(kernel) // 2
    for at, parts in stretches:
        around = np.concatenate(parts, axis=1)
        view = np.lib.stride_tricks.sliding_window_view(around, len(kernel), axis=1)
        folding = around[:, reach : around.shape[1] - reach] - view @ kernel
        begin = at - parts[0].shape[1] + reach
        columns = np.arange(begin, begin + folding.shape[1])
        even = columns % 2 == 0
        padded[:, columns[even] // 2 % padded.shape[1]] -= folding[:, even]


def resample_padded(
    padded: Float32[np.ndarray, "r p"],
    plan: FftPlan,
    ends: tuple[np.ndarray, np.ndarray],
    *,
    corners: Corners | None = None,
    kernel: Sequence[float] = (),
    out: Float32[np.ndarray, "r m"] | None = None,
) -> Float32[np.ndarray, "r m"]:
    """Resamples what stands in the core of ``padded``; fills in the padding itself.

    Args:
      padded: from :func:`padded_in`; columns of :func:`core_of` hold the signal. Overwritten.
      plan: the sizes.
      ends: the first and the last sample of each row, about which mne reflects.
      corners: given if only every second sample is there: the full rate at the padding's kinks.
      kernel: with ``corners``: from :func:`alias_kernel`.
      out: receives the result, if given.
    """
    step = plan.n_padded // padded.shape[1]
    _mirror(padded, plan, step, ends)
    if corners is not None:
        _remove_folding(padded, plan, ends, corners, kernel)
    n_bins = plan.n_new // 2 + 1
    spectrum = _low_bins(padded, n_bins)
    shorter = min(plan.n_new, plan.n_padded)
    if n_bins > spectrum.shape[1]:
        spectrum = np.pad(spectrum, ((0, 0), (0, n_bins - spectrum.shape[1])))
    spectrum = spectrum[:, :n_bins]
    if shorter % 2 == 0:
        spectrum[:, shorter // 2] *= 2 if plan.n_new < plan.n_padded else 0.5
    resampled = scipy.fft.irfft(spectrum, plan.n_new, overwrite_x=True)
    kept = resampled[:, plan.trim_left : plan.trim_left + plan.n_out]
    return np.multiply(kept, np.float32(step * plan.n_new / plan.n_padded), out=out)


def _low_bins(x: Float32[np.ndarray, "r p"], n_bins: int) -> Complex64[np.ndarray, "r k"]:
    """The real FFT's first bins, at least ``n_bins`` of them where there are so many.

    Where less than half is wanted, two transforms of every second sample have it all, in half the
    working memory.
    """
    n = x.shape[1]
    if n_bins > n // 4 or n < 2**17:
        return scipy.fft.rfft(x)
    low = scipy.fft.rfft(x[:, ::2])[:, :n_bins].copy()
    odd = scipy.fft.rfft(x[:, 1::2])[:, :n_bins]
    odd *= _turns(n, n_bins)
    low += odd
    return low


@functools.lru_cache(maxsize=2)
def _turns(n: int, n_bins: int) -> Complex64[np.ndarray, " k"]:
    return np.exp(-2j * np.pi / n * np.arange(n_bins)).astype(np.complex64)


def mne_fft(
    x: Float32[np.ndarray, "c t"], sfreq_hz: float, new_hz: float
) -> Float32[np.ndarray, "c m"]:
    """``mne.io.Raw.resample(new_hz)`` with its default padding, in float32."""
    plan = FftPlan.make(x.shape[1], sfreq_hz, new_hz)
    padded = padded_in(scratch_for(plan, len(x), 1), plan, len(x), 1)
    _, a, b = core_of(plan, 1)
    padded[:, a:b] = x
    return resample_padded(padded, plan, (x[:, 0], x[:, -1]))


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
