"""What a corpus is: a list of sources, and how one source becomes pieces of signal.

A new corpus is one module here with one subclass of :class:`Corpus`, and one line in
``data_prep/corpora/__init__.py``. It says which recordings there are, whose they are and what the
publisher says about them (reports, labels, official split); everything else, from filters to
shards, exists once.
"""

import argparse
import dataclasses
import os
import pathlib
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from etils import epath

from data_prep.findings import finding
from data_prep.places import input_path
from elm_jax.data.label_values import in_words
from elm_jax.data.moments import moments_of
from elm_jax.data.spec import SignalSpec
from elm_jax.paths import is_remote

if TYPE_CHECKING:
    from elm_jax.signals.pipeline import Judgement, Mend, Piece, PrepOptions

SPLITS = ("train", "valid", "test")


class CorpusError(ValueError):
    """An input folder that is not what its corpus needs; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One recording of a corpus, before any signal is read.

    Attributes:
      recording: name of the recording, unique in the corpus; bags are recordings.
      person: ``institution:id``. The same id at the same institution is the same person in every
        corpus; equal ids at two institutions are two people.
      path: the file to read.
      file: ``path`` relative to the input folder, with forward slashes: what reports and logs say.
      reports: texts that belong to the recording.
      labels: JSON-ready values by name.
      split: "train", "valid" or "test" where the publisher fixed it; None lets the seed decide.
      kind: how ``path`` is read: "edf", "hdf5", ...
      extra: JSON-ready values that the corpus's own ``pieces`` needs (rows of a file, a unit).
        They are part of the key under which finished work is found again.
    """

    recording: str
    person: str
    path: pathlib.Path
    file: str
    reports: tuple[str, ...] = ()
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    split: str | None = None
    kind: str = "edf"
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        institution, colon, person = self.person.partition(":")
        if not (institution and colon and person):
            raise CorpusError(
                f"{self.file}: person is {self.person!r}; expected 'institution:id', such as "
                "'tuh:aaaaaaaa'"
            )
        if self.split is not None and self.split not in SPLITS:
            raise CorpusError(f"{self.file}: split is {self.split!r}; expected one of {SPLITS}")

    def replace(self, **changes: Any) -> "Source":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for a process with another working folder."""
        path = self.path if is_remote(self.path) else self.path.absolute()
        return dataclasses.asdict(self) | {"path": os.fspath(path)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Source":
        """Reads :meth:`to_dict` back, also after JSON."""
        changes = {"path": input_path(values["path"]), "reports": tuple(values["reports"])}
        return cls(**values | changes)


class Corpus:
    """A kind of input folder. Subclasses give ``name`` and ``sources``; the rest has defaults.

    An instance is pickled to worker processes, so it holds plain values only.

    Attributes:
      name: its word on the command line and in the manifest.
      modality: of its signals, as ``SignalSpec`` has it: "eeg" or "ecg".
      simulated: True for generated signals; stored with the shards and shown wherever they are.
      makes_input: True for corpora that write their files where ``--input`` does not say where.
      institution: whose people these are unless ``--institution`` says otherwise. Ids are unique
        within an institution only.
      recording_is_person: True where the publisher says that each recording is of another person;
        else recordings that are people of their own are warned of.
      settles_splits: True if people in several published splits are kept in the one that is
        evaluated on (``data_prep.split.settle_splits``); False makes them an error.
      whole_recordings: True for recordings that are prepared whole, however short or long, as ELM
        does for evaluations; False cuts and skips as pretraining does. Options given say otherwise.
      counted_label: the label whose values the summary counts; "" for none.
      example: a path of a published layout, for messages.
      file_suffixes: of the files that are recordings, in small letters.
      published: option of the command line -> what it is for this corpus where it is not given:
        the signal and window that it is published or benchmarked with.
      rename: electrode names of the files -> names the montage knows (``--rename``).
      findings: what ``sources`` noticed and left out, as :func:`data_prep.findings.finding` dicts.
    """

    name: str = ""
    modality: str = "eeg"
    simulated: bool = False
    makes_input: bool = False
    institution: str = "local"
    recording_is_person: bool = False
    settles_splits: bool = False
    whole_recordings: bool = False
    counted_label: str = ""
    example: str = ""
    file_suffixes: tuple[str, ...] = (".edf",)
    published: Mapping[str, Any] = types.MappingProxyType({})

    def __init__(self, *, rename: Mapping[str, str] | None = None):
        self.rename = dict(rename) if rename else None
        self.findings: list[dict[str, Any]] = []

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings under ``args.input``; reads names and tables, no signal.

        Raises:
          CorpusError: the folder is missing or holds nothing of this corpus.
        """
        raise NotImplementedError

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Options of this corpus alone, JSON-ready, for the manifest."""
        return {}

    def notes(self, source: Source) -> list[str]:
        """What ``--dry_run`` says of a source beyond its judgement, one line each."""
        name = self.counted_label
        return [f"{name}: {in_words(source.labels[name])}"] if name in source.labels else []

    def collect(
        self, args: argparse.Namespace, source_of: Callable[[pathlib.Path, str], Source | None]
    ) -> list[Source]:
        """The sources of the files (``file_suffixes``) of a published layout.

        Args:
          args: whose ``input`` is looked through.
          source_of: gets a file and its name as reports and logs say it; None leaves it out.

        Raises:
          CorpusError: there is none; the message says what was looked for and what was left out.
        """
        folder, found = input_path(args.input), []
        for path in find_files(folder, self.file_suffixes):
            source = source_of(path, path.relative_to(folder).as_posix())
            if source is not None:
                found.append(source)
        if found:
            return found
        kinds = Counter(item["kind"] for item in self.findings)
        if kinds and "not_in_layout" not in kinds:
            what = f"no recording of {self.name} can be used"
        else:
            what = f"no recording lies in the layout of {self.name}, such as {self.example}"
            if ".edf" in self.file_suffixes:
                what += "; for other folders use edf_folder"
        if kinds:
            listing = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
            what += f". Left out: {listing}, such as{self.say_findings()}"
        raise CorpusError(f"--input {folder}: {what}")

    def say_findings(self, most: int = 3) -> str:
        """The first of what was left out, a line each, for a message."""
        some = self.findings[:most]
        return "".join(f"\n  {f['file']}: {f['kind']}: {f['detail']}" for f in some)

    def leave_out(self, file: str, kind: str, detail: str) -> None:
        """Lists a file that gives no source."""
        self.findings.append(finding(file, kind, detail))

    def mend(self, source: Source) -> "Mend | None":
        """What corrects a source's recording once it is read; None where nothing is wrong."""
        return None

    def spec(self, spec: SignalSpec, args: argparse.Namespace) -> SignalSpec:
        """The signal description to store; a corpus of ready-made signals may have to change it."""
        return spec

    def channel_names(self, source: Source) -> tuple[str, ...]:
        """What a source has, without reading its signal: canonical names where there are such.

        Asked where ``--channels dictionary`` has to know; labels that are no electrodes (an ECG)
        belong to it, they are listed as left out.

        Raises:
          UnusableRecording: the file can not be read.
        """
        from elm_jax.signals.recording import channel_names

        return channel_names(source.path, rename=self.rename, file=source.file)

    def pieces(
        self, source: Source, spec: SignalSpec, options: "PrepOptions"
    ) -> tuple[list["Piece"], "Judgement"]:
        """Reads one source in a worker process.

        A source that cannot be used gives no pieces and a judgement that says why; only a mistake
        in the program raises.
        """
        from elm_jax.signals.pipeline import prepare_file

        more = {"rename": self.rename, "file": source.file, "mend": self.mend(source)}
        pieces, judgement = prepare_file(source.path, spec, options, **more)
        judgement.moments = moments_of([piece.signal for piece in pieces])
        return pieces, judgement

    def judge(self, source: Source, spec: SignalSpec, options: "PrepOptions") -> "Judgement":
        """The judgement of :meth:`pieces` without its work, for ``--dry_run``."""
        from elm_jax.signals.pipeline import judge_file

        more = {"rename": self.rename, "file": source.file, "mend": self.mend(source)}
        return judge_file(source.path, spec, options, **more)


