"""From a recording to a model's input: band-pass, cut, montage, clip, resample; and the verdict."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from elm_jax.data.spec import UNITS_PER_V, SignalSpec
from elm_jax.signals import resample
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.filters import Rows, design_bandpass, filter_rows, stop_hz
from elm_jax.signals.montage import TCP20, MontageRow, needed_channels
from elm_jax.signals.plan import Plan, PrepOptions, Span, make_plan
from elm_jax.signals.recording import Recording, read_edf

#: What the released 5 s encoder of ELM takes in. Its corpus's mean and std were not published: 0
#: and 1 are assumed.
ELM_SPEC = SignalSpec(
    modality="eeg", channels=TCP20, montage="tcp20", sfreq_hz=100.0, window_s=5.0,
    highpass_hz=0.1, lowpass_hz=49.0, resample="mne_fft", unit="uV", clip=800.0, scale=0.1,
    mean=0.0, std=1.0,
)  # fmt: skip

#: Everything of a recording, however short or long.
EVAL_OPTIONS = PrepOptions(0.0, None, 0.0, math.inf)

_GROUP = 4  # rows at a time: what the FFT computes side by side, and little memory
# Between every second sample a 50 Hz oscillation can rise above both of its neighbours; twice the
# larger is never reached by a signal that the band-pass has been over.
_PEAK_MARGIN = 0.5


@dataclasses.dataclass
class Piece:
    """A gap-free stretch, ready but for the scaling.

    Attributes:
      signal: in ``spec.unit`` at ``spec.sfreq_hz``; rows are ``spec.channels``.
      start_s: where it begins, in seconds from the start of the recording.
    """

    signal: Float32[np.ndarray, "c t"]
    start_s: float


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


def _judgement(recording: Recording, plan: Plan) -> Judgement:
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
    )


def _unread(defect: Defect) -> Judgement:
    return Judgement(
        defect.file, False, defects=[defect], skipped=f"{defect.kind}: {defect.detail}"
    )


def judge(recording: Recording, spec: SignalSpec, options: PrepOptions) -> Judgement:
    """Says what :func:`process` would do with a recording, without filtering anything."""
    return _judgement(recording, make_plan(recording, spec, options))


def judge_file(
    path: str | os.PathLike,
    spec: SignalSpec,
    options: PrepOptions,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
) -> Judgement:
    """:func:`judge` for a file; never raises over what is in it."""
    try:
        recording = read_edf(
            path, rename=rename, file=file, channels=needed_channels(spec.channels)
        )
    except UnusableRecording as verdict:
        return _unread(verdict.defect)
    return judge(recording, spec, options)


def process(
    recording: Recording, spec: SignalSpec, options: PrepOptions
) -> tuple[list[Piece], list[Defect]]:
    """Turns a recording into pieces.

    In this order: zero-phase FIR band-pass over every gap-free stretch, the cut of ``options``,
    the montage, clipping, resampling.

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
) -> tuple[list[Piece], Judgement]:
    """Reads, judges and processes a file; no pieces if it is not usable.

    Args:
      path: an EDF, EDF+ or BDF file.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      rename: channel label in the file -> electrode or derivation meant.
      file: the name to say in defects; the file's own name if None.
    """
    try:
        recording = read_edf(
            path, rename=rename, file=file, channels=needed_channels(spec.channels)
        )
    except UnusableRecording as verdict:
        return [], _unread(verdict.defect)
    plan = make_plan(recording, spec, options)
    return _pieces(recording, spec, plan), _judgement(recording, plan)


def windows(
    piece_signal: Float32[np.ndarray, "c t"], spec: SignalSpec
) -> Float32[np.ndarray, "b c w"]:
    """Consecutive windows that do not overlap, in network values; the rest at the end goes.

    ``(signal * scale - mean) / std``, as :class:`SignalSpec` says.
    """
    c, length = len(piece_signal), spec.window_samples
    n = piece_signal.shape[1] // length
    cut = piece_signal[:, : n * length].reshape(c, n, length).swapaxes(0, 1)
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1) for v in (spec.mean, spec.std))
    return ((cut * np.float32(spec.scale) - mean) / std).astype(np.float32, copy=False)


def _pieces(recording: Recording, spec: SignalSpec, plan: Plan) -> list[Piece]:
    if plan.verdict:
        return []
    return [Piece(_piece(recording, spec, plan.rows, s), s.start_s) for s in plan.spans]


def _piece(
    recording: Recording, spec: SignalSpec, rows: list[MontageRow], span: Span
) -> Float32[np.ndarray, "c m"]:
    x = recording.signal_uv[:, span.start : span.stop]
    band = (recording.sfreq_hz, float(spec.highpass_hz), float(spec.lowpass_hz))
    uv_per_unit = 1e6 / UNITS_PER_V[spec.unit]
    work = _Work(x, rows, band, span.keep, spec.clip * uv_per_unit, spec)
    out = work.run()
    if uv_per_unit != 1:
        out /= np.float32(uv_per_unit)
    if not np.isfinite(out.sum()):
        raise ValueError(f"{recording.file}: samples within Recording.segments are not finite")
    return out


