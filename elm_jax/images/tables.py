"""Which samples each column of a print shows: index tables, made once for a layout and a rate."""

import functools
from typing import NamedTuple

import numpy as np

from elm_jax.images.paper import ImageError, Paper, rows_of
from elm_jax.signals.ecg.leads import STANDARD_ORDER

CELLS_PER_PX = 3  # a pixel's column is looked at in so many parts, which are then averaged


class Tables(NamedTuple):
    """Tables over rows of traces and cells, the thirds of pixel columns from left to right.

    Indices are of a signal ``c t`` written as one row.

    Attributes:
      inside: samples within each cell, ``[r, n, k]``; where there are fewer, one of them again.
      edge: the sample before each cell's left and right edge, ``[r, n, 2]``; the next one follows.
      part: how far from it to the next one the edge lies, ``[r, n, 2]``.
      drawn: whether there is a trace at all, ``[r, n]``.
      spread: how many cells to either side the pen reaches.
    """

    inside: np.ndarray
    edge: np.ndarray
    part: np.ndarray
    drawn: np.ndarray
    spread: int


@functools.lru_cache(maxsize=32)
def tables(paper: Paper, channels: tuple[str, ...], sfreq_hz: float, samples: int) -> Tables:
    """The tables of signals with these channels, this rate and so many samples.

    Raises:
      ImageError: other leads than the twelve, or not the paper's window.
    """
    rows_of(channels, STANDARD_ORDER)  # all twelve, whatever the layout shows of them
    if abs(samples / sfreq_hz - paper.window_s) > 1e-6 * paper.window_s:
        raise ImageError(
            f"ECG paper of {paper.window_s:g} s: the signal has {samples} samples at "
            f"{sfreq_hz:g} Hz, which are {samples / sfreq_hz:g} s"
        )
    cells = paper.image_size[1] * CELLS_PER_PX
    spread = round((paper.pen_px * CELLS_PER_PX - 1) / 2)
    most = int(np.ceil(sfreq_hz / (paper.px_per_s * CELLS_PER_PX))) + 1
    shape = (paper.rows, cells)
    inside, drawn = np.zeros((*shape, most), np.int32), np.zeros(shape, bool)
    edge, part = np.zeros((*shape, 2), np.int32), np.zeros((*shape, 2), np.float32)
    for strip in paper.strips:
        (row_of_lead,) = rows_of(channels, (strip.lead,))
        own = _cells(paper, strip.start_s, strip.stop_s, spread)
        times = (np.stack([own, own + 1], axis=1) / CELLS_PER_PX - paper.left_px) / paper.px_per_s
        # The strip's own time, as far as there are samples.
        times = np.clip(times, strip.start_s, min(strip.stop_s, (samples - 1) / sfreq_hz))
        place = times * sfreq_hz
        before = np.clip(np.floor(place), 0, samples - 2).astype(np.int32)
        first, last = np.ceil(place[:, 0] - 1e-9), np.floor(place[:, 1] + 1e-9)
        within = np.minimum(first[:, None] + np.arange(most), last[:, None])
        within = np.where((first <= last)[:, None], within, before[:, :1]).astype(np.int32)
        offset, at = row_of_lead * samples, (strip.row, own)
        inside[at] = offset + within
        edge[at], part[at] = offset + before, place - before
        drawn[at] = True
    return Tables(inside, edge, part, drawn, spread)


def _cells(paper: Paper, start_s: float, stop_s: float, spread: int) -> np.ndarray:
    """Cells of a stretch of time, less half a pen's width where another lead begins or ends.

    The pen draws over the gap; without it, it would draw a line from one lead to the next.
    """
    first, last = (paper.left_px + t * paper.px_per_s for t in (start_s, stop_s))
    first, last = round(first * CELLS_PER_PX), round(last * CELLS_PER_PX)
    gaps = (spread if start_s > 0 else 0, spread if stop_s < paper.window_s else 0)
    return np.arange(first + gaps[0], last - gaps[1])
