"""Tables as spreadsheets save them: comma, semicolon or tab, any usual encoding, decimal commas."""

import csv
import dataclasses
import io
import math
import os
import pathlib
import re
import sys
import unicodedata
from typing import Any

from data_prep.report_texts import TextError, decode

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a first line of names.

    Attributes:
      columns: the names, stripped.
      rows: cell by column; lines without any text are left out.
      lines: number of the line, from 1, at which each row ends.
      decimal_comma: whether ``45,5`` is a number (the comma separates nothing here).
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    decimal_comma: bool

    def number(self, text: str) -> Any:
        """The cell as a number where it is one, else as it stands."""
        if self.decimal_comma and _DECIMAL_COMMA.fullmatch(text.strip()):
            text = text.replace(",", ".")
        return number(text)


def number(text: str) -> Any:
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


def read_csv_table(path: pathlib.Path | str) -> Table:
    """Reads a .csv or .tsv file.

    What separates the cells is what the first line has most of: comma, semicolon or tab (or what
    a spreadsheet's own ``sep=;`` line says).

    Raises:
      TextError: no text in a known encoding, two columns of one name, or a row whose length is
        not the first line's.
    """
    path = pathlib.Path(path)
    # Not splitlines: a cell may hold a form feed or another line break than the file's.
    lines = list(io.StringIO(decode(path.read_bytes(), path)))
    said = re.fullmatch(r"sep=([,;\t])\s*", lines[0], re.IGNORECASE) if lines else None
    skipped = 1 if said else 0
    if not "".join(lines[skipped:]).strip():
        raise TextError(f"{path}: holds no text")
    delimiter = said[1] if said else max(",;\t", key=lines[0].count)
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines[skipped:], delimiter=delimiter)
    columns = tuple(name.strip() for name in next(reader))
    if twice := sorted({c for c in columns if c and columns.count(c) > 1}):
        raise TextError(f"{path}: has several columns named {', '.join(map(repr, twice))}")
    rows, numbers = [], []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num + skipped
        if len(cells) != len(columns):
            what = "more" if len(cells) > len(columns) else "fewer"
            raise TextError(
                f"{path}:{line}: has {what} cells than the first line: expected {len(columns)} "
                f"columns, found {len(cells)}; put quotes around a text that holds {delimiter!r}"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
        numbers.append(line)
    return Table(columns, tuple(rows), tuple(numbers), delimiter != ",")


def plain_name(name: str | os.PathLike) -> str:
    """A file's name or path in the one form in which names are compared.

    Slashes as on Linux, no leading ``./``, and composed umlauts: some systems store ``ü`` as ``u``
    with a mark that follows, which looks the same and is not.
    """
    text = os.fspath(name).strip().replace("\\", "/").removeprefix("./")
    return unicodedata.normalize("NFC", text)
