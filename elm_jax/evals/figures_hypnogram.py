"""A night as a picture: the class of every window over time, as labelled and as answered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from elm_jax.axes import Float
from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words

# From the top down, as hypnograms are drawn: rapid eye movements stand below wakefulness.
DEPTH = ("W", "R", "N1", "N2", "N3", "N4")


def hypnogram(
    begin_s: Float[np.ndarray, " n"],
    truth: Float[np.ndarray, " n"],
    answer: Float[np.ndarray, " n"],
    classes: Sequence[str],
    *,
    window_s: float,
    title: str,
    simulated: bool | str,
) -> Figure:
    """Two panels over one clock: the label above, the answer below with its errors marked.

    Args:
      begin_s: when each window begins in the recording, rising.
      truth: number of its class; NaN where it has none.
      answer: likewise, what was answered.
      classes: their names; sleep stages are drawn by depth, others in this order from the top.
      window_s: what a window lasts; where the next one begins later there is a gap.
      title: names the recording.
      simulated: says so in the title.
    """
    level = _levels(classes)
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    both = np.isfinite(truth) & np.isfinite(answer)
    same = float(np.mean(truth[both] == answer[both])) if both.any() else float("nan")
    figure.suptitle(
        f"{title}: {same:.0%} of {both.sum()} windows agree" + simulated_words(simulated),
        fontsize=11,
    )
    rows = (("label", truth, GREY), ("answer", answer, BLUE))
    for axes, (name, values, colour) in zip(panels, rows, strict=True):
        height = np.where(np.isfinite(values), level[np.nan_to_num(values).astype(int)], np.nan)
        axes.plot(*_steps(begin_s, height, window_s), color=colour, lw=0.9)
        axes.set_ylabel(name)
        axes.set_yticks(level, classes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", lw=0.4, alpha=0.5)
    wrong = both & (truth != answer)
    if wrong.any():
        middle_h = (begin_s[wrong] + window_s / 2) / 3600
        panels[1].scatter(
            middle_h, level[answer[wrong].astype(int)], s=7, color=ORANGE, lw=0, zorder=3,
            label="other than the label",
        )  # fmt: skip
        figure.legend(loc="outside lower right", frameon=False, fontsize=9)
    panels[0].set_ylim(len(classes) - 0.6, -0.4)
    panels[1].set_xlabel("time in the recording (h)")
    return figure


def _levels(classes: Sequence[str]) -> Any:
    """How far down each class is drawn."""
    depth = {name: i for i, name in enumerate(DEPTH)}
    names = [c.upper() for c in classes]
    if not set(names) <= set(depth):
        return np.arange(len(classes), dtype=float)
    return np.argsort(np.argsort([depth[name] for name in names])).astype(float)


def _steps(begin_s: np.ndarray, height: np.ndarray, window_s: float) -> tuple[Any, Any]:
    """Hours and heights of a line of steps that is broken where windows do not follow on."""
    end_s = begin_s + window_s
    at_s = np.stack([begin_s, end_s], axis=1)
    drawn = np.stack([height, height], axis=1)
    # Half a window's gap is one: begins are rounded to samples.
    breaks = np.flatnonzero(begin_s[1:] - end_s[:-1] > window_s / 2) + 1
    at_s, drawn = at_s.ravel(), drawn.ravel()
    return np.insert(at_s, 2 * breaks, np.nan) / 3600, np.insert(drawn, 2 * breaks, np.nan)
