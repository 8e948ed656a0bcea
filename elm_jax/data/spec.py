"""SignalSpec: everything needed to turn a recording into a network's input."""

import dataclasses
import math
from typing import Any

import numpy as np

UNITS_PER_V = {"uV": 1e6, "mV": 1e3}
# What is stored of features that are no voltages: standard deviations of each.
UNITS = (*UNITS_PER_V, "sd")
# What signals are normalised by: a config says whose, so directories and models may differ in it.
MOMENTS = ("mean", "std", "moments")
# By ``mean`` and ``std`` of the spec; by those of each recording; by those of each window.
MOMENTS_OF = ("fixed", "recording", "window")
RESAMPLERS = ("mne_fft", "polyphase", "cubic")
# Which of them a modality knows, where it does not know all.
_RESAMPLERS_OF = {"eeg": ("mne_fft", "polyphase"), "ecg": ("polyphase", "cubic")}
# Steps that take something out of an ECG, in the order in which they are taken.
CLEANING = ("baseline", "wavelet")
SLOW_SOURCES = ("refuse", "narrow")
# Fields that came later: what is written without them had these values, and what has these values
# is written without them.
_LATER: dict[str, Any] = {
    "notch_hz": (), "slow_source": "refuse", "moments": "fixed", "cleaning": (),
}  # fmt: skip


# Fields that have an option of their name in ``data_prep.prepare``.
_OPTIONS = (
    "channels", "montage", "window_s", "sfreq_hz", "highpass_hz", "lowpass_hz", "notch_hz",
    "resample", "slow_source", "cleaning",
)  # fmt: skip


class SpecError(ValueError):
    """A signal description that is incomplete, impossible, or not the one a model was made for."""


