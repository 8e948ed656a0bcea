"""Scores with intervals; the person is the unit that is resampled.

    with_interval(balanced_accuracy, people, truth, predicted) -> Scored(value, low, high)

Rules, the same for every score:

* rows (recordings, windows) that lack a value in any array (NaN, in any column) do not count;
* a statistic is NaN where it is not defined: a ROC area with one class, R2 of a constant truth, no
  rows. In columns (classes, findings) it is the mean over the columns where it is defined;
* an interval is the 2.5 % to 97.5 % percentiles over resamples of *people* with replacement, each
  with all rows of theirs; resamples in which the statistic is not defined are left out, and with
  fewer than two people there is no interval (NaN).
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Bool, Float, Int

# Resamples are drawn in chunks of this many counts: 32 MB a temporary array.
_COUNTS_PER_CHUNK = 4_000_000


class Auroc(NamedTuple):
    """An area under the ROC curve with a 95 % percentile interval over people."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


class Scored(NamedTuple):
    """A statistic with a 95 % percentile interval over people; NaN where it is not defined."""

    value: float
    low: float
    high: float


def auroc(
    label: np.ndarray,
    score: np.ndarray,
    people: Sequence[str] | np.ndarray,
    *,
    resamples: int = 1000,
) -> Auroc | None:
    """AUROC over recordings with a label and a score; None unless both classes are there.

    The interval resamples people with replacement (seeded), so a person's recordings stay together.
    """
    use = np.isfinite(label) & np.isfinite(score)
    positives, negatives = int((label[use] == 1).sum()), int((label[use] == 0).sum())
    if not positives or not negatives:
        return None
    found = with_interval(roc_area, people, label, score, resamples=resamples)
    return Auroc(*found, positives, negatives)


