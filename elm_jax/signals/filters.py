"""The zero-phase FIR band-pass as mne designs and applies it, in float32 and at a lower rate.

mne extends a signal by odd reflection about its end samples and filters by overlap-add. Here the
same convolution is done by overlap-save, and only the part of each block's spectrum that can hold
anything is transformed back: every second sample of the result, for a little over half the work.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy.fft
from jaxtyping import Float32, Float64

from elm_jax.signals.montage import MEAN

_HAMMING_LENGTH = 3.3  # taps x transition width / rate, mne's figure for a Hamming window
#: (sfreq_hz, highpass_hz, lowpass_hz), and the frequencies of notches where there are some.
Band = tuple[float, float, float] | tuple[float, float, float, tuple[float, ...]]
_NOTCH_EDGE_HZ = 0.5  # from stop to pass, half of mne's trans_bandwidth
_BLOCK_TAPS = 6  # blocks are this many times as long as the filter, up to a power of two
_LEAST_BLOCK = 8192  # of short filters: a call costs as much as a thousand samples of an FFT


def _transitions_hz(sfreq_hz: float, highpass_hz: float, lowpass_hz: float) -> tuple[float, float]:
    low = min(max(0.25 * highpass_hz, 2.0), highpass_hz)
    high = min(max(0.25 * lowpass_hz, 2.0), sfreq_hz / 2 - lowpass_hz)
    return low, high


def stop_hz(sfreq_hz: float, lowpass_hz: float) -> float:
    """The frequency from which on the filter's upper edge lets nothing pass (-53 dB)."""
    return lowpass_hz + _transitions_hz(sfreq_hz, 0.0, lowpass_hz)[1]


def _lowpass(n_taps: int, cutoff: float) -> Float64[np.ndarray, " l"]:
    """``scipy.signal.firwin(n_taps, cutoff, fs=2)`` to the bit.

    The import of ``scipy.signal`` alone takes longer than filtering three nights.
    """
    at = np.arange(n_taps) - 0.5 * (n_taps - 1)
    hamming = 0.54 + (1 - 0.54) * np.cos(np.linspace(-np.pi, np.pi, n_taps))
    h = cutoff * np.sinc(cutoff * at) * hamming
    return h / h.sum()


@functools.lru_cache(maxsize=64)
def design_bandpass(
    sfreq_hz: float, highpass_hz: float, lowpass_hz: float, notch_hz: tuple[float, ...] = ()
) -> Float64[np.ndarray, " l"]:
    """Coefficients equal to ``mne.filter.create_filter(None, sfreq, highpass, lowpass)``.

    Two windowed-sinc low-passes, the narrower one subtracted (``firwin`` design, Hamming window);
    the sum of the taps is zero, so a constant never passes. With notches it is this filter and
    those of :func:`design_notch`, one after the other.

    Args:
      sfreq_hz: sampling rate.
      highpass_hz: lower edge of the pass band; 0 for none.
      lowpass_hz: upper edge; below half the sampling rate.
      notch_hz: what is taken out of the band.

    Raises:
      ValueError: the band does not fit under half the sampling rate.
    """
    if not 0 <= highpass_hz < lowpass_hz < sfreq_hz / 2:
        raise ValueError(
            f"the band {highpass_hz}-{lowpass_hz} Hz does not fit under half of {sfreq_hz} Hz"
        )
    low_hz, high_hz = _transitions_hz(sfreq_hz, highpass_hz, lowpass_hz)
    narrowest_hz = min(w for w in (low_hz, high_hz) if w > 0)
    n_taps = max(math.ceil(_HAMMING_LENGTH / narrowest_hz * sfreq_hz), 1) | 1
    nyquist_hz = sfreq_hz / 2
    h = np.zeros(n_taps)
    edges = [(lowpass_hz, lowpass_hz + high_hz, 1)]
    if highpass_hz > 0:
        edges.append((highpass_hz - low_hz, highpass_hz, -1))
    for from_hz, to_hz, sign in edges:
        start, stop = from_hz / nyquist_hz, to_hz / nyquist_hz
        n = round(_HAMMING_LENGTH / ((stop - start) / 2)) | 1
        offset = (n_taps - n) // 2
        h[offset : n_taps - offset] += sign * _lowpass(n, (start + stop) / 2)
    for middle_hz in notch_hz:
        h = np.convolve(h, design_notch(sfreq_hz, middle_hz))
    h.setflags(write=False)
    return h


