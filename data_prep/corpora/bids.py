"""Any BIDS folder of EEG: EDF, BDF, BrainVision, EEGLAB and FIF files, by ``mne-bids``.

    participants.tsv                                    age, sex, ...: labels of a recording
    sub-01/[ses-1/]eeg/sub-01[_ses-1]_task-rest_eeg.edf
    sub-01/[ses-1/]eeg/sub-01[_ses-1]_task-rest_events.tsv     labels of windows
    sub-01/[ses-1/]eeg/sub-01[_ses-1]_task-rest_channels.tsv   types; those marked as bad

``mne-bids`` is an extra: ``pip install 'elm_jax[bids]'``. A participant is a person; the name of
the data set goes before the id, since every set has a sub-01. Columns of ``participants.tsv`` are
labels of a recording, and so are session, task, acquisition and run. ``--bids_tasks``,
``--bids_sessions`` and ``--bids_runs`` choose; ``derivatives`` and ``sourcedata`` are not read.
Channels that are marked as bad are left out of their recording, which may then be of another set of
electrodes, unless ``--bids_keep_bad`` is given; they are listed either way.

``--cut events`` (default) cuts windows from the begin of each event (``trial_type``), one after the
other while they end within its duration, at least one. ``--event_labels go=1,stop=2`` chooses among
the kinds, names them and orders their classes. A recording without such events is kept whole, and
listed; ``--cut recordings`` takes all of them whole.

A folder without ``participants.tsv`` is prepared without what it would say; a recording beside
which a table is broken is left out; both are listed. A broken ``participants.tsv`` is an error.
"""

import argparse
import hashlib
import pathlib
from collections import Counter
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import ArrayCorpus
from data_prep.corpora.base import CorpusError, Source, find_files
from data_prep.corpora.bids_files import bids_path, find_sidecar, name_parts, read_raw, reading
from data_prep.corpora.bids_tables import (
    Participants,
    SidecarError,
    bad_channels,
    institution_of,
    read_description,
    read_events,
)
from data_prep.corpora.edf_events import AnnotatedEdf
from data_prep.findings import finding
from data_prep.places import input_path

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

SUFFIXES = (".edf", ".bdf", ".vhdr", ".set", ".fif")
# What holds the samples of a file that is a header.
_COMPANIONS = {".vhdr": (".eeg", ".vmrk"), ".set": (".fdt",)}
_NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")
_ENTITIES = ("session", "task", "acquisition", "run")
_MOST_KINDS = 50
# What begins so marks stretches that mne leaves out.
_NOT_USED = ("bad", "edge")


