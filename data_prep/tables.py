"""Tables that a user lays beside a corpus: labels, people, exclusion lists."""

import csv
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_prep.corpora.base import SPLITS, Source
from data_prep.findings import finding

KEYS = ("file", "recording", "person")


class TableError(ValueError):
    """A table that cannot be read or used; names the file, the line and what was expected."""


def read_table(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """Rows of a .csv, .tsv or .jsonl file; numbers become numbers, empty cells are left out.

    Raises:
      TableError: another suffix, no rows, a row of another length, or broken JSON.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise TableError(f"{path}: expected a .csv, .tsv or .jsonl file")
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = _json_rows(path, file) if suffix == ".jsonl" else _csv_rows(path, file, suffix)
    if not rows:
        raise TableError(f"{path}: holds no rows")
    return rows


def _json_rows(path: pathlib.Path, lines: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TableError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise TableError(f"{path}:{number}: expected a JSON object")
        rows.append({k: v for k, v in row.items() if v is not None})
    return rows


def _csv_rows(path: pathlib.Path, file: Iterable[str], suffix: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise TableError(
                f"{path}:{reader.line_num}: expected {len(reader.fieldnames or ())} columns as in "
                "the first line"
            )
        # Keys stay text: 00000021 is a name, not 21.
        rows.append({k: v if k in KEYS else _number(v) for k, v in row.items() if v.strip()})
    return rows


def _number(text: str) -> Any:
    """A number where the text is one; ``007`` and ``2010_01`` are names."""
    text = text.strip()
    if "_" in text or (text[:1] == "0" and text.isdigit() and len(text) > 1):
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def _key_of(row: dict[str, Any], path: pathlib.Path | str, allowed: Sequence[str]) -> str:
    key = next((k for k in allowed if k in row), None)
    if key is None:
        raise TableError(f"{path}: a row has none of the columns {list(allowed)}: {sorted(row)}")
    return key


class _Index:
    """Finds sources by file (path or name), recording or person."""

    def __init__(self, sources: Sequence[Source]):
        self.rows: dict[tuple[str, str], list[int]] = {}
        for i, source in enumerate(sources):
            names = {
                ("file", source.file),
                ("file", pathlib.PurePosixPath(source.file).name),
                ("recording", source.recording),
                ("person", source.person),
                ("person", source.person.partition(":")[2]),
            }
            for name in names:
                self.rows.setdefault(name, []).append(i)

    def find(self, key: str, value: Any, path: pathlib.Path | str) -> list[int]:
        found = self.rows.get((key, str(value).replace("\\", "/").removeprefix("./")), [])
        if key != "person" and len(found) > 1:
            raise TableError(
                f"{path}: {key} {value!r} fits {len(found)} recordings; give the path under the "
                "input folder in 'file'"
            )
        return found


def attach_labels(
    sources: Sequence[Source], path: pathlib.Path | str
) -> tuple[list[Source], list[dict[str, Any]]]:
    """Adds a labels file's columns to the recordings that its rows name.

    A row is keyed by its column ``file``, else ``recording``, else ``person`` (all recordings of
    that person). Every other column is a label.

    Returns:
      The sources in their order, and findings: rows that fit nothing, recordings without a row.

    Raises:
      TableError: an unreadable table, a key that fits several recordings, or two values of one
        label for one recording.
    """
    index, result, findings = _Index(sources), list(sources), []
    touched: set[int] = set()
    name = pathlib.Path(path).name
    for number, row in enumerate(read_table(path)):
        key = _key_of(row, path, KEYS)
        found = index.find(key, row[key], path)
        if not found:
            detail = f"row {number} (from 0), {key} {row[key]!r}"
            findings.append(finding(name, "label_without_recording", detail))
        labels = {k: v for k, v in row.items() if k not in KEYS}
        for i in found:
            result[i] = result[i].replace(labels=_merged(result[i], labels, path))
            touched.add(i)
    for i, source in enumerate(sources):
        if i not in touched:
            findings.append(finding(source.file, "recording_without_label", f"no row in {name}"))
    return result, findings


def _merged(source: Source, labels: dict[str, Any], path: pathlib.Path | str) -> dict[str, Any]:
    for key, value in labels.items():
        if key in source.labels and source.labels[key] != value:
            raise TableError(
                f"{path}: {source.file} has two values of {key!r}: {source.labels[key]!r} and "
                f"{value!r}"
            )
    return source.labels | labels


@dataclasses.dataclass(frozen=True)
class PeopleFile:
    """What ``--people`` says: whom to take, or whose recordings are whose."""

    allowed: frozenset[str] | None = None
    table: tuple[dict[str, Any], ...] = ()


def read_people(path: pathlib.Path | str) -> PeopleFile:
    """Reads ``--people``: a table (.csv, .tsv, .jsonl) or a list of ids, one a line.

    A table has ``file`` or ``recording``, and ``person``, and may have ``split``: it says whose
    each recording is, and recordings that it does not name keep what they have. A list says whose
    recordings to take and that all others are left out.

    Raises:
      TableError: unreadable, empty, or a table without the columns.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        return PeopleFile(allowed=frozenset(_ids(path)))
    rows = read_table(path)
    for row in rows:
        _key_of(row, path, KEYS[:2])
        if "person" not in row:
            raise TableError(f"{path}: a row has no person: {sorted(row)}")
        if row.get("split") not in (None, *SPLITS):
            raise TableError(f"{path}: split is {row['split']!r}; expected one of {SPLITS}")
    return PeopleFile(table=tuple(rows))


def apply_people_table(
    sources: Sequence[Source], rows: Sequence[dict[str, Any]], path: pathlib.Path | str
) -> tuple[list[Source], list[dict[str, Any]]]:
    """Gives recordings the person (and split) that the table has for them.

    Returns:
      The sources in their order, and findings for rows that fit nothing.

    Raises:
      TableError: a key that fits several recordings.
    """
    index, result, findings = _Index(sources), list(sources), []
    for number, row in enumerate(rows):
        key = _key_of(row, path, KEYS[:2])
        found = index.find(key, row[key], path)
        if not found:
            detail = f"row {number} (from 0), {key} {row[key]!r}"
            findings.append(finding(pathlib.Path(path).name, "person_unknown_in_table", detail))
        for i in found:
            source = result[i]
            institution = source.person.partition(":")[0]
            split = row.get("split") or source.split
            result[i] = source.replace(person=_full(str(row["person"]), institution), split=split)
    return result, findings


def read_excluded(path: pathlib.Path | str) -> frozenset[str]:
    """Reads ``--exclude_people``: a list of ids, a manifest.json, or a prepared directory.

    Raises:
      TableError: nothing there, or no people in it.
    """
    path = pathlib.Path(path)
    if path.is_dir() or path.name == "manifest.json":
        from elm_jax.data.manifest import Manifest

        manifest = Manifest.load(path if path.is_dir() else path.parent)
        return frozenset(p for members in manifest.people.values() for p in members)
    return frozenset(_ids(path))


def _ids(path: pathlib.Path) -> list[str]:
    """Ids, one a line; blank lines and lines after ``#`` do not count."""
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    ids = [s for line in lines if (s := line.partition("#")[0].strip())]
    if not ids:
        raise TableError(f"{path}: holds no ids; expected one a line, such as tuh:aaaaaaaa")
    return ids


def _full(person: str, institution: str) -> str:
    return person if ":" in person else f"{institution}:{person}"


def select_people(
    sources: Sequence[Source], allowed: frozenset[str] | None, excluded: frozenset[str] | None
) -> tuple[list[Source], list[dict[str, Any]]]:
    """Leaves out recordings of people who are not allowed or are excluded.

    Ids without an institution are taken to be of the recording's own.

    Returns:
      The sources that stay, in their order, and a finding for each that goes.
    """
    kept, findings = [], []
    for source in sources:
        names = {source.person, source.person.partition(":")[2]}
        if excluded is not None and names & excluded:
            findings.append(finding(source.file, "person_excluded", source.person))
        elif allowed is not None and not names & allowed:
            findings.append(finding(source.file, "person_not_listed", source.person))
        else:
            kept.append(source)
    return kept, findings
