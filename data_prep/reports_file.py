"""The reports file: line-delimited JSON, a line a report, and what of it belongs to which EDF."""

import dataclasses
import json
import pathlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from data_prep.corpora.base import Source
from data_prep.csv_tables import plain_name
from data_prep.report_texts import SUFFIXES

# Every other column of a line is a label. ELM's files number their lines in `subject_id`.
RESERVED = ("report", "file", "recording", "person", "subject_id")


class ReportsError(ValueError):
    """A reports file that cannot be read, or whose lines cannot be told apart."""


@dataclasses.dataclass(frozen=True)
class ReportEntry:
    """One line of a reports file.

    Attributes:
      line: its number, from 0, blank lines not counted.
      reports: its texts (``report`` may be one text or a list of them).
      file: the EDF that it belongs to, as written; None where the line names none.
      recording: name of the recording, or None.
      person: as written, with or without an institution; None where the line names none.
      labels: every further column.
      source: "path:line number from 1", for messages.
    """

    line: int
    reports: tuple[str, ...]
    file: str | None = None
    recording: str | None = None
    person: str | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""


def read_reports_file(path: pathlib.Path | str) -> list[ReportEntry]:
    """Reads a reports file, strictly.

    Raises:
      ReportsError: a line that is not a JSON object, has no ``report``, or a field of the wrong
        kind; the message has the line's number from 1.
    """
    entries: list[ReportEntry] = []
    if not pathlib.Path(path).is_file():
        raise ReportsError(f"--reports {path}: no such file")
    if pathlib.Path(path).suffix.lower() in (".csv", ".tsv", *SUFFIXES):
        raise ReportsError(
            f"--reports {path}: expected line-delimited JSON; python -m data_prep.reports makes it "
            "from tables and documents"
        )
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    entries.append(_read_line(text, len(entries), f"{path}:{number}"))
    except UnicodeDecodeError as error:
        raise ReportsError(
            f"{path}: expected UTF-8 text, found other bytes ({error}); save it as UTF-8"
        ) from error
    return entries


def _read_line(text: str, line: int, source: str) -> ReportEntry:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReportsError(
            f"{source}: expected one JSON object a line, found {text.strip()[:40]!r} ({error})"
        ) from error
    if not isinstance(values, dict) or "report" not in values:
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise ReportsError(f"{source}: expected an object with a field 'report', found {found}")
    reports = values["report"] if isinstance(values["report"], list) else [values["report"]]
    if not all(isinstance(report, str) for report in reports):
        raise ReportsError(f"{source}: expected 'report' to be text or a list of texts")
    return ReportEntry(
        line=line,
        reports=tuple(report for report in reports if report.strip()),
        labels={k: v for k, v in values.items() if k not in RESERVED},
        source=source,
        **{name: _name(values.get(name), name, source) for name in ("file", "recording", "person")},
    )


def _name(value: Any, name: str, source: str) -> str | None:
    """A name as text; tables often hold person numbers."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ReportsError(f"{source}: expected {name!r} to be text, found {value!r}")
    return str(value)


def attach(
    entries: Iterable[ReportEntry], sources: Sequence[Source]
) -> tuple[list[Source], list[ReportEntry]]:
    """Gives every source its reports, labels and person.

    A line belongs to the source that its ``file`` names (path under the input folder, else file
    name), else its ``recording`` (the recording's name, else the file's without its suffix), else
    to the source of its number in the list sorted by file.
    Several lines of one source are pooled: their reports follow one another, of two values of a
    label both must agree.

    Returns:
      The sources, in their order, and the lines that no source matches.

    Raises:
      ReportsError: a name that fits several sources; two lines of one source that contradict each
        other in a label or in the person.
    """
    sources = list(sources)
    finders = _Finders(sources)
    found: dict[int, list[ReportEntry]] = defaultdict(list)
    unmatched = []
    for entry in entries:
        index = finders.find(entry)
        if index is None:
            unmatched.append(entry)
        else:
            found[index].append(entry)
    for index, lines in found.items():
        sources[index] = _pooled(sources[index], lines)
    return sources, unmatched


class _Finders:
    """Looks a source up by file, by recording, or by its place in the sorted list."""

    def __init__(self, sources: Sequence[Source]):
        self.sources = sources
        by_file = sorted(range(len(sources)), key=lambda i: sources[i].file)
        # A corpus whose recordings are numbered in themselves (HDF5) says which line is whose.
        self.by_line = {sources[i].extra.get("report_line", n): i for n, i in enumerate(by_file)}
        kinds = ("path", "file", "recording", "stem")
        self.by_name: dict[str, dict[str, list[int]]] = {k: defaultdict(list) for k in kinds}
        for index, source in enumerate(sources):
            path = pathlib.PurePosixPath(plain_name(source.file))
            self.by_name["path"][str(path)].append(index)
            self.by_name["file"][path.name].append(index)
            self.by_name["stem"][path.stem].append(index)
            self.by_name["recording"][plain_name(source.recording)].append(index)
        for kind in kinds:
            # Some systems do not tell a.edf from A.EDF: looked at where no name is exact.
            loose = self.by_name[f"{kind}?"] = defaultdict(list)
            for name, indices in self.by_name[kind].items():
                loose[name.lower()] += indices

    def find(self, entry: ReportEntry) -> int | None:
        if entry.file is not None:
            file = plain_name(entry.file)
            index = self._one("path", file, entry)
            # A path that leads elsewhere is no other file of the same name.
            return index if index is not None or "/" in file else self._one("file", file, entry)
        if entry.recording is not None:
            name = plain_name(entry.recording)
            index = self._one("recording", name, entry)
            return index if index is not None else self._one("stem", name, entry)
        return self.by_line.get(entry.line)

    def _one(self, kind: str, name: str, entry: ReportEntry) -> int | None:
        exact, loose = self.by_name[kind], self.by_name[f"{kind}?"]
        indices = exact.get(name) or loose.get(name.lower(), [])
        if len(indices) > 1:
            files = ", ".join(self.sources[i].file for i in indices)
            raise ReportsError(
                f"{entry.source}: {name!r} fits several recordings: {files}. Give the path under "
                "the input folder in 'file'"
            )
        return indices[0] if indices else None


def _pooled(source: Source, lines: Sequence[ReportEntry]) -> Source:
    labels = dict(source.labels)
    people = {entry.person for entry in lines if entry.person is not None}
    if len(people) > 1:
        raise ReportsError(f"{lines[-1].source}: {source.file} has several people: {people}")
    for entry in lines:
        for name, value in entry.labels.items():
            if name in labels and labels[name] != value:
                raise ReportsError(
                    f"{entry.source}: {source.file} has two values of {name!r}: "
                    f"{labels[name]!r} and {value!r}"
                )
            labels[name] = value
    person = source.person
    if people:
        given = people.pop()
        institution = source.person.partition(":")[0]
        person = given if ":" in given else f"{institution}:{given}"
    reports = source.reports + tuple(text for entry in lines for text in entry.reports)
    return source.replace(reports=reports, labels=labels, person=person)