def with_interval(
    statistic: Callable[..., Any],
    people: Sequence[str] | np.ndarray,
    *arrays: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> Scored:
    """A statistic of some rows, and its interval over people.

    Args:
      statistic: ``statistic(*arrays) -> float``, NaN where undefined. Those of this module are
        computed for all resamples at once; any other is called once a resample.
      people: whose each row is, ``[n]``.
      *arrays: what the statistic takes: numbers, ``[n]`` or ``[n, k]``.
      resamples: how many.
      seed: of the resampling.

    Raises:
      ValueError: arrays of different lengths.
    """
    arrays = tuple(np.asarray(a) for a in arrays)
    lengths = {len(people), *map(len, arrays)}
    if len(lengths) > 1:
        raise ValueError(f"people and arrays must be equally long, found {sorted(lengths)} rows")
    use = np.all([_complete(a) for a in arrays], axis=0)
    arrays = tuple(a[use] for a in arrays)
    if not use.any():
        return Scored(math.nan, math.nan, math.nan)
    value = float(statistic(*arrays))
    names, person = np.unique(np.asarray(people)[use], return_inverse=True)
    if len(names) < 2 or math.isnan(value):
        return Scored(value, math.nan, math.nan)
    # A few people can be drawn in a few ways only: each is scored once.
    drawn = _people_drawn(len(names), resamples, seed)
    distinct, which = np.unique(drawn, axis=0, return_inverse=True)
    values = []
    for times in _times_of_rows(distinct, person):
        if hasattr(statistic, "counted"):
            values.append(statistic(*arrays, times=times))
        else:
            rows = (np.repeat(np.arange(len(t)), t.astype(int)) for t in times)
            values.append([float(statistic(*(a[r] for a in arrays))) for r in rows])
    found = np.concatenate(values)[which.ravel()]
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (math.nan, math.nan)
    return Scored(value, float(low), float(high))


def _complete(array: np.ndarray) -> np.ndarray:
    """Rows without a NaN."""
    return ~np.isnan(array.astype(float)).any(axis=tuple(range(1, array.ndim)))


def _people_drawn(people: int, resamples: int, seed: int) -> Int[np.ndarray, "r people"]:
    """How many times each person is in each resample."""
    drawn = np.random.default_rng(seed).integers(0, people, (resamples, people))
    cell = drawn + people * np.arange(resamples)[:, None]
    return np.bincount(cell.ravel(), minlength=resamples * people).reshape(resamples, people)


def _times_of_rows(
    drawn: Int[np.ndarray, "r people"], person: Int[np.ndarray, " n"]
) -> Iterator[np.ndarray]:
    """How many times each row is in each resample, ``[r, n]`` in chunks."""
    chunk = max(1, _COUNTS_PER_CHUNK // max(len(person), 1))
    for start in range(0, len(drawn), chunk):
        yield drawn[start : start + chunk, person].astype(float)


def counted(statistic: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """Marks a statistic that takes how often each row counts, ``times`` ``[r, n]``, and gives [r].

    Called without ``times`` it gives a float, each row counting once.
    """

    @functools.wraps(statistic)
    def call(*arrays: np.ndarray, times: np.ndarray | None = None) -> Any:
        if times is not None:
            return statistic(*arrays, times=times)
        return float(statistic(*arrays, times=np.ones((1, len(arrays[0]))))[0])

    call.counted = True
    return call


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Above / below; NaN where below is nothing."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def _column_mean(of_column: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A statistic of columns as the mean over those where it is defined."""

    @functools.wraps(of_column)
    def call(truth: np.ndarray, score: np.ndarray, *, times: np.ndarray) -> np.ndarray:
        pairs = zip(truth.reshape(len(truth), -1).T, score.reshape(len(score), -1).T, strict=True)
        values = np.stack([of_column(t, s, times=times) for t, s in pairs])
        defined = np.isfinite(values)
        return _ratio(np.where(defined, values, 0).sum(0), defined.sum(0))

    return call


def _ranked(truth: np.ndarray, score: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, ...]:
    """Positives and negatives ``[r, g]`` of each group of equal scores, lowest first."""
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    times, positive = times[:, order], truth[order] == 1
    return tuple(np.add.reduceat(times * side, first, axis=1) for side in (positive, ~positive))


@counted
@_column_mean
def roc_area(truth: np.ndarray, score: np.ndarray, *, times: np.ndarray) -> Float[np.ndarray, " r"]:
    """Area under the ROC curve (Mann and Whitney's statistic); ``[n, k]``: mean over columns."""
    positive, negative = _ranked(truth, score, times)
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(1), positive.sum(1) * negative.sum(1))


def enough_of_both(
    truth: Float[np.ndarray, "n k"], least: int, group: np.ndarray | None = None
) -> Bool[np.ndarray, " k"]:
    """Which columns have at least ``least`` rows of 1 and of 0; of groups, so many with each."""
    if group is None:
        group = np.arange(len(truth))
    counts = [
        [len(set(group[truth[:, k] == side])) for side in (0, 1)] for k in range(truth.shape[1])
    ]
    return (np.asarray(counts).reshape(-1, 2) >= least).all(axis=1)


@counted
@_column_mean
def average_precision(
    truth: np.ndarray, score: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Area under the precision-recall curve in steps (AUPRC); ``[n, k]``: mean over columns.

    Trapezoids, as the area under the interpolated curve, would flatter.
    """
    positive, negative = (side[:, ::-1] for side in _ranked(truth, score, times))
    found = np.cumsum(positive, axis=1)
    precision = _ratio(found, found + np.cumsum(negative, axis=1))
    return _ratio(np.nansum(positive * precision, axis=1), positive.sum(1))


def _confusion(truth: np.ndarray, predicted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Counts ``[r, k, k]``, true class by predicted class, over all classes of either."""
    classes, code = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    true, said = code[: len(truth)], code[len(truth) :]
    cell = np.zeros((len(truth), len(classes) ** 2))
    cell[np.arange(len(truth)), true * len(classes) + said] = 1
    return (times @ cell).reshape(len(times), len(classes), len(classes))


@counted
def balanced_accuracy(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Mean recall over the classes that occur in ``truth``; any class codes ``[n]``."""
    confusion = _confusion(truth, predicted, times)
    recall = _ratio(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2))
    return _ratio(np.nansum(recall, axis=1), np.isfinite(recall).sum(1))


@counted
def cohen_kappa(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Agreement beyond chance, unweighted; NaN where all are and are said to be one class."""
    confusion = _confusion(truth, predicted, times)
    total = confusion.sum((1, 2))
    agreed = _ratio(np.trace(confusion, axis1=1, axis2=2), total)
    by_chance = _ratio((confusion.sum(1) * confusion.sum(2)).sum(1), total**2)
    return _ratio(agreed - by_chance, 1 - by_chance)


@counted
def weighted_f1(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """F1 of every class, weighted by how often it occurs in ``truth``."""
    confusion = _confusion(truth, predicted, times)
    right, true = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2)
    f1 = np.nan_to_num(_ratio(2 * right, true + confusion.sum(1)))
    return _ratio((f1 * true).sum(1), true.sum(1))


@counted
def accuracy(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Share of rows with the right class."""
    return _ratio(times @ (truth == predicted), times.sum(1))


@counted
def hamming_loss(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Share of wrong entries of ``[n, k]`` findings."""
    wrong = (truth != predicted).reshape(len(truth), -1).mean(1)
    return _ratio(times @ wrong, times.sum(1))


@counted
def mean_absolute_error(
    truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray
) -> Float[np.ndarray, " r"]:
    """Mean absolute error, in the unit of the label."""
    return _ratio(times @ np.abs(truth - predicted), times.sum(1))


@counted
def r2(truth: np.ndarray, predicted: np.ndarray, *, times: np.ndarray) -> Float[np.ndarray, " r"]:
    """Share of the truth's variance that is explained; NaN where the truth does not vary."""
    error = times @ (truth - predicted) ** 2
    truth = truth - truth.mean()  # sums of squares lose fewer digits
    spread = times @ truth**2 - _ratio((times @ truth) ** 2, times.sum(1))
    spread[spread <= 1e-12 * np.max(truth**2) * times.sum(1)] = 0
    return 1 - _ratio(error, spread)


def mean_over_repeats(statistic: Callable[..., Any]) -> Callable[..., Any]:
    """A statistic of ``truth`` and ``said`` ``[n, repeats, ...]`` as its mean over the repeats.

    All repeats are resampled alike, so the interval is that of people, not of repeats.
    """

    @counted
    def call(truth: np.ndarray, said: np.ndarray, *, times: np.ndarray) -> np.ndarray:
        columns = range(said.shape[1])
        return np.mean([statistic(truth, said[:, i], times=times) for i in columns], axis=0)

    return call
