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

A folder without ``participants.tsv``, or with a broken table, is prepared as far as it is whole,
and says what is missing.
"""

import argparse
import hashlib
import pathlib
import re
import warnings
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import ArrayCorpus, bad_array
from data_prep.corpora.base import CorpusError, Source, find_files
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
    from mne_bids import BIDSPath

    from elm_jax.signals.recording import Recording

SUFFIXES = (".edf", ".bdf", ".vhdr", ".set", ".fif")
# What holds the samples of a file that is a header.
_COMPANIONS = {".vhdr": (".eeg", ".vmrk"), ".set": (".fdt",)}
_NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")
_ENTITIES = ("session", "task", "acquisition", "run")
_MOST_KINDS = 50
_TABLE_NAME = re.compile(r"[\w.-]+\.(?:tsv|json)\b")


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
        for path in _recordings(folder, args):
            entities = dict(part.split("-", 1) for part in path.stem.split("_") if "-" in part)
            person = f"sub-{entities['sub']}"
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
        raw = _read(source, preload=False)
        kinds = zip(raw.ch_names, raw.get_channel_types(), strict=True)
        return [name for name, kind in kinds if kind == "eeg"]

    def read(self, source: Source) -> "Recording":
        """The recording as ``mne-bids`` reads it, with what its tables mark as bad left out."""
        from elm_jax.signals.recording import from_mne

        return from_mne(_read(source, preload=True), rename=self.meant, file=source.file)

    def annotations(self, source: Source) -> list[tuple[float, float, str]]:
        """Onset, duration and kind of each event; none where there is no table."""
        path = _sidecar(_bids_path(source.path), "events", ".tsv")
        return [] if path is None else read_events(path)

    def _participants(self, folder: pathlib.Path) -> Participants:
        path = folder / "participants.tsv"
        if not path.is_file():
            self.findings.append(
                finding(path.name, "sidecar_missing", "nobody's age or sex is known")
            )
            return Participants({})
        try:
            return Participants.read(path)
        except SidecarError as error:
            detail = f"{error}: nobody's age or sex is known"
            self.findings.append(finding(path.name, "sidecar_unreadable", detail))
            return Participants({})

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
        bids_path = _bids_path(path)
        stated = {name: getattr(bids_path, name) for name in _ENTITIES}
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
        bids_path, beside = _bids_path(source.path), {}
        for suffix, extension in (("channels", ".tsv"), ("eeg", ".json")):
            path = _sidecar(bids_path, suffix, extension)
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
        """Every kind of event is its own label; in order of their names."""
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
        return {kind: kind for kind in sorted(kinds)}


# Option of the command line -> what it is called in names of files.
_CHOICES = MappingProxyType({"bids_sessions": "ses", "bids_tasks": "task", "bids_runs": "run"})


def _require_mne_bids() -> None:
    try:
        import mne_bids  # noqa: F401
    except ImportError as error:
        raise CorpusError("bids: mne-bids is not installed; pip install 'elm_jax[bids]'") from error


def _recordings(folder: pathlib.Path, args: argparse.Namespace) -> list[pathlib.Path]:
    """Raw recordings that are wanted, by name.

    Raises:
      CorpusError: the folder holds none.
    """
    from mne_bids import find_matching_paths

    find_files(folder, SUFFIXES)  # which says whether there is such a folder and file at all
    found = find_matching_paths(folder, suffixes="eeg", datatypes="eeg", check=False)
    paths = sorted({pathlib.Path(path.fpath) for path in found})
    wanted = {of: set(getattr(args, name)) for name, of in _CHOICES.items()}
    result, seen = [], Counter()
    for path in paths:
        if path.suffix.lower() not in SUFFIXES or path.relative_to(folder).parts[0] in _NOT_RAW:
            continue
        parts = dict(part.split("-", 1) for part in path.stem.split("_") if "-" in part)
        if parts.get("split", "01").lstrip("0") != "1":
            continue  # read with the first part
        seen["recordings"] += 1
        if all(not some or parts.get(of) in some for of, some in wanted.items()):
            result.append(path)
    if not result:
        asked = [f"--{n} {','.join(getattr(args, n))}" for n in _CHOICES if getattr(args, n)]
        what = f"{seen['recordings']} recordings, none of {' '.join(asked)}" if asked else (
            "no recording lies in the layout of BIDS, such as sub-01/eeg/sub-01_task-rest_eeg.edf; "
            "for other folders use edf_folder"
        )  # fmt: skip
        raise CorpusError(f"--input {folder}: {what}")
    return result


def _none_left(args: argparse.Namespace, corpus: Bids) -> str:
    return f"--input {args.input}: no recording can be used:{corpus.say_findings()}"


def _bids_path(path: pathlib.Path) -> "BIDSPath":
    from mne_bids import get_bids_path_from_fname

    return get_bids_path_from_fname(path, check=False)


def _sidecar(path: "BIDSPath", suffix: str, extension: str) -> pathlib.Path | None:
    """A table or description of a recording, its own or one that several share."""
    own = path.fpath.with_name(
        f"{path.fpath.stem.removesuffix(f'_{path.suffix}')}_{suffix}{extension}"
    )
    # What lies beside it is the nearest; looking for shared ones goes through the whole folder.
    return (
        own
        if own.is_file()
        else path.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")
    )


def _read(source: Source, *, preload: bool) -> Any:
    """What ``mne-bids`` reads.

    Raises:
      UnusableRecording: it could not; names the tables that it named.
    """
    import mne
    from mne_bids import read_raw_bids

    try:
        with warnings.catch_warnings(), mne.use_log_level("ERROR"):
            # What matters of them is checked while listing, and said there.
            warnings.simplefilter("ignore")
            raw = read_raw_bids(_bids_path(source.path), verbose="ERROR")
            bad, raw.info["bads"] = raw.info["bads"], []
            if bad and not source.extra["keep_bad"]:
                raw.drop_channels(bad)
            return raw.load_data(verbose="ERROR") if preload else raw
    except Exception as error:  # of any of its readers
        named = ", ".join(dict.fromkeys(_TABLE_NAME.findall(str(error))))
        what = f" ({type(error).__name__}{f', about {named}' if named else ''})"
        raise bad_array(source.file, f"mne-bids could not read it{what}") from error