class Bids(AnnotatedEdf, ArrayCorpus):
    """Recordings of the datatype ``eeg``; no published split."""

    name = "bids"
    institution = "bids_<name of the data set>"
    published = MappingProxyType({"signal": "eegpt"})

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings that are wanted, with their events and what is known of people.

        Raises:
          CorpusError: ``mne-bids`` is not installed, the folder holds no such recording, or no
            event is what was asked for.
        """
        _require_mne_bids()
        folder = input_path(args.input)
        participants = self._participants(folder)
        institution = args.institution or self._institution(folder)
        found = []
        for path, parts in self._recordings(folder, args):
            person = f"sub-{parts['sub']}"
            source = Source(
                recording=path.stem.removesuffix("_eeg"),
                person=f"{institution}:{person}",
                path=path,
                file=path.relative_to(folder).as_posix(),
                labels=self._labels(path, person, participants),
                kind="bids",
            )
            if (kept := self._with_sidecars(source, args.bids_keep_bad)) is not None:
                found.append(kept)
        if not found:
            raise CorpusError(_none_left(args, self))
        self._list_unknown_people(found, participants)
        return self._with_events(found, args) if args.cut == "events" else found

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """How recordings are cut, and which were asked for."""
        stated: dict[str, Any] = {"cut": args.cut}
        if args.cut == "events":
            stated |= {
                "event_labels": dict(self.label_of), "event_offset_s": args.event_offset_s
            }  # fmt: skip
        asked = {name: getattr(args, name) for name in _CHOICES}
        keep = {"bids_keep_bad": True} if args.bids_keep_bad else {}
        return stated | keep | {name: list(values) for name, values in asked.items() if values}

    def row_labels(self, source: Source) -> list[str]:
        """Names of the EEG channels that are used; no signal is read."""
        raw = read_raw(source)
        kinds = zip(raw.ch_names, raw.get_channel_types(), strict=True)
        return [name for name, kind in kinds if kind == "eeg"]

    def read(self, source: Source) -> "Recording":
        """The recording as ``mne-bids`` reads it, with what its tables mark as bad left out."""
        from elm_jax.signals.recording import from_mne

        raw = read_raw(source)
        with reading(source):
            return from_mne(raw, rename=self.meant, file=source.file)

    def annotations(self, source: Source) -> list[tuple[float, float, str]]:
        """Onset, duration and kind of each event; none where there is no table."""
        path = find_sidecar(bids_path(source.path), "events", ".tsv")
        return [] if path is None else read_events(path)

    def _recordings(
        self, folder: pathlib.Path, args: argparse.Namespace
    ) -> Iterator[tuple[pathlib.Path, dict[str, str]]]:
        """Raw recordings that are wanted, by path, and the parts of their names.

        Raises:
          CorpusError: no such folder, or no file in it could be a recording.
        """
        wanted = {of: set(getattr(args, name)) for name, of in _CHOICES.items()}
        for path in find_files(folder, SUFFIXES):
            file = path.relative_to(folder)
            if file.parts[0] in _NOT_RAW or not path.stem.endswith("_eeg"):
                continue
            parts = name_parts(path)
            place = [f"{of}-{parts[of]}" for of in ("sub", "ses") if of in parts]
            if parts.get("split", "1").lstrip("0") != "1":
                continue  # read with the first part
            if not parts.get("sub") or file.parent.parts != (*place, "eeg"):
                self.leave_out(file.as_posix(), "not_in_layout", "not in sub-XX/[ses-YY/]eeg")
            elif all(not some or parts.get(of) in some for of, some in wanted.items()):
                yield path, parts

    def _participants(self, folder: pathlib.Path) -> Participants:
        """What is known of people; ``mne-bids`` reads nothing beside a table that is broken."""
        path = folder / "participants.tsv"
        if not path.is_file():
            detail = "nobody's age or sex is known"
            self.findings.append(finding(path.name, "sidecar_missing", detail))
            return Participants({})
        try:
            return Participants.read(path)
        except SidecarError as error:
            raise CorpusError(
                f"--input {folder}: {error}; mend the table, or take it away to prepare the "
                "recordings without what it says of people"
            ) from error

    def _institution(self, folder: pathlib.Path) -> str:
        try:
            return institution_of(folder)
        except SidecarError as error:
            raise CorpusError(
                f"--input {folder}: {error}: the data set's name goes before the ids of its "
                "people; mend the file, or give --institution NAME"
            ) from error

    def _labels(
        self, path: pathlib.Path, person: str, participants: Participants
    ) -> dict[str, Any]:
        of = bids_path(path)
        stated = {name: getattr(of, name) for name in _ENTITIES}
        return participants.rows.get(person, {}) | {k: v for k, v in stated.items() if v}

    def _list_unknown_people(self, sources: list[Source], participants: Participants) -> None:
        people = sorted({source.person.partition(":")[2] for source in sources})
        unknown = [person for person in people if person not in participants.rows]
        if participants.rows and unknown:
            more = ", ..." if len(unknown) > 5 else ""
            detail = f"not in it: {', '.join(unknown[:5])}{more}"
            self.findings.append(finding("participants.tsv", "recording_without_label", detail))

    def _list_bad(self, source: Source, names: list[str], keep_bad: bool) -> None:
        if names:
            what = "used all the same" if keep_bad else "left out (--bids_keep_bad uses them)"
            detail = f"{', '.join(names)}: {what}"
            self.findings.append(finding(source.file, "channels_marked_bad", detail))

    def _with_sidecars(self, source: Source, keep_bad: bool) -> Source | None:
        """The source with digests of what is read beside it; None, and listed, if that is broken.

        ``mne-bids`` would say so, too, but not in which file.
        """
        of, beside = bids_path(source.path), {}
        for suffix, extension in (("channels", ".tsv"), ("eeg", ".json")):
            path = find_sidecar(of, suffix, extension)
            if path is None:
                continue
            try:
                if extension == ".tsv":
                    self._list_bad(source, bad_channels(path), keep_bad)
                elif read_description(path).get("RecordingType") == "epoched":
                    detail = f"{path.name} says epoched: continuous recordings are read"
                    return self.leave_out(source.file, "not_in_layout", detail)
            except SidecarError as error:
                return self.leave_out(source.file, "sidecar_broken", str(error))
            beside[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for extension in _COMPANIONS.get(source.path.suffix.lower(), ()):
            companion = source.path.with_suffix(extension)
            if companion.is_file():
                beside[companion.name] = companion.stat().st_size
        return source.replace(extra={"beside": beside, "keep_bad": keep_bad})

    def _with_events(self, sources: list[Source], args: argparse.Namespace) -> list[Source]:
        """The sources with the events that are wanted, where they have some."""
        asked = args.event_labels or self._all_kinds(sources)
        self.set_labels(asked)
        self.counted_label = "event" if asked else ""
        result, before = [], len(self.findings)
        for source in sources:
            events = self.seen.total()
            labelled = self.with_annotations(source, args.event_offset_s)
            if labelled is None and self.findings[-1]["kind"] != "events_unreadable":
                why = self.findings.pop()["detail"]
                why = why if self.seen.total() > events else "no events.tsv, or an empty one"
                self.findings.append(finding(source.file, "events_unknown", why))
                labelled = source
            if labelled is not None:
                result.append(labelled)
        if not result or (args.event_labels and not self.met):
            kinds = ", ".join(f"{k} ({n})" for k, n in self.seen.most_common(12)) or "none"
            raise CorpusError(
                f"--input {args.input}: no event is one of {', '.join(asked) or 'those named'}; "
                f"found: {kinds}. Name some by --event_labels, or give --cut recordings"
                f"{self.say_findings() if len(self.findings) > before else ''}"
            )
        self.list_unmet("events.tsv")
        self.seen.clear()
        return result

    def _all_kinds(self, sources: list[Source]) -> dict[str, str]:
        """Every kind of event is its own label, but those that mark what is not to be used."""
        from data_prep.corpora.event_files import EventsError

        kinds: Counter[str] = Counter()
        for source in sources:
            try:
                kinds.update(text for *_, text in self.annotations(source))
            except EventsError:
                continue  # listed when the recording's own events are read
        if len(kinds) > _MOST_KINDS:
            most = ", ".join(kind for kind, _ in kinds.most_common(8))
            raise CorpusError(
                f"the events are of {len(kinds)} kinds, such as {most}: say which are labels by "
                "--event_labels, or give --cut recordings"
            )
        return {kind: kind for kind in sorted(kinds) if not kind.lower().startswith(_NOT_USED)}


# Option of the command line -> what it is called in names of files.
_CHOICES = MappingProxyType({"bids_sessions": "ses", "bids_tasks": "task", "bids_runs": "run"})


def _require_mne_bids() -> None:
    try:
        import mne_bids  # noqa: F401
    except ImportError as error:
        raise CorpusError("bids: mne-bids is not installed; pip install 'elm_jax[bids]'") from error


def _none_left(args: argparse.Namespace, corpus: Bids) -> str:
    asked = [f"of --{n} {','.join(getattr(args, n))} " for n in _CHOICES if getattr(args, n)]
    left = corpus.say_findings()
    return (
        f"--input {args.input}: no recording {''.join(asked)}lies in the layout of BIDS and can be "
        "read, such as sub-01/eeg/sub-01_task-rest_eeg.edf; for other folders use edf_folder"
        f"{f'. Noticed:{left}' if left else ''}"
    )
