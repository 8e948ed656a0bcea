"""The verdict on a recording: which rows, which stretches, and everything wrong with it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.data.spec import SignalSpec
from elm_jax.signals import stretches
from elm_jax.signals.defects import Defect
from elm_jax.signals.filters import Band, holds_notch
from elm_jax.signals.montage import MEAN, MontageRow, channels_of, montage_rows
from elm_jax.signals.recording import Recording

#: A typical amplitude outside of this is probably an error of unit.
TYPICAL_UV = (1.0, 200.0)
_LIMIT_SHARE = 0.05  # of samples at the extremes, from which on a channel counts as saturating
_FLAT_SHARE = 0.02  # of the other channels' amplitude: an electrode that hears only its amplifier
_FLAT_UV = 0.5
# A filter's transition between the band and half the rate: narrower ones are very long.
_LEAST_TRANSITION_HZ = 1.0
_NARROWED_TO = 0.9  # of half the rate


@dataclasses.dataclass(frozen=True)
class PrepOptions:
    """What is cut from a recording, and which recordings are skipped; the default is pretraining's.

    Attributes:
      drop_start_s: left out at the start of the recording, after filtering.
      cut_multiple_s: each stretch is cut to a multiple of this, its end sample included as in the
        reference; None keeps everything.
      min_duration_s: raw recordings shorter than this are skipped.
      max_duration_s: raw recordings longer than this are skipped.
    """

    drop_start_s: float = 10.0
    cut_multiple_s: float | None = 10.0
    min_duration_s: float = 60.0
    max_duration_s: float = 9000.0


@dataclasses.dataclass(frozen=True)
class Span:
    """A gap-free stretch: filtered over [start, stop), of which ``keep`` (relative) is used.

    ``labels`` are those of the recording's segment that it lies in.
    """

    start: int
    stop: int
    keep: tuple[int, int]
    start_s: float
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Plan:
    """What to do with a recording; ``verdict`` is the defect that makes it useless, if any."""

    rows: list[MontageRow]
    missing: list[str]
    band: Band
    spans: list[Span]
    defects: list[Defect]
    verdict: Defect | None


def kept_samples(n: int, sfreq_hz: float, start_s: float, options: PrepOptions) -> tuple[int, int]:
    """[first, stop) of a stretch of ``n`` samples after the cut; empty if nothing is left.

    The end sample is included, as mne's crop has it: 10 s at 500 Hz are 5001 samples if there is
    one more.
    """
    drop_s = max(options.drop_start_s - start_s, 0.0)
    last_s = (n - 1) / sfreq_hz
    if drop_s > last_s:
        return n, n
    end_s = last_s
    if options.cut_multiple_s is not None:
        end_s -= (last_s - drop_s) % options.cut_multiple_s
    return round(drop_s * sfreq_hz), round(end_s * sfreq_hz) + 1


def make_plan(recording: Recording, spec: SignalSpec, options: PrepOptions) -> Plan:
    """Judges a recording; reads its signal only in samples, filters nothing.

    Raises:
      ValueError: the spec has an unknown montage, or one that its channels cannot have.
    """
    rows, missing = montage_rows(spec.montage, spec.channels, recording.channels)
    band, narrowed = _band(recording, spec)
    plan = Plan(rows, missing, band, [], _mixed_references(recording, rows) + narrowed, None)
    plan.verdict = _whole_file_verdict(recording, spec, options, missing)
    if plan.verdict is None:
        used = channels_of(rows)
        changes = stretches.changes(recording.signal_uv, recording.sfreq_hz)
        cuts, flat = _check_channels(recording, used, changes, plan.defects)
        _check_amplitude(recording, rows, changes, plan.defects)
        plan.verdict = flat or _spans(recording, spec, options, cuts, plan)
    if plan.verdict:
        plan.defects.append(plan.verdict)
    return plan


def _band(recording: Recording, spec: SignalSpec) -> tuple[Band, list[Defect]]:
    """The filter for a recording, and what is to be said of it.

    Notches that the rate does not hold are left out: nothing is there to be taken out.
    """
    sfreq_hz, lowpass_hz, defects = recording.sfreq_hz, float(spec.lowpass_hz), []
    highest_hz = sfreq_hz / 2
    if spec.slow_source == "narrow" and lowpass_hz > highest_hz - _LEAST_TRANSITION_HZ:
        lowpass_hz = _NARROWED_TO * highest_hz
        detail = f"{sfreq_hz:g} Hz: filtered up to {lowpass_hz:g} instead of {spec.lowpass_hz:g} Hz"
        defects.append(Defect(recording.file, "band_narrowed", detail))
    band = (sfreq_hz, float(spec.highpass_hz), lowpass_hz)
    notches = tuple(float(f) for f in spec.notch_hz if holds_notch(sfreq_hz, f))
    return (*band, notches) if notches else band, defects


def _mixed_references(recording: Recording, rows: Sequence[MontageRow]) -> list[Defect]:
    """Derivations across references: kept, since the difference is often small, and listed."""
    averaged = channels_of(rows) if any(row.minus == MEAN for row in rows) else []
    if len(refs := {recording.references[i] for i in averaged} - {None}) > 1:
        detail = f"electrodes against {' and '.join(sorted(refs))}: averaged all the same"
        return [Defect(recording.file, "mixed_reference", detail)]
    defects = []
    for row in rows:
        refs = {recording.references[i] for i in channels_of([row])}
        if len(refs - {None}) > 1:
            detail = f"electrodes against {' and '.join(sorted(refs - {None}))}: used all the same"
            defects.append(Defect(recording.file, "mixed_reference", detail, channel=row.name))
    return defects


def _whole_file_verdict(
    recording: Recording, spec: SignalSpec, options: PrepOptions, missing: list[str]
) -> Defect | None:
    def defect(kind, detail):
        return Defect(recording.file, kind, detail)

    if recording.duration_s < options.min_duration_s:
        return defect(
            "too_short", f"{recording.duration_s:.2f} s, minimum {options.min_duration_s:g} s"
        )
    if recording.duration_s > options.max_duration_s:
        return defect(
            "too_long", f"{recording.duration_s:.0f} s, maximum {options.max_duration_s:g} s"
        )
    if missing:
        hints = [f"{name!r} like {like}" for name, like in recording.unknown.items() if like]
        hint = f"; unknown channels: {', '.join(hints)}" if hints else ""
        return defect(
            "missing_electrodes", f"{spec.montage} needs {', '.join(missing)}: skipped{hint}"
        )
    if spec.slow_source == "refuse" and recording.sfreq_hz / 2 <= spec.lowpass_hz:
        return defect(
            "low_rate",
            f"{recording.sfreq_hz:g} Hz can not hold the band up to {spec.lowpass_hz:g} Hz",
        )
    return None


def _check_channels(
    recording: Recording, used: list[int], changes: np.ndarray, defects: list[Defect]
) -> tuple[list[stretches.Interval], Defect | None]:
    """Flat and saturated electrodes.

    Returns:
      the stretches to cut, and the defect if an electrode is flat in all of the recording.
    """
    sfreq_hz, total = recording.sfreq_hz, recording.signal_uv.shape[1]
    amplitude_uv = [stretches.amplitude(changes[i]) for i in used]
    silent_uv = min(_FLAT_SHARE * float(np.median(amplitude_uv)), _FLAT_UV)
    cuts, flat = [], None
    for i, amplitude in zip(used, amplitude_uv, strict=True):
        name, x = recording.channels[i], recording.signal_uv[i]
        runs = stretches.constant_runs(x, sfreq_hz)
        if amplitude < silent_uv or sum(r.stop - r.start for r in runs) > 0.99 * total:
            detail = "needed and constant (a broken lead, or the recording's reference): skipped"
            flat = flat or Defect(recording.file, "flat_channel", detail, channel=name)
            continue
        for run in runs:
            kind = "saturated_stretch" if run.at_limit else "flat_stretch"
            seconds = {"start_s": _time(recording, run.start), "stop_s": _time(recording, run.stop)}
            detail = f"{(run.stop - run.start) / sfreq_hz:.1f} s at one value: cut out"
            defects.append(Defect(recording.file, kind, detail, channel=name, **seconds))
            cuts.append((run.start, run.stop))
        share = 0.0 if runs else stretches.share_at_limits(x, sfreq_hz)
        if share > _LIMIT_SHARE:
            detail = f"{share:.0%} of samples stand at its extremes: kept"
            defects.append(Defect(recording.file, "saturated_channel", detail, channel=name))
    return stretches.join_intervals(cuts), flat


def _time(recording: Recording, sample: int) -> float:
    """Seconds from the start of the recording at which a sample (or the end) lies."""
    at = 0
    for k, (start, _) in enumerate(recording.segments):
        if start <= sample:
            at = k
    start, _ = recording.segments[at]
    return recording.segment_start_s[at] + (sample - start) / recording.sfreq_hz


def _check_amplitude(
    recording: Recording, rows: Sequence[MontageRow], changes: np.ndarray, defects: list[Defect]
) -> None:
    """Whether the derivations are as large as EEG is; looked at sparsely, no whole row is made."""
    averaged = any(row.minus == MEAN for row in rows)
    less = {None: 0, MEAN: changes[channels_of(rows)].mean(axis=0) if averaged else 0}
    per_row = [
        stretches.amplitude(
            changes[r.plus] - (less[r.minus] if r.minus in less else changes[r.minus])
        )
        for r in rows
    ]
    typical_uv, (low, high) = float(np.median(per_row)), TYPICAL_UV
    if not low <= typical_uv <= high:
        detail = (
            f"typical amplitude {typical_uv:.3g} uV, expected {low:g} to {high:g}: "
            f"is the file's {recording.unit} right? used as stated"
        )
        defects.append(Defect(recording.file, "unit_suspect", detail))


def _spans(
    recording: Recording,
    spec: SignalSpec,
    options: PrepOptions,
    cuts: list[stretches.Interval],
    plan: Plan,
) -> Defect | None:
    """Fills in ``plan.spans``; returns the verdict if none is left."""
    sfreq_hz = recording.sfreq_hz
    labels = recording.segment_labels or ({},) * len(recording.segments)
    for (start, stop), start_s, of_segment in zip(
        recording.segments, recording.segment_start_s, labels, strict=True
    ):
        for a, b in stretches.subtract_intervals([(start, stop)], cuts):
            begin_s = start_s + (a - start) / sfreq_hz
            keep = kept_samples(b - a, sfreq_hz, begin_s, options)
            n_out = round((keep[1] - keep[0]) * spec.sfreq_hz / sfreq_hz)
            if n_out >= spec.window_samples:
                plan.spans.append(Span(a, b, keep, begin_s + keep[0] / sfreq_hz, of_segment))
            else:
                plan.defects.append(
                    Defect(
                        recording.file, "short_stretch",
                        f"{(b - a) / sfreq_hz:.2f} s, a window has {spec.window_s:g} s: dropped",
                        start_s=begin_s, stop_s=begin_s + (b - a) / sfreq_hz,
                    )
                )  # fmt: skip
    if not plan.spans:
        detail = f"no stretch of {recording.duration_s:.1f} s holds a window of {spec.window_s:g} s"
        return Defect(recording.file, "nothing_left", detail)
    return None
