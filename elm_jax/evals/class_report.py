"""What answers are, class by class: counts, and precision, recall and F1.

Rows without a class or an answer (NaN) do not count.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float, Int


def confusion_counts(
    truth: Float[np.ndarray, " n"], answer: Float[np.ndarray, " n"], k: int
) -> Int[np.ndarray, "k k"]:
    """How often each class (rows) was answered as each class (columns), of ``k`` classes."""
    use = np.isfinite(truth) & np.isfinite(answer)
    cell = truth[use].astype(int) * k + answer[use].astype(int)
    return np.bincount(cell, minlength=k * k).reshape(k, k)


def confusion_table(counts: Int[np.ndarray, "k k"], classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row a class, a column ``said_CLASS`` an answer."""
    return [
        {"label": name} | {f"said_{c}": int(n) for c, n in zip(classes, row, strict=True)}
        for name, row in zip(classes, counts, strict=True)
    ]


def per_class(counts: Int[np.ndarray, "k k"], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of every class, and their means.

    What is not defined is None: the recall of a class without rows, the precision of one that was
    never answered. The rows "mean of classes" and "mean by support" are over the classes that occur
    (scikit-learn's macro average counts those that are only answered, too); a precision that is not
    defined counts as 0 there.
    """
    right, support, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    parts = ((right, said), (right, support), (2 * right, said + support))
    precision, recall, f1 = (_ratio(above, below) for above, below in parts)
    rows = [
        {"class": c, "precision": p, "recall": r, "f1": f, "support": int(n)}
        for c, p, r, f, n in zip(classes, precision, recall, f1, support, strict=True)
    ]
    occurs = support > 0
    if not occurs.any():
        return rows
    for name, weight in (("mean of classes", occurs), ("mean by support", support)):
        columns = {"precision": precision, "recall": recall, "f1": f1}
        means = {
            key: round(float(np.average([v or 0.0 for v in values], weights=weight * 1.0)), 4)
            for key, values in columns.items()
        }
        rows.append({"class": name} | means | {"support": int(support.sum())})
    return rows


def _ratio(above: np.ndarray, below: np.ndarray) -> list[float | None]:
    pairs = zip(above.tolist(), below.tolist(), strict=True)
    return [round(a / b, 4) if b else None for a, b in pairs]
