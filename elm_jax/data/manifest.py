"""What stands beside the shards: the manifest and the list of recordings. Plain JSON, no signal.

A prepared directory holds

    <name>-<split>.array_record-00000-of-00004   the signals, one record a piece
    features.json, dataset_info.json             what TensorFlow Datasets needs to open it
    recordings.jsonl                             one line a recording: person, split, pieces, texts
    manifest.json                                this module's Manifest; written last

so a directory with a manifest is complete, and one without is not.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

from elm_jax import paths
from elm_jax.data.spec import SignalSpec

FORMAT = 1
SPLITS = ("train", "valid", "test")
MANIFEST_FILE = "manifest.json"
RECORDINGS_FILE = "recordings.jsonl"
WORK_DIR = ".work"

# int16 steps per unit: 1/32 uV holds +-1024 uV with an error of at most 0.016 uV; a thousandth of a
# standard deviation holds +-32 of them.
STEPS_PER_UNIT = {"uV": 32, "mV": 3200, "sd": 1000}


class NotPrepared(FileNotFoundError):
    """A directory that is not (yet, or not any more) a prepared corpus."""


class ManifestError(ValueError):
    """A manifest or list of recordings that this version cannot read."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a prepared corpus is and how it was made.

    Attributes:
      spec: the stored signals; ``mean`` and ``std`` are those of the train split, in network
        values (0 and 1 where there is no train split; see ``statistics``).
      corpus: the word of the command line, such as "tueg".
      simulated: True for generated signals.
      people: split -> sorted ids ``institution:id``.
      split_seed: of the assignment of people to splits.
      counts: split or "total" -> {people, recordings, pieces, windows, hours, reports,
        recordings_without_report}; "skipped" -> defect kind -> skipped files; "labels" -> label ->
        split -> value -> {recordings, windows}, where the corpus comes with labels.
      storage: {dtype, steps_per_unit, max_piece_s}: how a signal became integers.
      statistics: {split, samples, mean, std} that the spec's mean and std come from.
      code_version: version, digest of the sources that made the shards, and their libraries.
      options: every option that shaped the shards, JSON-ready.
      inputs_sha256: digest of the names and sizes of the input files and all that was paired
        with them.
      defects: one dict a defect: file, kind, detail, and channel, start_s, stop_s where known;
        count, where one stands for several.
    """

    spec: SignalSpec
    corpus: str
    simulated: bool
    people: Mapping[str, tuple[str, ...]]
    split_seed: int
    counts: Mapping[str, Mapping[str, Any]]
    storage: Mapping[str, Any]
    statistics: Mapping[str, Any]
    code_version: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs_sha256: str = ""
    defects: tuple[Mapping[str, Any], ...] = ()

    @property
    def split_by(self) -> str:
        """What was divided into splits: "person", or "recording".

        By recording a person may be in several splits: scores are then of people who may have been
        trained on, and say nothing about new ones.
        """
        return self.options.get("split_by", "person")

    @property
    def steps_per_unit(self) -> float:
        """int16 steps in one ``spec.unit``."""
        return self.storage["steps_per_unit"]

    def to_json(self) -> str:
        """The text of manifest.json: sorted keys, no time stamp, one defect a line."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        defects = values.pop("defects")
        values["spec"] = self.spec.to_dict()
        values["format"] = FORMAT
        head = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
        lines = ",\n".join(
            "  " + json.dumps(d, sort_keys=True, ensure_ascii=False) for d in defects
        )
        return f'{head[:-2]},\n "defects": [\n{lines}\n ]\n}}\n'

    def save(self, directory: epath.PathLike) -> epath.Path:
        """Writes manifest.json; the caller makes it durable and last."""
        path = paths.of(directory) / MANIFEST_FILE
        path.write_text(self.to_json(), encoding="utf-8")
        return path

    @classmethod
    def load(cls, directory: epath.PathLike) -> "Manifest":
        """Reads a prepared directory's manifest.

        Raises:
          NotPrepared: there is no such directory, or its preparation was not finished.
          ManifestError: written by another format of this project, or damaged.
        """
        path = require_prepared(directory)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ManifestError(f"{path}: not JSON ({error}); prepare the corpus again") from error
        found = values.pop("format", None)
        if found != FORMAT:
            raise ManifestError(
                f"{path}: format is {found}, expected {FORMAT}; prepare the corpus again"
            )
        known = {f.name for f in dataclasses.fields(cls)}
        missing, unknown = known - set(values), set(values) - known
        if missing or unknown:
            raise ManifestError(
                f"{path}: lacks {sorted(missing)}, has unknown {sorted(unknown)}; prepare the "
                "corpus again"
            )
        values["spec"] = SignalSpec.from_dict(values["spec"], source=str(path))
        values["people"] = {k: tuple(v) for k, v in values["people"].items()}
        values["defects"] = tuple(values["defects"])
        return cls(**values)


