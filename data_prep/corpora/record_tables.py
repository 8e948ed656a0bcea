"""Tables of large corpora, row by row: a million rows take no more memory than what is kept.

``data_prep.csv_tables`` reads what people write in spreadsheets, in whatever form; here is what
publishers write by programs: comma-separated UTF-8 with a first line of names.
"""

import csv
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.corpora.base import CorpusError
from data_prep.findings import finding
from elm_jax import staging

# Findings of one kind that are listed one by one; what is more is counted.
MOST_LISTED = 20


class Row:
    """One row of a table; its cells by the names that were asked for.

    Attributes:
      line: number of the line at which it ends, from 1.
    """

    __slots__ = ("_cells", "_places", "line")

    def __init__(self, line: int, cells: Sequence[str], places: dict[str, int | None]):
        self.line, self._cells, self._places = line, cells, places

    def __getitem__(self, column: str) -> str:
        place = self._places[column]
        return "" if place is None else self._cells[place].strip()


def read_rows(
    path: pathlib.Path, columns: Sequence[str], what: str, *, optional: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows of a table, one after another.

    Args:
      path: the file, which may be remote.
      columns: that it must have; it may have others.
      what: what the table is, for messages.
      optional: columns that some copies lack: their cells are empty then.

    Raises:
      CorpusError: no such file, a column is missing or there twice, a row of another length, or no
        UTF-8.
    """
    csv.field_size_limit(sys.maxsize)
    try:
        with open(staging.local(path), encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            names = [name.strip() for name in next(reader, [])]
            places = _places(path, names, columns, what) | {
                name: names.index(name) if name in names else None for name in optional
            }
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise CorpusError(
                        f"{path}:{reader.line_num}: {len(cells)} cells, expected {len(names)} as "
                        "in the first line; was the file cut short? Fetch it again"
                    )
                yield Row(reader.line_num, cells, places)
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file; expected {what}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 ({error.reason}); fetch it again") from error
    except csv.Error as error:
        raise CorpusError(f"{path}: is no table of commas ({error}); fetch it again") from error


def _places(
    path: pathlib.Path, names: Sequence[str], columns: Sequence[str], what: str
) -> dict[str, int]:
    missing = [column for column in columns if column not in names]
    twice = sorted({column for column in columns if names.count(column) > 1})
    if missing or twice:
        fault = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(twice)} twice"
        raise CorpusError(
            f"{path}: {fault}; expected {what}; found {', '.join(names) or 'nothing'}"
        )
    return {column: names.index(column) for column in columns}


class Tally:
    """What was noticed while reading tables: the first of each kind are listed, the rest counted.

    A copy of a part of a corpus lacks hundreds of thousands of files: as many lines would say no
    more than their number.
    """

    def __init__(self) -> None:
        self._listed: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._more: dict[tuple[str, str], int] = {}

    def add(self, table: str, kind: str, detail: str, file: str = "") -> None:
        """Takes a finding.

        Args:
          table: the file that says so; what is beyond the listed ones is counted for it.
          kind: as :func:`data_prep.findings.finding` takes it.
          detail: of this one.
          file: what is meant, where it is not the table.
        """
        listed = self._listed.setdefault((table, kind), [])
        if len(listed) < MOST_LISTED:
            listed.append(finding(file or table, kind, detail))
        else:
            self._more[table, kind] = self._more.get((table, kind), 0) + 1

    def findings(self) -> list[dict[str, Any]]:
        """The list, with one line more for what is only counted."""
        found = []
        for (table, kind), listed in self._listed.items():
            found += listed
            if more := self._more.get((table, kind)):
                detail = f"and {more} more like the {len(listed)} above"
                found.append(finding(table, kind, detail) | {"count": more})
        return found


def number_in(text: str, low: float, high: float) -> int | float | None:
    """A cell as a number between two others; None where it is none such.

    Whole numbers are ints, however they are written (``63.0``).
    """
    try:
        value = float(text if "_" not in text else "")  # Python would read 1_000
    except ValueError:
        return None
    if not low <= value <= high:
        return None
    return int(value) if value.is_integer() else value
