"""Figures of a classifier: its confusion matrix; predicted against true numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from elm_jax.axes import Float, Int
from elm_jax.evals.figures import BLUE, GREY, simulated_words


def _title(whose: str, what: str, unit: str, simulated: bool | str) -> str:
    return f"{whose}: {what}, per {unit}" + simulated_words(simulated)


def confusion(
    counts: Int[np.ndarray, "k k"],
    classes: Sequence[str],
    *,
    what: str,
    unit: str,
    simulated: bool | str,
    whose: str = "Classifier",
) -> Figure:
    """Counts by true class (rows) and answer (columns); the shade is the share of the row."""
    k = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.2 + 0.55 * k
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(k, k):
        colour = "white" if share[i, j] > 0.6 else "black"
        text = f"{counts[i, j]}\n{share[i, j]:.0%}"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(k), classes, rotation=30 if k > 3 else 0)
    axes.set_yticks(range(k), classes)
    axes.set(xlabel="answer", ylabel="label")
    axes.set_title(_title(whose, what, unit, simulated), fontsize=11)
    return figure


def scatter(
    truth: Float[np.ndarray, " n"],
    predicted: Float[np.ndarray, " n"],
    *,
    what: str,
    unit: str,
    simulated: bool | str,
) -> Figure:
    """Predicted over true values; the line is where they are equal."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    axes.plot(ends, ends, color=GREY, lw=1, ls=":")
    axes.scatter(truth, predicted, s=14, color=BLUE, alpha=0.7)
    axes.set(xlabel=f"{what}: label", ylabel=f"{what}: predicted")
    axes.set_title(_title("Classifier", what, unit, simulated), fontsize=11)
    return figure
