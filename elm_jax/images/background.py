"""What is the same on every print: the grid, calibration pulses and the leads' names."""

import functools
import math

import numpy as np

from elm_jax.images import glyphs
from elm_jax.images.paper import MARGIN_MM, PULSE_MM, PULSE_MV, Paper

PAPER = (1.0, 0.985, 0.975)
MINOR = (0.985, 0.83, 0.80)  # the colour of the lines every millimetre
MAJOR = (0.94, 0.58, 0.56)  # every 5 mm
TRACE = (0.07, 0.07, 0.12)
CLIPPED = (0.0, 0.2, 0.95)  # where a trace leaves its row
# Lines nearer to each other than this are drawn as the even tint that they average to.
NEAREST_PX = 3.0


@functools.lru_cache(maxsize=32)
def background(paper: Paper) -> np.ndarray:
    """Paper, grid, pulses and names: ``[y x 3]`` from 0 to 1. Do not write to it."""
    image = np.tile(np.asarray(PAPER), (*paper.image_size, 1))
    for every_mm, line_mm, colour in ((1.0, 0.1, MINOR), (5.0, 0.2, MAJOR)):
        across = _lines(paper, paper.image_size[1], every_mm, line_mm, paper.left_px)
        along = _lines(paper, paper.image_size[0], every_mm, line_mm, float(paper.zero_px[0]))
        _blend(image, 1 - (1 - along[:, None]) * (1 - across[None]), colour)
    ink = np.zeros(paper.image_size)
    if paper.calibration:
        _draw_pulses(ink, paper)
    _draw_ticks(ink, paper)
    if paper.names:
        _draw_names(ink, paper)
    _blend(image, ink, TRACE)
    image = image.astype(np.float32)
    image.setflags(write=False)
    return image


def _blend(image: np.ndarray, coverage: np.ndarray, colour: tuple[float, ...]) -> None:
    image += coverage[..., None] * (np.asarray(colour) - image)


def covered(start: float | np.ndarray, stop: float | np.ndarray, size: int) -> np.ndarray:
    """``[..., size]``: which share of each of ``size`` pixels lies between start and stop."""
    pixel = np.arange(size)
    low = np.maximum(np.asarray(start)[..., None], pixel)
    return np.clip(np.minimum(np.asarray(stop)[..., None], pixel + 1) - low, 0, 1)


def _lines(
    paper: Paper, size: int, every_mm: float, line_mm: float, origin_px: float
) -> np.ndarray:
    """Coverage of the pixels of one axis by equally spaced lines, one of them at ``origin_px``."""
    every, line = every_mm * paper.px_per_mm, max(line_mm * paper.px_per_mm, 0.5)
    if every < NEAREST_PX:
        return np.full(size, line_mm / every_mm)
    number = np.arange(-math.ceil(origin_px / every), math.ceil((size - origin_px) / every) + 1)
    centre = origin_px + number * every
    return covered(centre - line / 2, centre + line / 2, size).sum(axis=0).clip(0, 1)


def _box(ink: np.ndarray, y: tuple[float, float], x: tuple[float, float]) -> None:
    """Draws a filled box, smoothed at its edges."""
    rows, columns = (covered(*span, size) for span, size in zip((y, x), ink.shape, strict=True))
    np.maximum(ink, rows[:, None] * columns[None], out=ink)


def _draw_pulses(ink: np.ndarray, paper: Paper) -> None:
    """Up 1 mV for 0.2 s, on a foot of the zero line at either side."""
    pen, px = paper.pen_px, paper.px_per_mm
    high = PULSE_MV * paper.px_per_mv
    left = (MARGIN_MM + 0.75) * px
    rise, fall, right = left + 0.5 * px, left + (0.5 + PULSE_MM) * px, left + 6 * px
    for zero in paper.zero_px:
        low = (zero - pen / 2, zero + pen / 2)
        top = min(high, zero)  # a pulse that the image has no room for ends where the image does
        _box(ink, low, (left, rise))
        _box(ink, low, (fall, right))
        _box(ink, (zero - top - pen / 2, zero - top + pen / 2), (rise, fall))
        for x in (rise, fall):
            _box(ink, (zero - top - pen / 2, zero + pen / 2), (x - pen / 2, x + pen / 2))


def _draw_ticks(ink: np.ndarray, paper: Paper) -> None:
    """A tick above and one below where one lead ends and the next begins, 2 mm high."""
    pen, px = paper.pen_px, paper.px_per_mm
    for strip in paper.strips:
        if strip.start_s > 0:
            x = paper.left_px + strip.start_s * paper.px_per_s
            for centre in paper.zero_px[strip.row] + np.array((-3.0, 3.0)) * px:
                _box(ink, (centre - px, centre + px), (x - pen / 2, x + pen / 2))


def _draw_names(ink: np.ndarray, paper: Paper) -> None:
    """Above the zero line where a strip begins: 3 mm high, and at least seven pixels."""
    dot = max(1, round(3.0 * paper.px_per_mm / glyphs.HEIGHT))
    above = min(11.0 * paper.px_per_mm, 0.62 * paper.pitch_px)
    for strip in paper.strips:
        letters = glyphs.bitmap(strip.lead, dot)
        x = round(paper.left_px + strip.start_s * paper.px_per_s + max(0.8 * paper.px_per_mm, 2))
        y = max(0, round(paper.zero_px[strip.row] - above - letters.shape[0] / 2))
        place = ink[y : y + letters.shape[0], x : x + letters.shape[1]]
        np.maximum(place, letters[: place.shape[0], : place.shape[1]], out=place)
