"""Where the right candidate of a query comes, and where it would come by chance.

Candidates with equal scores come in random order: their ranks are expectations over it, so that a
model which scores all alike is at chance, and neither favoured nor punished.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from elm_jax.axes import Bool, Float, Int


class Places(NamedTuple):
    """Of each query, where its best right candidate stands among all.

    Shapes: all ``[q]``: candidates that score more, wrong and right ones that score the same (the
    best itself counted), right ones altogether, candidates altogether.
    """

    before: Int[np.ndarray, " q"]
    tied_wrong: Int[np.ndarray, " q"]
    tied_right: Int[np.ndarray, " q"]
    right: Int[np.ndarray, " q"]
    candidates: Int[np.ndarray, " q"]


def places(score: Float[np.ndarray, "q n"], right: Bool[np.ndarray, "q n"]) -> Places:
    """Finds the best right candidate of each query.

    Raises:
      ValueError: a score that is not a number, or a query without a right candidate.
    """
    if np.isnan(score).any() or not right.any(axis=1).all():
        raise ValueError("ranks need scores that are numbers and a right candidate of every query")
    best = np.where(right, score, -np.inf).max(axis=1, keepdims=True)
    tied = score == best
    return Places(
        (score > best).sum(axis=1),
        (tied & ~right).sum(axis=1),
        (tied & right).sum(axis=1),
        right.sum(axis=1),
        np.full(len(score), score.shape[1]),
    )


def merged(parts: list[Places]) -> Places:
    """Queries of several pools in one."""
    return Places(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _found(total, right, first) -> np.ndarray:
    """How likely at least one of ``right`` is among the first of ``total`` in random order.

    ``1 - C(total - first, right) / C(total, right)``.
    """
    total, right, first = np.broadcast_arrays(total, right, first)
    left = np.maximum(total - first - right, 0)  # wrong ones that are not among the first
    log_none = (gammaln(left + right + 1) - gammaln(left + 1) - gammaln(total + 1)) + gammaln(
        total - right + 1
    )
    return np.where(first > total - right, 1.0, np.where(first > 0, -np.expm1(log_none), 0.0))


def ranks(placed: Places) -> Float[np.ndarray, " q"]:
    """The rank of the first right candidate; 1 is best."""
    tied = placed.tied_wrong + placed.tied_right
    return placed.before + (tied + 1) / (placed.tied_right + 1)


def recall_at(placed: Places, k: int) -> Float[np.ndarray, " q"]:
    """How likely a right candidate is among the first ``k``: 0 or 1 but for ties at the edge."""
    tied = placed.tied_wrong + placed.tied_right
    left = np.clip(k - placed.before, 0, tied)
    return _found(tied, placed.tied_right, left)


def chance_recall_at(placed: Places, k: int) -> float:
    """The exact expected recall of a random order, mean over the queries.

    ``1 - C(n - r, k) / C(n, k)`` with r right ones of n candidates; k / n where one is right.
    """
    first = np.minimum(k, placed.candidates)
    return float(_found(placed.candidates, placed.right, first).mean())


def chance_median_rank(placed: Places) -> float:
    """The median of the ranks that a random order gives; (n + 1) / 2 where one is right."""
    cases, times = np.unique(
        np.stack([placed.candidates, placed.right]), axis=1, return_counts=True
    )
    first = np.arange(1, cases[0].max() + 1)
    found = _found(cases[0][:, None], cases[1][:, None], np.minimum(first, cases[0][:, None]))
    below = np.average(found, axis=0, weights=times)
    # As for an even sample: where exactly half lie at or below a rank, the middle to the next one.
    low = int(np.argmax(below >= 0.5 - 1e-9))
    high = int(np.argmax(below > 0.5 + 1e-9))
    return float(first[low] + first[high]) / 2


def chance_average_precision(right: int, candidates: int) -> float:
    """The exact expected average precision of a random order.

    A right one at rank k has (k - 1)(r - 1)/(n - 1) other right ones before it in expectation.
    """
    if candidates == 1:
        return float(right)
    harmonic = float((1 / np.arange(1, candidates + 1)).sum())
    share = (right - 1) / (candidates - 1)
    return (harmonic + share * (candidates - harmonic)) / candidates
