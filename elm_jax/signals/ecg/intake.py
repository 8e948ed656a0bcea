"""One ECG: a WFDB record, a file that mne reads, an ``mne.io.Raw``, or leads in memory."""

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax import paths, staging
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.ecg.pipeline import prepare, prepare_file
from elm_jax.signals.ecg.recording import EcgRecording, from_mne
from elm_jax.signals.ecg.wfdb_file import header_path
from elm_jax.signals.intake import UnusableSignal
from elm_jax.signals.pipeline import EVAL_OPTIONS, Judgement, Piece, unread

log = logging.getLogger(__name__)

_OF_MNE = (".edf", ".bdf", ".fif", ".gdf", ".vhdr", ".set")


class EcgIntake:
    """See :class:`elm_jax.signals.intake.Intake`."""

    channels = "leads"

    def prepare(
        self, recording: Any, spec: SignalSpec, rename: Mapping[str, str | None] | None
    ) -> tuple[list[Piece], Judgement]:
        """Pieces of an ECG.

        A path is that of a WFDB record, with or without ``.hea``, or of one of its files of
        samples; or of a file that mne reads (EDF, BDF, FIF, ...). In memory: an ``mne.io.Raw``, or
        an :class:`EcgRecording`, which :func:`elm_jax.signals.ecg.recording.from_array` makes of
        an array and the names of its leads.
        """
        if isinstance(recording, str | os.PathLike):
            suffix = pathlib.PurePosixPath(os.fspath(recording)).suffix.lower()
            if suffix not in _OF_MNE:
                return prepare_file(_record(recording), spec, EVAL_OPTIONS, rename=rename)
            recording = _read_by_mne(recording)
            if isinstance(recording, Defect):
                return [], unread(recording)
        try:
            taken = _in_memory(recording, rename)
        except UnusableRecording as verdict:
            raise UnusableSignal(str(verdict)) from verdict
        return prepare(taken, spec, EVAL_OPTIONS)

    def require_signal(self, pieces: Sequence[Piece], verdict: Judgement, spec: SignalSpec) -> None:
        """Refuses a unit with which nothing of the ECG would be left; warns of a suspect one."""
        suspect = [d for d in verdict.defects if d.kind == "unit_suspect"]
        if not suspect:
            return
        largest = max(float(np.abs(piece.signal).max()) for piece in pieces)
        beyond = np.mean([np.mean(np.abs(piece.signal) >= 0.99 * spec.clip) for piece in pieces])
        if largest > 1e-4 * spec.clip and beyond < 0.5:
            log.warning("%s", suspect[0])
            return
        raise UnusableSignal(
            f"{suspect[0]}\n  of values clipped at {spec.clip:g} {spec.unit} no ECG is left (the "
            f"largest is {largest:.3g}, {beyond:.0%} stand at the limit). An mne Raw holds volts; "
            "from_array takes the unit of an array"
        )

    def hint(self, kind: str) -> str:
        """For files that are no WFDB record."""
        if kind not in ("bad_header", "unreadable_file", "signal_missing"):
            return ""
        return (
            "a WFDB record is a header (.hea) with the files that it names beside it; other "
            "formats: read it by mne.io.read_raw(path), or give an array to "
            "elm_jax.signals.ecg.recording.from_array, and that to embed"
        )


def _record(path: str | os.PathLike) -> pathlib.Path:
    """The local header of a record; of a remote one, all files of its name are copied here."""
    if paths.is_remote(path):
        remote = paths.of(path)
        stem = remote.name.removesuffix(".hea")
        return staging.local_folder(remote.parent, (f"{stem}.*",)) / f"{stem}.hea"
    header = header_path(path)
    if not header.is_file():
        beside = sorted(p.name for p in header.parent.glob(f"{header.stem}*.hea"))[:3]
        near = f"; there is {', '.join(beside)}" if beside else ""
        raise FileNotFoundError(f"no recording {path}: there is no {header}{near}")
    return header


def _read_by_mne(path: str | os.PathLike) -> Any:
    """A Raw that is not loaded; a defect where mne cannot read the file."""
    import mne

    local = staging.local(path)
    if not local.is_file():
        raise FileNotFoundError(f"no recording {local}")
    try:
        return mne.io.read_raw(local, preload=False, verbose="error")
    except (ValueError, RuntimeError, OSError, KeyError, IndexError, NotImplementedError) as error:
        detail = f"mne could not read it ({type(error).__name__})"
        return Defect(local.name, "unreadable_file", detail)


def _in_memory(recording: Any, rename: Mapping[str, str | None] | None) -> EcgRecording:
    if isinstance(recording, EcgRecording):
        return recording
    if hasattr(recording, "get_data") and hasattr(recording, "first_time"):
        return from_mne(recording, rename=rename)
    raise TypeError(
        f"expected the path of a WFDB record, an mne.io.Raw, or an EcgRecording (from_array of "
        f"elm_jax.signals.ecg.recording), found {type(recording)}; for arrays of network values "
        "there is encode()"
    )
