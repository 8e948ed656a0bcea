"""A picture of an ECG by the name of its form: what an image encoder draws."""

import dataclasses

from elm_jax.axes import Array, Float
from elm_jax.images.draw import draw
from elm_jax.images.paper import ImageError, Paper, rows_of
from elm_jax.images.stacked import METHODS, stack
from elm_jax.images.tables import tables
from elm_jax.signals.ecg.leads import WANTED_ORDER

# Form -> layout of the paper; None: no paper.
FORMS = {"paper": "3x4", "paper_12x1": "12x1", "stacked": None}


@dataclasses.dataclass(frozen=True)
class EcgPicture:
    """How signals of one kind become images.

    Attributes:
      form: "paper", "paper_12x1" (see :mod:`elm_jax.images.paper`) or "stacked" (see
        :mod:`elm_jax.images.stacked`).
      image_size: rows and columns of pixels.
      channels: names of the signal's rows.
      sfreq_hz: its rate.
      samples: of a window.
      speed_mm_per_s: of the paper.
      gain_mm_per_mv: of traces on paper.
      resample: how a stacked signal is resized: "bilinear" or "bicubic".
    """

    form: str
    image_size: tuple[int, int]
    channels: tuple[str, ...]
    sfreq_hz: float
    samples: int
    speed_mm_per_s: float = 25.0
    gain_mm_per_mv: float = 10.0
    resample: str = "bicubic"

    def __post_init__(self):
        if self.form not in FORMS:
            raise ImageError(f"ECG image: form is {self.form!r}; known: {sorted(FORMS)}")
        if self.resample not in METHODS:
            raise ImageError(f"ECG image: resample is {self.resample!r}; known: {sorted(METHODS)}")
        if self.paper is None:
            rows_of(self.channels, WANTED_ORDER)
        else:
            tables(self.paper, self.channels, self.sfreq_hz, self.samples)

    @property
    def paper(self) -> Paper | None:
        """The layout of a print; None of a stacked signal."""
        layout = FORMS[self.form]
        if layout is None:
            return None
        own = dict(speed_mm_per_s=self.speed_mm_per_s, gain_mm_per_mv=self.gain_mm_per_mv)
        return Paper(self.image_size, self.samples / self.sfreq_hz, layout, **own)

    def __call__(self, signal_mv: Float[Array, "b c t"]) -> Float[Array, "b y x 3"]:
        """Images from 0 to 1 of signals in millivolts."""
        if self.paper is None:
            return stack(signal_mv, self.image_size, channels=self.channels, resample=self.resample)
        return draw(signal_mv, self.paper, channels=self.channels, sfreq_hz=self.sfreq_hz)

    def __str__(self) -> str:
        if self.paper is not None:
            return str(self.paper)
        rows, columns = self.image_size
        return f"stacked signal, {rows} x {columns} pixels, {self.resample}"
