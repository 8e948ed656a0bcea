"""Corpora of events: windows with labels of their own, cut out of whole recordings.

The signal is filtered and resampled as a whole before it is cut. Each window is stored as a piece
of its own with the labels ``event`` (the publisher's word) and ``event_class`` (its number in ELM's
evaluations), so windows of neighbouring events may overlap. A corpus of long events may store
windows of one label that follow each other as one piece (``joins_windows``).
"""

import dataclasses
import math
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from data_prep.corpora.base import Corpus, Source
from data_prep.corpora.event_files import (
    Event,
    EventFile,
    EventsError,
    find_sibling,
    from_json,
    to_json,
)
from data_prep.findings import finding
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.defects import Defect
    from elm_jax.signals.pipeline import Judgement, PrepOptions

# Times have four decimals: nearer to a sample than this is that sample.
_SAMPLE_TOLERANCE = 1e-6
# The reference takes recordings that end up to a second before their last event does.
_LATE_S = 1.0


@dataclasses.dataclass(frozen=True)
class Cut:
    """A window to be: sample ``first`` of a gap-free stretch, and the event it shows."""

    stretch: int
    first: int
    event: Event


class EventCorpus(Corpus):
    """A corpus whose recordings have files of events beside them.

    Attributes:
      classes: the labels, and the number of each.
      suffix: of the files of events.
      joins_windows: whether windows of one label, each beginning where the one before ends, are
        stored as one piece: fewer records, the same windows.
    """

    classes: ClassVar[Mapping[str, int]] = {}
    suffix: ClassVar[str] = ""
    joins_windows: ClassVar[bool] = False
    counted_label = "event"
    whole_recordings = True

    def read_events(self, path: pathlib.Path) -> EventFile:
        """Reads one file of events.

        Raises:
          EventsError: it cannot be read.
        """
        raise NotImplementedError

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """First samples of an event's windows.

        Args:
          begin: the event's first sample, counted in the stretch; negative if before it.
          end: the sample at which it ends, which may be after the stretch.
          n: samples of the stretch, at least a window's.
          spec: of the signal.
        """
        raise NotImplementedError

    def with_events(self, source: Source) -> Source | None:
        """The source with its events; None, and listed, if they are missing or not readable."""
        path = find_sibling(source.path, self.suffix)
        if path is None:
            detail = f"no {source.path.stem}{self.suffix}"
            return self.leave_out(source.file, "events_missing", detail)
        try:
            read = self.read_events(path)
        except EventsError as error:
            return self.leave_out(source.file, "events_unreadable", str(error))
        for why, count in sorted(read.odd.items()):
            detail = f"{count} rows with {why}"
            self.findings.append(finding(source.file, "events_not_understood", detail))
        stated = {} if read.duration_s is None else {"stated_s": read.duration_s}
        return source.replace(extra=source.extra | stated | {"events": to_json(read.events)})

    def pieces(self, source: Source, spec: SignalSpec, options: "PrepOptions"):
        """One piece a window, or a run of them; a source without events whole.

        See :meth:`Corpus.pieces`.
        """
        whole, judgement = super().pieces(source, spec, options)
        if not judgement.usable or "events" not in source.extra:
            return whole, judgement
        # The lengths that came out, not those that were expected.
        judgement.stretches = tuple((p.start_s, p.signal.shape[1]) for p in whole)
        windows = []
        for cut, n in self._runs(self._settle(source, spec, judgement), spec):
            piece, stop = whole[cut.stretch], cut.first + n
            windows.append(
                dataclasses.replace(
                    piece,
                    signal=piece.signal[:, cut.first : stop],
                    start_s=piece.start_s + cut.first / spec.sfreq_hz,
                    labels=piece.labels | self.labels_of(cut.event),
                )
            )
        return windows, judgement

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions"):
        """The judgement of :meth:`pieces`."""
        judgement = super().judge(source, spec, options)
        if judgement.usable and "events" in source.extra:
            self._settle(source, spec, judgement)
        return judgement

    def notes(self, source: Source) -> list[str]:
        """How many events of which label the file lists."""
        if "events" not in source.extra:
            return super().notes(source)
        labels = Counter(event.label for event in from_json(source.extra["events"]))
        return [f"events: {say_counts(labels)}"]

    def labels_of(self, event: Event) -> dict[str, Any]:
        """What a window of the event is labelled."""
        return {"event": event.label, "event_class": self.classes[event.label]}

    def _runs(self, cuts: Sequence[Cut], spec: SignalSpec) -> list[tuple[Cut, int]]:
        """The first cut of each piece, and the samples of the piece."""
        length, runs = spec.window_samples, []
        for cut in cuts:
            before, n = runs[-1] if runs else (None, 0)
            follows = before is not None and (before.stretch, before.first + n) == (
                cut.stretch, cut.first
            )  # fmt: skip
            if self.joins_windows and follows and before.event.label == cut.event.label:
                runs[-1] = (before, n + length)
            else:
                runs.append((cut, length))
        return runs

    def _settle(self, source: Source, spec: SignalSpec, judgement: "Judgement") -> list[Cut]:
        """The cuts; writes what became of the events into the judgement."""
        events = from_json(source.extra["events"])
        cuts = cut_windows(events, judgement.stretches, spec, self.firsts)
        judgement.windows = dict(sorted(Counter(cut.event.label for cut in cuts).items()))
        judgement.defects += _defects(source, events, cuts, judgement.duration_s or 0.0)
        if not cuts:
            verdict = judgement.defects[-1]
            judgement.usable, judgement.skipped = False, f"{verdict.kind}: {verdict.detail}"
        return cuts


