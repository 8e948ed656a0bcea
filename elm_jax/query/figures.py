"""Figures of a query: a found stretch as a page of EEG, and similarity over its recording."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from elm_jax.axes import Float
from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words
from elm_jax.query.moments import Moment, clock

ROW_UV = (50, 100, 150, 200, 300, 500, 1000)  # distance between rows; 100 where it is enough
LEFT, RIGHT, MIDDLE = "#1f4e8c", "#a33b1f", "#333333"
SHADE = "#f6d9a8"


class Page(NamedTuple):
    """Signal to draw.

    Attributes:
      signal_uv: one row a channel, microvolts.
      start_s: of its first sample, from the start of the recording.
      sfreq_hz: samples a second.
      channels: names of the rows.
    """

    signal_uv: Float[np.ndarray, "c t"]
    start_s: float
    sfreq_hz: float
    channels: tuple[str, ...]


class Trace(NamedTuple):
    """Similarity over one recording.

    Attributes:
      start_s: of its windows.
      similarity: of its windows.
      window_s: how long a window is.
      typical: similarities of all windows searched at the 50th and the 99th percentile.
    """

    start_s: Float[np.ndarray, " n"]
    similarity: Float[np.ndarray, " n"]
    window_s: float
    typical: tuple[float, float]


def moment_figure(
    page: Page, trace: Trace, moment: Moment, *, title: str, about: str, simulated: bool | str
) -> Figure:
    """The waveforms of a moment in the montage, and below them similarity over the recording.

    Args:
      page: the waveforms around the moment.
      trace: the recording's similarities.
      moment: what was found; shaded, its best window under a bar.
      title: the query.
      about: recording, time, similarity: a line below the title.
      simulated: says so.
    """
    figure = Figure(figsize=(11.5, 9.5), layout="constrained")
    eeg, below = figure.subplots(2, 1, height_ratios=(5, 1))
    whole = title + simulated_words(simulated, " ")
    text = "\n".join(textwrap.wrap(whole, 100, max_lines=3, placeholder=" ..."))
    eeg.set_title(f"{text}\n", fontsize=13, loc="left")
    eeg.text(0, 1.02, about, fontsize=10, color="#444444", transform=eeg.transAxes)
    _draw_eeg(eeg, page, moment)
    eeg.plot(
        [moment.best_s, moment.best_s + trace.window_s], [1, 1], color=ORANGE, lw=5,
        solid_capstyle="butt", transform=eeg.get_xaxis_transform(),
    )  # fmt: skip
    draw_trace(below, trace, moment)
    return figure


def _draw_eeg(axes: Any, page: Page, moment: Moment) -> None:
    signal = page.signal_uv - np.median(page.signal_uv, axis=1, keepdims=True)
    c, t = signal.shape
    row_uv = row_distance_uv(signal)
    height = -np.asarray(_heights(page.channels)) * row_uv
    time_s = page.start_s + np.arange(t) / page.sfreq_hz
    stop_s = page.start_s + t / page.sfreq_hz
    axes.axvspan(moment.start_s, moment.stop_s, color=SHADE, alpha=0.45, lw=0)
    for row, at, name in zip(signal, height, page.channels, strict=True):
        axes.plot(time_s, row + at, color=_colour(name), lw=0.7, clip_on=True)
    axes.set_yticks(height, page.channels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    for label, name in zip(axes.get_yticklabels(), page.channels, strict=True):
        label.set_color(_colour(name))
    room = 1.2 * row_uv
    axes.set(xlim=(page.start_s, stop_s), ylim=(height.min() - room, height.max() + room))
    _seconds(axes, stop_s - page.start_s)
    axes.grid(axis="x", which="both", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("time in the recording (h:mm:ss)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    _scale_bar(axes, stop_s, stop_s - page.start_s, height.min() - 0.5 * row_uv, row_uv)


def row_distance_uv(signal_uv: Float[np.ndarray, "c t"]) -> int:
    """Microvolts from row to row: 100, more where rows would run into one another."""
    swing = np.percentile(signal_uv, 99, axis=1) - np.percentile(signal_uv, 1, axis=1)
    wanted = 0.8 * float(np.percentile(swing, 75))
    return next((step for step in ROW_UV if step >= max(wanted, 100)), ROW_UV[-1])


def _heights(channels: Sequence[str]) -> list[float]:
    """Row numbers from the top; a gap where a chain of derivations ends."""
    heights, at, end = [], 0.0, None
    for name in channels:
        first, _, last = name.partition("-")
        if end is not None and first != end and last:
            at += 0.6
        heights.append(at)
        at, end = at + 1, last
    return heights


def _colour(channel: str) -> str:
    """Left, right or across the middle, by the electrodes' numbers: odd is left."""
    digits = [int(d) % 2 for d in channel if d.isdigit()]
    if not digits or "z" in channel.lower() or len(set(digits)) > 1:
        return MIDDLE
    return LEFT if digits[0] else RIGHT


def _seconds(axes: Any, length_s: float) -> None:
    """A label every few seconds, a line every second where a page has room for them."""
    step = next(s for s in (1, 2, 5, 10, 30, 60, 1e9) if length_s / s <= 12)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock(x)))
    if length_s <= 30:
        axes.xaxis.set_minor_locator(MultipleLocator(1))


def _scale_bar(axes: Any, right_s: float, length_s: float, low: float, row_uv: int) -> None:
    """One second by one row's distance in microvolts, right of the last row."""
    bar_s = 1.0 if length_s <= 30 else 5.0
    at = right_s + 0.012 * length_s
    style = dict(color="black", lw=1.6, clip_on=False, solid_capstyle="butt")
    axes.plot([at, at], [low, low + row_uv], **style)
    axes.plot([at, at - bar_s], [low, low], **style)
    axes.text(at + 0.006 * length_s, low + row_uv / 2, f"{row_uv} µV", va="center", fontsize=9)
    axes.text(
        at - bar_s / 2, low - 0.12 * row_uv, f"{bar_s:g} s", va="top", ha="center", fontsize=9
    )


def draw_trace(axes: Any, trace: Trace, moment: Moment) -> None:
    """Similarity over the recording, the moment shaded."""
    middle, high = trace.typical
    axes.axvspan(moment.start_s, moment.stop_s, color=SHADE, alpha=0.7, lw=0)
    axes.axhline(middle, color=GREY, lw=1, ls=":", label="median of all windows")
    axes.axhline(high, color=ORANGE, lw=1, ls="--", label="99th percentile of all windows")
    for run in _runs(trace):  # broken at gaps
        edges = np.append(trace.start_s[run], trace.start_s[run[-1]] + trace.window_s)
        axes.stairs(trace.similarity[run], edges, baseline=None, color=BLUE, lw=1.4)
    best = int(np.argmin(np.abs(trace.start_s - moment.best_s)))
    at_s = moment.best_s + trace.window_s / 2
    axes.plot(at_s, trace.similarity[best], "o", color=ORANGE, ms=6, label="best window")
    axes.set(xlim=(trace.start_s[0], edges[-1]), ylabel="similarity")
    axes.set_xlabel("time in the recording (h:mm:ss)")
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 1.5, 3, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock(x)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))


def _runs(trace: Trace) -> list[np.ndarray]:
    gaps = np.abs(np.diff(trace.start_s) - trace.window_s) > 1e-3
    return np.split(np.arange(len(trace.start_s)), np.flatnonzero(gaps) + 1)
