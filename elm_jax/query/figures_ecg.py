"""Figures of a query of ECGs: the ECG on paper, and how similar it is beside all that was searched.

Read as on paper: 25 mm/s, 10 mm/mV (:mod:`elm_jax.evals.figures_ecg`).
"""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from elm_jax.axes import Float
from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words
from elm_jax.evals.figures_ecg import Sheet, draw_page, paper_axes, sheet_of, sized_figure
from elm_jax.query.figures import SHADE, Page, Trace, draw_trace
from elm_jax.query.moments import Moment

UV_PER_MV = 1000.0
_FEW = 8  # windows of which nothing can be said by a histogram
_LINE_MM, _ABOUT_MM, _BELOW_MM = 6.2, 7.5, 38.0


def ecg_moment_figure(
    page: Page,
    trace: Trace,
    moment: Moment,
    every: Float[np.ndarray, " n"],
    *,
    title: str,
    about: str,
    layout: str,
    simulated: bool | str,
) -> Figure:
    """An ECG on paper, true to scale at the figure's own size, and its similarity below.

    Args:
      page: the leads around the moment.
      trace: the recording's similarities; drawn over time where it has several windows.
      moment: what was found; shaded where the page shows more.
      every: similarities of all windows searched.
      title: the query.
      about: recording, time, similarity: a line below the title.
      layout: see :data:`elm_jax.evals.figures_ecg.LAYOUTS`.
      simulated: says so.
    """
    signal_mv = page.signal_uv / UV_PER_MV
    sheet = sheet_of(signal_mv, page.channels, page.sfreq_hz, layout)
    whole = title + simulated_words(simulated, " ")
    wide = max(40, int(sheet.width_mm / 2.4))
    lines = textwrap.wrap(whole, wide, max_lines=3, placeholder=" ...")
    head_mm = _LINE_MM * len(lines) + _ABOUT_MM
    below_mm = _BELOW_MM if max(len(trace.similarity) * _FEW, len(every)) > _FEW else 0.0
    total_mm = sheet.height_mm + head_mm + below_mm
    figure = sized_figure(sheet.width_mm, total_mm)
    left = 2.5 / sheet.width_mm
    figure.text(left, 1 - 2.0 / total_mm, "\n".join(lines), fontsize=13, va="top")
    at = (below_mm + sheet.height_mm + 2.2) / total_mm
    figure.text(left, at, about, fontsize=10, color="#444444", va="bottom")
    axes = paper_axes(figure, sheet, below_mm)
    draw_page(axes, signal_mv, page.channels, page.sfreq_hz, sheet)
    _shade(axes, page, moment, sheet)
    if not below_mm:
        return figure
    size = (20 / sheet.width_mm, 12 / total_mm, 1 - 26 / sheet.width_mm, 20 / total_mm)
    below = figure.add_axes(size)
    if len(trace.similarity) > 1:
        draw_trace(below, trace, moment)
    else:
        _among_all(below, every, float(every[moment.best]))
    below.tick_params(labelsize=8)
    for axis in (below.xaxis, below.yaxis):
        axis.label.set_size(9)
    return figure


def _shade(axes: Any, page: Page, moment: Moment, sheet: Sheet) -> None:
    """The moment, where it is less than what the page shows."""
    stop_s = page.start_s + page.signal_uv.shape[1] / page.sfreq_hz
    start, stop = max(moment.start_s, page.start_s), min(moment.stop_s, stop_s)
    if stop - start > stop_s - page.start_s - 1.5 / page.sfreq_hz:
        return
    x = sheet.x_mm([start - page.start_s, stop - page.start_s])
    box = Rectangle((x[0], 0), x[1] - x[0], sheet.height_mm, color=SHADE, alpha=0.35, lw=0)
    axes.add_patch(box).set_zorder(1.5)


def _among_all(axes: Any, every: np.ndarray, value: float) -> None:
    """How many of all windows are as similar as this one."""
    bins = min(60, max(8, len(every) // 6))
    axes.hist(every, bins=bins, color=BLUE, alpha=0.45, lw=0)
    axes.axvline(float(np.median(every)), color=GREY, lw=1, ls=":", label="median of all windows")
    axes.axvline(value, color=ORANGE, lw=2.2, label="this ECG")
    axes.set(xlabel="similarity", ylabel="windows")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
