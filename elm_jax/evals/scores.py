"""Scores with intervals; the person is the unit that is resampled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score


class Auroc(NamedTuple):
    """An area under the ROC curve with a 95 % percentile interval over people."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


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
            values.append(roc_auc_score(label[chosen], score[chosen]))
    low, high = np.percentile(values, [2.5, 97.5]) if values else (np.nan, np.nan)
    value = float(roc_auc_score(label, score))
    return Auroc(value, float(low), float(high), positives, negatives)
