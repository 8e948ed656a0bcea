"""The layout of Sleep-EDF's cassette study, and what its hypnograms and headers say.

    SC4ssNE0-PSG.edf           ss: the person, N: the night
    SC4ssNEC-Hypnogram.edf     stages; the letter before the hyphen is the scorer's

in any folder below ``--input``: PhysioNet's (``sleep-cassette/``) or that in which ``mne`` keeps
its downloads (``physionet-sleep-data/``).

Stages by Rechtschaffen and Kales become W, N1, N2, N3 (3 and 4) and R; movement time and what was
not scored are left out. Of wakefulness only what lies within ``--wake_margin_min`` of the first and
last epoch of sleep is kept (30 minutes as the papers have it; ``inf`` keeps all). The night is cut
there before it is filtered. Each 30 s of a stage are a window, as stages begin and end with epochs.

The telemetry study (``ST7...``, with temazepam) is left out, as in the papers. Which windows are
stored, of which nights and in which band, is what corpora of this layout differ in.
"""

import argparse
import dataclasses
import functools
import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import CorpusError, Source, walk_files
from data_prep.corpora.event_files import Event, EventsError, from_json, to_json
from data_prep.corpora.events import EventCorpus, say_counts
from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

EPOCH_S = 30.0
SIMULATED_INSTITUTION = "simulated_nights"
STAGES = {
    "Sleep stage W": "W", "Sleep stage 1": "N1", "Sleep stage 2": "N2", "Sleep stage 3": "N3",
    "Sleep stage 4": "N3", "Sleep stage R": "R",
}  # fmt: skip
UNSCORED = {"Sleep stage ?": "not scored", "Movement time": "movement"}
#: Nights that were not recorded; people 39, 68, 69, 78 and 79 are not in the study either.
NOT_RECORDED = frozenset({"SC4132", "SC4361", "SC4521"})
_NIGHT = re.compile(r"(?P<person>SC4\d\d)(?P<night>[12])[A-Z]\d-PSG", re.IGNORECASE)
_HYPNOGRAM = re.compile(r"(?P<night>S[CT]\d{4})[A-Z]{2}-Hypnogram", re.IGNORECASE)
# A header's field on the patient as PhysioNet has made it anonymous; anything else says nothing.
_PATIENT = re.compile(rb"X [FM] X (?P<sex>Female|Male)_(?P<age>\d{1,3})yr *")
_PATIENT_FIELD = slice(8, 88)
_RECORDING_FIELD = slice(88, 168)
# How the field on the recording ends in simulated nights, where the equipment's name stands.
_SIMULATED = b" SIMULATED"


