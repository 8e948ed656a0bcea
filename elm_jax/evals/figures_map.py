"""Figures of maps: points on a plane, a panel for each label that colours them."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words
from elm_jax.evals.planes import Plane
from elm_jax.evals.point_labels import PointLabels

# Okabe and Ito's colours, which the colour-blind can tell apart.
_FEW = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b8a800", "#000000")
_BIG, _SMALL, _MANY = 26.0, 5.0, 300  # areas of points, and from how many on they are small
_PANEL = (5.5, 4.5)
_ACROSS = 3  # panels in a row


def scatter(
    plane: Plane, labels: Sequence[PointLabels], *, title: str, simulated: bool | str
) -> Figure:
    """The same points once for each label; grey where it is missing."""
    n, columns = len(labels), min(len(labels), _ACROSS)
    rows = -(-n // columns)
    size = (_PANEL[0] + 4.6 * (columns - 1), _PANEL[1] * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    title += simulated_words(simulated)
    if n == 1:
        panels[0].set_title(title, fontsize=11)
    else:
        figure.suptitle(title, fontsize=11)
    for axes, own in zip(panels, labels, strict=False):
        _panel(figure, axes, plane, own)
        if n > 1:
            axes.set_title(own.name, fontsize=10)
    for axes in panels[n:]:
        axes.remove()
    return figure


def _panel(figure: Figure, axes: Any, plane: Plane, label: PointLabels) -> None:
    many = len(plane.points) > _MANY
    style = dict(s=_SMALL if many else _BIG, lw=0, alpha=0.6 if many else 0.8)
    none = np.isnan(label.value)
    if none.any():
        axes.scatter(*plane.points[none].T, color=GREY, label="no label", **style)
    known = ~none
    if label.classes:
        for i, (name, colour) in enumerate(zip(label.classes, colours(label.classes), strict=True)):
            use = label.value == i
            if use.any():
                axes.scatter(*plane.points[use].T, color=colour, label=name, **style)
    elif known.any():
        shown = axes.scatter(
            *plane.points[known].T, c=label.value[known], cmap="viridis", label=label.name, **style
        )
        bar = figure.colorbar(shown, ax=axes, label=label.name)
        bar.solids.set_alpha(1)
    if label.classes or none.any():
        # Among many points no corner is free.
        beside = dict(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0) if many else {}
        legend = axes.legend(frameon=False, fontsize=9, **beside)
        for handle in legend.legend_handles:
            handle.set(sizes=[_BIG], alpha=1)
    axes.set(xlabel=plane.axes[0], ylabel=plane.axes[1])
    axes.spines[["top", "right"]].set_visible(False)


def colours(classes: Sequence[str]) -> list[Any]:
    """One for each class; yes in orange and no in blue."""
    if len(classes) == 2 and classes[0] == f"not {classes[1]}":
        return [BLUE, ORANGE]
    if len(classes) <= len(_FEW):
        return list(_FEW[: len(classes)])
    return [matplotlib.colormaps["tab20"](i) for i in range(len(classes))]