def _defects(
    source: Source, events: Sequence[Event], cuts: Sequence[Cut], duration_s: float
) -> list["Defect"]:
    """What is odd about the events of a recording; the verdict last, if no window is left."""
    from elm_jax.signals.defects import Defect

    defects, shown = [], {cut.event for cut in cuts}
    lost = [event for event in events if event not in shown]
    late = [event for event in events if event in shown and event.stop_s > duration_s + _LATE_S]
    for kind, some in (("event_lost", lost), ("event_cut", late)):
        if some:
            times = {"start_s": some[0].start_s, "stop_s": some[0].stop_s}
            detail = f"{say_counts(Counter(event.label for event in some))}; this is the first"
            defects.append(Defect(source.file, kind, detail, **times))
    stated_s = source.extra.get("stated_s", duration_s)
    if abs(stated_s - duration_s) > _LATE_S:
        detail = f"stated {stated_s:g} s, found {duration_s:g} s"
        defects.append(Defect(source.file, "events_other_length", detail))
    if not cuts:
        detail = f"none of {len(events)} events is left"
        defects.append(Defect(source.file, "no_events", detail))
    return defects


def cut_windows(
    events: Sequence[Event],
    stretches: Sequence[tuple[float, int]],
    spec: SignalSpec,
    firsts: Callable[[int, int, int, SignalSpec], list[int]],
) -> list[Cut]:
    """The windows of events, in order of time.

    Args:
      events: what is labelled.
      stretches: (start_s, samples) of the gap-free parts of the recording.
      spec: of the signal.
      firsts: as :meth:`EventCorpus.firsts`.
    """
    cuts = []
    for k, (start_s, n) in enumerate(stretches):
        if n < spec.window_samples:
            continue
        for event in events:
            begin, end = (
                math.ceil((t - start_s) * spec.sfreq_hz - _SAMPLE_TOLERANCE)
                for t in (event.start_s, event.stop_s)
            )
            cuts += [Cut(k, first, event) for first in firsts(begin, end, n, spec)]
    return sorted(cuts, key=lambda cut: (cut.stretch, cut.first, cut.event))


def say_counts(counts: Mapping[str, int]) -> str:
    """``{"bckg": 3, "seiz": 1}`` -> "3 bckg, 1 seiz"."""
    return ", ".join(f"{n} {label}" for label, n in sorted(counts.items())) or "none"
