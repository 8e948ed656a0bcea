"""The verdict on an ECG: which leads, which stretches, and everything wrong with it."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float32

from elm_jax.data.spec import SignalSpec
from elm_jax.signals import stretches
from elm_jax.signals.defects import Defect
from elm_jax.signals.ecg.cleaning import edges_hz
from elm_jax.signals.ecg.recording import EcgRecording
from elm_jax.signals.ecg.resample import exact_ratio, resampled_length
from elm_jax.signals.plan import PrepOptions, Span, kept_samples
from elm_jax.signals.resample import same_rate

#: From the 1st to the 99th percentile, the median lead: beats are a tenth of the time.
TYPICAL_MV = (0.02, 15.0)
_MOST_LISTED = 20  # stretches of one kind; a file of holes would fill the manifest
_MOST_NAMED = 12  # channels, likewise
FLAT = ("cut", "keep")


@dataclasses.dataclass
class EcgPlan:
    """What to do with a recording; ``verdict`` is the defect that makes it useless, if any."""

    rows: list[int]
    missing: list[str]
    spans: list[Span]
    defects: list[Defect]
    verdict: Defect | None


def make_plan(
    recording: EcgRecording, spec: SignalSpec, options: PrepOptions, flat: str = "cut"
) -> EcgPlan:
    """Judges a recording; filters nothing.

    Args:
      recording: the leads.
      spec: what the pieces shall be.
      options: what is cut off and what is too short or too long.
      flat: "cut" takes out stretches in which a lead does not vary, and a recording in which one
        never does; "keep" lists them only, as benchmarks that score every recording need it.
    """
    missing = [name for name in spec.channels if name not in recording.leads]
    rows = [recording.leads.index(name) for name in spec.channels if name not in missing]
    plan = EcgPlan(rows, missing, [], _slow(recording, spec), None)
    plan.verdict = _whole_file_verdict(recording, spec, options, missing)
    if plan.verdict is None:
        cuts = _not_finite(recording, rows, plan.defects)
        good = stretches.subtract_intervals([(0, recording.signal_mv.shape[1])], cuts)
        more, plan.verdict = _flat(recording, rows, good, flat, plan.defects)
        cuts = stretches.join_intervals([*cuts, *more])
    if plan.verdict is None:
        _check_amplitude(recording, rows, plan.defects)
        plan.verdict = _spans(recording, spec, options, cuts, plan)
    if plan.verdict:
        plan.defects.append(plan.verdict)
    return plan


def _slow(recording: EcgRecording, spec: SignalSpec) -> list[Defect]:
    """Where a rate holds less than the result could; with "refuse" it is a verdict."""
    held_hz = recording.sfreq_hz / 2
    if spec.slow_source == "refuse" or _holds(recording, spec):
        return []
    detail = f"{recording.sfreq_hz:g} Hz: nothing above {held_hz:g} of {spec.lowpass_hz:g} Hz"
    return [Defect(recording.file, "band_narrowed", detail)]


def _holds(recording: EcgRecording, spec: SignalSpec) -> bool:
    top_hz = edges_hz(math.inf, spec)[1] or spec.sfreq_hz / 2
    return recording.sfreq_hz / 2 >= top_hz or same_rate(recording.sfreq_hz / 2, top_hz)


def _whole_file_verdict(
    recording: EcgRecording, spec: SignalSpec, options: PrepOptions, missing: list[str]
) -> Defect | None:
    def defect(kind, detail):
        return Defect(recording.file, kind, detail)

    length_s, rate_hz = recording.duration_s, recording.sfreq_hz
    if length_s < options.min_duration_s:
        return defect("too_short", f"{length_s:.2f} s, minimum {options.min_duration_s:g} s")
    if length_s > options.max_duration_s:
        return defect("too_long", f"{length_s:.0f} s, maximum {options.max_duration_s:g} s")
    if missing:
        unknown = [
            f"{label!r} (like {lead}?)" if lead else repr(label)
            for label, lead in list(recording.unknown.items())[:_MOST_NAMED]
        ]
        hint = f"; not understood: {', '.join(unknown)}" if unknown else ""
        return defect("missing_leads", f"{', '.join(missing)}: skipped{hint}")
    if spec.slow_source == "refuse" and not _holds(recording, spec):
        return defect("low_rate", f"{rate_hz:g} Hz can not hold {spec.lowpass_hz:g} Hz")
    if spec.highpass_hz >= rate_hz / 2:
        return defect("low_rate", f"{rate_hz:g} Hz holds nothing above {spec.highpass_hz:g} Hz")
    exact = same_rate(rate_hz, spec.sfreq_hz) or exact_ratio(rate_hz, spec.sfreq_hz)
    if spec.resample == "polyphase" and not exact:
        return defect("odd_rate", f"{rate_hz} Hz to {spec.sfreq_hz:g} Hz; --resample cubic can")
    return None


def _list_stretches(
    recording: EcgRecording, kind: str, found: list[tuple[int, int, str, str | None]]
) -> list[Defect]:
    """One defect each for (start, stop, detail, lead), or one for what goes beyond the most."""
    rate_hz, defects = recording.sfreq_hz, []
    for start, stop, detail, lead in found[:_MOST_LISTED]:
        times = {"start_s": start / rate_hz, "stop_s": stop / rate_hz}
        defects.append(Defect(recording.file, kind, detail, channel=lead, **times))
    if rest := found[_MOST_LISTED:]:
        total_s = sum(stop - start for start, stop, *_ in rest) / rate_hz
        detail = f"{len(rest)} more stretches, {total_s:.1f} s together"
        defects.append(Defect(recording.file, kind, detail))
    return defects


def _not_finite(
    recording: EcgRecording, rows: list[int], defects: list[Defect]
) -> list[stretches.Interval]:
    """Stretches in which a lead that is needed has no number."""
    x = recording.signal_mv[rows]
    holes = stretches.non_finite_intervals(x)
    found = []
    for start, stop in holes[:_MOST_LISTED]:
        bad = ~np.isfinite(x[:, start:stop]).all(axis=1)
        named = [recording.leads[rows[i]] for i in np.flatnonzero(bad)]
        where = "all leads" if len(named) == len(rows) else ", ".join(named)
        found.append((start, stop, f"{stop - start} samples of {where}: cut out", None))
    found += [(start, stop, "", None) for start, stop in holes[_MOST_LISTED:]]
    defects += _list_stretches(recording, "non_finite", found)
    return holes


def _flat(
    recording: EcgRecording,
    rows: list[int],
    good: list[stretches.Interval],
    flat: str,
    defects: list[Defect],
) -> tuple[list[stretches.Interval], Defect | None]:
    """Stretches of at least two seconds in which a lead has one value, and the verdict.

    The verdict is that a lead has one value in all of the recording.
    """
    cuts, found, dead = [], {"flat_stretch": [], "saturated_stretch": []}, []
    total = sum(stop - start for start, stop in good)
    for row in rows:
        name, x = recording.leads[row], recording.signal_mv[row]
        runs = [
            (a + run.start, a + run.stop, run.at_limit)
            for a, b in good
            for run in stretches.constant_runs(x[a:b], recording.sfreq_hz)
        ]
        if total and sum(stop - start for start, stop, _ in runs) >= 0.99 * total:
            dead.append(name)
            continue
        for start, stop, at_limit in runs:
            seconds = (stop - start) / recording.sfreq_hz
            kind = "saturated_stretch" if at_limit else "flat_stretch"
            found[kind].append((start, stop, f"{seconds:.1f} s at one value: cut out", name))
            cuts.append((start, stop))
    if flat == "keep":
        runs = [run for some in found.values() for run in some]
        kept = [(a, b, "one value: kept", name) for a, b, _, name in runs]
        defects += _list_stretches(recording, "flat_kept", sorted(kept))
        defects += [
            Defect(recording.file, "flat_kept", "one value throughout: kept", channel=name)
            for name in dead
        ]
        return [], None
    for kind, some in found.items():
        defects += _list_stretches(recording, kind, sorted(some))
    if not dead:
        return cuts, None
    detail = f"{', '.join(dead)} without any change (not connected?): skipped"
    return cuts, Defect(recording.file, "flat_channel", detail, channel=dead[0])


def _check_amplitude(recording: EcgRecording, rows: list[int], defects: list[Defect]) -> None:
    """Whether deflections are as large as those of an ECG; not of what is no number at all."""
    typical_mv, (low, high) = deflection_mv(recording.signal_mv[rows]), TYPICAL_MV
    if typical_mv is not None and not low <= typical_mv <= high:
        detail = (
            f"typical deflection {typical_mv:.3g} mV, expected {low:g} to {high:g}: "
            f"is the file's {recording.unit} right? used as stated"
        )
        defects.append(Defect(recording.file, "unit_suspect", detail))


def deflection_mv(x: Float32[np.ndarray, "c t"]) -> float | None:
    """From the 1st to the 99th percentile of the finite samples, the median over leads.

    None where no sample is finite in all of them.
    """
    # Every few samples: a QRS has many.
    x = x[:, :: max(x.shape[1] // 2000, 1)]
    x = x[:, np.isfinite(x).all(axis=0)]
    if not x.shape[1]:
        return None
    ranks = (x.shape[1] // 100, x.shape[1] - 1 - x.shape[1] // 100)
    ordered = np.partition(x, ranks, axis=1)
    return float(np.median(ordered[:, ranks[1]] - ordered[:, ranks[0]]))


def _spans(
    recording: EcgRecording,
    spec: SignalSpec,
    options: PrepOptions,
    cuts: list[stretches.Interval],
    plan: EcgPlan,
) -> Defect | None:
    """Fills in ``plan.spans``; returns the verdict if none is left."""
    rate_hz, short = recording.sfreq_hz, []
    for a, b in stretches.subtract_intervals([(0, recording.signal_mv.shape[1])], cuts):
        first, stop = kept_samples(b - a, rate_hz, a / rate_hz, options)
        if resampled_length(stop - first, rate_hz, spec.sfreq_hz) >= spec.window_samples:
            plan.spans.append(Span(a, b, (first, stop), (a + first) / rate_hz))
        else:
            detail = f"{(b - a) / rate_hz:.2f} s, a window has {spec.window_s:g} s: dropped"
            short.append((a, b, detail, None))
    plan.defects += _list_stretches(recording, "short_stretch", short)
    if not plan.spans:
        detail = f"no stretch of {recording.duration_s:.1f} s holds a window of {spec.window_s:g} s"
        return Defect(recording.file, "nothing_left", detail)
    return None