class SleepCassette(EventCorpus):
    """Nights of the cassette study; no published split."""

    # Whose people these are whatever they are prepared for: leakage is seen across corpora.
    institution = "sleep_edfx"
    example = "sleep-cassette/SC4001E0-PSG.edf with SC4001EC-Hypnogram.edf beside it"
    classes = MappingProxyType({"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4})

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the nights that are wanted; what is left out is a finding.

        Raises:
          CorpusError: there is none.
        """
        folder = input_path(args.input)
        hypnograms = _by_night(walk_files(folder, (".edf",)))
        institution = args.institution or self.institution
        margin_s = 60.0 * args.wake_margin_min
        people, nights = args.sleep_people or (), args.nights or (1, 2)

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            if _HYPNOGRAM.fullmatch(path.stem):
                return None
            name = _NIGHT.fullmatch(path.stem)
            if name is None:
                return self.leave_out(file, "not_in_layout", "no night of the cassette study")
            person, night = name["person"].upper(), int(name["night"])
            if night not in nights or (people and int(person[3:]) not in people):
                return None
            source = Source(
                recording=f"{person}{night}",
                person=f"{institution}:{person}",
                path=path,
                file=file,
                labels={"night": night} | self.person_labels(path, person),
            )
            return self._with_stages(source, hypnograms.get(source.recording), margin_s)

        try:
            found = self.collect(args, source_of)
        except CorpusError as error:
            raise CorpusError(f"{error}{self.how_to_get(args)}") from error
        wanted = {f"SC4{person:02d}{night}" for person in people for night in nights}
        missing = wanted - {source.recording for source in found} - self._listed()
        if lost := sorted(missing - NOT_RECORDED):
            detail = f"asked for, and no such night is there: {', '.join(lost)}"
            self.findings.append(finding(folder.name, "not_there", detail))
        return found if self.simulated else self._without_pretence(found, args)

    def _without_pretence(self, sources: list[Source], args: argparse.Namespace) -> list[Source]:
        """Simulated nights are called so, and are nobody's of the study.

        Raises:
          CorpusError: there are recorded ones among them.
        """
        simulated = [source for source in sources if is_simulated(source.path)]
        if not simulated:
            return sources
        if len(simulated) < len(sources):
            raise CorpusError(
                f"--input {args.input}: {len(simulated)} of the {len(sources)} nights are "
                f"simulated, as their headers say ({simulated[0].file} is the first): prepare them "
                "apart from those that were recorded"
            )
        self.simulated = True
        if args.institution:
            return sources
        whose = f"{SIMULATED_INSTITUTION}:"
        return [s.replace(person=whose + s.person.partition(":")[2]) for s in sources]

    def how_to_get(self, args: argparse.Namespace) -> str:
        """What an error about missing files adds."""
        asked = f"; asked for: people {_say(args.sleep_people)}" if args.sleep_people else ""
        return asked + (f"; nights {_say(args.nights)}" if args.nights else "")

    def person_labels(self, path: pathlib.Path, person: str) -> dict[str, Any]:
        """Age and sex, as the recording's header says them; empty where it does not."""
        return read_patient(path)

    def without_stages(self, source: Source, kind: str, detail: str) -> Source | None:
        """What becomes of a night without a usable hypnogram: it is left out, and listed."""
        return self.leave_out(source.file, kind, detail)

    def _with_stages(
        self, source: Source, path: pathlib.Path | None, margin_s: float
    ) -> Source | None:
        if path is None:
            detail = f"no {source.recording}..-Hypnogram.edf"
            return self.without_stages(source, "events_missing", detail)
        try:
            stages, dropped = staged(read_annotations(path), margin_s)
        except EventsError as error:
            return self.without_stages(source, "events_unreadable", f"{path.name}: {error}")
        if dropped:
            self.findings.append(finding(source.file, "events_dropped", say_counts(dropped)))
        return source.replace(extra={"events": to_json(stages)})

    def _listed(self) -> set[str]:
        """Nights of which a finding says already why they are not used."""
        names = (_NIGHT.search(item["file"]) for item in self.findings)
        return {(name["person"] + name["night"]).upper() for name in names if name}

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """How much of wakefulness is kept; people and nights where some were asked for."""
        margin_min = args.wake_margin_min
        stated = {"wake_margin_min": "inf" if margin_min == float("inf") else margin_min}
        asked = {"sleep_people": args.sleep_people, "nights": args.nights}
        return stated | {name: list(numbers) for name, numbers in asked.items() if numbers}

    def mend(self, source: Source):
        """Takes the night as no longer than what is kept of it; all of it where nothing is said."""
        if "events" not in source.extra:
            return None
        events = from_json(source.extra["events"])
        span_s = (events[0].start_s, events[-1].stop_s) if events else (0.0, 0.0)
        return functools.partial(crop, span_s=span_s)

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """Windows one after another from the stage's begin; what is left at its end goes."""
        length = spec.window_samples
        skipped = -(-max(-begin, 0) // length)
        return list(range(begin + skipped * length, min(end, n) - length + 1, length))


def _say(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _by_night(files: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
    found = ((_HYPNOGRAM.fullmatch(path.stem), path) for path in files)
    return {name["night"].upper(): path for name, path in found if name}


def read_patient(path: pathlib.Path) -> dict[str, Any]:
    """``{"age": 33, "sex": "female"}`` out of a header; empty where these do not stand there.

    Only the form in which PhysioNet writes them is understood: whatever else stands in the field
    is not looked at, and never repeated.
    """
    try:
        with path.open("rb") as stream:
            field = stream.read(_PATIENT_FIELD.stop)[_PATIENT_FIELD]
    except OSError:
        return {}  # preparing the night says what is wrong with the file
    match = _PATIENT.fullmatch(field)
    if match is None:
        return {}
    return {"age": int(match["age"]), "sex": match["sex"].decode().lower()}


def is_simulated(path: pathlib.Path) -> bool:
    """Whether a recording's header says that nobody slept: ``... X X SIMULATED``."""
    try:
        with path.open("rb") as stream:
            field = stream.read(_RECORDING_FIELD.stop)[_RECORDING_FIELD]
    except OSError:
        return False  # preparing the night says what is wrong with the file
    return field.rstrip().endswith(_SIMULATED)


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
