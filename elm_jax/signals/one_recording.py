"""One recording as a finished model's windows, or why it is none; of whatever modality it is.

What is particular to EEG or ECG stands in their intakes (:mod:`elm_jax.signals.intake`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.manifest import Moments
from elm_jax.data.moments import flat_channels, moments_of
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.defects import Defect
from elm_jax.signals.eeg_intake import by_electrodes
from elm_jax.signals.intake import UnusableSignal, intake_of
from elm_jax.signals.pipeline import Judgement, Piece, windows

__all__ = ["RecordingWindows", "UnusableSignal", "pieces_of", "windows_by_name", "windows_of"]

# What a recording lost before it was found unusable; said beside the verdict.
_TAKEN_OUT = ("channel_marked_bad", "bad_annotation", "non_finite", "flat_stretch",
              "saturated_stretch", "short_stretch")  # fmt: skip
_MOST_SAID = 4


class RecordingWindows(NamedTuple):
    """The windows of one recording, in the unit of its spec.

    Attributes:
      signal: one after another, anew after every gap.
      start_s: where each begins, from the start of the recording.
      defects: what was noticed, such as stretches that were left out.
    """

    signal: Float[np.ndarray, "b c t"]
    start_s: Float[np.ndarray, " b"]
    defects: tuple[Defect, ...]


def windows_of(
    recording: Any, spec: SignalSpec, *, rename: Mapping[str, str | None] | None = None
) -> RecordingWindows:
    """Prepares a recording as a corpus is prepared, with nothing cut from its start.

    Args:
      recording: of EEG, an ``mne.io.Raw`` (volts) or the path of an EDF, EDF+ or BDF file; of ECG,
        the path of a WFDB record too. See the ``prepare`` of the modality's intake.
      spec: what the model takes.
      rename: channel label in the recording -> electrode, derivation or lead meant.

    Raises:
      FileNotFoundError: no such file.
      TypeError: neither a path nor a recording.
      UnusableSignal: a montage that cannot be built (names the missing channels), a recording
        shorter than a window, a broken file.
    """
    pieces, verdict = intake_of(spec.modality).prepare(recording, spec, rename)
    return _windows(pieces, verdict, spec)


def pieces_of(
    recording: Any, spec: SignalSpec, *, rename: Mapping[str, str | None] | None = None
) -> list[Piece]:
    """The gap-free stretches that :func:`windows_of` cuts windows from; none of what is unusable.

    Raises:
      FileNotFoundError, TypeError, UnusableSignal: as :func:`windows_of`.
    """
    return intake_of(spec.modality).prepare(recording, spec, rename)[0]


def windows_by_name(
    recording: Any, spec: SignalSpec, *, rename: Mapping[str, str | None] | None = None
) -> tuple[RecordingWindows, SignalSpec]:
    """Prepares an EEG for a model that reads channels by name: with those that it knows.

    Its rows are those electrodes of the recording that the dictionary has, in the dictionary's
    order, but for such as are flat in all of it. What is left out is said in the log.

    Args:
      recording: an ``mne.io.Raw`` (volts), or the path of an EDF, EDF+ or BDF file.
      spec: what the model takes, but for the channels.
      rename: channel label in the recording -> electrode meant.

    Returns:
      the windows, and ``spec`` with their channels.

    Raises:
      FileNotFoundError, TypeError: as :func:`windows_of`.
      UnusableSignal: fewer than four known electrodes, a recording shorter than a window, a broken
        file.
      SpecError: ``spec`` has a mean of each channel, and not of all of these.
    """
    pieces, verdict, own = by_electrodes(recording, spec, rename)
    return _windows(pieces, verdict, own), own


def _windows(pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> RecordingWindows:
    if not pieces:
        raise UnusableSignal(_why_unusable(verdict, spec))
    intake_of(spec.modality).require_signal(pieces, verdict, spec)
    moments = _moments(pieces, verdict, spec) if spec.moments == "recording" else None
    signals = [windows(piece.signal, spec, moments) for piece in pieces]
    start_s = [
        piece.start_s + spec.window_s * np.arange(len(signal))
        for piece, signal in zip(pieces, signals, strict=True)
    ]
    return RecordingWindows(
        np.concatenate(signals), np.concatenate(start_s), tuple(verdict.defects)
    )


def _moments(pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> Moments | None:
    """Of all of the recording that is used.

    Raises:
      UnusableSignal: a channel is flat, so that its deviation is nothing to divide by.
    """
    found = moments_of([piece.signal for piece in pieces])
    if found and (flat := flat_channels(found, spec.channels)):
        raise UnusableSignal(
            f"{verdict.file}: {', '.join(flat)} do not vary in all of the recording, and the model "
            "takes signals that are divided by the standard deviation of each channel in its "
            "recording"
        )
    return found


def _why_unusable(verdict: Judgement, spec: SignalSpec) -> str:
    intake, lines = intake_of(spec.modality), [f"{verdict.file}: {verdict.skipped}"]
    if verdict.electrodes_missing:
        lines.append(
            f"missing for the {spec.montage} montage: {', '.join(verdict.electrodes_missing)}; "
            f"found: {', '.join(verdict.electrodes_found) or f'no {intake.channels}'}"
        )
    near = [f"{n!r} (nearest: {to})" if to else repr(n) for n, to in verdict.unknown.items()]
    if verdict.electrodes_missing and near:
        lines.append(f"not understood: {', '.join(near)}; say what they are by rename=")
    kind = (verdict.skipped or "").partition(":")[0]
    if kind == "nothing_left":
        lines.append(
            f"the model takes windows of {spec.window_s:g} s; the recording has "
            f"{verdict.duration_s:g} s"
        )
    dropped = [d for d in verdict.defects if d.kind in _TAKEN_OUT]
    lines += [str(d).removeprefix(f"{verdict.file}: ") for d in dropped[:_MOST_SAID]]
    if len(dropped) > _MOST_SAID:
        lines.append(f"... and {len(dropped) - _MOST_SAID} more channels or stretches taken out")
    if hint := intake.hint(kind):
        lines.append(hint)
    return "\n  ".join(lines)
