"""Sleep-EDF Expanded, the cassette study: epochs of 30 s in five stages (78 people, two nights).

    sleep-cassette/SC4ssNE0-PSG.edf           ss: the person, N: the night
    sleep-cassette/SC4ssNEC-Hypnogram.edf     stages; the letter before the hyphen is the scorer's

Stages by Rechtschaffen and Kales become W, N1, N2, N3 (3 and 4) and R; movement time and what was
not scored are left out. Of wakefulness only what lies within ``--wake_margin_min`` of the first and
last epoch of sleep is kept (30 minutes as the papers have it; ``inf`` keeps all). The night is cut
there before it is filtered. Each 30 s of a stage are a window, as stages begin and end with epochs.

Two derivations at 100 Hz, Fpz-Cz and Pz-Oz, stored as they are. EEGPT subtracts the mean of the two
from each, standardises each window, and takes people 39 to 82 only, since its script begins there;
here is everybody. There is no published split: ``--split``, or ``--test_people SC400``.

The telemetry study (``ST7...``, with temazepam) is left out, as in the papers.
"""

import argparse
import dataclasses
import functools
import pathlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import Source, walk_files
from data_prep.corpora.event_files import Event, EventsError, from_json, to_json
from data_prep.corpora.events import EventCorpus, say_counts
from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

EPOCH_S = 30.0
STAGES = {
    "Sleep stage W": "W", "Sleep stage 1": "N1", "Sleep stage 2": "N2", "Sleep stage 3": "N3",
    "Sleep stage 4": "N3", "Sleep stage R": "R",
}  # fmt: skip
UNSCORED = {"Sleep stage ?": "not scored", "Movement time": "movement"}
_NIGHT = re.compile(r"(?P<person>SC4\d\d)(?P<night>[12])[A-Z]\d-PSG", re.IGNORECASE)
_HYPNOGRAM = re.compile(r"(?P<night>S[CT]\d{4})[A-Z]{2}-Hypnogram", re.IGNORECASE)


class SleepEdfx(EventCorpus):
    """Nights with a hypnogram; no published split."""

    name = "sleep_edfx"
    institution = "sleep_edfx"
    example = "sleep-cassette/SC4001E0-PSG.edf with SC4001EC-Hypnogram.edf beside it"
    classes = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4}
    published = {
        "signal": "eegpt", "channels": "Fpz-Cz,Pz-Oz", "montage": "electrodes",
        "window_s": EPOCH_S, "lowpass_hz": 30.0,
    }  # fmt: skip

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the nights that have a hypnogram; the others are findings.

        Raises:
          CorpusError: there is none.
        """
        hypnograms = _by_night(walk_files(input_path(args.input), (".edf",)))
        institution = args.institution or self.institution
        margin_s = 60.0 * args.wake_margin_min

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            if _HYPNOGRAM.fullmatch(path.stem):
                return None
            name = _NIGHT.fullmatch(path.stem)
            if name is None:
                return self.leave_out(file, "not_in_layout", "no night of the cassette study")
            person = name["person"].upper()
            source = Source(
                recording=f"{person}{name['night']}",
                person=f"{institution}:{person}",
                path=path,
                file=file,
                labels={"night": int(name["night"])},
            )
            return self._with_stages(source, hypnograms.get(source.recording), margin_s)

        return self.collect(args, source_of)

    def _with_stages(
        self, source: Source, path: pathlib.Path | None, margin_s: float
    ) -> Source | None:
        if path is None:
            detail = f"no {source.recording}..-Hypnogram.edf"
            return self.leave_out(source.file, "events_missing", detail)
        try:
            stages, dropped = staged(read_annotations(path), margin_s)
        except EventsError as error:
            return self.leave_out(source.file, "events_unreadable", f"{path.name}: {error}")
        if dropped:
            self.findings.append(finding(source.file, "events_dropped", say_counts(dropped)))
        return source.replace(extra={"events": to_json(stages)})

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """How much of wakefulness is kept."""
        margin_min = args.wake_margin_min
        return {"wake_margin_min": "inf" if margin_min == float("inf") else margin_min}

    def mend(self, source: Source):
        """Takes the night as no longer than what is kept of it."""
        events = from_json(source.extra["events"])
        span_s = (events[0].start_s, events[-1].stop_s) if events else (0.0, 0.0)
        return functools.partial(crop, span_s=span_s)

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """Windows one after another from the stage's begin; what is left at its end goes."""
        length = spec.window_samples
        skipped = -(-max(-begin, 0) // length)
        return list(range(begin + skipped * length, min(end, n) - length + 1, length))


def _by_night(files: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
    found = ((_HYPNOGRAM.fullmatch(path.stem), path) for path in files)
    return {name["night"].upper(): path for name, path in found if name}


def staged(
    rows: Sequence[tuple[float, float, str]], margin_s: float
) -> tuple[list[Event], Counter[str]]:
    """The stages of a night that are kept, and how many epochs of what are not.

    Args:
      rows: onset and duration in seconds and text of each annotation.
      margin_s: how far wakefulness may lie from the first and last sleep.

    Raises:
      EventsError: a text that is no stage, or no sleep.
    """
    if not rows:
        raise EventsError("has no annotation; is it a hypnogram, and whole?")
    stages, dropped = [], Counter()
    for start_s, length_s, text in sorted(rows):
        if text in STAGES:
            stages.append(Event(start_s, start_s + length_s, STAGES[text]))
        elif text in UNSCORED:
            dropped[UNSCORED[text]] += round(length_s / EPOCH_S)
        else:
            raise EventsError("an annotation is no stage of sleep")
    asleep = [stage for stage in stages if stage.label != "W"]
    if not asleep:
        raise EventsError("has no epoch of sleep")
    first_s, last_s = asleep[0].start_s - margin_s, asleep[-1].stop_s + margin_s
    kept = []
    for stage in stages:
        start_s, stop_s = max(stage.start_s, first_s), min(stage.stop_s, last_s)
        if lost := round((stage.stop_s - stage.start_s - max(stop_s - start_s, 0.0)) / EPOCH_S):
            dropped[f"W over {margin_s / 60:g} min from sleep"] += lost
        if stop_s > start_s:
            kept.append(Event(start_s, stop_s, stage.label))
    return kept, +dropped


def crop(recording: "Recording", span_s: tuple[float, float]) -> "Recording":
    """The recording without what lies outside of ``span_s``; times stay what they were.

    Raises:
      UnusableRecording: nothing of it lies there.
    """
    from elm_jax.signals.defects import Defect, UnusableRecording

    segments, starts_s = [], []
    for (start, stop), start_s in zip(recording.segments, recording.segment_start_s, strict=True):
        a, b = (start + round((t - start_s) * recording.sfreq_hz) for t in span_s)
        first, last = max(a, start), min(b, stop)
        if first < last:
            segments.append((first, last))
            starts_s.append(start_s + (first - start) / recording.sfreq_hz)
    if not segments:
        first_s, last_s = span_s
        detail = (
            f"stages from {first_s:g} to {last_s:g} s, a recording of {recording.duration_s:g} s"
        )
        raise UnusableRecording(Defect(recording.file, "no_events", detail))
    begin, end = segments[0][0], segments[-1][1]
    return dataclasses.replace(
        recording,
        signal_uv=recording.signal_uv[:, begin:end],
        segments=tuple((a - begin, b - begin) for a, b in segments),
        segment_start_s=tuple(starts_s),
    )
