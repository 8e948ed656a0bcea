"""Corpora of trials: one window at a fixed time from each event, never moved to fit."""

from typing import ClassVar

from data_prep.corpora.events import EventCorpus
from elm_jax.data.spec import SignalSpec


class Trials(EventCorpus):
    """A corpus whose windows begin at a fixed time from what was shown to the person.

    A window that is not wholly within one gap-free stretch is left out, and its event listed.

    Attributes:
      offset_s: where windows begin, in seconds after the event; negative for before it.
    """

    offset_s: ClassVar[float] = 0.0

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """The one window of an event."""
        first = begin + round(self.offset_s * spec.sfreq_hz)
        return [first] if 0 <= first <= n - spec.window_samples else []
