"""Scores with intervals; the person is the unit that is resampled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata


class Auroc(NamedTuple):
    """An area under the ROC curve with a 95 % percentile interval over people."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


def _area(label: np.ndarray, score: np.ndarray) -> float:
    """AUROC as Mann and Whitney's statistic; a hundred times faster than a curve's integral."""
    positives = label.sum()
    pairs = positives * (len(label) - positives)
    rank_sum = rankdata(score)[label == 1].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / pairs)


def auroc(
    label: np.ndarray, score: np.ndarray, people: Sequence[str], *, resamples: int = 1000
) -> Auroc | None:
    """AUROC over recordings with a label and a score; None unless both classes are there.

    The interval resamples people with replacement (seeded), so a person's recordings stay together.
    """
    use = np.isfinite(label) & np.isfinite(score)
    label, score, people = label[use], score[use], np.asarray(people)[use]
    positives, negatives = int((label == 1).sum()), int((label == 0).sum())
    if not positives or not negatives:
        return None
    names, where = np.unique(people, return_inverse=True)
    rows = [np.flatnonzero(where == i) for i in range(len(names))]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        chosen = np.concatenate([rows[i] for i in rng.integers(0, len(names), len(names))])
        if 0 < label[chosen].sum() < len(chosen):
            values.append(_area(label[chosen], score[chosen]))
    low, high = np.percentile(values, [2.5, 97.5]) if values else (np.nan, np.nan)
    return Auroc(_area(label, score), float(low), float(high), positives, negatives)