@dataclasses.dataclass
class _Work:
    """One stretch on its way; rows go through it in small groups."""

    x: Float32[np.ndarray, "c t"]
    rows: list[MontageRow]
    band: tuple[float, float, float]
    keep: tuple[int, int]
    clip_uv: float
    spec: SignalSpec

    def run(self) -> Float32[np.ndarray, "c m"]:
        """Filters, clips and resamples all rows."""
        if self._resampled_by_fft():
            return self._by_fft()
        out = []
        for group in _groups(range(len(self.rows))):
            y = np.empty((len(group), self.keep[1] - self.keep[0]), np.float32)
            filter_rows(self._rows(group), self.band, self.keep[0], y)
            np.clip(y, -self.clip_uv, self.clip_uv, out=y)
            if not resample.same_rate(self.band[0], self.spec.sfreq_hz):
                y = resample.polyphase(y, self.band[0], self.spec.sfreq_hz)
            out.append(y)
        return np.concatenate(out)

    def _resampled_by_fft(self) -> bool:
        same = resample.same_rate(self.band[0], self.spec.sfreq_hz)
        return self.spec.resample == "mne_fft" and not same

    def _rows(self, group: Sequence[int]) -> Rows:
        picked = [(r.plus, r.minus, r.sign) for r in (self.rows[i] for i in group)]
        n_taps = len(design_bandpass(*self.band))
        return Rows(self.x, picked, n_taps, keep_constant=self.band[1] == 0)

    def _by_fft(self) -> Float32[np.ndarray, "c m"]:
        """Like mne's FFT method; half the samples where they are enough and nothing clips."""
        plan = resample.FftPlan.make(self.keep[1] - self.keep[0], self.band[0], self.spec.sfreq_hz)
        out = np.empty((len(self.rows), plan.n_out), np.float32)
        scratch = resample.scratch_for(plan, _GROUP)
        todo = list(range(len(self.rows)))
        if self._half_rate_is_enough():
            todo = self._at_half_rate(plan, scratch, out)
        for group in _groups(todo):
            padded = resample.padded_in(scratch, plan, len(group), 1)
            _, a, b = resample.core_of(plan, 1)
            core = padded[:, a:b]
            filter_rows(self._rows(group), self.band, self.keep[0], core)
            np.clip(core, -self.clip_uv, self.clip_uv, out=core)
            ends = (core[:, 0].copy(), core[:, -1].copy())
            out[group] = resample.resample_padded(padded, plan, ends)
        return out

    def _half_rate_is_enough(self) -> bool:
        sfreq_hz, _, lowpass_hz = self.band
        # Short pieces gain nothing, and their padding may run out of signal.
        return self.keep[1] - self.keep[0] > 4096 and resample.half_rate_is_enough(
            sfreq_hz, stop_hz(sfreq_hz, lowpass_hz), self.spec.sfreq_hz
        )

    def _at_half_rate(
        self, plan: resample.FftPlan, scratch: np.ndarray, out: np.ndarray
    ) -> list[int]:
        """Fills the rows of ``out`` that do not come near the limit; returns the others."""
        sfreq_hz, _, lowpass_hz = self.band
        kernel = resample.alias_kernel(sfreq_hz, stop_hz(sfreq_hz, lowpass_hz), self.spec.sfreq_hz)
        everything, start = self._rows(range(len(self.rows))), self.keep[0]
        at = [start + s for s in resample.corner_starts(plan)]
        corners = everything.stretches(self.band, at, len(kernel), smooth=kernel)
        ends = everything.stretches(self.band, [start, self.keep[1] - 1], 1)[:, :, 0]
        first, a, b = resample.core_of(plan, 2)
        clipping = []
        for group in _groups(range(len(self.rows))):
            padded = resample.padded_in(scratch, plan, len(group), 2)
            core = padded[:, a:b]
            filter_rows(self._rows(group), self.band, start + first, core, step=2)
            peak_uv = np.maximum(core.max(axis=1), -core.min(axis=1))
            near = peak_uv >= _PEAK_MARGIN * self.clip_uv
            clipping += [row for row, is_near in zip(group, near, strict=True) if is_near]
            if not near.all():
                out[group] = resample.resample_padded(
                    padded, plan, (ends[0, group], ends[1, group]),
                    corners=resample.Corners(*corners[:, group]), kernel=kernel,
                )  # fmt: skip
        return clipping


def _groups(indices: Sequence[int]) -> list[list[int]]:
    indices = list(indices)
    return [indices[i : i + _GROUP] for i in range(0, len(indices), _GROUP)]
