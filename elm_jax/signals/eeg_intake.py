"""One EEG: an EDF file, an ``mne.io.Raw`` or a recording in memory; or electrodes by name."""

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax import staging
from elm_jax.channels import channel_id, known_channels
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.intake import UnusableSignal
from elm_jax.signals.names import listed_name
from elm_jax.signals.pipeline import (
    EVAL_OPTIONS,
    Judgement,
    Piece,
    judge,
    prepare_file,
    process,
)
from elm_jax.signals.recording import Recording, from_mne, read_edf

log = logging.getLogger(__name__)

# Of the electrodes that a model knows by name; with fewer there is nothing to compare.
FEWEST_BY_NAME = 4


class EegIntake:
    """See :class:`elm_jax.signals.intake.Intake`."""

    channels = "electrodes"

    def prepare(
        self, recording: Any, spec: SignalSpec, rename: Mapping[str, str | None] | None
    ) -> tuple[list[Piece], Judgement]:
        """Pieces of an EDF, EDF+ or BDF file, an ``mne.io.Raw`` or a :class:`Recording`."""
        if (path := _file(recording)) is not None:
            return prepare_file(path, spec, EVAL_OPTIONS, rename=rename)
        try:
            taken = _in_memory(recording, rename)
        except UnusableRecording as verdict:
            raise UnusableSignal(str(verdict)) from verdict
        verdict = judge(taken, spec, EVAL_OPTIONS)
        return (process(taken, spec, EVAL_OPTIONS)[0] if verdict.usable else []), verdict

    def require_signal(self, pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> None:
        """Refuses a unit with which nothing of the EEG would be left; warns of a suspect one."""
        suspect = [d for d in verdict.defects if d.kind == "unit_suspect"]
        if not suspect:
            return
        typical = float(np.median(np.abs(np.concatenate([p.signal for p in pieces], axis=1))))
        if 1e-4 * spec.clip < typical < spec.clip / 2:
            log.warning("%s", suspect[0])
            return
        raise UnusableSignal(
            f"{suspect[0]}\n  after clipping at {spec.clip:g} {spec.unit} half of all values lie "
            f"beyond {typical:.3g}: no EEG is left. An mne Raw holds volts (microvolts times "
            "1e-6); an EDF file must state the unit of its values"
        )

    def hint(self, kind: str) -> str:
        """For files that are no EDF."""
        if kind != "not_edf":
            return ""
        return "other formats: read it by mne.io.read_raw(path), and give that to embed"


def by_electrodes(
    recording: Any, spec: SignalSpec, rename: Mapping[str, str | None] | None
) -> tuple[list[Piece], Judgement, SignalSpec]:
    """Pieces of those electrodes of a recording that the dictionary has, in its order.

    Args:
      recording: as :meth:`EegIntake.prepare` takes it.
      spec: what the model takes, but for the channels.
      rename: channel label in the recording -> electrode meant.

    Returns:
      the pieces, what is thought of the recording, and ``spec`` with their channels.

    Raises:
      UnusableSignal: fewer than ``FEWEST_BY_NAME`` known electrodes, or a broken file.
      SpecError: ``spec`` has a mean of each channel, and not of all of these.
    """
    path = _file(recording)
    try:
        taken = _in_memory(recording, rename) if path is None else read_edf(path, rename=rename)
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
    return (process(taken, own, EVAL_OPTIONS)[0] if verdict.usable else []), verdict, own


def _too_few(taken: Recording, kept: Sequence[str], flat: Sequence[str]) -> str:
    known = f"{', '.join(kept) or 'none'}{f'; flat: {flat}' if flat else ''}"
    return (
        f"{taken.file}: {len(kept)} electrodes are known by name ({known}), at least "
        f"{FEWEST_BY_NAME} are needed; found {', '.join((*taken.found, *taken.unknown))}. Say what "
        "they are by rename="
    )


def _in_memory(recording: Any, rename: Mapping[str, str | None] | None) -> Recording:
    return recording if isinstance(recording, Recording) else from_mne(recording, rename=rename)


def _file(recording: Any) -> pathlib.Path | None:
    """The local path of a recording in a file; None for one in memory."""
    if isinstance(recording, str | os.PathLike):
        path = staging.local(recording)
        if not path.is_file():
            raise FileNotFoundError(f"no recording {path}")
        return path
    raw = hasattr(recording, "get_data") and hasattr(recording, "first_time")
    if not raw and not isinstance(recording, Recording):
        raise TypeError(
            f"expected an mne.io.Raw or the path of an EDF file, found {type(recording)}; for "
            "arrays of network values there is encode()"
        )
    return None
