"""From a folder of report documents to a reports file: ``python -m data_prep.reports``.

    python -m data_prep.reports DIR --out reports.jsonl [--pair TABLE.csv] [--headings FILE]

Reads every .txt, .docx and .rtf below DIR, and every .csv that has a column ``report``; pairs them
with the EDF files below DIR, or as ``--pair`` says; prints the headings found and what has no
partner. Documents that give no text are listed with the reason.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from data_prep.corpora.base import walk_files
from data_prep.csv_tables import Table, plain_name, read_csv_table
from data_prep.report_texts import SUFFIXES, UNREAD, TextError, read_report
from data_prep.reports_file import ReportEntry, ReportsError, attach, read_reports_file
from elm_jax.data.sections import KNOWN_HEADINGS, load_headings, split_sections

__all__ = ["ReportEntry", "ReportsError", "attach", "main", "read_reports_file"]

RECORDING_SUFFIXES = (".edf", ".bdf")
# TUEG's session reports stand for all files of their session: aaaaaaaa_s001.txt.
SESSION = re.compile(r"(?P<session>(?:[a-z]{8}|\d{8})_s\d{3})(?:_.*)?")
NAMES = ("file", "recording")
_NO_COLON = "(without the colon that a heading needs)"


@dataclasses.dataclass
class Document:
    """One report found: where it stood, its text, what it says about its recording."""

    name: str
    text: str
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outcome:
    """What pairing came to.

    Attributes:
      lines: of the reports file, in the order of the recordings.
      without_report: recordings that no document belongs to.
      without_recording: documents that belong to no recording.
      unreadable: documents that gave no text, with the reason.
    """

    lines: list[dict[str, Any]]
    without_report: list[str]
    without_recording: list[str]
    unreadable: dict[str, str]


def read_documents(
    folder: pathlib.Path, *, leave_out: Iterable[pathlib.Path] = ()
) -> tuple[list[Document], dict[str, str]]:
    """All report documents below a folder, and why some gave none."""
    documents, unreadable = [], {}
    skip = {path.resolve() for path in leave_out}
    for path in walk_files(folder, (*SUFFIXES, ".csv", *UNREAD)):
        name = path.relative_to(folder).as_posix()
        suffix = path.suffix.lower()
        if path.resolve() in skip:
            continue
        try:
            if suffix in UNREAD:
                unreadable[name] = f"{suffix} is not read; save it as {UNREAD[suffix]}"
            elif suffix == ".csv":
                documents += _rows_of(path, name, unreadable)
            else:
                documents.append(Document(name, read_report(path)))
        except TextError as error:
            unreadable[name] = str(error).replace(f"{path}: ", "")
    return documents, unreadable


def _rows_of(path: pathlib.Path, name: str, unreadable: dict[str, str]) -> list[Document]:
    table = read_csv_table(path)
    if "report" not in table.columns:
        # A table of something else (people, labels) is nothing to complain of.
        return []
    documents = []
    for number, row in enumerate(table.rows, start=1):
        if row["report"].strip():
            columns = {k: v for k, v in _cells(row, table).items() if k != "report"}
            documents.append(Document(f"{name} row {number}", row["report"].strip(), columns))
        else:
            unreadable[f"{name} row {number}"] = "holds no text"
    return documents


def _cells(row: dict[str, str], table: Table) -> dict[str, Any]:
    """A row's cells that hold something; names stay text, what is a number becomes one."""
    return {
        k: v.strip() if k in ("report", "person", *NAMES) else table.number(v)
        for k, v in row.items()
        if k and v.strip()
    }


class Recordings:
    """The recordings below a folder, looked up by path, by file name, by stem or by session."""

    def __init__(self, folder: pathlib.Path):
        self.files = [
            path.relative_to(folder).as_posix() for path in walk_files(folder, RECORDING_SUFFIXES)
        ]
        self._by_name: dict[str, list[str]] = collections.defaultdict(list)
        self._by_session: dict[str, list[str]] = collections.defaultdict(list)
        for file in self.files:
            path = pathlib.PurePosixPath(file)
            for name in {file, path.name, path.stem, path.with_suffix("").as_posix()}:
                self._by_name[plain_name(name).lower()].append(file)
            if session := SESSION.fullmatch(path.stem):
                self._by_session[session["session"]].append(file)

    def named(self, name: str, source: str) -> list[str]:
        """The recording of that path, file name or stem; empty where there is none.

        Raises:
          ReportsError: several recordings are named so.
        """
        found = self._by_name.get(plain_name(name).lower(), [])
        if len(found) > 1:
            raise ReportsError(
                f"{source}: {name!r} fits several recordings: {', '.join(found)}. Give the path "
                "below the folder, in a table with --pair"
            )
        return found

    def beside(self, document: str) -> list[str]:
        """The recordings that a document's own name and place say: its stem, or its session."""
        path = pathlib.PurePosixPath(document)
        if session := SESSION.fullmatch(path.stem):
            if path.stem == session["session"]:
                return self._by_session.get(path.stem, [])
        # A recording of the same name in the same folder comes before one elsewhere.
        place = plain_name(path.with_suffix("")).lower()
        if len(self._by_name.get(place, [])) == 1:
            return self._by_name[place]
        return self.named(path.stem, document)


