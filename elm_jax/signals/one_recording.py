"""One recording as a finished model's windows: an ``mne.io.Raw`` or a file, or why it is none."""

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax import staging
from elm_jax.axes import Float
from elm_jax.channels import channel_id, known_channels
from elm_jax.data.manifest import Moments
from elm_jax.data.moments import flat_channels, moments_of
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.names import listed_name
from elm_jax.signals.pipeline import (
    EVAL_OPTIONS,
    Judgement,
    Piece,
    judge,
    prepare_file,
    process,
    windows,
)
from elm_jax.signals.recording import Recording, from_mne, read_edf

log = logging.getLogger(__name__)

# What a recording lost before it was found unusable; said beside the verdict.
_TAKEN_OUT = ("channel_marked_bad", "bad_annotation", "non_finite", "flat_stretch",
              "saturated_stretch", "short_stretch")  # fmt: skip
_MOST_SAID = 4
# Of the electrodes that a model knows by name; with fewer there is nothing to compare.
FEWEST_BY_NAME = 4


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
    return _windows(pieces, verdict, spec)


def windows_by_name(
    recording: Any, spec: SignalSpec, *, rename: Mapping[str, str | None] | None = None
) -> tuple[RecordingWindows, SignalSpec]:
    """Prepares a recording for a model that reads channels by name: with those that it knows.

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
      UnusableSignal: fewer than ``FEWEST_BY_NAME`` known electrodes, a recording shorter than a
        window, a broken file.
      SpecError: ``spec`` has a mean of each channel, and not of all of these.
    """
    try:
        taken = _read(recording, rename)
    except UnusableRecording as verdict:
        raise UnusableSignal(str(verdict)) from verdict
    kept, unknown = known_channels(taken.channels)
    kept, flat = tuple(sorted(kept, key=channel_id)), []
    while True:
        if len(kept) < FEWEST_BY_NAME:
            raise UnusableSignal(_too_few(taken, kept, flat))
        own = spec.of_channels(kept, source=taken.file)
        verdict = judge(taken, own, EVAL_OPTIONS)
        broken = {d.channel for d in verdict.defects if d.kind == "flat_channel"}
        if verdict.usable or not broken.intersection(kept):
            break
        flat += sorted(broken.intersection(kept))
        kept = tuple(name for name in kept if name not in broken)
    of = dict(zip(taken.channels, taken.references, strict=True))
    unknown = tuple(listed_name(name, of[name]) for name in unknown)
    left_out = [*unknown, *taken.unknown, *(f"{name} (flat)" for name in flat)]
    said = f"; left out: {', '.join(left_out)}" if left_out else ""
    log.info("%s: %d electrodes read by name%s", taken.file, len(kept), said)
    pieces = process(taken, own, EVAL_OPTIONS)[0] if verdict.usable else []
    return _windows(pieces, verdict, own), own


def _too_few(taken: Recording, kept: Sequence[str], flat: Sequence[str]) -> str:
    known = f"{', '.join(kept) or 'none'}{f'; flat: {flat}' if flat else ''}"
    return (
        f"{taken.file}: {len(kept)} electrodes are known by name ({known}), at least "
        f"{FEWEST_BY_NAME} are needed; found {', '.join((*taken.found, *taken.unknown))}. Say what "
        "they are by rename="
    )


def _windows(pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> RecordingWindows:
    if not pieces:
        raise UnusableSignal(_why_unusable(verdict, spec))
    _require_eeg(pieces, verdict, spec)
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


def _prepare(
    recording: Any, spec: SignalSpec, rename: Mapping | None
) -> tuple[list[Piece], Judgement]:
    if (path := _file(recording)) is not None:
        return prepare_file(path, spec, EVAL_OPTIONS, rename=rename)
    try:
        taken = from_mne(recording, rename=rename)
    except UnusableRecording as verdict:
        raise UnusableSignal(str(verdict)) from verdict
    verdict = judge(taken, spec, EVAL_OPTIONS)
    return (process(taken, spec, EVAL_OPTIONS)[0] if verdict.usable else []), verdict


def _read(recording: Any, rename: Mapping | None) -> Recording:
    """All its electrodes."""
    path = _file(recording)
    return from_mne(recording, rename=rename) if path is None else read_edf(path, rename=rename)


def _file(recording: Any) -> pathlib.Path | None:
    """The local path of a recording in a file; None for one in memory."""
    if isinstance(recording, str | os.PathLike):
        path = staging.local(recording)
        if not path.is_file():
            raise FileNotFoundError(f"no recording {path}")
        return path
    if not hasattr(recording, "get_data") or not hasattr(recording, "first_time"):
        raise TypeError(
            f"expected an mne.io.Raw or the path of an EDF file, found {type(recording)}; for "
            "arrays of network values there is encode()"
        )
    return None


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
