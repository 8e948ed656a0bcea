"""Any data set that ``moabb`` reads: imagery, evoked potentials, visual evoked potentials.

``--moabb_set BNCI2014_001`` names the class of ``moabb.datasets``; ``--input`` is the folder that
``moabb`` keeps its downloads in (its ``MNE_DATA``, such as ``~/mne_data``). **What is not there,**
``moabb`` **downloads into it.** ``moabb`` is an extra: ``pip install 'elm_jax[moabb]'``.

A person is a recording, whose sessions and runs are gap-free stretches. ``--cut recordings``
(default) takes them whole; ``--cut events`` cuts a window from the begin of the interval that the
data set states for its events, labelled ``event``. ``--event_labels left_hand,right_hand`` chooses
among them and orders their classes.

People are those of our own corpora where these read the same data: a person of ``BNCI2014_001`` is
one of ``bcic2a``, so that leakage between the two is seen; and those of one study where ``moabb``
has it as several sets (``Lee2019_MI``, ``Lee2019_ERP``, ``Lee2019_SSVEP``).
"""

import argparse
import contextlib
import functools
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from data_prep.corpora.arrays import ArrayCorpus, bad_array
from data_prep.corpora.base import CorpusError, Source
from data_prep.corpora.event_files import Event, to_json
from data_prep.corpora.events import EventCorpus
from elm_jax.data.spec import SignalSpec

if TYPE_CHECKING:
    from elm_jax.signals.pipeline import PrepOptions
    from elm_jax.signals.recording import Recording

# Class of moabb.datasets -> institution and form of a person's id in the corpus of ours.
_SAME_PEOPLE = MappingProxyType(
    {
        "BNCI2014_001": ("bcic2a", "A{:02d}"),
        "BNCI2014_004": ("bcic2b", "B{:02d}"),
        "PhysionetMI": ("eegmmidb", "S{:03d}"),
        "Schirrmeister2017": ("hgd", "{}"),
        "Wang2016": ("tsu_ssvep", "{}"),
    }
)
# Studies of which moabb has each paradigm, or part, as a set of its own: a number is one person in
# all of them.
_STUDIES = ("Dreyer2023", "ErpCore2021", "GuttmannFlury2025", "Lee2019", "Shin2017")


class Subject(NamedTuple):
    """What ``moabb`` has of one person."""

    recording: "Recording"
    events: tuple[Event, ...]


class MoabbSets(EventCorpus, ArrayCorpus):
    """People of one data set; no published split."""

    name = "moabb"
    institution = "moabb"
    published = MappingProxyType({"signal": "eegpt"})

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the people that the data set has; nothing of theirs is read.

        Raises:
          CorpusError: no such data set, or no such event in it.
        """
        dataset = open_set(args.moabb_set)
        labels = args.event_labels or {name: name for name in dataset.event_id}
        if unknown := [name for name in labels if name not in dataset.event_id]:
            raise CorpusError(
                f"--event_labels {unknown[0]}: {args.moabb_set} has the events "
                f"{', '.join(dataset.event_id)}"
            )
        self.counted_label = "event" if args.cut == "events" else ""
        classes = dict.fromkeys(labels.values())
        self.classes = {label: n for n, label in enumerate(classes)}  # type: ignore[misc]
        folder = pathlib.Path(args.input).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        institution, form = _whose(args.moabb_set, dataset.code)
        cut = {"event_labels": dict(labels)} if args.cut == "events" else {}
        return [
            Source(
                recording=f"{args.moabb_set}_{subject}",
                person=f"{args.institution or institution}:{form.format(subject)}",
                path=folder,
                file=f"{args.moabb_set}/{subject}",
                kind="moabb",
                extra={"set": args.moabb_set, "subject": subject, "classes": self.classes} | cut,
            )
            for subject in dataset.subject_list
        ]

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Which data set, and how it is cut."""
        labels = {"event_labels": args.event_labels} if args.event_labels else {}
        return {"moabb_set": args.moabb_set, "cut": args.cut} | labels

    def channel_names(self, source: Source) -> tuple[str, ...]:
        """Those of the person, who is read for it."""
        recording = self.read(source)
        return (*recording.found, *recording.unknown)

    def read(self, source: Source) -> "Recording":
        """All runs of the person, one after another."""
        return self._subject(source).recording

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """One window from the begin of the event's interval."""
        return [begin] if 0 <= begin <= n - spec.window_samples else []

    def pieces(self, source: Source, spec: SignalSpec, options: "PrepOptions"):
        """One piece a window, or the runs whole; see :meth:`Corpus.pieces`."""
        if "event_labels" not in source.extra:
            return super(EventCorpus, self).pieces(source, spec, options)
        return super().pieces(self._with_events(source), spec, options)

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions"):
        """The judgement of :meth:`pieces`."""
        if "event_labels" not in source.extra:
            return super(EventCorpus, self).judge(source, spec, options)
        return super().judge(self._with_events(source), spec, options)

    def notes(self, source: Source) -> list[str]:
        """Nothing is known before a person is read."""
        return []

    def _with_events(self, source: Source) -> Source:
        from elm_jax.signals.defects import UnusableRecording

        labels = source.extra["event_labels"]
        try:
            found = self._subject(source).events
        except UnusableRecording:
            found = ()  # reading says so once more
        events = [Event(e.start_s, e.stop_s, labels[e.label]) for e in found if e.label in labels]
        return source.replace(extra=source.extra | {"events": to_json(events)})

    def _subject(self, source: Source) -> Subject:
        rename = tuple(sorted((self.rename or {}).items()))
        extra = source.extra
        return _load(extra["set"], extra["subject"], os.fspath(source.path), source.file, rename)


