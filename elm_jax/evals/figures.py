"""Figures of a run; drawn without a display, saved by whoever ran the eval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

BLUE, ORANGE, GREY = "#2a6fbb", "#d9622b", "#8a8a8a"


def simulated_words(simulated: bool | str, before: str = "\n") -> str:
    """What a title says of generated signals; nothing of others.

    Args:
      simulated: what is ("ECG"; True: "EEG"), or nothing.
      before: what stands before the words.
    """
    if not simulated:
        return ""
    return f"{before}(simulated {'EEG' if simulated is True else simulated})"


def _figure(title: str, *, simulated: bool | str, size: tuple[float, float] = (5.5, 4.5)) -> Any:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title + simulated_words(simulated), fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def roc(
    label: np.ndarray, score: np.ndarray, result: Any, *, what: str, simulated: bool | str
) -> Figure:
    """The ROC curve of a yes/no finding, one point a recording."""
    figure, axes = _figure(f"Zero-shot: {what}, per recording", simulated=simulated)
    false_rate, true_rate, _ = roc_curve(label, score)
    text = f"AUROC {result.value:.3f} [{result.low:.3f}, {result.high:.3f}]"
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":", label="chance")
    axes.plot(false_rate, true_rate, color=BLUE, lw=2, label=text)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))
    counts = f"{result.positives} with, {result.negatives} without"
    axes.legend(loc="lower right", frameon=False, title=counts)
    return figure


def training_curves(
    rows: Sequence[Mapping[str, Any]], *, simulated: bool | str
) -> dict[str, Figure]:
    """Losses and learning rate over steps, from the rows of metrics.jsonl.

    The validation loss is drawn where one was measured, and the best step by what is monitored.
    """
    title = "Loss" if _points(rows, "valid/loss").size else "Training loss"
    loss, loss_axes = _figure(title, simulated=simulated)
    rate, rate_axes = _figure("Learning rate", simulated=simulated)
    loss_axes.plot(*_points(rows, "loss"), color=BLUE, lw=1.5, label="training")
    rate_axes.plot(*_points(rows, "learning_rate"), color=ORANGE, lw=1.5)
    if title == "Loss":
        _draw_validation(loss_axes, rows)
    for axes, what in ((loss_axes, "loss"), (rate_axes, "learning rate")):
        axes.set(xlabel="step", ylabel=what)
    return {"loss": loss, "learning_rate": rate}


def _draw_validation(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.plot(*_points(rows, "valid/loss"), "o-", color=ORANGE, lw=1.5, ms=3, label="validation")
    best = _points(rows, "valid/best_step")
    if best.size:
        step = int(best[1, -1])
        epochs = [f", epoch {r['epoch']:.4g}" for r in rows if r["step"] == step and "epoch" in r]
        label = f"best: step {step}{''.join(epochs[:1])}"
        axes.axvline(step, color=GREY, lw=1, ls=":", label=label)
    axes.legend(frameon=False)


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """Steps and values, ``[2, n]``; values that are no number are left out."""
    points = [(r["step"], r[key]) for r in rows if isinstance(r.get(key), float | int)]
    return np.asarray(points, float).reshape(-1, 2).T
