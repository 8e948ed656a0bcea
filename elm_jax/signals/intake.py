"""How one recording of a modality comes in: what every modality's own intake does."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from elm_jax.data.spec import SignalSpec
from elm_jax.signals.pipeline import Judgement, Piece

# Modality of a SignalSpec -> "module:class"; modules load when they are asked for.
INTAKES = {
    "eeg": "elm_jax.signals.eeg_intake:EegIntake",
    "ecg": "elm_jax.signals.ecg.intake:EcgIntake",
}


class UnusableSignal(ValueError):
    """A recording or an array that is not, and cannot be made, what the model takes."""


@runtime_checkable
class Intake(Protocol):
    """Prepares single recordings of one modality as its corpora are prepared.

    Attributes:
      channels: what its channels are called, in the plural.
    """

    channels: str

    def prepare(
        self, recording: Any, spec: SignalSpec, rename: Mapping[str, str | None] | None
    ) -> tuple[list[Piece], Judgement]:
        """Pieces of a recording with nothing cut from its start, and what is thought of it.

        Args:
          recording: a path, an ``mne.io.Raw``, or the modality's own recording in memory.
          spec: what the pieces shall be.
          rename: channel label in the recording -> channel meant (None: leave it out).

        Raises:
          FileNotFoundError: no such file.
          TypeError: none of these; says what is taken.
          UnusableSignal: a recording in memory that has no channel of the modality.
        """
        ...

    def require_signal(self, pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> None:
        """Warns of a suspect unit.

        Raises:
          UnusableSignal: in the stated unit nothing of the signal is left after clipping.
        """
        ...

    def hint(self, kind: str) -> str:
        """What to do about a verdict of that kind of defect; "" for nothing in particular."""
        ...


def intake_of(modality: str) -> Intake:
    """The intake of a modality.

    Raises:
      UnusableSignal: signals of that modality are not made of one recording's file.
    """
    if modality not in INTAKES:
        raise UnusableSignal(
            f"the model takes signals of modality {modality!r}, which are not made of one "
            f"recording here; known: {', '.join(INTAKES)}. For arrays of network values there is "
            "encode()"
        )
    module, _, name = INTAKES[modality].partition(":")
    return getattr(importlib.import_module(module), name)()