def holds_notch(sfreq_hz: float, middle_hz: float) -> bool:
    """Whether a notch with its edges lies between 0 and half the rate."""
    reach_hz = middle_hz / 400 + _NOTCH_EDGE_HZ
    return reach_hz < middle_hz < sfreq_hz / 2 - reach_hz


def design_notch(sfreq_hz: float, middle_hz: float) -> Float64[np.ndarray, " l"]:
    """Coefficients of ``mne.filter.notch_filter(x, sfreq, middle)`` (``method="fir"``).

    A band-stop as wide as 1/200 of its middle, with transitions of half a hertz: two windowed-sinc
    low-passes, of which the wider is taken out of an impulse and the narrower put back.

    Raises:
      ValueError: the stop band with its transitions does not lie between 0 and half the rate.
    """
    if not holds_notch(sfreq_hz, middle_hz):
        raise ValueError(f"a notch at {middle_hz} Hz does not fit under half of {sfreq_hz} Hz")
    half_hz, nyquist_hz = middle_hz / 400, sfreq_hz / 2
    n_taps = max(math.ceil(_HAMMING_LENGTH / _NOTCH_EDGE_HZ * sfreq_hz), 1) | 1
    h = np.zeros(n_taps)
    h[n_taps // 2] = 1
    for side, sign in ((1, -1), (-1, 1)):
        edge_hz = middle_hz + side * half_hz
        start, stop = sorted((edge_hz / nyquist_hz, (edge_hz + side * _NOTCH_EDGE_HZ) / nyquist_hz))
        n = round(_HAMMING_LENGTH / ((stop - start) / 2)) | 1
        offset = (n_taps - n) // 2
        h[offset : n_taps - offset] += sign * _lowpass(n, (start + stop) / 2)
    return h


@functools.lru_cache(maxsize=32)
def _response(band: Band, n_fft: int, step: int) -> Float32[np.ndarray, " k"]:
    """The filter's (real) spectrum over a block, cut to what a rate of ``sfreq_hz / step`` holds.

    ``n_fft`` complex bins' worth of a centred kernel; includes ``1 / step`` for a shorter inverse.
    Each number stands there twice, for the real and the imaginary part of what it multiplies.
    """
    h = design_bandpass(*band)
    half = len(h) // 2
    centred = np.zeros(n_fft)
    centred[: half + 1], centred[-half:] = h[half:], h[:half]
    spectrum = np.fft.rfft(centred).real[: n_fft // (2 * step) + 1]
    return np.repeat((spectrum / step).astype(np.float32), 2)


def _fft_length(n: int) -> int:
    """The least fast FFT length that holds ``n``: 4, 5, 6 or 7 times a power of two.

    Few different ones, so that the filter's spectra are found ready for the next recording.
    """
    unit = 2 ** max(math.ceil(math.log2(n)) - 3, 2)
    return unit * max(-(-n // unit), 4)


class Rows:
    """Differences of electrodes, computed block by block and never held whole.

    Row i is ``sign_i * (x[plus_i] - x[minus_i])`` (``minus`` None: the electrode itself;
    ``montage.MEAN``: the electrode less ``mean``), as seen by mne's filter
    (``pad="reflect_limited"``): extended by odd reflection about its first and last sample for up
    to ``n_edge`` samples, zero beyond.
    """

    def __init__(
        self,
        x: Float32[np.ndarray, "c t"],
        rows: list[tuple[int, int | None, int]],
        n_taps: int,
        *,
        keep_constant: bool = False,
        mean: Float32[np.ndarray, " t"] | None = None,
    ):
        self.x, self.rows, self.mean = x, rows, mean
        self.n = x.shape[1]
        self.n_edge = min(n_taps, self.n) - 1
        # The filter removes a constant, float32 does not: take it out first. Where the zeros
        # beyond the extension are within the filter's reach, a constant matters and stays.
        self.first, self.last = (self._values(at, at + 1)[:, 0] for at in (0, self.n - 1))
        short = self.n_edge < n_taps // 2
        self.offset = np.zeros_like(self.first) if short or keep_constant else self.first.copy()

    def _values(self, start: int, stop: int, out=None) -> Float32[np.ndarray, "r t"]:
        if out is None:
            out = np.empty((len(self.rows), stop - start), np.float32)
        for target, (plus, minus, sign) in zip(out, self.rows, strict=True):
            if minus is None:
                np.multiply(self.x[plus, start:stop], sign, out=target)
            elif minus == MEAN:
                np.subtract(self.x[plus, start:stop], self.mean[start:stop], out=target)
            else:
                first, second = (plus, minus) if sign > 0 else (minus, plus)
                np.subtract(self.x[first, start:stop], self.x[second, start:stop], out=target)
        return out

    def fill(self, block: Float32[np.ndarray, "r t"], start: int) -> None:
        """Writes samples [start, start + t) of the extended rows into ``block``."""
        stop = start + block.shape[1]
        marks = [-self.n_edge, 0, self.n, self.n + self.n_edge]
        a, b, c, d = (min(max(m, start), stop) - start for m in marks)
        block[:, :a] = 0
        if b > a:
            mirrored = self._values(1 - start - b, 1 - start - a)[:, ::-1]
            np.subtract(2 * self.first[:, None], mirrored, out=block[:, a:b])
        if c > b:
            self._values(start + b, start + c, out=block[:, b:c])
        if d > c:
            turn = 2 * (self.n - 1)
            mirrored = self._values(turn + 1 - start - d, turn + 1 - start - c)[:, ::-1]
            np.subtract(2 * self.last[:, None], mirrored, out=block[:, c:d])
        block[:, d:] = 0
        if self.offset.any():
            block -= self.offset[:, None]

    def stretches(
        self,
        band: Band,
        starts: Sequence[int],
        count: int,
        *,
        smooth: tuple[float, ...] = (1.0,),
    ) -> Float32[np.ndarray, "s r k"]:
        """Short stretches of every filtered row, by direct summation.

        Args:
          band: of the filter.
          starts: first sample of each stretch.
          count: samples of a stretch.
          smooth: taps of a further symmetric filter, odd in number.
        """
        matrix = _summation(band, count, smooth)
        blocks = np.empty((len(starts), len(self.rows), len(matrix)), np.float32)
        for block, start in zip(blocks, starts, strict=True):
            self.fill(block, start - (len(matrix) - count) // 2)
        flat = blocks.reshape(-1, len(matrix)) @ matrix
        return flat.reshape(len(starts), len(self.rows), count)


@functools.lru_cache(maxsize=4)
def _summation(band: Band, count: int, smooth: tuple[float, ...]) -> Float32[np.ndarray, "i k"]:
    """The filter as a matrix: [taps - 1 + count, count]."""
    h = np.convolve(design_bandpass(*band), smooth)
    matrix = np.zeros((len(h) - 1 + count, count), np.float32)
    for k in range(count):
        matrix[k : k + len(h), k] = h
    return matrix


def filter_rows(
    rows: Rows,
    band: Band,
    start: int,
    out: Float32[np.ndarray, "r t"],
    *,
    step: int = 1,
) -> None:
    """Band-passes rows and keeps every ``step``-th sample from ``start`` on, into ``out``.

    Args:
      rows: what to filter.
      band: of the filter.
      start: first sample of the rows to keep.
      out: receives samples start, start + step, ...
      step: 1 or 2; 2 only if half the rate holds the band up to :func:`stop_hz`.
    """
    n_taps = len(design_bandpass(*band))
    reach = n_taps // 2 + (n_taps // 2) % 2  # even, so that blocks keep the grid
    count = out.shape[1]
    # Long enough to overlap little, short enough for the processor's cache.
    longest = 2 ** math.ceil(math.log2(max(_BLOCK_TAPS * n_taps, _LEAST_BLOCK)))
    block = np.empty(
        (out.shape[0], min(longest, _fft_length(count * step + 2 * reach))), np.float32
    )
    done = 0
    while done < count:
        n_fft = min(longest, _fft_length((count - done) * step + 2 * reach))
        part, response = block[:, :n_fft], _response(band, n_fft, step)
        rows.fill(part, start + done * step - reach)
        spectrum = scipy.fft.rfft(part)[:, : len(response) // 2]
        spectrum.view(np.float32)[...] *= response
        kept = scipy.fft.irfft(spectrum, n_fft // step, overwrite_x=True)
        width = min((n_fft - 2 * reach) // step, count - done)
        out[:, done : done + width] = kept[:, reach // step : reach // step + width]
        done += width
