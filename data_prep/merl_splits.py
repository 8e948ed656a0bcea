"""MERL's split files: which recordings of PTB-XL, CPSC 2018 and CSN train, choose and test.

``finetune/data_split`` of Liu et al. 2024 (arXiv 2403.06659) has three tables a task, with a column
of 0 and 1 for every class:

    ptbxl/super_class/ptbxl_super_class_train.csv    ecg_id, ..., filename_hr, super_class, HYP, ...
    icbeb/icbeb_train.csv                            patient_id, ecg_id, filename, ..., AFIB, ...
    chapman/chapman_train.csv                        ecg_path, age, diagnose, AQW, ...

With ``--merl_split FOLDER`` only the recordings that they name are prepared, in the splits that
they say, and their classes take the place of the label of that name: ``superclass``, ``subclass``,
``form``, ``rhythm`` (PTB-XL) or ``diagnosis``.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data_prep.corpora.base import Source
from data_prep.corpora.record_tables import Tally
from data_prep.csv_tables import read_csv_table
from data_prep.report_texts import TextError
from data_prep.tables import TableError

_SPLITS = {"train": "train", "val": "valid", "test": "test"}  # end of a file's name -> split
_FILE = re.compile(r"(?P<task>.+)_(?P<split>train|val|test)")
# The last column before the classes -> the label that they are.
_LABELS = {
    "super_class": "superclass",
    "sub_class": "subclass",
    "form": "form",
    "rhythm": "rhythm",
    "scp_codes": "diagnosis",
    "diagnose": "diagnosis",
}
_KEYS = ("filename_hr", "filename", "ecg_path")  # a recording's file, the first that there is
_RATE = re.compile(r"_(lr|hr)$")  # of PTB-XL's files; a recording is its number


class MerlRow(NamedTuple):
    """What a line says of a recording: its split and its classes; and where it stands."""

    split: str
    classes: tuple[str, ...]
    place: str


class MerlSplit(NamedTuple):
    """A task's tables: the label that the classes are, and rows by name of the recording."""

    label: str
    rows: Mapping[str, MerlRow]


def read_merl_split(given: str) -> MerlSplit:
    """Reads a folder with one task's tables, or the tables named, separated by commas.

    Raises:
      TableError: no table, tables of several tasks, one that is not in MERL's form, or a recording
        that two lines have.
    """
    paths = _paths(given)
    named = {path: _FILE.fullmatch(path.stem) for path in paths}
    if wrong := [path.name for path, found in named.items() if found is None]:
        raise TableError(
            f"--merl_split {given}: {wrong[0]} is no table of MERL's, whose names end in "
            "_train.csv, _val.csv and _test.csv"
        )
    tasks = sorted({found["task"] for found in named.values()})
    if len(tasks) > 1:
        raise TableError(
            f"--merl_split {given}: tables of {len(tasks)} tasks ({', '.join(tasks)}); give the "
            "folder of one of them"
        )
    labels, rows = set(), {}
    for path, found in named.items():
        label, own = _read(path, _SPLITS[found["split"]])
        labels.add(label)
        for name, row in own:
            if name in rows:
                raise TableError(f"{row.place}: {name} is in {rows[name].place}, too; keep one")
            rows[name] = row
    (label,) = labels
    return MerlSplit(label, rows)


def _paths(given: str) -> list[pathlib.Path]:
    parts = [pathlib.Path(part.strip()) for part in given.split(",")]
    if len(parts) == 1 and parts[0].is_dir():
        parts = sorted(parts[0].rglob("*.csv"))
    missing = [str(path) for path in parts if not path.is_file()]
    if missing or not parts:
        what = f"there is no {missing[0]}" if missing else "the folder has no .csv"
        raise TableError(
            f"--merl_split {given}: {what}; expected one of MERL's folders, such as "
            "finetune/data_split/ptbxl/super_class, or tables of one task, separated by commas"
        )
    return parts


def _read(path: pathlib.Path, split: str) -> tuple[str, list[tuple[str, MerlRow]]]:
    """The label, and a name and row for every line."""
    try:
        table = read_csv_table(path)
    except TextError as error:
        raise TableError(str(error)) from error
    key = next((name for name in _KEYS if name in table.columns), None)
    before = next((name for name in _LABELS if name in table.columns), None)
    if key is None or before is None:
        raise TableError(
            f"{path}: expected a column of {list(_KEYS)} and one of {list(_LABELS)}, found "
            f"{', '.join(table.columns[:8])}"
        )
    classes = table.columns[table.columns.index(before) + 1 :]
    found = []
    for cells, line in zip(table.rows, table.lines, strict=True):
        place = f"{path}:{line}"
        said = {name: cells[name].strip() for name in classes}
        if wrong := [name for name, value in said.items() if value not in ("0", "1")]:
            raise TableError(f"{place}: {wrong[0]} is {said[wrong[0]]!r}, expected 0 or 1")
        name = _RATE.sub("", pathlib.PurePosixPath(cells[key].strip()).stem)
        own = tuple(sorted(name for name, value in said.items() if value == "1"))
        found.append((name, MerlRow(split, own, place)))
    return _LABELS[before], found


def apply_merl_split(
    sources: Sequence[Source], split: MerlSplit, given: str
) -> tuple[list[Source], list[dict[str, Any]]]:
    """The recordings that the tables name, with their splits and classes.

    Args:
      sources: of the corpus.
      split: from :func:`read_merl_split`.
      given: its option's value, for messages.

    Returns:
      These sources in their order, and findings: lines whose recording is not here, recordings that
      no line names; the first of each, and how many more there are.

    Raises:
      TableError: no line names a recording that is here, or a person would be in two splits.
    """
    kept, tally, home = [], Tally(), {}
    for source in sources:
        row = split.rows.get(source.recording)
        if row is None:
            detail = f"no line of {pathlib.Path(given).name} names it"
            tally.add("--merl_split", "recording_not_in_split", detail, source.file)
            continue
        if home.setdefault(source.person, row.split) != row.split:
            raise TableError(
                f"{row.place}: {source.recording} is of {source.person}, who is in "
                f"{home[source.person]!r} by another line, and in {row.split!r} by this one"
            )
        labels = source.labels | {split.label: list(row.classes)}
        kept.append(source.replace(split=row.split, labels=labels))
    if not kept:
        raise TableError(
            f"--merl_split {given}: none of its {len(split.rows)} lines names one of the "
            f"{len(sources)} recordings, such as {sources[0].recording!r} (the first line names "
            f"{next(iter(split.rows))!r}). Is it of this corpus?"
        )
    here = {source.recording for source in kept}
    for name, row in split.rows.items():
        if name not in here:
            table, _, line = pathlib.PurePath(row.place).name.partition(":")
            tally.add(table, "split_without_recording", f"line {line}: {name}")
    return kept, tally.findings()
