"""AUROC of classes with their intervals, one below the other: a forest plot."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words

COLOURS = (BLUE, ORANGE, "#3f8f4f", "#8a5fb0", "#b0862b", "#2f8f96", "#c2477f")
MEAN = "mean"
#: What is to be known of the interval of a mean over classes.
INTERVALS = (
    "intervals of means: people are drawn once for all classes; in a draw that has lost all who "
    "have a class the mean is over the other classes"
)


class Mark(NamedTuple):
    """One value with its interval: of a class (or the "mean" of them), in a series."""

    name: str
    series: str
    value: float
    low: float | None
    high: float | None


def forest(
    marks: Sequence[Mark],
    counts: Mapping[str, int],
    *,
    title: str,
    simulated: bool | str,
    least: int,
    left_out: int = 0,
    axis: str = "AUROC, 95 % interval over people",
    colours: Mapping[str, str] | None = None,
    hollow: Sequence[str] = (),
) -> Figure:
    """Classes from the best to the worst (of the first series), their mean below, chance dotted.

    Args:
      marks: values of classes, and of :data:`MEAN`.
      counts: how many recordings have a class.
      title: of the figure.
      simulated: see :func:`elm_jax.evals.figures.simulated_words`.
      least: so many recordings a class needs to be here.
      left_out: how many classes have fewer.
      axis: what the values are.
      colours: of series, where they have some.
      hollow: series whose points are empty, to tell them from others of their colour.
    """
    series = list(dict.fromkeys(m.series for m in marks))
    first = [m for m in marks if m.series == series[0] and m.name != MEAN]
    names = [m.name for m in sorted(first, key=lambda m: -m.value)]
    names += [m.name for m in marks if m.name not in (*names, MEAN)]
    names = list(dict.fromkeys(names))
    at = {name: i for i, name in enumerate(names)} | {MEAN: len(names) + 0.5}
    step = max(0.24, 0.13 * len(series) + 0.06)
    figure = Figure(figsize=(7.2, 1.7 + step * (len(names) + 1.5)), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title + simulated_words(simulated), fontsize=11, loc="left")
    axes.axvline(0.5, color=GREY, lw=1, ls=":", label="chance")
    axes.axhline(len(names) - 0.25, color="#cccccc", lw=0.8)
    for i, name in enumerate(series):
        colour = (colours or {}).get(name, COLOURS[i % len(COLOURS)])
        own = [m for m in marks if m.series == name]
        _series(axes, own, at, i, len(series), colour, "white" if name in hollow else colour)
    ticks = [f"{name} ({counts[name]})" if name in counts else name for name in (*names, MEAN)]
    axes.set_yticks([at[name] for name in (*names, MEAN)], ticks, fontsize=9)
    axes.set(xlim=(min(0.4, _lowest(marks)), 1.01), ylim=(len(names) + 1.1, -0.7))
    less = f"; {left_out} classes of fewer than {least} are not drawn" if left_out else ""
    axes.set_xlabel(f"{axis}\n(in brackets: recordings with it{less})", fontsize=9)
    axes.grid(axis="x", color="#eeeeee", lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    across = max(1, 100 // (max(map(len, labels)) + 8))  # characters that fit side by side
    figure.legend(
        handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=9
    )
    return figure


def _series(
    axes, marks: Sequence[Mark], at: Mapping[str, float], i: int, of: int, colour: str, face: str
) -> None:
    y = np.asarray([at[m.name] for m in marks]) + (i - (of - 1) / 2) * 0.62 / of
    value = np.asarray([m.value for m in marks], float)
    ends = [[m.value if e is None else e for e in (m.low, m.high)] for m in marks]
    low, high = np.where(np.isfinite(np.asarray(ends, float)), ends, value[:, None]).T
    mean = next((m for m in marks if m.name == MEAN), None)
    name = marks[0].series
    told = name if mean is None else f"{name} mean {mean.value:.3f}".strip()
    axes.errorbar(
        value, y, xerr=np.maximum([value - low, high - value], 0), fmt="none", ecolor=colour,
        elinewidth=1.4, capsize=2,
    )  # fmt: skip
    is_mean = np.asarray([m.name == MEAN for m in marks])
    style = dict(facecolor=face, edgecolor=colour, lw=1.2, zorder=3)
    axes.scatter(value[~is_mean], y[~is_mean], s=24, label=told, **style)
    axes.scatter(value[is_mean], y[is_mean], s=42, marker="D", **style)


def _lowest(marks: Sequence[Mark]) -> float:
    ends = [m.value if m.low is None or np.isnan(m.low) else m.low for m in marks]
    return float(min(ends)) - 0.02
