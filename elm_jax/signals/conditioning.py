"""One gap-free stretch on its way to a model: band-pass, clip, resample, in small groups of rows.

As long as nothing clips, all of it is linear. Derivations that are sums of others (each closed
ring of a bipolar montage has one) are then added up at the end instead of being worked out, and a
row that clips is worked out as if it did not, corrected by what is cut off, seen at the full rate
only around those places.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from elm_jax.data.spec import SignalSpec
from elm_jax.signals import resample
from elm_jax.signals.filters import Band, Rows, design_bandpass, filter_rows, stop_hz
from elm_jax.signals.montage import MEAN, MontageRow, channels_of, sums_of_others

_GROUP = 4  # rows at a time: what the FFT computes side by side, and little memory
# Between every second sample a 50 Hz oscillation can rise above both of its neighbours; twice the
# larger is never reached by a signal that the band-pass has been over.
_PEAK_MARGIN = 0.5
_PLACES_SHARE = 0.5  # of a row: if the places that may clip are more, the row is done at full rate


@dataclasses.dataclass
class Conditioning:
    """What is done with one stretch.

    Attributes:
      x: channels in microvolts.
      rows: the rows to make.
      band: (sfreq_hz, highpass_hz, lowpass_hz), and the notches' frequencies if there are any.
      keep: [first, stop) of ``x`` to keep, after filtering.
      clip_uv: the limit.
      spec: what comes out.
    """

    x: Float32[np.ndarray, "c t"]
    rows: list[MontageRow]
    band: Band
    keep: tuple[int, int]
    clip_uv: float
    spec: SignalSpec

    def __post_init__(self):
        averaged = any(row.minus == MEAN for row in self.rows)
        self.mean = _mean(self.x, channels_of(self.rows)) if averaged else None

    def run(self) -> Float32[np.ndarray, "r m"]:
        """Filters, clips and resamples all rows; microvolts."""
        same = resample.same_rate(self.band[0], self.spec.sfreq_hz)
        if self.spec.resample == "mne_fft" and not same:
            return _ByFft(self).run()
        out = []
        for group in _groups(range(len(self.rows))):
            y = np.empty((len(group), self.keep[1] - self.keep[0]), np.float32)
            filter_rows(self.rows_of(group), self.band, self.keep[0], y)
            np.clip(y, -self.clip_uv, self.clip_uv, out=y)
            out.append(y if same else resample.polyphase(y, self.band[0], self.spec.sfreq_hz))
        return np.concatenate(out)

    def rows_of(self, group: Sequence[int]) -> Rows:
        """Some of the rows, ready to be filtered."""
        picked = [(r.plus, r.minus, r.sign) for r in (self.rows[i] for i in group)]
        n_taps = len(design_bandpass(*self.band))
        more = {"keep_constant": self.band[1] == 0, "mean": self.mean}
        return Rows(self.x, picked, n_taps, **more)


class _ByFft:
    """mne's FFT resampling; half the samples where they are enough."""

    def __init__(self, work: Conditioning):
        self.work, self.band, self.clip_uv = work, work.band, work.clip_uv
        self.start, self.n = work.keep[0], work.keep[1] - work.keep[0]
        self.new_hz = work.spec.sfreq_hz
        self.plan = resample.FftPlan.make(self.n, self.band[0], self.new_hz)
        self.out = np.empty((len(work.rows), self.plan.n_out), np.float32)
        self.bent: set[int] = set()  # rows of which something was cut off

    def run(self) -> Float32[np.ndarray, "r m"]:
        sums = sums_of_others(self.work.rows)
        step = 2 if self._half_rate_is_enough() else 1
        _, a, b = resample.core_of(self.plan, step)
        totals = {row: np.zeros(b - a, np.float32) for row in sums}
        terms = collections.defaultdict(list)
        for row, parts in sums.items():
            for other, sign in parts:
                terms[other].append((totals[row], np.add if sign > 0 else np.subtract))
        independent = [i for i in range(len(self.work.rows)) if i not in sums]
        difficult = self._work_out(independent, step, terms=terms)
        clipping = []
        for row, parts in sums.items():
            if _peak(totals[row]) >= self._limit_uv(step) or self.bent & {i for i, _ in parts}:
                clipping.append(row)
            else:
                self._add_up(row, parts)
        difficult += self._work_out(clipping, step, filtered=totals)
        del totals, terms
        self._work_out(difficult, 1)
        return self.out

    def _add_up(self, row: int, parts: Sequence[tuple[int, int]]) -> None:
        target = self.out[row]
        target[:] = 0
        for other, sign in parts:
            (np.add if sign > 0 else np.subtract)(target, self.out[other], out=target)

    def _half_rate_is_enough(self) -> bool:
        sfreq_hz, _, lowpass_hz, *_ = self.band
        # Short pieces gain nothing, and their padding may run out of signal.
        return self.n > 4096 and resample.half_rate_is_enough(
            sfreq_hz, stop_hz(sfreq_hz, lowpass_hz), self.new_hz
        )

    def _limit_uv(self, step: int) -> float:
        """What rows must stay under to be sure that they do not clip."""
        return self.clip_uv * (1.0 if step == 1 else _PEAK_MARGIN)

    def _work_out(
        self, indices: Sequence[int], step: int, *, terms=None, filtered=None
    ) -> list[int]:
        """Fills rows of ``out``.

        Args:
          indices: which rows.
          step: 2 for half the rate.
          terms: {row: [(sum, np.add or np.subtract)]}: sums that a row goes into, filtered and
            before anything is cut off.
          filtered: {row: signal}: what is filtered already.

        Returns:
          the rows that clip where half the rate does not do; they are in ``bent`` and not filled.
        """
        first, a, b = resample.core_of(self.plan, step)
        corners_of = self._corners(indices) if step == 2 and indices else None
        difficult = []
        scratch = resample.scratch_for(self.plan, min(_GROUP, len(indices)), step)
        for at, group in enumerate(_groups(indices)):
            padded = resample.padded_in(scratch, self.plan, len(group), step)
            core = padded[:, a:b]
            if filtered:
                for row, y in zip(group, core, strict=True):
                    y[:] = filtered[row]
            else:
                rows = self.work.rows_of(group)
                filter_rows(rows, self.band, self.start + first, core, step=step)
            for row, y in zip(group, core, strict=True):
                for total, add in (terms or {}).get(row, ()):
                    add(total, y, out=total)
                if _peak(y) >= self._limit_uv(step) and not self._clip(y, row, step):
                    difficult.append(row)
            if corners_of is None:
                ends, more = (core[:, 0].copy(), core[:, -1].copy()), {}
            else:
                ends, more = corners_of(slice(at * _GROUP, at * _GROUP + len(group)))
            consecutive = group[-1] - group[0] == len(group) - 1
            target = self.out[group[0] : group[-1] + 1] if consecutive else None
            resampled = resample.resample_padded(padded, self.plan, ends, out=target, **more)
            if target is None:
                self.out[group] = resampled
        return difficult

    def _corners(self, indices: Sequence[int]):
        """The full rate where the padding has kinks; a function of a slice of ``indices``."""
        sfreq_hz, _, lowpass_hz, *_ = self.band
        kernel = resample.alias_kernel(sfreq_hz, stop_hz(sfreq_hz, lowpass_hz), self.new_hz)
        rows = self.work.rows_of(indices)
        at = [self.start + s for s in resample.corner_starts(self.plan)]
        corners = rows.stretches(self.band, at, len(kernel), smooth=kernel)
        edges = [self.start, self.start + self.n - 1]
        ends = rows.stretches(self.band, edges, 1)[:, :, 0]

        def of(part: slice):
            more = {"corners": resample.Corners(*corners[:, part]), "kernel": kernel}
            return (ends[0, part], ends[1, part]), more

        return of

    def _clip(self, y: Float32[np.ndarray, " p"], row: int, step: int) -> bool:
        """Clips a row in place, at half the rate by what is cut off, smoothed.

        Returns:
          False if the row is to be done again at the full rate, because it clips in many places or
          where the padding has kinks.
        """
        if step == 1:
            self.bent.add(row)
            np.clip(y, -self.clip_uv, self.clip_uv, out=y)
            return True
        places = self._places(y)
        if places is None:
            self.bent.add(row)
            return False
        rows = self.work.rows_of([row])
        kernel = resample.alias_kernel(self.band[0], self.new_hz / 2, self.new_hz)
        first = resample.core_of(self.plan, 2)[0]
        for start, stop in places:
            full = np.empty((1, stop - start), np.float32)
            filter_rows(rows, self.band, self.start + start, full)
            beyond = np.clip(full[0], -self.clip_uv, self.clip_uv) - full[0]
            if not beyond.any():
                continue
            self.bent.add(row)
            smooth = np.convolve(beyond, kernel)
            begin = start - len(kernel) // 2 - first
            column = -(-begin // 2)
            on_grid = smooth[column * 2 - begin :: 2]
            y[column : column + len(on_grid)] += on_grid
        return True

    def _places(self, y: Float32[np.ndarray, " p"]) -> list[tuple[int, int]] | None:
        """[start, stop) at the full rate where a row at half the rate may clip; None if too many.

        Neighbours that one block of the filter holds are one.
        """
        first = resample.core_of(self.plan, 2)[0]
        near = first + 2 * np.flatnonzero(np.abs(y) >= self._limit_uv(2))
        n_taps = len(design_bandpass(*self.band))
        breaks = np.flatnonzero(np.diff(near) > n_taps // 2)
        starts = near[np.concatenate(([0], breaks + 1))] - 2
        stops = near[np.concatenate((breaks, [len(near) - 1]))] + 3
        if (stops - starts).sum() + n_taps * len(starts) > _PLACES_SHARE * self.n:
            return None
        reach = 2 * resample.KERNEL_TAPS
        for kink in resample.kinks(self.plan):
            if ((starts - reach < kink) & (kink < stops + reach)).any():
                return None
        return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def _mean(x: Float32[np.ndarray, "c t"], channels: Sequence[int]) -> Float32[np.ndarray, " t"]:
    """The mean of some channels, added up in float64, one at a time: little memory."""
    total = np.zeros(x.shape[1])
    for i in channels:
        total += x[i]
    return (total / len(channels)).astype(np.float32)


def _peak(y: Float32[np.ndarray, " p"]) -> float:
    return float(max(y.max(), -y.min()))


def _groups(indices: Sequence[int]) -> list[list[int]]:
    indices = list(indices)
    return [indices[i : i + _GROUP] for i in range(0, len(indices), _GROUP)]
