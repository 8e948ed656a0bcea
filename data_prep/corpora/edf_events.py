"""EDF+ and BDF+ files whose own annotations say what happened when: windows with those labels.

Which texts are labels is said on the command line: ``--event_labels T1=left,T2=right`` (a text
without ``=`` is its own label). All others are left out; their texts are never repeated, as people
write anything into annotations, names among it.

Windows begin ``--event_offset_s`` after the annotation. One follows the other while they end within
it; an annotation that is shorter than a window, or only a moment, gives one, which shows what comes
after it, too.
"""

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import CorpusError, Source, find_files
from data_prep.corpora.event_files import Event, EventsError, to_json
from data_prep.corpora.events import Cut, EventCorpus, say_counts
from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.pipeline import Judgement

# Of texts that are not labels only codes are repeated, and only on the terminal: T1, 769, S1.
_CODE = re.compile(r"[A-Za-z]{0,3}[ /]{0,2}\d{1,4}")
# Annotations of one event may be marked with times that are rounded.
_TOLERANCE_S = 1e-3


class AnnotatedEdf(EventCorpus):
    """A corpus of files with annotations of their own.

    Attributes:
      label_of: text -> label, of those that are wanted; set by :meth:`set_labels`.
      seen: texts that were found, with their counts.
      met: those of ``label_of`` that were found.
    """

    def __init__(self, *, rename: Mapping[str, str] | None = None):
        super().__init__(rename=rename)
        self.label_of: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.met: set[str] = set()

    def set_labels(self, label_of: Mapping[str, str]) -> None:
        """Fixes what is labelled; classes are numbered in this order."""
        self.label_of = dict(label_of)
        self.met.clear()
        # Of this preparation: a class attribute in other corpora.
        self.classes = {  # type: ignore[misc]
            label: n for n, label in enumerate(dict.fromkeys(label_of.values()))
        }

    def annotations(self, source: Source) -> list[tuple[float, float, str]]:
        """(onset, duration, text) of what is marked in a file, in seconds, by time.

        Raises:
          EventsError: it cannot be read.
        """
        return read_annotations(source.path)

    def with_annotations(
        self, source: Source, offset_s: float, meanings: Mapping[str, str] | None = None
    ) -> Source | None:
        """The source with its events; None, and listed, if it has none that is wanted.

        Args:
          source: of an EDF+ or BDF+ file.
          offset_s: of windows from the annotation's begin.
          meanings: text -> what it means in this file; either can be asked for.
        """
        try:
            rows = self.annotations(source)
        except EventsError as error:
            return self.leave_out(source.file, "events_unreadable", str(error))
        self.seen.update(text.strip() for *_, text in rows)
        events = set()
        for start_s, length_s, text in rows:
            text = text.strip()
            names = (text, (meanings or {}).get(text, text))
            name = next((n for n in names if n in self.label_of), None)
            if name is not None:
                self.met.add(name)
                label = self.label_of[name]
                begin_s = round(start_s + offset_s, 6)
                stop_s = start_s + length_s if length_s else begin_s  # a moment stays one
                stop_s = max(stop_s, begin_s + _TOLERANCE_S)
                events.add(Event(begin_s, round(stop_s, 6), label))
        if not events:
            detail = f"none of its {len(rows)} annotations is one of --event_labels"
            return self.leave_out(source.file, "events_not_asked", detail)
        extra = {"events": to_json(sorted(events)), "classes": dict(self.classes)}
        return source.replace(extra=source.extra | extra)

    def list_unmet(self, folder: str) -> None:
        """Lists what was asked for and stands in no file: a word misspelt, or a class of nobody."""
        if unmet := [name for name in self.label_of if name not in self.met]:
            detail = f"--event_labels {', '.join(unmet)}"
            self.findings.append(finding(folder, "event_not_found", detail))

    def found_texts(self) -> str:
        """What the annotations say, for a message: codes with their counts, no other text."""
        ranked = sorted(self.seen.items(), key=lambda item: (-item[1], item[0]))
        codes = {text: n for text, n in ranked if _CODE.fullmatch(text)}
        parts = [f"{text} ({n})" for text, n in list(codes.items())[:12]]
        if others := len(self.seen) - len(codes):
            parts.append(f"{others} texts that are no codes")
        return ", ".join(parts) or "no annotation"

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """Windows one after another from the event's begin, at least one."""
        length = spec.window_samples
        if not 0 <= begin <= n - length:
            return []
        tolerance = round(_TOLERANCE_S * spec.sfreq_hz) + 1
        whole = max((min(end + tolerance, n) - begin) // length, 1)
        return [begin + k * length for k in range(whole) if begin + (k + 1) * length <= n]

    def _settle(self, source: Source, spec: SignalSpec, judgement: "Judgement") -> list[Cut]:
        """The cuts; says which windows show more than their event."""
        from elm_jax.signals.defects import Defect

        cuts = super()._settle(source, spec, judgement)
        lengths_s = {cut.event: cut.event.stop_s - cut.event.start_s for cut in cuts}
        # Of moments it goes without saying.
        short = [e for e, s in lengths_s.items() if 2 * _TOLERANCE_S < s < spec.window_s - 0.01]
        if short:
            counted = say_counts(Counter(event.label for event in short))
            detail = f"{counted}; the shortest has {min(lengths_s[e] for e in short):g} s"
            judgement.defects.append(Defect(source.file, "event_short", detail))
        return cuts


class EdfEvents(AnnotatedEdf):
    """Any folder of EDF+ or BDF+ files with annotations; recordings and people as in edf_folder."""

    name = "edf_events"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files that have an annotation that is a label; the others are findings.

        Raises:
          CorpusError: there is none, or it was not said which annotations are labels.
        """
        folder, institution = input_path(args.input), args.institution or self.institution
        result, files = [], find_files(folder, (".edf", ".bdf"))
        self.set_labels(args.event_labels or {})
        for path in files:
            file = path.relative_to(folder)
            recording = file.with_suffix("").as_posix()
            source = Source(recording, f"{institution}:{recording}", path, file.as_posix())
            result.append(self.with_annotations(source, args.event_offset_s))
        found = [source for source in result if source is not None]
        if not args.event_labels or not found:
            raise CorpusError(_which_labels(args, self, len(files)))
        self.list_unmet(folder.name)
        self.seen.clear()
        return found

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """What was labelled, and from when on."""
        return {"event_labels": dict(self.label_of), "event_offset_s": args.event_offset_s}


def _which_labels(args: argparse.Namespace, corpus: AnnotatedEdf, n_files: int) -> str:
    asked, found = ", ".join(args.event_labels or ()) or "none", corpus.found_texts()
    broken = [f for f in corpus.findings if f["kind"] == "events_unreadable"]
    left = "".join(f"\n  {f['file']}: {f['detail']}" for f in broken[:3])
    left = f". {len(broken)} files cannot be read, such as{left}" if left else ""
    return (
        f"--event_labels: no annotation of the {n_files} files in {args.input} is asked for (asked "
        f"for: {asked}); found: {found}. Say which texts are labels: --event_labels "
        f"T1=left,T2=right{left}"
    )


def parse_event_labels(text: str) -> dict[str, str]:
    """Reads ``T1=left,T2=right``; a text without ``=`` is its own label.

    Raises:
      ValueError: an empty text or label, or a text twice.
    """
    result: dict[str, str] = {}
    parts: Sequence[str] = [part for part in text.split(",") if part.strip()]
    for part in parts:
        name, _, label = (word.strip() for word in part.partition("="))
        if not name or ("=" in part and not label):
            raise ValueError(f"{part.strip()!r}: expected TEXT or TEXT=LABEL, such as T1=left")
        if name in result:
            raise ValueError(f"{name!r} stands there twice")
        result[name] = label or name
    if not result:
        raise ValueError("expected TEXT=LABEL,... such as T1=left,T2=right")
    return result
