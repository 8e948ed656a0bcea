"""What the signals of a tokenizer are: leads, rate, length of a record."""

import dataclasses
import math
from typing import Any

from elm_jax.data.spec import SignalSpec


class LayoutError(ValueError):
    """A signal that is not the one a tokenizer was made for; says in what it differs."""


@dataclasses.dataclass(frozen=True)
class EcgLayout:
    """The signal that a tokenizer takes, in millivolts.

    Attributes:
      channels: names of the leads in their order, since they follow one another in the text.
      sfreq_hz: samples a second.
      window_s: length of a record, whose minimum and maximum make the levels; None: any length.
    """

    channels: tuple[str, ...]
    sfreq_hz: float
    window_s: float | None

    def __post_init__(self):
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise LayoutError(f"leads must be unique and at least one: {self.channels}")
        for name in ("sfreq_hz", "window_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise LayoutError(f"{name} must be positive and finite, is {value}")
        if self.window_s is not None:
            samples = self.window_s * self.sfreq_hz
            if abs(samples - round(samples)) > 1e-6:
                raise LayoutError(
                    f"window_s={self.window_s} is not a whole number of samples at "
                    f"{self.sfreq_hz} Hz"
                )

    @classmethod
    def of_spec(cls, spec: SignalSpec, *, source: str) -> "EcgLayout":
        """That of a prepared directory.

        Raises:
          LayoutError: it holds no ECG in millivolts; names ``source``.
        """
        if (spec.modality, spec.unit) != ("ecg", "mV"):
            raise LayoutError(
                f"{source}: holds {spec.modality!r} in {spec.unit!r}, expected 'ecg' in 'mV'; "
                "prepare ECG recordings (python -m data_prep.prepare ... --signal ecg)"
            )
        return cls(spec.channels, spec.sfreq_hz, spec.window_s)

    @property
    def samples(self) -> int | None:
        """Samples of each lead; None: any number."""
        return None if self.window_s is None else round(self.window_s * self.sfreq_hz)

    def require(self, other: "EcgLayout", *, source: str) -> None:
        """Raises unless a tokenizer of this layout takes signals of ``other``.

        Raises:
          LayoutError: names ``source``, and each difference.
        """
        fields = [f.name for f in dataclasses.fields(self)]
        lines = [
            f"{name}: expected {getattr(self, name)}, found {getattr(other, name)}"
            for name in fields
            if getattr(self, name) is not None and getattr(self, name) != getattr(other, name)
        ]
        if lines:
            listing = "\n  ".join(lines)
            raise LayoutError(
                f"{source} is another signal than the tokenizer's:\n  {listing}\nPrepare it with "
                "these settings, or train a tokenizer on it."
            )

    def require_shape(self, shape: tuple[int, ...], *, source: str) -> None:
        """Raises unless a signal has the shape of a record.

        Raises:
          LayoutError: says the shape that is expected.
        """
        leads, samples = len(self.channels), self.samples
        if len(shape) != 2 or shape[0] != leads or samples not in (None, shape[1]):
            wanted = "any number of" if samples is None else samples
            raise LayoutError(
                f"{source}: shape {shape}, expected {leads} leads ({', '.join(self.channels)}) of "
                f"{wanted} samples at {self.sfreq_hz:g} Hz"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return dataclasses.asdict(self) | {"channels": list(self.channels), "unit": "mV"}

    @classmethod
    def from_dict(cls, values: Any, *, source: str) -> "EcgLayout":
        """Reads :meth:`to_dict` back.

        Raises:
          LayoutError: a field is missing, unknown or of another kind.
        """
        expected = {"channels", "sfreq_hz", "window_s", "unit"}
        if not isinstance(values, dict) or set(values) != expected:
            found = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise LayoutError(f"{source}: expected {sorted(expected)}, found {found}")
        channels, rate, window = values["channels"], values["sfreq_hz"], values["window_s"]
        named = isinstance(channels, list) and all(isinstance(c, str) for c in channels)
        numbers = [rate] if window is None else [rate, window]
        if not named or not all(type(v) in (int, float) for v in numbers) or values["unit"] != "mV":
            raise LayoutError(
                f"{source}: expected a list of lead names, sfreq_hz and window_s (or null) in "
                f"numbers and unit 'mV', found {values}"
            )
        try:
            return cls(tuple(channels), float(rate), None if window is None else float(window))
        except LayoutError as error:
            raise LayoutError(f"{source}: {error}") from error
