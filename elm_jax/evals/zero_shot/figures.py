"""Figures of probabilities: reliability before and after, risk against coverage, ROC by class."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from elm_jax.evals.figures import BLUE, GREY, ORANGE, _figure, simulated_words
from elm_jax.evals.zero_shot.reliability import ReliabilityBin, RiskCoverage

GREEN = "#3f8f4f"
CLASS_COLOURS = (BLUE, ORANGE, GREEN, "#8a5fb0", "#b0862b", "#c2477f", "#2f8f96", GREY)


class Curve(NamedTuple):
    """One curve of a reliability diagram; that which is given out shows what chance would do."""

    bins: Sequence[ReliabilityBin]
    legend: str
    given_out: bool


def reliability_diagram(
    panels: Mapping[str, Mapping[str, Curve]], *, what: str, axis: str, simulated: bool | str
) -> Figure:
    """Frequencies against predictions; a panel a level.

    Args:
      panels: level -> kind of calibration -> its curve.
      what: the question.
      axis: what is predicted.
      simulated: what is, if anything.
    """
    figure = Figure(figsize=(5.8 * len(panels), 6.9), layout="constrained")
    note = simulated_words(simulated, " ")
    figure.suptitle(f"Zero-shot reliability: {what}{note}", fontsize=12)
    # The legends have a row of their own: they are long, and must not lie on points.
    grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=(6, 1))
    for axes, below, (level, curves) in zip(*grid, panels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        for curve, colour in zip(curves.values(), (ORANGE, BLUE, GREEN), strict=False):
            _curve(axes, curve, colour)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=level)
        axes.set(xlabel=f"predicted {axis}", ylabel="observed frequency")
        axes.spines[["top", "right"]].set_visible(False)
        below.axis("off")
        below.legend(*axes.get_legend_handles_labels(), loc="center", frameon=False, fontsize=8.5)
    return figure


def _curve(axes, curve: Curve, colour: str) -> None:
    predicted, observed, low, high, rows = np.asarray(curve.bins, float).T
    if curve.given_out:
        label = "where a calibrated model's points lie (95 %)"
        axes.vlines(predicted, low, high, color=colour, lw=6, alpha=0.18, label=label)
    size = 12 + 130 * rows / rows.sum()
    axes.plot(predicted, observed, color=colour, lw=1.3, alpha=0.8)
    axes.scatter(predicted, observed, s=size, color=colour, lw=0, label=curve.legend, zorder=3)


def risk_coverage_curves(
    curves: Mapping[str, RiskCoverage], *, what: str, simulated: bool | str
) -> Figure:
    """Error rate among the rows answered, most certain first; a curve a level."""
    figure, axes = _figure(f"Zero-shot risk and coverage: {what}", simulated=simulated)
    for (name, curve), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        label = f"{name}: area {curve.area:.3f}, all answered {curve.risk[-1]:.3f}"
        axes.step(curve.coverage, curve.risk, where="post", color=colour, lw=1.8, label=label)
    top = max(float(curve.risk.max()) for curve in curves.values())
    axes.set(xlim=(0, 1), ylim=(0, max(1.15 * top, 0.05)))
    axes.set(xlabel="coverage: share answered", ylabel="risk: share of these that is wrong")
    axes.legend(loc="upper left", frameon=False)
    return figure


def roc_by_class(
    truth: np.ndarray,
    probability: np.ndarray,
    names: Sequence[str],
    *,
    what: str,
    summary: str,
    simulated: bool | str,
) -> Figure:
    """A ROC curve a class against all others; classes that do not occur have none."""
    figure, axes = _figure(f"Zero-shot: {what}, per recording", simulated=simulated)
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":", label="chance")
    for c, name in enumerate(names):
        n = int((truth == c).sum())
        if 0 < n < len(truth):
            false_rate, true_rate, _ = roc_curve(truth == c, probability[:, c])
            colour = CLASS_COLOURS[c % len(CLASS_COLOURS)]
            axes.plot(false_rate, true_rate, color=colour, lw=2, label=f"{name} ({n})")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower right", frameon=False, title=summary)
    return figure
