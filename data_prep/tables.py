"""Tables that a user lays beside a corpus: labels, people, exclusion lists."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_prep.corpora.base import SPLITS, Source
from data_prep.csv_tables import Table, plain_name, read_csv_table
from data_prep.findings import finding
from data_prep.report_texts import TextError, decode

KEYS = ("file", "recording", "person")


class TableError(ValueError):
    """A table that cannot be read or used; names the file, the line and what was expected."""


def read_table(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """Rows of a .csv, .tsv or .jsonl file; numbers become numbers, empty cells are left out.

    Cells may be separated and encoded as spreadsheets do it, see :func:`read_csv_table`.

    Raises:
      TableError: another suffix, no rows, a row of another length, or broken JSON.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise TableError(f"{path}: expected a .csv, .tsv or .jsonl file")
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        if suffix == ".jsonl":
            rows = _json_rows(path, decode(path.read_bytes(), path).split("\n"))
        else:
            rows = _csv_rows(read_csv_table(path))
    except TextError as error:
        raise TableError(str(error)) from error
    if not rows:
        raise TableError(f"{path}: holds no rows")
    return rows


class _Row(dict):
    """A row that knows its line."""

    def __init__(self, values: Any, line: int):
        super().__init__(values)
        self.line = line


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
        rows.append(_Row({k: v for k, v in row.items() if v is not None}, number))
    return rows


def _csv_rows(table: Table) -> list[dict[str, Any]]:
    return [
        # Keys stay text: 00000021 is a name, not 21.
        _Row(
            {k: v.strip() if k in KEYS else table.number(v) for k, v in row.items() if v.strip()},
            line,
        )
        for row, line in zip(table.rows, table.lines, strict=True)
    ]


def _key_of(row: dict[str, Any], path: pathlib.Path | str, allowed: Sequence[str]) -> str:
    key = next((k for k in allowed if k in row), None)
    if key is None:
        raise TableError(
            f"{path}:{row.line}: expected a value in one of the columns {list(allowed)}, found "
            f"values in {sorted(row)} only"
        )
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
            names = {(key, plain_name(name)) for key, name in names}
            # Some systems do not tell a.edf from A.EDF; people's ids are always told apart.
            loose = {(f"{key}?", name.lower()) for key, name in names if key != "person"}
            for name in names | loose:
                self.rows.setdefault(name, []).append(i)

    def find(self, key: str, value: Any, path: pathlib.Path | str) -> list[int]:
        name = plain_name(str(value))
        found = self.rows.get((key, name)) or self.rows.get((f"{key}?", name.lower()), [])
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
    for row in read_table(path):
        key = _key_of(row, path, KEYS)
        found = index.find(key, row[key], path)
        if not found:
            detail = f"line {row.line}, {key} {row[key]!r}"
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
            raise TableError(f"{path}:{row.line}: expected a 'person', found {sorted(row)} only")
        if row.get("split") not in (None, *SPLITS):
            raise TableError(
                f"{path}:{row.line}: split is {row['split']!r}; expected one of {SPLITS}"
            )
    return PeopleFile(table=tuple(rows))


def apply_people_table(
    sources: Sequence[Source], rows: Sequence[dict[str, Any]], path: pathlib.Path | str
) -> tuple[list[Source], list[dict[str, Any]]]:
    """Gives recordings the person (and split) that the table has for them.

    Returns:
      The sources in their order, and findings for rows that fit nothing.

    Raises:
      TableError: a key that fits several recordings, or a recording of two people or splits.
    """
    index, result, findings = _Index(sources), list(sources), []
    said: dict[int, dict[str, Any]] = {}
    for row in rows:
        key = _key_of(row, path, KEYS[:2])
        found = index.find(key, row[key], path)
        if not found:
            detail = f"line {row.line}, {key} {row[key]!r}"
            findings.append(finding(pathlib.Path(path).name, "person_unknown_in_table", detail))
        for i in found:
            before = said.setdefault(i, row)
            for column in ("person", "split"):
                if before.get(column) != row.get(column):
                    raise TableError(
                        f"{path}:{row.line}: {sources[i].file} has {column} "
                        f"{before.get(column)!r} in line {before.line} and {row.get(column)!r} "
                        "here; keep one"
                    )
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
    if not is_list(path):
        from elm_jax.data.manifest import Manifest

        manifest = Manifest.load(path if path.is_dir() else path.parent)
        return frozenset(p for members in manifest.people.values() for p in members)
    return frozenset(_ids(path))


def is_list(path: pathlib.Path | str) -> bool:
    """Whether an exclusion is a list of ids, and not a prepared corpus."""
    path = pathlib.Path(path)
    return not path.is_dir() and path.name != "manifest.json"


def _ids(path: pathlib.Path) -> list[str]:
    """Ids, one a line; blank lines and lines after ``#`` do not count."""
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        lines = decode(path.read_bytes(), path).splitlines()
    except TextError as error:
        raise TableError(str(error)) from error
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
    allowed, excluded = _plain(allowed), _plain(excluded)
    kept, findings = [], []
    for source in sources:
        names = _plain({source.person, source.person.partition(":")[2]})
        if excluded is not None and names & excluded:
            findings.append(finding(source.file, "person_excluded", source.person))
        elif allowed is not None and not names & allowed:
            findings.append(finding(source.file, "person_not_listed", source.person))
        else:
            kept.append(source)
    return kept, findings


def _plain(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(map(plain_name, names))


def list_unknown_ids(
    path: pathlib.Path | str, ids: Iterable[str], sources: Sequence[Source]
) -> list[dict[str, Any]]:
    """A finding that names the ids of a list which are nobody's here: a slip of the pen leaks."""
    known = {n for s in sources for n in _plain({s.person, s.person.partition(":")[2]})}
    unknown = sorted(i for i in ids if plain_name(i) not in known)
    if not unknown:
        return []
    some = ", ".join(map(repr, unknown[:20])) + (", ..." if len(unknown) > 20 else "")
    detail = f"{len(unknown)} ids, expected a person of the input such as "
    detail += f"{min(s.person for s in sources)!r}: {some}"
    return [finding(pathlib.Path(path).name, "id_of_nobody", detail)]