@dataclasses.dataclass(frozen=True)
class SignalSpec:
    """What a stored or fed signal is; saved with every shard set and every checkpoint.

    ``network_input = (signal * scale - mean) / std`` where ``moments`` is "fixed", else
    ``(signal - mean) / std`` with the mean and deviation of each channel of the recording (or of
    the window) itself. Clipping happens before, in ``elm_jax.signals``, ahead of the resampling.

    Attributes:
      modality: "eeg" or "ecg"; "features": windows that are vectors of numbers made of signals.
      channels: names of the rows of a signal, in order.
      montage: what the rows are: "tcp20" (bipolar), "electrodes" (as referenced in the recording),
        "average" (electrodes less the mean of those that are in ``channels``), "leads" (of an
        ECG, by name).
      sfreq_hz: sampling rate after resampling.
      window_s: length of the crop a model sees.
      highpass_hz: lower edge of the zero-phase band (FIR; of an ECG: Butterworth both ways).
      lowpass_hz: upper edge of that band; of an ECG, half of ``sfreq_hz`` stands for none.
      resample: "mne_fft" (``mne``'s padded FFT method, a 15 ppm stretch of time that the released
        ELM weights were trained with), "polyphase", or of an ECG "cubic" (splines, no low-pass).
      unit: "uV" or "mV": the unit that shards store; "sd": standard deviations of each feature.
      clip: absolute limit in ``unit``, applied before resampling.
      scale: network values per unit (0.1 for the released ELM weights: they want volts * 1e5).
      mean: subtracted after ``scale``; a number, or one per channel.
      std: divides after ``mean``; a number, or one per channel.
      notch_hz: frequencies that a notch filter takes out (mains and its harmonics); those that a
        recording's rate does not hold are not in it either.
      slow_source: what becomes of a recording whose rate cannot hold the band up to
        ``lowpass_hz``: "refuse", or "narrow": filtered up to what its rate holds, and said so.
      moments: whose mean and standard deviation (of all samples, not n - 1) a network's input is
        normalised by: "fixed" (``mean`` and ``std``), "recording" (of each recording and channel)
        or "window" (of each window and channel; one that does not move in a window is zeros).
        With the latter two ``scale`` plays no part, and ``mean`` and ``std`` are 0 and 1.
      cleaning: of an ECG: "baseline" (its wander), "wavelet" (noise), in this order, or none.
    """

    modality: str
    channels: tuple[str, ...]
    montage: str
    sfreq_hz: float
    window_s: float
    highpass_hz: float
    lowpass_hz: float
    resample: str
    unit: str
    clip: float
    scale: float
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    notch_hz: tuple[float, ...] = ()
    slow_source: str = "refuse"
    moments: str = "fixed"
    cleaning: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise SpecError(f"SignalSpec.channels must be unique and not empty: {self.channels}")
        if self.unit not in UNITS:
            raise SpecError(f"SignalSpec.unit is {self.unit!r}; known: {UNITS}")
        if self.resample not in RESAMPLERS:
            raise SpecError(f"SignalSpec.resample is {self.resample!r}; known: {RESAMPLERS}")
        self._require_of_modality()
        for name in ("sfreq_hz", "window_s", "clip", "scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"SignalSpec.{name} must be positive and finite, is {value}")
        if not 0 <= self.highpass_hz < self.lowpass_hz <= self.sfreq_hz / 2:
            raise SpecError(
                f"SignalSpec band {self.highpass_hz}-{self.lowpass_hz} Hz does not fit under half "
                f"of sfreq_hz={self.sfreq_hz}"
            )
        self._require_filters()
        samples = self.window_s * self.sfreq_hz
        if abs(samples - round(samples)) > 1e-6:
            raise SpecError(
                f"SignalSpec.window_s={self.window_s} is not a whole number of samples at "
                f"{self.sfreq_hz} Hz"
            )
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != len(self.channels):
                raise SpecError(
                    f"SignalSpec.{name} has {len(value)} values for {len(self.channels)} channels"
                )
        if not np.all(np.asarray(self.std) > 0):
            raise SpecError(f"SignalSpec.std must be positive, is {self.std}")
        self._require_moments()

    def _require_moments(self) -> None:
        if self.moments not in MOMENTS_OF:
            raise SpecError(f"SignalSpec.moments is {self.moments!r}; known: {MOMENTS_OF}")
        if self.moments != "fixed" and (self.mean, self.std) != (0.0, 1.0):
            raise SpecError(
                f"SignalSpec.moments is {self.moments!r}: signals are normalised by each "
                f"{self.moments}'s own mean and std, and mean={self.mean}, std={self.std} would "
                "not be used; leave them at 0 and 1"
            )

    def _require_of_modality(self) -> None:
        """What only some modalities have."""
        known = _RESAMPLERS_OF.get(self.modality, RESAMPLERS)
        if self.resample not in known:
            raise SpecError(
                f"SignalSpec.resample is {self.resample!r}; signals of modality {self.modality!r} "
                f"are resampled by one of {known}"
            )
        wrong = self.cleaning != tuple(word for word in CLEANING if word in self.cleaning)
        if wrong or (self.cleaning and self.modality != "ecg"):
            raise SpecError(
                f"SignalSpec.cleaning is {self.cleaning!r} of a signal of modality "
                f"{self.modality!r}; expected a tuple of {CLEANING} in this order, and none but "
                "for modality 'ecg'"
            )

    def _require_filters(self) -> None:
        if self.slow_source not in SLOW_SOURCES:
            raise SpecError(
                f"SignalSpec.slow_source is {self.slow_source!r}; known: {SLOW_SOURCES}"
            )
        if not isinstance(self.notch_hz, tuple):
            raise SpecError(f"SignalSpec.notch_hz must be a tuple of Hz, is {self.notch_hz!r}")
        if not all(math.isfinite(f) and 2 <= f < self.sfreq_hz / 2 for f in self.notch_hz):
            raise SpecError(
                f"SignalSpec.notch_hz={self.notch_hz}: expected frequencies from 2 Hz to below "
                f"half of sfreq_hz={self.sfreq_hz}"
            )

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return round(self.window_s * self.sfreq_hz)

    def replace(self, **changes: Any) -> "SignalSpec":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def of_channels(self, channels: tuple[str, ...], *, source: str) -> "SignalSpec":
        """The same signal of other channels; a mean or std of each goes by their names.

        Raises:
          SpecError: there is none of one of them; names ``source``.
        """
        own = {n: v for n in MOMENTS if isinstance(v := getattr(self, n), tuple)}
        missing = sorted(set(channels) - set(self.channels))
        if own and missing:
            raise SpecError(
                f"{source}: there is a {' and a '.join(own)} for each of {list(self.channels)}, "
                f"and none for {missing}; use config.data.normalisation='none' or 'corpus'"
            )
        moments = {n: tuple(v[self.channels.index(c)] for c in channels) for n, v in own.items()}
        return self.replace(channels=channels, **moments)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; fields that came later stand in it where they say something."""
        values = dataclasses.asdict(self).items()
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in values
            if k not in _LATER or v != _LATER[k]
        }

    def normalised_by(self, moments: str) -> "SignalSpec":
        """The same signal, normalised by each recording's or each window's own mean and std."""
        return self.replace(mean=0.0, std=1.0, moments=moments)

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, source: str = "SignalSpec") -> "SignalSpec":
        """Reads :meth:`to_dict`'s form back.

        Raises:
          SpecError: a field is missing or unknown; the message names ``source`` and the field.
        """
        fields = {f.name for f in dataclasses.fields(cls)}
        missing, unknown = fields - set(values) - set(_LATER), set(values) - fields
        if missing or unknown:
            raise SpecError(
                f"{source}: SignalSpec lacks {sorted(missing)} and has unknown {sorted(unknown)}"
            )
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def differences(self, other: "SignalSpec", *, ignore: tuple[str, ...] = ()) -> list[str]:
        """One line per field in which ``other`` differs from this spec."""
        lines = []
        for field in dataclasses.fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name not in ignore and ours != theirs:
                lines.append(f"{field.name}: expected {ours}, found {theirs}")
        return lines

    def options_beside(self, other: "SignalSpec", *, ignore: tuple[str, ...] = ()) -> str:
        """Options of ``data_prep.prepare`` for what ``other`` has otherwise and options can say."""
        words = []
        for name in _OPTIONS:
            ours = getattr(self, name)
            if name in ignore or ours == getattr(other, name):
                continue
            if name == "channels" and self.montage == "tcp20":
                continue  # the montage says them
            values = ours if isinstance(ours, tuple) else (ours,)
            text = ",".join(v if isinstance(v, str) else f"{v:g}" for v in values)
            if text or name == "notch_hz":  # no cleaning is what no option gives
                words.append(f"--{name} {text or 0}")
        return " ".join(words)

    def require_same(
        self, other: "SignalSpec", *, source: str, hint: str, ignore: tuple[str, ...] = ()
    ) -> None:
        """Raises unless ``other`` (read from ``source``) equals this spec.

        Raises:
          SpecError: names ``source``, every differing field, and ``hint``: what to do. OPTIONS in
            it become those of ``data_prep.prepare`` that make the difference.
        """
        lines = self.differences(other, ignore=ignore)
        if lines:
            listing = "\n  ".join(lines)
            hint = hint.replace("OPTIONS", self.options_beside(other, ignore=ignore))
            raise SpecError(
                f"{source} does not fit the model's signal description:\n  {listing}\n{hint}"
            )
