"""What tables and descriptions of a BIDS folder say, beside its recordings.

Each is read whole and strictly: a broken one is an error that names the file, the line, and what
was expected, never a guess. Cells of ``n/a`` say nothing.
"""

import dataclasses
import json
import math
import pathlib
import re
from typing import Any

from data_prep.corpora.event_files import EventsError
from data_prep.csv_tables import Table, read_csv_table
from data_prep.report_texts import TextError

_MISSING = ("n/a", "", "nan", "NaN")
_NO_NAME = ("", "unspecified", "n_a", "unknown")
_SEX = {"f": "female", "female": "female", "m": "male", "male": "male"}
# Columns that say what an event is, the best first; the last two are of older or unfinished sets.
_KINDS = ("trial_type", "stim_type", "value")


class SidecarError(ValueError):
    """A table or description that is not what the layout has; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Participants:
    """What ``participants.tsv`` says: ``rows`` has labels by ``sub-XX``."""

    rows: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, path: pathlib.Path) -> "Participants":
        """Reads the table; ``sex`` is spelled out, numbers are numbers.

        Raises:
          SidecarError: it has no ``participant_id``, or a participant twice.
        """
        table = _table(path, "participant_id")
        rows: dict[str, dict[str, Any]] = {}
        for line, row in zip(table.lines, table.rows, strict=True):
            name = row["participant_id"].strip()
            name = name if name.startswith("sub-") else f"sub-{name}"
            if name in rows:
                raise SidecarError(f"{path.name}:{line}: {name} stands there twice")
            rows[name] = {
                column.strip(): _value(column, cell, table)
                for column, cell in row.items()
                if column != "participant_id" and column and cell.strip() not in _MISSING
            }
        return cls(rows)


def _value(column: str, cell: str, table: Table) -> Any:
    if column.lower() in ("sex", "gender"):
        return _SEX.get(cell.strip().lower(), cell.strip())
    return table.number(cell.strip())


def read_events(path: pathlib.Path) -> list[tuple[float, float, str]]:
    """(onset, duration, kind) of each event of an ``_events.tsv``, in seconds, by time.

    The kind is ``trial_type``, or where there is none ``stim_type`` or ``value``. Events without an
    onset or a kind are left out; without a duration they are moments.

    Raises:
      EventsError: it is no such table, or a time is no number.
    """
    try:
        table = _table(path, "onset", "duration")
    except SidecarError as error:
        raise EventsError(str(error)) from error
    kind = next((k for k in _KINDS if _says_something(table, k)), None)
    if table.rows and kind is None:
        raise EventsError(f"{path.name}: expected a column trial_type or value that is not empty")
    rows = []
    for line, row in zip(table.lines, table.rows, strict=True):
        if row["onset"].strip() in _MISSING or row[kind].strip() in _MISSING:
            continue
        onset_s, duration_s = (_seconds(row[c], path, line, c) for c in ("onset", "duration"))
        rows.append((onset_s, max(duration_s, 0.0), row[kind].strip()))
    return sorted(rows)


def _says_something(table: Table, column: str) -> bool:
    return column in table.columns and any(r[column].strip() not in _MISSING for r in table.rows)


def _seconds(cell: str, path: pathlib.Path, line: int, column: str) -> float:
    if cell.strip() in _MISSING:
        return 0.0
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EventsError(f"{path.name}:{line}: {column} is not a number of seconds")
    return value


def bad_channels(path: pathlib.Path) -> list[str]:
    """Channels whose status a ``_channels.tsv`` says is bad, in its order.

    Raises:
      SidecarError: it is no table of channels and their types.
    """
    rows = _table(path, "name", "type").rows
    return [row["name"].strip() for row in rows if row.get("status", "").strip().lower() == "bad"]


def read_description(path: pathlib.Path) -> dict[str, Any]:
    """A ``.json`` file that describes a recording or the data set.

    Raises:
      SidecarError: it is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:  # of JSON, or of another encoding
        where = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SidecarError(f"{path.name}{where}: expected JSON ({type(error).__name__})") from error
    if not isinstance(values, dict):
        found = type(values).__name__
        raise SidecarError(f"{path.name}: expected an object of JSON, found {found}")
    return values


def institution_of(folder: pathlib.Path) -> str:
    """``bids_`` and the name of the data set, so that sub-01 of two of them are two people.

    Where it has none (or the one that tools fill in), the folder's own name stands for it.

    Raises:
      SidecarError: ``dataset_description.json`` is broken.
    """
    path = folder / "dataset_description.json"
    name = str(read_description(path).get("Name", "")) if path.is_file() else ""
    slug = re.sub(r"\W+", "_", name).strip("_").lower()
    if slug in _NO_NAME:
        slug = re.sub(r"\W+", "_", folder.resolve().name).strip("_").lower()
    return f"bids_{slug[:48]}"


def _table(path: pathlib.Path, *columns: str) -> Table:
    try:
        table = read_csv_table(path)
    except TextError as error:
        # It says the whole path; the name is enough, and is the same wherever the folder lies.
        raise SidecarError(str(error).replace(str(path), path.name)) from error
    except OSError as error:
        raise SidecarError(f"{path.name}: cannot be read ({error.strerror})") from error
    if missing := [name for name in columns if name not in table.columns]:
        found = ", ".join(table.columns[:8])
        raise SidecarError(f"{path.name}: lacks the column {missing[0]}; found: {found}")
    return table
