"""The windows of recordings in order of time, and draws of windows some time away from others."""

from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Int
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows

US_PER_S = 1_000_000
# Times are rounded to a microsecond; so what differs by one lies at the same time.
_SAME_US = 1


def to_us(time_s: np.ndarray) -> np.ndarray:
    """Whole microseconds: sums of them are exact, however the sampling rate divides a second."""
    return np.rint(time_s.astype(np.float64) * US_PER_S).astype(np.int64)


class WindowTimes:
    """Windows by recording and, within each, by the time at which they begin.

    *Places* are positions in that order; those of one recording follow each other, so what lies
    within some time of a window is a stretch of places, and is found by bisection.

    Args:
      windows: of the recordings.
      recordings: in the order that ``windows`` numbers them.
      sfreq_hz: of the windows' samples.

    Attributes:
      window: ``[places]``, number of the window at each.
      first: ``[recordings]``, first place of each.
      count: ``[recordings]``, windows of each.
    """

    def __init__(self, windows: Windows, recordings: Sequence[RecordingRow], sfreq_hz: float):
        begins_s = {p.index: p.start_s for row in recordings for p in row.pieces}
        piece_us = to_us(np.asarray([begins_s[i] for i in range(len(begins_s))]))
        time_us = piece_us[windows.piece] + to_us(windows.start / sfreq_hz)
        time_us -= time_us.min(initial=0)
        self._span_us = int(time_us.max(initial=0)) + 1
        # One number a window, so that one bisection serves windows of all recordings.
        key = windows.recording * np.int64(self._span_us) + time_us
        order = np.arange(len(key), dtype=np.int32)
        if len(key) and (np.diff(key) < 0).any():
            order = np.argsort(key, kind="stable").astype(np.int32)
            key = key[order]
        self._key, self.window = key, order
        self.count = np.asarray(windows.counts(len(recordings)), np.int64)
        self.first = np.cumsum(self.count) - self.count

    def __len__(self) -> int:
        return len(self.window)

    def recording(self, place: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The recording of each place."""
        return self._key[place] // self._span_us

    def longest(self) -> tuple[int, float]:
        """The recording whose first and last window are farthest apart, and by how many seconds."""
        apart_us = np.full(len(self.count), -1, np.int64)
        some = np.flatnonzero(self.count)
        last = self.first[some] + self.count[some] - 1
        apart_us[some] = self._key[last] - self._key[self.first[some]]
        return int(apart_us.argmax()), max(int(apart_us.max()), 0) / US_PER_S

    def _stretches(
        self, place: Int[np.ndarray, " n"], low_us: int, high_us: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the windows before begin, where those after do, and how many each are ``[2, n]``.

        Of all windows of the same recording that begin ``low_us`` to ``high_us`` away.
        """
        key = self._key[place]
        low_us = max(low_us - _SAME_US, _SAME_US + 1)  # never at the same time
        high_us = min(high_us + _SAME_US, self._span_us)
        begin = key // self._span_us * self._span_us  # of the recording
        end = begin + self._span_us - 1
        before = np.searchsorted(self._key, np.maximum(key - high_us, begin), "left")
        before_end = np.searchsorted(self._key, np.maximum(key - low_us, begin - 1), "right")
        after = np.searchsorted(self._key, np.minimum(key + low_us, end + 1), "left")
        after_end = np.searchsorted(self._key, np.minimum(key + high_us, end), "right")
        return before, after, np.maximum([before_end - before, after_end - after], 0)

    def away(
        self, place: Int[np.ndarray, " n"], low_us: int, high_us: int
    ) -> Int[np.ndarray, " n"]:
        """How many windows of the same recording begin ``low_us`` to ``high_us`` away.

        Never those at the same time, whatever ``low_us``.
        """
        return self._stretches(place, low_us, high_us)[2].sum(axis=0)

    def draw_away(
        self,
        rng: np.random.Generator,
        place: Int[np.ndarray, " n"],
        low_us: int,
        high_us: int,
    ) -> Int[np.ndarray, " n"]:
        """For each place one of those that :meth:`away` counts, uniformly.

        Raises:
          ValueError: a window has none.
        """
        before, after, (earlier, later) = self._stretches(place, low_us, high_us)
        nth = rng.integers(0, earlier + later)
        return np.where(nth < earlier, before + nth, after + nth - earlier)
