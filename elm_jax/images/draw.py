"""Drawing traces: from millivolts to the pixels of an ECG print, under jit, on the device.

A column of pixels is looked at in thirds. In each, the trace (straight lines between samples) lies
between a lowest and a highest value, which the pen widens: up and down by half its width, and to
the sides by taking the extremes over as many neighbouring thirds. A pixel is as dark as the share
of it that is covered, the mean over its thirds; so no sample is skipped, however many there are to
a pixel, and steep strokes stay whole.
"""

import jax.numpy as jnp
import numpy as np

from elm_jax.axes import Array, Float
from elm_jax.images.background import CLIPPED, TRACE, background, covered
from elm_jax.images.paper import ImageError, Paper
from elm_jax.images.tables import CELLS_PER_PX, Tables, tables

NOWHERE = 1e6  # an image row that no image has
MARK_MM = 1.0  # height of the marks where a trace leaves its row


def draw(
    signal_mv: Float[Array, "b c t"], paper: Paper, *, channels: tuple[str, ...], sfreq_hz: float
) -> Float[Array, "b y x 3"]:
    """Prints of twelve leads, red, green and blue from 0 to 1.

    A trace may reach the neighbouring rows' zero lines. Beyond, it runs along that line, or the
    image's edge, in blue (:data:`CLIPPED`), 1 mm high: what is missing is seen.

    Args:
      signal_mv: the twelve leads (and others, which are left out), in millivolts.
      paper: layout and image size.
      channels: names of the signal's rows, in any order.
      sfreq_hz: its rate.

    Raises:
      ImageError: a name that is no lead, a lead that is missing, or not the paper's window.
    """
    b, c, t = signal_mv.shape
    if len(channels) != c:
        raise ImageError(f"{len(channels)} names for {c} channels: {channels}")
    table = tables(paper, tuple(channels), sfreq_hz, t)
    low, high = _extremes(signal_mv.astype(jnp.float32).reshape(b, c * t), table)
    top, bottom, over, under = _strokes(low * paper.px_per_mv, high * paper.px_per_mv, paper, table)
    ink = jnp.maximum(*(_layer(top, bottom, paper, first) for first in (0, 1)))
    image = _blended(jnp.asarray(background(paper))[None], ink, TRACE)
    return _blended(image, _marks(over, under, paper), CLIPPED)


def _blended(
    image: Float[Array, "_ y x 3"], ink: Float[Array, "b y x"], colour: tuple[float, ...]
) -> Float[Array, "b y x 3"]:
    """``image`` (one for all, or one each) with ``ink`` of a colour on it."""
    return image + ink[..., None] * (jnp.asarray(colour, jnp.float32) - image)


def _extremes(
    flat: Float[Array, "b m"], table: Tables
) -> tuple[Float[Array, "b r n"], Float[Array, "b r n"]]:
    """Lowest and highest value of the trace in each cell, in millivolts."""
    before, after = flat[:, table.edge], flat[:, table.edge + 1]
    inside, edges = flat[:, table.inside], before + table.part * (after - before)
    low = jnp.minimum(inside.min(-1), edges.min(-1))
    return low, jnp.maximum(inside.max(-1), edges.max(-1))


def _strokes(low: Array, high: Array, paper: Paper, table: Tables) -> tuple[Array, ...]:
    """What the pen covers of each cell.

    Args:
      low: lowest value of the trace, in pixels above its zero line.
      high: highest value.
      paper: layout.
      table: where there are traces.

    Returns:
      (first covered image row, last one, whether the trace goes beyond its row above, and below),
      each ``[b r n]``.
    """
    spread, drawn = table.spread, np.asarray(table.drawn)
    low = jnp.where(drawn, low, jnp.inf)
    high = jnp.where(drawn, high, -jnp.inf)
    low, high = -_widest(-low, spread), _widest(high, spread)
    inked = _widest(jnp.where(drawn, 1.0, -jnp.inf)[None], spread) > 0
    zero, pen = paper.zero_px[:, None], paper.pen_px
    above, below = (zero + sign * paper.reach_px[:, i : i + 1] for i, sign in ((0, -1), (1, 1)))
    top, bottom = zero - high - pen / 2, zero - low + pen / 2
    over, under = inked & (top < above), inked & (bottom > below)
    top = jnp.where(inked, jnp.clip(top, above, below - pen), NOWHERE)
    bottom = jnp.where(inked, jnp.clip(bottom, above + pen, below), NOWHERE)
    return top, bottom, over, under


def _widest(x: Array, spread: int) -> Array:
    """The largest over each cell and so many to either side."""
    n = x.shape[-1]
    padded = jnp.pad(x, ((0, 0), (0, 0), (spread, spread)), constant_values=-jnp.inf)
    out = padded[..., :n]
    for i in range(1, 2 * spread + 1):
        out = jnp.maximum(out, padded[..., i : i + n])
    return out


def _layer(top: Array, bottom: Array, paper: Paper, first: int) -> Float[Array, "b y x"]:
    """Ink of every other row of traces: their reaches lie one below the other without overlap."""
    height, width = paper.image_size
    band, start = 2 * paper.pitch_px, paper.zero_px[first::2] - paper.pitch_px
    at = start[:, None, None, None] + np.arange(band, dtype=np.float32)[:, None]
    own_top, own_bottom = (_parts(e[:, first::2]) for e in (top, bottom))
    share = jnp.clip(jnp.minimum(at + 1, own_bottom) - jnp.maximum(at, own_top), 0, 1)
    # A reduction is computed once; sums of slices would be, again, for every colour (3 x as long).
    ink = share.mean(axis=2).reshape(len(top), -1, width)
    stop = int(start[0]) + ink.shape[1]
    ink = ink[:, max(0, -int(start[0])) : ink.shape[1] - max(0, stop - height)]
    return jnp.pad(ink, ((0, 0), (max(0, int(start[0])), max(0, height - stop)), (0, 0)))


def _parts(cells: Float[Array, "b r n"]) -> Float[Array, "b r i _ x"]:
    """The parts of each column of pixels apart: first all first ones."""
    b, r, n = cells.shape
    return cells.reshape(b, r, n // CELLS_PER_PX, CELLS_PER_PX).swapaxes(2, 3)[:, :, :, None]


def _marks(over: Array, under: Array, paper: Paper) -> Float[Array, "b y x"]:
    """How much of each pixel is a mark of a trace that goes on beyond its row."""
    flags = jnp.concatenate([over, under], axis=1).astype(jnp.float32)
    flags = flags.reshape(*flags.shape[:2], -1, CELLS_PER_PX).mean(-1)
    marks = jnp.einsum("brx,ry->byx", flags, mark_rows(paper), precision="highest")
    return jnp.minimum(marks, 1.0)


def mark_rows(paper: Paper) -> Float[np.ndarray, "r y"]:
    """Which share of each image row is a mark above each row of traces, and then below each."""
    high = max(MARK_MM * paper.px_per_mm, 2.0)
    zero, reach = paper.zero_px, paper.reach_px
    above = covered(zero - reach[:, 0], zero - reach[:, 0] + high, paper.image_size[0])
    below = covered(zero + reach[:, 1] - high, zero + reach[:, 1], paper.image_size[0])
    return np.concatenate([above, below]).astype(np.float32)