def _whose(name: str, code: str) -> tuple[str, str]:
    """Institution of a set's people, and the form of their ids."""
    study = next((study for study in _STUDIES if name.startswith(study)), code)
    return _SAME_PEOPLE.get(name, (f"moabb_{study}", "{}"))


def open_set(name: str | None) -> Any:
    """An object of a class of ``moabb.datasets``.

    Raises:
      CorpusError: ``moabb`` is not installed, or has no such data set.
    """
    if not name:
        raise CorpusError("moabb: say which data set by --moabb_set, such as BNCI2014_001")
    try:
        import moabb.datasets as sets
        from moabb.datasets.base import BaseDataset
    except ImportError as error:
        raise CorpusError(
            f"--moabb_set {name}: moabb is not installed; pip install 'elm_jax[moabb]'"
        ) from error
    found = getattr(sets, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseDataset)):
        import difflib

        known = [k for k, v in vars(sets).items() if isinstance(v, type)]
        near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "BNCI2014_001"
        raise CorpusError(f"--moabb_set {name}: moabb has no such data set; such as {near}")
    return found()


@functools.lru_cache(maxsize=1)
def _load(
    name: str, subject: Any, folder: str, file: str, rename: tuple[tuple[str, str | None], ...]
) -> Subject:
    """Reads one person; the last one is kept, as judging and reading follow one another.

    Raises:
      UnusableRecording: ``moabb`` could not load it, or runs differ in channels or rate.
    """
    import mne

    from elm_jax.signals.recording import from_arrays

    dataset = open_set(name)
    try:
        # Of get_data this is what reads: the rest asks another server first, files or not.
        with _looking_in(folder), warnings.catch_warnings(), mne.use_log_level("ERROR"):
            warnings.simplefilter("ignore")
            sessions = dataset._get_single_subject_data(subject)
    except Exception as error:  # of any of a hundred readers, or of the network
        detail = f"moabb could not load it ({type(error).__name__})"
        raise bad_array(file, detail) from error
    trials, labels, events, at_s, first = [], [], [], 0.0, None
    for session, runs in sessions.items():
        for run, raw in runs.items():
            kinds = zip(raw.ch_names, raw.get_channel_types(), strict=True)
            eeg = [label for label, kind in kinds if kind == "eeg"]
            found = (eeg, float(raw.info["sfreq"]))
            first = first or found
            if found != first:
                raise bad_array(file, f"run {run} of session {session} has other channels or rate")
            x = raw.get_data(picks=eeg)
            events += [
                Event(at_s + t + dataset.interval[0], at_s + t + dataset.interval[1], label)
                for t, label in _marked(raw, dataset.event_id)
            ]
            trials.append(x)
            labels.append({"session": str(session), "run": str(run)})
            at_s += x.shape[1] / found[1]
    if first is None:
        raise bad_array(file, "moabb has no run of it")
    recording = from_arrays(
        trials, *first, "V", labels=labels, rename=dict(rename) or None, file=file
    )
    return Subject(recording, tuple(sorted(events)))


@contextlib.contextmanager
def _looking_in(folder: str) -> Iterator[None]:
    """Has ``moabb`` look for its downloads in a folder, and keep new ones there."""
    before = os.environ.get("MNE_DATA")
    os.environ["MNE_DATA"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["MNE_DATA"]
        else:
            os.environ["MNE_DATA"] = before


def _marked(raw: Any, event_id: dict[str, int]) -> Iterator[tuple[float, str]]:
    """(seconds from the run's begin, name) of its events, out of triggers or annotations."""
    import mne

    sfreq_hz = raw.info["sfreq"]
    if len(mne.pick_types(raw.info, meg=False, stim=True)):
        found = mne.find_events(raw, shortest_event=0, verbose="ERROR")
        names = {number: name for name, number in event_id.items()}
        for sample, _, number in found:
            if int(number) in names:
                yield (int(sample) - raw.first_samp) / sfreq_hz, names[int(number)]
        return
    for onset_s, text in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        if text in event_id:
            yield float(onset_s) - raw.first_time, str(text)
