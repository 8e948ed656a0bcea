"""Figures of a training by epochs: what was trained beside what was held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words

SIDES = (("train", "training", "-"), ("valid", "validation", ":"))


def by_epoch(rows: Sequence[Mapping[str, Any]], *, simulated: bool | str) -> Figure | None:
    """Loss (left axis) and accuracy (right axis) over epochs, the best epoch marked.

    Args:
      rows: of metrics.jsonl; those that a validation wrote have ``valid/accuracy``.
      simulated: said in the title.

    Returns:
      None where no accuracy was validated.
    """
    if not _points(rows, "valid/accuracy").size:
        return None
    figure = Figure(figsize=(7.5, 3.5), layout="constrained")
    loss = figure.subplots()
    share = loss.twinx()
    title = "Loss and accuracy by epoch" + simulated_words(simulated)
    loss.set_title(title, fontsize=11)
    for axes, name, unit, colour in ((loss, "loss", 1, BLUE), (share, "accuracy", 100, ORANGE)):
        for side, word, style in SIDES:
            epoch, value = _points(rows, f"{side}/{name}")
            line = dict(ls=style, marker="o", ms=3.5, lw=1.5, color=colour)
            axes.plot(epoch, value * unit, label=f"{word} {name}", **line)
        axes.set_ylabel(name if unit == 1 else f"{name} (%)", color=colour)
        axes.tick_params(axis="y", labelcolor=colour)
        axes.spines["top"].set_visible(False)
    loss.set_xlabel("epoch")
    loss.xaxis.set_major_locator(MaxNLocator(integer=True))
    _mark_best(loss, rows)
    handles = [*loss.get_legend_handles_labels()[0], *share.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)
    return figure


def _mark_best(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A line at the epoch that the last validation knew as the best."""
    steps = [r["valid/best_step"] for r in rows if "valid/best_step" in r]
    found = [r["epoch"] for r in rows if steps and r["step"] == steps[-1] and "epoch" in r]
    if found:
        axes.axvline(found[0], color=GREY, lw=1, ls="--", label=f"best: epoch {found[0]:.4g}")


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """Epochs and values, ``[2, n]``; values that are no number are left out."""
    points = [
        (r["epoch"], r[key]) for r in rows if "epoch" in r and isinstance(r.get(key), float | int)
    ]
    return np.asarray(points, float).reshape(-1, 2).T
