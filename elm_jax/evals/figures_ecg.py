"""ECGs as they are read on paper: 25 mm a second, 10 mm a millivolt, on a grid of millimetres."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import maximum_filter1d

from elm_jax.axes import Float

MM_PER_S = 25.0
MM_PER_MV = (10.0, 5.0, 2.5)  # the first with which rows keep apart; the others are said
MM_PER_INCH = 25.4
INK, FINE, COARSE = "#16161d", "#f6d5d3", "#e9a6a2"
#: Leads of each row, in columns that follow one another in time; then rows over all of it.
LAYOUTS: Mapping[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "3x4": (
        (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")),
        ("II",),
    ),
    "6x2": (
        (("I", "V1"), ("II", "V2"), ("III", "V3"), ("aVR", "V4"), ("aVL", "V5"), ("aVF", "V6")),
        (),
    ),
    "12x1": ((), ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")),
}
_PULSE_S, _PULSE_MV = 0.2, 1.0
_LEFT_MM, _EDGE_MM = 12.0, 4.0  # room for the pulse of calibration, and around
_ROW_MM = (18.0, 36.0)  # from row to row
_NEAR_MM, _NEAR_S = 3.0, 0.15  # between a wave and its neighbour's
_NAME_S, _NAME_MM = 0.4, 6.5  # a lead's name is as wide as so much time, and as high


_HALO = (withStroke(linewidth=2.2, foreground="white"),)  # text is read on grid and waves


class Strip(NamedTuple):
    """A lead over a stretch of time, in its place on the page.

    Attributes:
      lead: its name.
      row: number of the row, from the top.
      first: first sample.
      stop: one past the last.
    """

    lead: str
    row: int
    first: int
    stop: int


class Sheet(NamedTuple):
    """Where everything lies, in millimetres from the lower left corner.

    Attributes:
      strips: of the page.
      gain_mm_mv: how high a millivolt is.
      row_mm: height of each row's zero line, from the bottom.
      width_mm: of the page.
      height_mm: likewise.
    """

    strips: tuple[Strip, ...]
    gain_mm_mv: float
    row_mm: tuple[float, ...]
    width_mm: float
    height_mm: float

    def x_mm(self, seconds: Any) -> Any:
        """Where a time since the begin of the page is."""
        return _LEFT_MM + MM_PER_S * np.asarray(seconds)


def require_layout(name: str, where: str) -> None:
    """Raises where there is no such layout.

    Raises:
      ValueError: names ``where`` it was asked for.
    """
    if name not in LAYOUTS:
        raise ValueError(f"{where} is {name!r}; known: {', '.join(LAYOUTS)}")


def strips_of(leads: Sequence[str], samples: int, layout: str) -> tuple[Strip, ...]:
    """The strips of a layout; where leads are not the twelve, every one over the whole page."""
    grid, whole = LAYOUTS[layout]
    if not {name for row in grid for name in row} | set(whole) <= set(leads):
        grid, whole = (), tuple(leads)
    found = []
    for r, row in enumerate(grid):
        edges = np.linspace(0, samples, len(row) + 1).round().astype(int)
        found += [Strip(n, r, *edges[k : k + 2].tolist()) for k, n in enumerate(row)]
    found += [Strip(name, len(grid) + r, 0, samples) for r, name in enumerate(whole)]
    return tuple(found)


def sheet_of(
    signal_mv: Float[np.ndarray, "c t"], leads: Sequence[str], sfreq_hz: float, layout: str
) -> Sheet:
    """Gain and rows such that waves of neighbouring rows keep apart, if they can.

    The gain is 10 mm/mV, with rows 18 to 36 mm apart; where that is too little, half of it.
    """
    strips = strips_of(leads, signal_mv.shape[1], layout)
    up, down = _reach_mv(signal_mv, leads, strips, sfreq_hz)
    between = (down[:-1] + up[1:]).max(axis=1)  # at its narrowest
    for gain in MM_PER_MV:
        apart = gain * between + _NEAR_MM
        if not len(apart) or apart.max() <= _ROW_MM[1]:
            break
    apart = np.clip(apart, *_ROW_MM)
    ends = gain * np.asarray([up[0].max(), down[-1].max()]) + (_NAME_MM, _EDGE_MM)
    above, below = np.clip(ends, 12, 26)
    # Whole squares, so that the grid ends where the paper does.
    height = 5.0 * np.ceil((above + below + apart.sum()) / 5)
    width = 5.0 * np.ceil((_LEFT_MM + MM_PER_S * signal_mv.shape[1] / sfreq_hz + _EDGE_MM) / 5)
    rows = height - above - np.concatenate([[0.0], np.cumsum(apart)])
    return Sheet(strips, gain, tuple(rows.tolist()), float(width), float(height))


def _reach_mv(
    signal_mv: np.ndarray, leads: Sequence[str], strips: Sequence[Strip], sfreq_hz: float
) -> tuple[Float[np.ndarray, "r t"], Float[np.ndarray, "r t"]]:
    """How far each row reaches up and down from its zero line, at any time and near it."""
    waves = np.zeros((1 + max(strip.row for strip in strips), signal_mv.shape[1]))
    for strip in strips:
        waves[strip.row, strip.first : strip.stop] = _wave_mv(signal_mv, leads, strip)
    near = max(1, round(_NEAR_S * sfreq_hz))
    return maximum_filter1d(waves, near, axis=1), maximum_filter1d(-waves, near, axis=1)


def _wave_mv(signal_mv: np.ndarray, leads: Sequence[str], strip: Strip) -> np.ndarray:
    """A strip around its zero line: the median of its lead over the whole page."""
    own = signal_mv[list(leads).index(strip.lead)]
    return own[strip.first : strip.stop] - np.median(own)


def draw_page(
    axes: Any,
    signal_mv: Float[np.ndarray, "c t"],
    leads: Sequence[str],
    sfreq_hz: float,
    sheet: Sheet,
) -> None:
    """Grid, pulses of calibration, waves and their names, true to scale if the axes are."""
    axes.set(xlim=(0, sheet.width_mm), ylim=(0, sheet.height_mm), aspect="equal")
    axes.axis("off")
    _grid(axes, sheet)
    for row in sorted({strip.row for strip in sheet.strips}):
        _pulse(axes, sheet.row_mm[row], sheet.gain_mm_mv)
    for strip in sheet.strips:
        zero = sheet.row_mm[strip.row]
        x = sheet.x_mm(np.arange(strip.first, strip.stop) / sfreq_hz)
        y = zero + sheet.gain_mm_mv * _wave_mv(signal_mv, leads, strip)
        axes.plot(x, y, color=INK, lw=0.85, solid_joinstyle="round", zorder=3)
        begin = y[: max(1, round(_NAME_S * sfreq_hz))]
        axes.text(
            x[0] + 1.2, max(zero + 6.0, begin.max() + 1.5), strip.lead, fontsize=9,
            fontweight="bold", color=INK, zorder=2, path_effects=_HALO,
        )  # fmt: skip
        if strip.first:  # where one lead ends and the next begins
            axes.plot([x[0], x[0]], [zero - 3, zero + 3], color=INK, lw=0.8, zorder=3)
    axes.text(
        sheet.width_mm - 2, 1.4, f"{MM_PER_S:g} mm/s   {sheet.gain_mm_mv:g} mm/mV", fontsize=8,
        ha="right", color=INK, zorder=4, path_effects=_HALO,
    )  # fmt: skip


def _grid(axes: Any, sheet: Sheet) -> None:
    for step, colour, width in ((1, FINE, 0.35), (5, COARSE, 0.6)):
        x = np.arange(0, sheet.width_mm + 0.5, step)
        y = np.arange(0, sheet.height_mm + 0.5, step)
        lines = [[(v, 0), (v, sheet.height_mm)] for v in x]
        lines += [[(0, v), (sheet.width_mm, v)] for v in y]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=step / 5))


def _pulse(axes: Any, zero_mm: float, gain_mm_mv: float) -> None:
    """One millivolt for a fifth of a second, at the begin of a row."""
    x = 2.5 + np.asarray([0, 0.75, 0.75, 5.75, 5.75, 6.5])
    y = zero_mm + gain_mm_mv * _PULSE_MV * np.asarray([0, 0, 1, 1, 0, 0])
    axes.plot(x, y, color=INK, lw=0.85, zorder=3)


def ecg_figure(
    signal_mv: Float[np.ndarray, "c t"],
    leads: Sequence[str],
    sfreq_hz: float,
    *,
    layout: str = "3x4",
    title: str = "",
) -> Figure:
    """An ECG alone on a page of its own size.

    Args:
      signal_mv: millivolts, a row a lead.
      leads: their names.
      sfreq_hz: samples a second.
      layout: one of :data:`LAYOUTS`; "3x4" has lead II as a rhythm strip below.
      title: above the paper.

    Raises:
      ValueError: an unknown layout.
    """
    require_layout(layout, "layout")
    sheet = sheet_of(signal_mv, leads, sfreq_hz, layout)
    head_mm = 9.0 if title else 0.0
    figure = sized_figure(sheet.width_mm, sheet.height_mm + head_mm)
    draw_page(paper_axes(figure, sheet, 0.0), signal_mv, leads, sfreq_hz, sheet)
    if title:
        figure.text(0.01, 1 - 2 / (sheet.height_mm + head_mm), title, fontsize=11, va="top")
    return figure


def sized_figure(width_mm: float, height_mm: float) -> Figure:
    """A figure of so many millimetres."""
    return Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH))


def paper_axes(figure: Figure, sheet: Sheet, bottom_mm: float) -> Any:
    """Axes in which a millimetre of the sheet is one of the figure's."""
    width, height = (MM_PER_INCH * v for v in figure.get_size_inches())
    return figure.add_axes(
        (0, bottom_mm / height, sheet.width_mm / width, sheet.height_mm / height)
    )
