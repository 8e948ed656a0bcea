"""From a recording to a model's input: band-pass, cut, montage, clip, resample; and the verdict."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from elm_jax.data.manifest import Moments
from elm_jax.data.spec import UNITS_PER_V, SignalSpec
from elm_jax.signals.conditioning import Conditioning
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.montage import needed_channels
from elm_jax.signals.plan import Plan, PrepOptions, Span, make_plan
from elm_jax.signals.profiles import ELM_SPEC as ELM_SPEC  # where it has always been found
from elm_jax.signals.recording import Recording, read_edf

#: Corrects what a corpus is known to have wrong; may raise UnusableRecording.
Mend = Callable[[Recording], Recording]

#: Everything of a recording, however short or long.
EVAL_OPTIONS = PrepOptions(0.0, None, 0.0, math.inf)


@dataclasses.dataclass
class Piece:
    """A gap-free stretch, ready but for the scaling.

    Attributes:
      signal: in ``spec.unit`` at ``spec.sfreq_hz``; rows are ``spec.channels``.
      start_s: where it begins, in seconds from the start of the recording.
      labels: JSON-ready values of this stretch alone, such as those of an event.
    """

    signal: Float32[np.ndarray, "c t"]
    start_s: float
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Judgement:
    """What is thought of a file; the same for a dry run and a real one.

    Attributes:
      file: its name.
      usable: whether it gives at least one piece.
      electrodes_found: canonical names of all electrodes and derivations in it.
      electrodes_missing: what the montage lacks.
      unknown: labels that are not understood, with the nearest known name.
      sfreq_hz: sampling rate of the EEG; None if the file could not be read.
      unit: unit of voltage that the file states, as understood; None likewise.
      duration_s: length of the raw data; None likewise.
      defects: everything noticed, what was cut out included.
      skipped: why the file is not used, or None.
      stretches: (start_s, samples at the spec's rate) of the pieces that it gives.
      windows: label -> windows, where windows are cut around events; else empty.
      moments: of the pieces as they came out of the pipeline, before windows are cut out of them,
        where a corpus measured them; None in a dry run, too.
    """

    file: str
    usable: bool
    electrodes_found: tuple[str, ...] = ()
    electrodes_missing: tuple[str, ...] = ()
    unknown: dict[str, str | None] = dataclasses.field(default_factory=dict)
    sfreq_hz: float | None = None
    unit: str | None = None
    duration_s: float | None = None
    defects: list[Defect] = dataclasses.field(default_factory=list)
    skipped: str | None = None
    stretches: tuple[tuple[float, int], ...] = ()
    windows: dict[str, int] = dataclasses.field(default_factory=dict)
    moments: Moments | None = None


def judgement_of(recording: Any, plan: Any, stretches: Sequence[tuple[float, int]]) -> Judgement:
    """What a plan for a recording amounts to; of any modality.

    Args:
      recording: has ``file``, ``found``, ``unknown``, ``sfreq_hz``, ``unit``, ``duration_s`` and
        ``defects``.
      plan: has ``missing``, ``defects`` and ``verdict``.
      stretches: of the result.
    """
    return Judgement(
        file=recording.file,
        usable=plan.verdict is None,
        electrodes_found=recording.found,
        electrodes_missing=tuple(plan.missing),
        unknown=dict(recording.unknown),
        sfreq_hz=recording.sfreq_hz,
        unit=recording.unit,
        duration_s=recording.duration_s,
        defects=[*recording.defects, *plan.defects],
        skipped=f"{plan.verdict.kind}: {plan.verdict.detail}" if plan.verdict else None,
        stretches=tuple(stretches),
    )


def unread(defect: Defect) -> Judgement:
    """The judgement of a file that could not be read."""
    skipped = f"{defect.kind}: {defect.detail}"
    return Judgement(defect.file, False, defects=[defect], skipped=skipped)


def _judgement(recording: Recording, plan: Plan, spec: SignalSpec) -> Judgement:
    per_sample = spec.sfreq_hz / recording.sfreq_hz
    stretches = [(s.start_s, round((s.keep[1] - s.keep[0]) * per_sample)) for s in plan.spans]
    return judgement_of(recording, plan, stretches)


def _read(path, spec: SignalSpec, rename, file: str | None, mend: Mend | None) -> Recording:
    recording = read_edf(path, rename=rename, file=file, channels=needed_channels(spec.channels))
    return mend(recording) if mend else recording


def judge(recording: Recording, spec: SignalSpec, options: PrepOptions) -> Judgement:
    """Says what :func:`process` would do with a recording, without filtering anything."""
    return _judgement(recording, make_plan(recording, spec, options), spec)


def judge_file(
    path: str | os.PathLike,
    spec: SignalSpec,
    options: PrepOptions,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
    mend: Mend | None = None,
) -> Judgement:
    """:func:`judge` for a file; never raises over what is in it."""
    try:
        recording = _read(path, spec, rename, file, mend)
    except UnusableRecording as verdict:
        return unread(verdict.defect)
    return judge(recording, spec, options)


def process(
    recording: Recording, spec: SignalSpec, options: PrepOptions
) -> tuple[list[Piece], list[Defect]]:
    """Turns a recording into pieces.

    In this order: the zero-phase FIR band-pass (and notches) over every gap-free stretch, the cut
    of ``options``, the montage, clipping, resampling.

    Args:
      recording: from :func:`read_edf` or :func:`from_mne`.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.

    Returns:
      the pieces in order of time, none shorter than ``spec.window_s``, and what was noticed beyond
      ``recording.defects``. A recording skipped for its duration gives no piece and says so.

    Raises:
      UnusableRecording: electrodes are missing or flat, the rate is too low, nothing is left.
    """
    plan = make_plan(recording, spec, options)
    if plan.verdict and plan.verdict.kind not in ("too_short", "too_long"):
        raise UnusableRecording(plan.verdict)
    return _pieces(recording, spec, plan), plan.defects


def prepare_file(
    path: str | os.PathLike,
    spec: SignalSpec,
    options: PrepOptions,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
    mend: Mend | None = None,
) -> tuple[list[Piece], Judgement]:
    """Reads, judges and processes a file; no pieces if it is not usable.

    Args:
      path: an EDF, EDF+ or BDF file.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      rename: channel label in the file -> electrode or derivation meant.
      file: the name to say in defects; the file's own name if None.
      mend: is given the recording as read and returns it as it should be.
    """
    try:
        recording = _read(path, spec, rename, file, mend)
    except UnusableRecording as verdict:
        return [], unread(verdict.defect)
    plan = make_plan(recording, spec, options)
    return _pieces(recording, spec, plan), _judgement(recording, plan, spec)


def windows(
    piece_signal: Float32[np.ndarray, "c t"], spec: SignalSpec, moments: Moments | None = None
) -> Float32[np.ndarray, "b c w"]:
    """Consecutive windows that do not overlap, in network values; the rest at the end goes.

    As :class:`SignalSpec` says, so what ``elm_jax.data.network_input`` gives for stored windows.

    Args:
      piece_signal: in ``spec.unit``.
      spec: of the signals.
      moments: of all of the recording; needed where ``spec.moments`` is "recording".
    """
    c, length = len(piece_signal), spec.window_samples
    n = piece_signal.shape[1] // length
    cut = piece_signal[:, : n * length].reshape(c, n, length).swapaxes(0, 1)
    if spec.moments == "window":
        return _standardised(cut)
    if spec.moments == "recording":
        if moments is None:
            raise ValueError("these windows are normalised by the moments of their recording")
        mean, std = (np.asarray(v, np.float32).reshape(-1, 1) for v in moments)
        return (cut - mean) / std
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1) for v in (spec.mean, spec.std))
    out = cut * np.float32(spec.scale)
    if mean.any():
        out -= mean
    if (std != 1).any():
        out /= std
    return out


def _standardised(cut: Float32[np.ndarray, "b c w"]) -> Float32[np.ndarray, "b c w"]:
    """Each window and channel less its mean, over its deviation; a flat one is zeros."""
    centred = cut - cut.mean(-1, keepdims=True)
    flat = (cut == cut[..., :1]).all(-1, keepdims=True)
    std = np.sqrt(np.square(centred).mean(-1, keepdims=True))
    return np.where(flat, np.float32(0), centred / np.where(flat, np.float32(1), std))


def _pieces(recording: Recording, spec: SignalSpec, plan: Plan) -> list[Piece]:
    if plan.verdict:
        return []
    return [Piece(_piece(recording, spec, plan, s), s.start_s, s.labels) for s in plan.spans]


def _piece(
    recording: Recording, spec: SignalSpec, plan: Plan, span: Span
) -> Float32[np.ndarray, "c m"]:
    x = recording.signal_uv[:, span.start : span.stop]
    uv_per_unit = 1e6 / UNITS_PER_V[spec.unit]
    out = Conditioning(x, plan.rows, plan.band, span.keep, spec.clip * uv_per_unit, spec).run()
    if uv_per_unit != 1:
        out /= np.float32(uv_per_unit)
    if not np.isfinite(out.sum()):
        raise ValueError(f"{recording.file}: samples within Recording.segments are not finite")
    return out
