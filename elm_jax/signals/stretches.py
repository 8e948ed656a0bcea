"""Stretches of a signal that no model should see: flat, saturated, not finite."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float32

Interval = tuple[int, int]

MIN_CONSTANT_S = 2.0  # alpha's troughs last 50 ms, burst suppression still has microvolts of noise


def join_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted union of [start, stop); an empty interval (a boundary) stays unless covered."""
    joined: list[Interval] = []
    for start, stop in sorted(intervals):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif not joined or (start, stop) != joined[-1]:
            joined.append((start, stop))
    return joined


def subtract_intervals(segments: Sequence[Interval], cuts: Sequence[Interval]) -> list[Interval]:
    """What is left of segments when (joined) cuts are taken out; an empty cut splits."""
    left = []
    for start, stop in segments:
        at = start
        for cut_start, cut_stop in cuts:
            if cut_stop < at or cut_start >= stop:
                continue
            if cut_start > at:
                left.append((at, cut_start))
            at = max(at, cut_stop)
        if at < stop:
            left.append((at, stop))
    return left


def true_runs(flags: np.ndarray, min_length: int = 1) -> list[Interval]:
    """[start, stop) of the runs of True that are at least ``min_length`` long."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    pairs = edges.reshape(-1, 2)
    return [(int(a), int(b)) for a, b in pairs if b - a >= min_length]


def non_finite_intervals(x: Float32[np.ndarray, "c t"]) -> list[Interval]:
    """Stretches in which any channel is NaN or infinite."""
    bad = np.zeros(x.shape[1], bool)
    for row in x:
        if not np.isfinite(row.sum(dtype=np.float64)):
            bad |= ~np.isfinite(row)
    return true_runs(bad)


@dataclasses.dataclass(frozen=True)
class ConstantRun:
    """A stretch in which a channel keeps one value; ``at_limit``: its largest or smallest one."""

    start: int
    stop: int
    at_limit: bool


def constant_runs(x: Float32[np.ndarray, " t"], sfreq_hz: float) -> list[ConstantRun]:
    """Stretches of at least :data:`MIN_CONSTANT_S` in which a channel does not change.

    A coarse look at eight samples per such stretch finds candidates; only those are looked at
    sample by sample, so a clean recording costs next to nothing.
    """
    min_length = max(round(MIN_CONSTANT_S * sfreq_hz), 2)
    stride = max(min_length // 8, 1)
    coarse = x[::stride]
    runs = []
    for first, last in true_runs(coarse[1:] == coarse[:-1], max(min(6, min_length // stride), 1)):
        a, b = max((first - 1) * stride, 0), min((last + 1) * stride + 1, len(x))
        part = x[a:b]
        for start, stop in true_runs(part[1:] == part[:-1], min_length - 1):
            runs.append((a + start, a + stop + 1))
    if not runs:
        return []
    limits = (x.max(), x.min())
    return [ConstantRun(a, b, bool(x[a] in limits)) for a, b in runs]


def share_at_limits(x: Float32[np.ndarray, " t"], sfreq_hz: float) -> float:
    """The share of samples (every quarter second looked at) that equal the extremes."""
    coarse = x[:: max(round(sfreq_hz / 4), 1)]
    if len(coarse) < 100:
        return 0.0
    high, low = coarse.max(), coarse.min()
    # One sample of each is the extreme by definition.
    return max(int((coarse == high).sum()) + int((coarse == low).sum()) - 2, 0) / len(coarse)


def changes(x: Float32[np.ndarray, "*c t"], sfreq_hz: float) -> Float32[np.ndarray, "*c k"]:
    """Some 2000 differences over 50 ms, spread over each signal: what amplitude is judged by.

    Drift has no say in them, and alpha counts double.
    """
    lag = max(round(0.05 * sfreq_hz), 1)
    step = max(round(0.26 * sfreq_hz), x.shape[-1] // 2000, 1)
    late = x[..., lag::step]
    return late - x[..., : x.shape[-1] - lag : step][..., : late.shape[-1]]


def amplitude(change: Float32[np.ndarray, " k"]) -> float:
    """A robust standard deviation of a signal out of its :func:`changes`; 0 if there are none."""
    size = np.abs(change)
    finite = size[np.isfinite(size)]
    if not finite.size:
        return 0.0
    # np.median's own checks would take as long as the selection.
    middle = sorted({(finite.size - 1) // 2, finite.size // 2})
    return 1.4826 * float(np.partition(finite, middle)[middle].mean()) / math.sqrt(2.0)