def find_files(folder: pathlib.Path | str, suffixes: tuple[str, ...]) -> list[pathlib.Path]:
    """The files of :func:`walk_files`, which must be there.

    Raises:
      CorpusError: no such folder, or no such file in it.
    """
    folder = input_path(folder)
    if folder.is_file():
        raise CorpusError(f"--input {folder}: expected a folder, found a file; give its folder")
    if not folder.is_dir():
        raise CorpusError(f"--input {folder}: no such folder")
    found = walk_files(folder, suffixes)
    if not found:
        raise CorpusError(f"--input {folder}: holds no {' or '.join(suffixes)} file at any depth")
    return found


def walk_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> list[pathlib.Path]:
    """Every file below ``folder`` with one of the suffixes (any case), sorted by relative path.

    Follows links to folders, each folder once. Hidden files and folders are left out, and so are
    the lock files (``~$name``) of documents that are open somewhere.
    """
    if is_remote(folder):
        found = [p for p in _remote_files(folder) if p.name.lower().endswith(suffixes)]
        return sorted(found, key=lambda p: p.relative_to(folder).as_posix())
    found, seen = [], set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [
            pathlib.Path(here, f)
            for f in files
            if f.lower().endswith(suffixes) and not f.startswith((".", "~$"))
        ]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())


def _remote_files(folder: epath.Path) -> Iterator[epath.Path]:
    """What is below a remote folder; a few listings of everything, not a request for each file."""
    pattern = "*"
    while found := list(folder.glob(pattern)):
        for path in found:
            if not any(part.startswith((".", "~$")) for part in path.relative_to(folder).parts):
                yield path
        pattern += "/*"
