"""From an ECG to a model's input: leads by name, cleaned, cut, clipped, resampled; the verdict."""

import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from elm_jax.data.spec import UNITS_PER_V, SignalSpec
from elm_jax.signals.defects import UnusableRecording
from elm_jax.signals.ecg.cleaning import clean
from elm_jax.signals.ecg.plan import EcgPlan, make_plan
from elm_jax.signals.ecg.recording import EcgRecording
from elm_jax.signals.ecg.resample import resample, resampled_length
from elm_jax.signals.ecg.wfdb_file import read_wfdb
from elm_jax.signals.pipeline import Judgement, Piece, judgement_of, unread
from elm_jax.signals.plan import PrepOptions, Span


def judge(
    recording: EcgRecording, spec: SignalSpec, options: PrepOptions, *, flat: str = "cut"
) -> Judgement:
    """Says what :func:`prepare` would do with a recording, without filtering anything.

    Args:
      recording: the leads.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      flat: see :func:`elm_jax.signals.ecg.plan.make_plan`.
    """
    return _judgement(recording, make_plan(recording, spec, options, flat), spec)


def prepare(
    recording: EcgRecording, spec: SignalSpec, options: PrepOptions, *, flat: str = "cut"
) -> tuple[list[Piece], Judgement]:
    """Turns a recording into pieces, none if it is not usable; and what is thought of it.

    Each stretch without holes and flat leads is cleaned on its own (``cleaning.clean``), cut as
    ``options`` say, clipped and resampled.

    Args:
      recording: the leads.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      flat: see :func:`elm_jax.signals.ecg.plan.make_plan`.
    """
    plan = make_plan(recording, spec, options, flat)
    judgement = _judgement(recording, plan, spec)
    if plan.verdict:
        return [], judgement
    x = recording.signal_mv
    if plan.rows != list(range(len(x))):
        x = x[plan.rows]
    pieces = [Piece(_piece(x, recording, spec, s), s.start_s) for s in plan.spans]
    return pieces, judgement


def prepare_file(
    path: str | os.PathLike,
    spec: SignalSpec,
    options: PrepOptions,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
    flat: str = "cut",
) -> tuple[list[Piece], Judgement]:
    """Reads a WFDB record and prepares it; no pieces if it is not usable.

    Args:
      path: the record's name, its header, or one of its files of samples.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      rename: channel label in the file -> lead meant.
      file: the name to say in defects; the header's own name if None.
      flat: see :func:`elm_jax.signals.ecg.plan.make_plan`.
    """
    try:
        recording = read_wfdb(path, rename=rename, file=file, leads=spec.channels)
    except UnusableRecording as verdict:
        return [], unread(verdict.defect)
    return prepare(recording, spec, options, flat=flat)


def _judgement(recording: EcgRecording, plan: EcgPlan, spec: SignalSpec) -> Judgement:
    def length(span: Span) -> int:
        kept = span.keep[1] - span.keep[0]
        return resampled_length(kept, recording.sfreq_hz, spec.sfreq_hz)

    return judgement_of(recording, plan, [(span.start_s, length(span)) for span in plan.spans])


def _piece(
    x: Float32[np.ndarray, "c t"], recording: EcgRecording, spec: SignalSpec, span: Span
) -> Float32[np.ndarray, "c m"]:
    first, stop = span.keep
    y = clean(x[:, span.start : span.stop], recording.sfreq_hz, spec)[:, first:stop]
    mv_per_unit = 1e3 / UNITS_PER_V[spec.unit]
    if mv_per_unit != 1:
        y = y / np.float32(mv_per_unit)
    y = np.clip(y, -spec.clip, spec.clip)
    out = resample(y, recording.sfreq_hz, spec.sfreq_hz, spec.resample)
    if not np.isfinite(out.sum()):
        raise ValueError(f"{recording.file}: samples of a good stretch are not finite")
    return out
