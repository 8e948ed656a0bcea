"""PhysioNet's EEG Motor Movement/Imagery (109 people, 14 runs each, 64 electrodes, EDF+).

    S001/S001R01.edf     a person's folder; files may lie in one folder, too

Runs 1 and 2 are rest with open and with closed eyes. The others are trials of 4.1 or 4.2 s in turn
with rest, and what ``T1`` and ``T2`` mean differs by run:

    runs 3, 7, 11     open and close the left (T1) or right (T2) fist
    runs 4, 8, 12     imagine it
    runs 5, 9, 13     open and close both fists (T1) or both feet (T2)
    runs 6, 10, 14    imagine it

``--cut recordings`` (default) takes whole recordings, for pretraining. ``--cut events`` cuts
windows from each trial's beginning, labelled ``event``: rest, left, right, fists, feet. Those that
are wanted, and their classes' order, are said by ``--event_labels left,right``, or in the files'
words by ``T1=left,T2=right``. ``--runs 4,8,12`` takes these runs only.

S088, and by some reports others, was recorded at 128 Hz: such recordings are prepared up to what
their rate holds, and listed (``band_narrowed``). Studies differ in whom they leave out; leave
people out by ``--exclude_people``.
"""

import argparse
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from data_prep.corpora.base import CorpusError, Source
from data_prep.corpora.edf_events import AnnotatedEdf
from data_prep.places import input_path

_FILE = re.compile(r"(?P<person>S\d{3})R(?P<run>\d\d)", re.IGNORECASE)
TASKS = {1: "eyes_open", 2: "eyes_closed"} | {
    run: task
    for first, task in (
        (3, "executed_left_right"), (4, "imagined_left_right"),
        (5, "executed_fists_feet"), (6, "imagined_fists_feet"),
    )
    for run in (first, first + 4, first + 8)
}  # fmt: skip
EVENTS = ("rest", "left", "right", "fists", "feet")


class Eegmmidb(AnnotatedEdf):
    """No published split."""

    name = "eegmmidb"
    institution = "eegmmidb"
    example = "S001/S001R04.edf"
    published = {"signal": "eegpt"}  # noqa: RUF012

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the runs that are wanted; with ``--cut events``, those with such events.

        Raises:
          CorpusError: there is none.
        """
        cut = args.cut == "events"
        self.counted_label = "event" if cut else ""
        self.set_labels(args.event_labels or {name: name for name in EVENTS})
        _require_known(self.label_of, args.runs)
        institution = args.institution or self.institution

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            name = _FILE.fullmatch(path.stem)
            if name is None or int(name["run"]) not in TASKS:
                return self.leave_out(file, "not_in_layout", "not named S001R01 to S109R14")
            run = int(name["run"])
            if args.runs and run not in args.runs:
                return None
            source = Source(
                recording=path.stem.upper(),
                person=f"{institution}:{name['person'].upper()}",
                path=path,
                file=file,
                labels={"run": run, "task": TASKS[run]},
            )
            return (
                self.with_annotations(source, args.event_offset_s, meanings(run)) if cut else source
            )

        try:
            found = self.collect(args, source_of)
        except CorpusError as error:
            if not args.runs and not cut:
                raise
            asked = f"--runs {', '.join(map(str, args.runs))}; " if args.runs else ""
            asked += f"--event_labels {', '.join(self.label_of)}; " if cut else ""
            raise CorpusError(
                f"{error}\n  asked for: {asked}found: {self.found_texts()}"
            ) from error
        if cut and args.event_labels:
            self.list_unmet(input_path(args.input).name)
        self.seen.clear()
        return found

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """How recordings are cut, and which."""
        stated: dict[str, Any] = {"cut": args.cut, "runs": sorted(args.runs)}
        if args.cut == "events":
            stated |= {
                "event_labels": dict(self.label_of), "event_offset_s": args.event_offset_s
            }  # fmt: skip
        return stated


def _require_known(labels: Iterable[str], runs: Iterable[int]) -> None:
    """Raises CorpusError for events or runs that the study does not have."""
    texts = {text for run in TASKS for text in meanings(run)}
    if unknown := [name for name in labels if name not in texts.union(EVENTS)]:
        raise CorpusError(
            f"--event_labels {unknown[0]}: the events of eegmmidb are {', '.join(EVENTS)}, in its "
            f"files {', '.join(sorted(texts))}"
        )
    if unknown := sorted(set(runs) - set(TASKS)):
        raise CorpusError(f"--runs {unknown[0]}: the runs of eegmmidb are 1 to {max(TASKS)}")


def meanings(run: int) -> dict[str, str]:
    """What the annotations of a run mean: ``{"T0": "rest", "T1": "left", "T2": "right"}``."""
    task = TASKS[run]
    if task.startswith("eyes"):
        return {"T0": "rest"}
    _, first, second = task.split("_")
    return {"T0": "rest", "T1": first, "T2": second}