def read_pairs(path: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """``--pair``: report document -> rows of the table that name its recordings.

    Raises:
      ReportsError: no column ``report``, or neither ``file`` nor ``recording``.
    """
    table = read_csv_table(path)
    if "report" not in table.columns or not set(table.columns) & set(NAMES):
        raise ReportsError(
            f"{path}: expected columns 'report' and 'file' or 'recording', found "
            f"{sorted(table.columns)}"
        )
    pairs = collections.defaultdict(list)
    for line, values in zip(table.lines, table.rows, strict=True):
        row = _cells(values, table)
        if not row.get("report") or not any(row.get(name) for name in NAMES):
            raise ReportsError(f"{path}:{line}: names no report, or no recording")
        pairs[plain_name(row["report"])].append(row)
    return pairs


def pair(
    documents: Sequence[Document],
    unreadable: dict[str, str],
    recordings: Recordings,
    pairs: dict[str, list[dict[str, Any]]] | None = None,
) -> Outcome:
    """Says which recordings every document belongs to.

    With ``pairs`` only they count; without, a row of a CSV names its own ``file`` or ``recording``
    and a document goes by its name. Several reports of one recording make several lines. Where no
    recording is below the folder at all, a line names the recording and no file.

    Raises:
      ReportsError: a name that fits several recordings or several documents.
    """
    rows = {document.name: [document.columns] for document in documents}
    without_recording = []
    if pairs is not None:
        rows, missing = _rows_of_pairs(documents, pairs)
        without_recording = [
            f"{name} (in the table of pairs, but not found)"
            for name in missing
            if name not in unreadable
        ]
    lines = []
    for document in documents:
        found = [
            {**names, **_labels(row)}
            for row in rows.get(document.name, [])
            for names in _names_of(document, row, recordings)
        ]
        lines += [{**columns, "report": document.text} for columns in found]
        if not found:
            without_recording.append(document.name)
    lines.sort(key=lambda line: line.get("file", line["recording"]))
    paired = {line.get("file") for line in lines}
    without_report = [file for file in recordings.files if file not in paired]
    return Outcome(lines, without_report, without_recording, unreadable)


def _rows_of_pairs(
    documents: Sequence[Document], pairs: dict[str, list[dict[str, Any]]]
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Document -> its rows of the table, and the reports that the table names in vain."""
    by_name = collections.defaultdict(dict)
    for document in documents:
        path = pathlib.PurePosixPath(document.name)
        for name in (document.name, path.name, path.stem):
            by_name[plain_name(name)][document.name] = document
    rows, missing = collections.defaultdict(list), []
    for name, wanted in pairs.items():
        # A path is exact, whatever else ends alike.
        exact = [d for d in by_name[name] if plain_name(d) == name]
        found = exact or list(by_name[name])
        if len(found) > 1:
            raise ReportsError(
                f"the table of pairs: report {name!r} fits {', '.join(found)}; give the path"
            )
        if found:
            rows[found[0]] += wanted
        else:
            missing.append(name)
    return rows, missing


def _labels(row: dict[str, Any]) -> dict[str, Any]:
    """The further columns of a table's row."""
    return {name: value for name, value in row.items() if name not in ("report", *NAMES)}


def _names_of(
    document: Document, row: dict[str, Any], recordings: Recordings
) -> list[dict[str, str]]:
    """``recording`` and ``file`` of every recording that a document belongs to."""
    name = next((str(row[name]) for name in NAMES if row.get(name)), None)
    if not recordings.files:
        stem = pathlib.PurePosixPath((name or document.name).replace("\\", "/")).stem
        return [{"recording": stem}] if name or not document.columns else []
    if name is not None:
        files = recordings.named(name, document.name)
    else:
        files = [] if document.columns else recordings.beside(document.name)
    return [{"recording": pathlib.PurePosixPath(file).stem, "file": file} for file in files]


def count_headings(
    texts: Iterable[str], known_headings: Sequence[str] = KNOWN_HEADINGS
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """How many reports have each known heading, and each line that looks like an unknown one."""
    known, unknown = collections.Counter(), collections.Counter()
    for text in texts:
        sections = split_sections(text, known_headings=known_headings)
        names = {re.sub(r"\s*#?\d+$", "", s.heading.upper()) for s in sections if s.heading}
        known.update(names)
        looks = {m.upper() for m in re.findall(r"^[^\S\n]*([^\W\d_][^:\n.,]{1,40}):", text, re.M)}
        looks |= {f"{name} {_NO_COLON}" for name in _without_colon(text, known_headings)}
        unknown.update(
            name for name in looks if re.sub(r"\s*#?\d+$", "", " ".join(name.split())) not in names
        )
    return known, unknown


def _without_colon(text: str, known_headings: Sequence[str]) -> set[str]:
    """Lines that are a known name or a few words in capitals, and begin no section for it."""
    known = {" ".join(name.split()).upper() for name in known_headings}
    lines = {" ".join(line.split()) for line in text.splitlines()}
    capitals = re.compile(r"[^\W\d_][^:.,;!?\d_]{3,40}")
    return {
        line.upper()
        for line in lines
        if line.upper() in known or (line.isupper() and capitals.fullmatch(line))
    }


def print_outcome(outcome: Outcome, recordings: Recordings, known_headings: Sequence[str]) -> None:
    """The report on the reports."""
    known, unknown = count_headings((line["report"] for line in outcome.lines), known_headings)
    print(f"{len(outcome.lines)} reports for {len(recordings.files)} recordings.")
    if not recordings.files:
        print("No EDF lies below the folder: reports are named after their documents.")
    _print_counts("Headings found (reports that have them):", known)
    _print_counts("Lines that look like headings, but are not on the list:", unknown, most=20)
    _print_list("Recordings without a report:", outcome.without_report)
    _print_list("Reports without a recording (left out):", outcome.without_recording)
    _print_list("Documents without text (left out):",
                [f"{name}: {reason}" for name, reason in outcome.unreadable.items()])  # fmt: skip


def _print_counts(title: str, counts: collections.Counter[str], most: int | None = None) -> None:
    if counts:
        print(title)
        for name, count in sorted(counts.most_common(most), key=lambda item: (-item[1], item[0])):
            print(f"  {count:6d}  {name}")


def _print_list(title: str, names: Sequence[str]) -> None:
    print(f"{title} {len(names) or 'none'}")
    for name in names:
        print(f"  {name}")


def write_lines(path: pathlib.Path, lines: Iterable[dict[str, Any]]) -> None:
    """Writes a reports file; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    os.replace(temporary, path)


def build(args: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status.

    Raises:
      ReportsError, TextError, ValueError: the input is at fault; the message says what to do.
    """
    folder = pathlib.Path(args.folder)
    if not folder.is_dir():
        raise ReportsError(f"{folder}: no such folder")
    headings = load_headings(args.headings) if args.headings else KNOWN_HEADINGS
    named = [pathlib.Path(p) for p in (args.pair, args.headings, args.out) if p]
    documents, unreadable = read_documents(folder, leave_out=named)
    recordings = Recordings(folder)
    pairs = read_pairs(pathlib.Path(args.pair)) if args.pair else None
    outcome = pair(documents, unreadable, recordings, pairs)
    print_outcome(outcome, recordings, headings)
    if not outcome.lines:
        raise ReportsError(
            f"{folder}: no report could be paired with a recording. Name documents as their "
            "recordings (a.txt for a.edf), or give --pair TABLE.csv with columns report,file"
        )
    write_lines(pathlib.Path(args.out), outcome.lines)
    print(f"Wrote {args.out}.")
    if args.headings:
        names = ",".join(map(repr, headings))
        print(f'Name the sections to train on:  --config.text.headings="({names},)"')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Errors of the input end with one message and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.reports",
        description="Turns report documents into a reports file for data_prep.prepare.",
    )
    parser.add_argument("folder", metavar="DIR", help="documents and recordings, at any depth")
    parser.add_argument("--out", required=True, metavar="FILE", help="the reports file to write")
    parser.add_argument("--pair", metavar="TABLE.csv", help="columns report and file or recording")
    parser.add_argument("--headings", metavar="FILE", help="other headings, one a line, UTF-8")
    args = parser.parse_args(argv)
    try:
        return build(args)
    except OSError as error:
        print(f"reports: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (ReportsError, TextError, ValueError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
