"""Moments of recordings: what to show of the windows that a query found."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float, Int

JOINS = ("merge", "apart", "none")


class Moment(NamedTuple):
    """A stretch of a recording that a query found.

    Attributes:
      best: the window in it that is most similar.
      best_s: where that begins.
      recording: its recording's number.
      start_s: from the start of the recording.
      stop_s: likewise.
      windows: how many windows were joined.
    """

    best: int
    best_s: float
    recording: int
    start_s: float
    stop_s: float
    windows: int


class Timeline(NamedTuple):
    """Where windows lie, in order of recording and time.

    Attributes:
      recording: number of each window's recording, ``[n]``.
      start_s: from the start of the recording, ``[n]``.
      window_s: how long each is.
    """

    recording: Int[np.ndarray, " n"]
    start_s: Float[np.ndarray, " n"]
    window_s: float

    def run(self) -> Int[np.ndarray, " n"]:
        """Numbers of the gap-free runs of windows."""
        step_s = np.diff(self.start_s)
        new = (np.diff(self.recording) != 0) | (np.abs(step_s - self.window_s) > 1e-3)
        return np.concatenate([[0], np.cumsum(new)])[: len(self.start_s)]

    def moment(self, first: int, last: int, best: int) -> Moment:
        """The stretch from one window to another of the same run."""
        start_s, stop_s = float(self.start_s[first]), float(self.start_s[last]) + self.window_s
        best_s, recording = float(self.start_s[best]), int(self.recording[best])
        return Moment(best, best_s, recording, start_s, stop_s, last - first + 1)


def merged(best: Sequence[int] | np.ndarray, timeline: Timeline) -> list[Moment]:
    """Windows that follow one another become one moment; ordered by the best window of each.

    Args:
      best: the windows found, best first.
      timeline: where they lie.
    """
    if not len(best):
        return []
    rank = {int(window): i for i, window in enumerate(best)}
    windows, run = np.sort(np.asarray(best, np.int64)), timeline.run()
    breaks = (np.diff(windows) != 1) | (np.diff(run[windows]) != 0)
    found = []
    for group in np.split(windows, np.flatnonzero(breaks) + 1):
        top = min(group.tolist(), key=rank.__getitem__)
        found.append(timeline.moment(int(group[0]), int(group[-1]), top))
    return sorted(found, key=lambda moment: rank[moment.best])


def apart(
    best: Sequence[int] | np.ndarray, timeline: Timeline, *, apart_s: float
) -> Iterator[Moment]:
    """Windows one by one, without those near a better one (non-maximum suppression).

    Args:
      best: the windows found, best first.
      timeline: where they lie.
      apart_s: a window is left out whose start is less than this from a better one's, in the same
        recording.
    """
    shown: dict[int, list[float]] = {}
    for window in map(int, best):
        recording, start_s = int(timeline.recording[window]), float(timeline.start_s[window])
        near = shown.setdefault(recording, [])
        if all(abs(start_s - other) >= apart_s - 1e-6 for other in near):
            near.append(start_s)
            yield timeline.moment(window, window, window)


def clock(seconds: float) -> str:
    """``0:07:05``, with tenths where there are any: ``0:07:05.5``."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{tenth}" if tenth else text
