"""Counts by true class and answer: added up over batches, and what they say of a whole split."""

import jax
import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Array, Float, Int


def counts(
    truth: Int[Array, "b l"],
    answer: Int[Array, "b l"],
    scored: Float[Array, "b l"],
    *,
    classes: int,
) -> Float[Array, "l k k"]:
    """How many entries of each label have which true class (first) and which answer (second).

    Args:
      truth: class of each entry.
      answer: class that was given.
      scored: 1 where an entry counts, 0 for padding and where the truth is not known.
      classes: k.
    """
    truth, answer = (jax.nn.one_hot(x, classes) for x in (truth, answer))
    return jnp.einsum("bl,blt,bla->lta", scored, truth, answer)


def scores(confusion: Float[np.ndarray, "l k k"]) -> dict[str, float]:
    """Of classes that are there: ``balanced_accuracy``, and ``kappa`` and ``weighted_f1``.

    Means over the labels, where there are several; a score that no label has is left out.
    """
    found: dict[str, list[float]] = {}
    for own in confusion:
        for name, value in _of_one(own).items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _of_one(confusion: Float[np.ndarray, "k k"]) -> dict[str, float]:
    """None without any entry, no kappa of one class alone."""
    truth, answered, right = confusion.sum(1), confusion.sum(0), np.diagonal(confusion)
    n, there = confusion.sum(), truth > 0
    if not n:
        return {}
    f1 = 2 * right / np.maximum(truth + answered, 1)
    out = {"balanced_accuracy": float((right[there] / truth[there]).mean())}
    out["weighted_f1"] = float((f1 * truth).sum() / n)
    by_chance = float((truth * answered).sum() / n**2)
    if by_chance < 1:
        out["kappa"] = (float(right.sum()) / n - by_chance) / (1 - by_chance)
    return out
