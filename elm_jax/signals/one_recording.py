"""One recording as a finished model's windows: an ``mne.io.Raw`` or a file, or why it is none."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax import staging
from elm_jax.axes import Float
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.pipeline import (
    EVAL_OPTIONS,
    Judgement,
    Piece,
    judge,
    prepare_file,
    process,
    windows,
)
from elm_jax.signals.recording import from_mne

log = logging.getLogger(__name__)

# What a recording lost before it was found unusable; said beside the verdict.
_TAKEN_OUT = ("channel_marked_bad", "bad_annotation", "non_finite", "flat_stretch",
              "saturated_stretch", "short_stretch")  # fmt: skip
_MOST_SAID = 4


class UnusableSignal(ValueError):
    """A recording or an array that is not, and cannot be made, what the model takes."""


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
      recording: an ``mne.io.Raw`` (volts), or the path of an EDF, EDF+ or BDF file.
      spec: what the model takes.
      rename: channel label in the recording -> electrode or derivation meant.

    Raises:
      FileNotFoundError: no such file.
      TypeError: neither a path nor an ``mne.io.Raw``.
      UnusableSignal: a montage that cannot be built (names the missing electrodes), a recording
        shorter than a window, a broken file.
    """
    pieces, verdict = _prepare(recording, spec, rename)
    if not pieces:
        raise UnusableSignal(_why_unusable(verdict, spec))
    _require_eeg(pieces, verdict, spec)
    signals = [windows(piece.signal, spec) for piece in pieces]
    start_s = [
        piece.start_s + spec.window_s * np.arange(len(signal))
        for piece, signal in zip(pieces, signals, strict=True)
    ]
    return RecordingWindows(
        np.concatenate(signals), np.concatenate(start_s), tuple(verdict.defects)
    )


def _prepare(
    recording: Any, spec: SignalSpec, rename: Mapping | None
) -> tuple[list[Piece], Judgement]:
    if isinstance(recording, str | os.PathLike):
        path = staging.local(recording)
        if not path.is_file():
            raise FileNotFoundError(f"no recording {path}")
        return prepare_file(path, spec, EVAL_OPTIONS, rename=rename)
    if not hasattr(recording, "get_data") or not hasattr(recording, "first_time"):
        raise TypeError(
            f"expected an mne.io.Raw or the path of an EDF file, found {type(recording)}; for "
            "arrays of network values there is encode()"
        )
    try:
        taken = from_mne(recording, rename=rename)
    except UnusableRecording as verdict:
        raise UnusableSignal(str(verdict)) from verdict
    verdict = judge(taken, spec, EVAL_OPTIONS)
    return (process(taken, spec, EVAL_OPTIONS)[0] if verdict.usable else []), verdict


def _require_eeg(pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> None:
    """Warns of a suspect unit; refuses one with which nothing of the EEG would be left."""
    suspect = [d for d in verdict.defects if d.kind == "unit_suspect"]
    if not suspect:
        return
    typical = float(np.median(np.abs(np.concatenate([p.signal for p in pieces], axis=1))))
    if 1e-4 * spec.clip < typical < spec.clip / 2:
        log.warning("%s", suspect[0])
        return
    raise UnusableSignal(
        f"{suspect[0]}\n  after clipping at {spec.clip:g} {spec.unit} half of all values lie "
        f"beyond {typical:.3g}: no EEG is left. An mne Raw holds volts (microvolts times 1e-6); "
        "an EDF file must state the unit of its values"
    )


def _why_unusable(verdict: Judgement, spec: SignalSpec) -> str:
    lines = [f"{verdict.file}: {verdict.skipped}"]
    if verdict.electrodes_missing:
        lines.append(
            f"missing for the {spec.montage} montage: {', '.join(verdict.electrodes_missing)}; "
            f"found: {', '.join(verdict.electrodes_found) or 'no electrode'}"
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
    if kind == "not_edf":
        lines.append("other formats: read it by mne.io.read_raw(path), and give that to embed")
    return "\n  ".join(lines)