def require_prepared(directory: epath.PathLike) -> epath.Path:
    """The path of the manifest of a finished directory.

    Raises:
      NotPrepared: says whether the directory is missing, unfinished, or something else.
    """
    directory = paths.of(directory)
    path = directory / MANIFEST_FILE
    with paths.told():
        if path.is_file():
            return path
        there, begun = directory.is_dir(), (directory / WORK_DIR).is_dir()
    command = f"python -m data_prep.prepare CORPUS --input DIR --out {directory}"
    if not there:
        check = f"{paths.LOG_IN}, or " if paths.is_remote(directory) else ""
        raise NotPrepared(
            f"{directory}: no such directory; {check}prepare a corpus first: {command}"
        )
    if begun:
        raise NotPrepared(
            f"{directory}: its preparation was not finished (no {MANIFEST_FILE}); run the same "
            f"command again, it goes on where it stopped: {command}"
        )
    raise NotPrepared(
        f"{directory}: not a prepared corpus (no {MANIFEST_FILE}): preparation was not finished, "
        f"or this is another folder; run: {command}"
    )


@dataclasses.dataclass(frozen=True)
class PieceRow:
    """A stored gap-free stretch.

    Attributes:
      index: its position in its split's data source.
      start_s: where it begins in the recording.
      n_samples: its length.
      labels: JSON-ready values of this stretch alone, such as those of the event that it was cut
        around. They stand before the recording's (see ``elm_jax.data.labels``).
    """

    index: int
    start_s: float
    n_samples: int
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_list(self) -> list[Any]:
        """As recordings.jsonl has it: labels only where there are some."""
        row = [self.index, self.start_s, self.n_samples]
        return [*row, self.labels] if self.labels else row


class Moments(NamedTuple):
    """Mean and standard deviation (of all samples, not n - 1) of each channel, in ``spec.unit``.

    Of all of a recording that was prepared, before windows were cut out of it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, values: Any) -> "Moments | None":
        """Reads two lists of numbers back; None stays None.

        Raises:
          ValueError: they are not of equal length.
        """
        if values is None:
            return None
        mean, std = (tuple(float(v) for v in row) for row in values)
        if len(mean) != len(std):
            raise ValueError(f"moments have {len(mean)} means and {len(std)} deviations")
        return cls(mean, std)


@dataclasses.dataclass(frozen=True)
class RecordingRow:
    """A recording and all that belongs to it, without the signal.

    Attributes:
      recording: unique name.
      person: ``institution:id``.
      split: of which it is.
      pieces: what is stored of it, in order of time.
      reports: texts.
      labels: JSON-ready values.
      moments: of its signals; None in directories that were prepared before these were stored.
    """

    recording: str
    person: str
    split: str
    pieces: tuple[PieceRow, ...]
    reports: tuple[str, ...] = ()
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    moments: Moments | None = None

    def to_json(self) -> str:
        """One line of recordings.jsonl, without the line's end."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["pieces"] = [p.to_list() for p in self.pieces]
        if self.moments is None:
            values.pop("moments")
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "RecordingRow":
        """Reads :meth:`to_json` back."""
        values = json.loads(line)
        values["pieces"] = tuple(PieceRow(*p) for p in values["pieces"])
        values["reports"] = tuple(values["reports"])
        values["moments"] = Moments.of(values.get("moments"))
        return cls(**values)


def load_recordings(directory: epath.PathLike, split: str | None = None) -> list[RecordingRow]:
    """The recordings of a prepared directory, in stored order; reads no signal.

    Args:
      directory: a prepared directory.
      split: only this one; None gives all, train first.

    Raises:
      NotPrepared: the directory is not finished.
      ManifestError: an unknown split, or a damaged list.
    """
    if split is not None and split not in SPLITS:
        raise ManifestError(f"split is {split!r}; known: {SPLITS}")
    path = require_prepared(directory).with_name(RECORDINGS_FILE)
    rows = []
    with paths.told(), path.open("r", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = RecordingRow.from_json(line)
            except (ValueError, TypeError, KeyError) as error:
                raise ManifestError(f"{path}:{number}: damaged ({error}); prepare again") from error
            if split is None or row.split == split:
                rows.append(row)
    return rows


@functools.cache
def code_version() -> str:
    """Version, digest of the sources that shape a prepared directory, and their libraries."""
    import hashlib
    import importlib.metadata

    import elm_jax

    package = pathlib.Path(elm_jax.__file__).parent
    files = [package / "data" / f"{name}.py" for name in ("spec", "manifest", "moments", "shards")]
    files += [package / "channels.py"]
    files += sorted((package / "signals").rglob("*.py"))
    files += sorted((package.parent / "data_prep").rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(package.parent).as_posix().encode())
        digest.update(file.read_bytes())
    libraries = [f"{n} {importlib.metadata.version(n)}" for n in ("mne", "numpy", "scipy")]
    return ", ".join([f"elm_jax {elm_jax.__version__}+{digest.hexdigest()[:12]}", *libraries])
