"""Facts of a model's input and output that follow from one another, as braindecode infers them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# What else than a fact of that name tells it.
_TELLING = {
    "n_chans": "n_chans or chs_info",
    "n_times": "n_times, or input_window_seconds and sfreq",
    "input_window_seconds": "input_window_seconds, or n_times and sfreq",
    "sfreq": "sfreq, or n_times and input_window_seconds",
}
# What of a channel of mne.Info is worth keeping, and as what.
_CHANNEL_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "kind": int, "coil_type": int, "unit": int, "cal": float, "range": float, "loc": list,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignalFacts:
    """What is said of a model's input and output; the rest follows, or is an error that says so.

    Attributes:
      n_outputs: classes.
      n_chans: channels.
      chs_info: channels of an ``mne.Info`` (``info["chs"]``), or dicts with ``ch_name``.
      n_times: samples of a window.
      input_window_seconds: its length.
      sfreq: sampling rate in Hz.

    Raises:
      ValueError: facts that contradict each other.
    """

    n_outputs: int | None = None
    n_chans: int | None = None
    chs_info: Sequence[Mapping[str, Any]] | None = None
    n_times: int | None = None
    input_window_seconds: float | None = None
    sfreq: float | None = None

    def __post_init__(self):
        if None not in (self.n_chans, self.chs_info) and len(self.chs_info) != self.n_chans:
            raise ValueError(f"n_chans={self.n_chans} but chs_info has {len(self.chs_info)}")
        times = (self.n_times, self.input_window_seconds, self.sfreq)
        if None not in times and self.n_times != round(self.input_window_seconds * self.sfreq):
            raise ValueError(
                f"n_times={self.n_times} is not input_window_seconds={self.input_window_seconds} "
                f"times sfreq={self.sfreq}"
            )

    def known(self, name: str) -> Any:
        """A fact, given or inferred.

        Raises:
          ValueError: it is neither; says what to give.
        """
        value = getattr(self, name)
        value = self._inferred(name) if value is None else value
        if value is None:
            raise ValueError(f"{name} is not known: give {_TELLING.get(name, name)}")
        return value

    def _inferred(self, name: str) -> Any:
        samples, window_s, rate_hz = self.n_times, self.input_window_seconds, self.sfreq
        if name == "n_chans" and self.chs_info is not None:
            return len(self.chs_info)
        if name == "n_times" and None not in (window_s, rate_hz):
            return round(window_s * rate_hz)
        if name == "input_window_seconds" and None not in (samples, rate_hz):
            return samples / rate_hz
        if name == "sfreq" and None not in (samples, window_s):
            return samples / window_s
        return None


def plain_channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    """A channel of mne.Info as JSON has it."""
    plain: dict[str, Any] = {"ch_name": channel.get("ch_name", "")}
    for name, kind in _CHANNEL_FIELDS.items():
        value = channel.get(name)
        if value is None:
            continue
        plain[name] = value if isinstance(value, str) else kind(value)
        if name == "loc":
            plain[name] = [float(x) for x in value]
    return plain
