"""Where things lie on ECG paper: millimetres and pixels of a 12-lead print.

A second is 25 mm wide and a millivolt 10 mm high, in both directions the same number of pixels a
millimetre: it follows from the image's width, in which the whole window must find room. The image's
height is shared out among the rows; in a square image of 10 s they lie further apart than on an A4
sheet, so that less of a trace leaves its row.

    px_per_mm = image width / (2 margins + calibration pulse + window_s * 25 mm/s)

A window of 10 s and an image 224 pixels wide: 0.85 px/mm, a pixel is 47 ms and 0.12 mV; 384 pixels:
1.46 px/mm, 27 ms and 0.07 mV.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from elm_jax.signals.ecg.leads import STANDARD_ORDER, parse_lead

MARGIN_MM = 2.5
CALIBRATION_MM = 7.5  # beside each row: the pulse and the space around it
PULSE_MM = 5.0  # 0.2 s at 25 mm/s
PULSE_MV = 1.0
RHYTHM_LEAD = "II"
LAYOUTS = ("3x4", "12x1")


class ImageError(ValueError):
    """A picture that cannot be drawn of these signals, or not in this size."""


def rows_of(channels: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Which of ``channels`` each of the ``wanted`` leads is.

    Args:
      channels: names of a signal's rows, in any order and spelling of :func:`parse_lead`.
      wanted: canonical names.

    Raises:
      ImageError: a name that is no lead, two of one lead, or a wanted lead that is missing.
    """
    found = [parse_lead(name) for name in channels]
    unknown = [name for name, lead in zip(channels, found, strict=True) if lead is None]
    twice = sorted({lead for lead in found if lead and found.count(lead) > 1})
    missing = [lead for lead in wanted if lead not in found]
    if unknown or twice or missing:
        raise ImageError(
            f"an ECG picture of the channels {list(channels)}: no known lead {unknown}, twice "
            f"{twice}, missing {missing}; it needs {list(wanted)}, in any order"
        )
    return tuple(found.index(lead) for lead in wanted)


@dataclasses.dataclass(frozen=True)
class Strip:
    """One lead over one stretch of time.

    Attributes:
      lead: canonical name.
      row: of the paper, from the top.
      start_s: of the window.
      stop_s: likewise.
    """

    lead: str
    row: int
    start_s: float
    stop_s: float


@dataclasses.dataclass(frozen=True)
class Paper:
    """A print of twelve leads.

    Attributes:
      image_size: rows and columns of pixels.
      window_s: length of the signal.
      layout: "3x4": three rows of four columns, a quarter of the window each (2.5 of 10 s), and
        lead II below them, whole; "12x1": twelve rows of the whole window.
      speed_mm_per_s: of the paper.
      gain_mm_per_mv: of the traces.
      calibration: a pulse of 1 mV and 0.2 s to the left of each row.
      names: the leads' names where they begin.
    """

    image_size: tuple[int, int] = (224, 224)
    window_s: float = 10.0
    layout: str = "3x4"
    speed_mm_per_s: float = 25.0
    gain_mm_per_mv: float = 10.0
    calibration: bool = True
    names: bool = True

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            raise ImageError(f"ECG paper: layout is {self.layout!r}; known: {LAYOUTS}")
        for name in ("window_s", "speed_mm_per_s", "gain_mm_per_mv"):
            if not getattr(self, name) > 0:
                raise ImageError(f"ECG paper: {name} is {getattr(self, name)}, must be positive")
        if self.pitch_px < 8:
            raise ImageError(
                f"ECG paper: an image of {self.image_size} pixels leaves {self.pitch_px} a row of "
                f"{self.rows}; at least 8 are needed: a larger image, or layout '3x4'"
            )

    @property
    def width_mm(self) -> float:
        """Of the whole image."""
        return self.left_mm + self.window_s * self.speed_mm_per_s + MARGIN_MM

    @property
    def px_per_mm(self) -> float:
        """Pixels a millimetre, in both directions."""
        return self.image_size[1] / self.width_mm

    @property
    def px_per_s(self) -> float:
        """Pixels a second."""
        return self.px_per_mm * self.speed_mm_per_s

    @property
    def px_per_mv(self) -> float:
        """Pixels a millivolt."""
        return self.px_per_mm * self.gain_mm_per_mv

    @property
    def left_mm(self) -> float:
        """From the image's edge to the window's first sample."""
        return MARGIN_MM + (CALIBRATION_MM if self.calibration else 0.0)

    @property
    def left_px(self) -> float:
        """Column of the window's first sample."""
        return self.left_mm * self.px_per_mm

    @property
    def rows(self) -> int:
        """Rows of traces."""
        return 4 if self.layout == "3x4" else 12

    @property
    def pitch_px(self) -> int:
        """Pixels from one row's zero line to the next one's: whole and even, so rows are alike.

        The outer rows have three quarters of it to the image's edge.
        """
        return int(self.image_size[0] / (self.rows + 0.5)) // 2 * 2

    @property
    def zero_px(self) -> np.ndarray:
        """The image row of 0 mV, of each row of traces."""
        first = (self.image_size[0] - self.rows * self.pitch_px) // 2 + self.pitch_px // 2
        return first + self.pitch_px * np.arange(self.rows)

    @property
    def reach_px(self) -> np.ndarray:
        """``[rows, 2]``: how far above and below its zero line a row's traces may go.

        To the neighbours' zero lines: traces overlap as on a print. The outer rows also end where
        the image does.
        """
        zero = self.zero_px
        ends = np.stack([zero, self.image_size[0] - zero], axis=1)
        return np.minimum(ends, self.pitch_px)

    @property
    def pen_px(self) -> float:
        """Width of a trace: 0.35 mm, and at least one pixel."""
        return max(0.35 * self.px_per_mm, 1.0)

    @property
    def strips(self) -> tuple[Strip, ...]:
        """What is drawn where; columns go on in time from left to right."""
        if self.layout == "12x1":
            whole = (0.0, self.window_s)
            return tuple(Strip(lead, row, *whole) for row, lead in enumerate(STANDARD_ORDER))
        quarter = self.window_s / 4
        columns = tuple(
            Strip(lead, i % 3, quarter * (i // 3), quarter * (i // 3 + 1))
            for i, lead in enumerate(STANDARD_ORDER)
        )
        return (*columns, Strip(RHYTHM_LEAD, 3, 0.0, self.window_s))

    def __str__(self) -> str:
        height, width = self.image_size
        up, down = self.reach_px.min(axis=0) / self.px_per_mv
        return (
            f"paper {self.layout}, {height} x {width} pixels, {self.speed_mm_per_s:g} mm/s, "
            f"{self.gain_mm_per_mv:g} mm/mV, {self.px_per_mm:.3g} pixels a mm: one is "
            f"{1e3 / self.px_per_s:.3g} ms and {1 / self.px_per_mv:.2g} mV; traces beyond "
            f"{up:.2g} mV (or -{down:.2g} mV) of the narrowest row are marked at its edge"
        )
