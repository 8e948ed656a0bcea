"""Files of events that lie beside recordings: ``.rec`` (TUEV) and ``.csv_bi`` (TUSZ)."""

import csv
import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from data_prep.report_texts import TextError, decode

_HEADER = re.compile(r"#\s*(?P<name>\w+)\s*=\s*(?P<value>.*)")
_VERSION = "csv_v1.0.0"
# What may be repeated of such a file: its codes, but no text that somebody typed into it.
_CODE = re.compile(r"[a-z]{4}|[\d.+-]{1,8}|csv_v[\d.]{1,8}")
_COLUMNS = ("start_time", "stop_time", "label")


class EventsError(ValueError):
    """A file of events that cannot be read; the message names the line and what was expected."""


@dataclasses.dataclass(frozen=True, order=True)
class Event:
    """A stretch that the publisher labelled, in seconds from the start of the recording."""

    start_s: float
    stop_s: float
    label: str


@dataclasses.dataclass(frozen=True)
class EventFile:
    """What a file of events says.

    Attributes:
      events: in order of time, each once, whatever the channels it was marked on (or once a
        channel, if it was so asked for).
      odd: rows left out, and why: text -> how many.
      duration_s: length of the recording, where the file states it.
    """

    events: tuple[Event, ...]
    odd: dict[str, int]
    duration_s: float | None = None


def find_sibling(path: pathlib.Path, suffix: str) -> pathlib.Path | None:
    """The file beside ``path`` with its name and the suffix, whatever their case; None if none."""
    exact = path.with_suffix(suffix)
    if exact.is_file():
        return exact
    name = exact.name.lower()
    return next((f for f in sorted(path.parent.iterdir()) if f.name.lower() == name), None)


def read_rec(path: pathlib.Path, codes: Mapping[int, str], *, every_row: bool = False) -> EventFile:
    """Reads ``channel,start,stop,code`` lines; seconds, codes by number.

    Args:
      path: the file.
      codes: number -> label.
      every_row: take an event as often as there are rows of it, one a channel.

    Raises:
      EventsError: a line that is not four numbers.
    """
    rows = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != 4:
            raise EventsError(f"line {number}: expected channel,start,stop,code")
        _, start_s, stop_s, code = (_number(cell, number) for cell in cells)
        rows.append((start_s, stop_s, codes.get(code, f"{code:g}")))
    return _collect(rows, codes.values(), None, every_row=every_row)


def read_csv_bi(path: pathlib.Path, labels: Iterable[str]) -> EventFile:
    """Reads a ``.csv_bi`` file of version ``csv_v1.0.0``: ``#`` lines, column names, events.

    Raises:
      EventsError: another version, no such columns, or times that are not numbers.
    """
    lines = _lines(path)
    stated = {}
    for line in lines:
        if match := _HEADER.match(line.strip()):
            stated[match["name"]] = match["value"].strip()
    if (version := stated.get("version", _VERSION)) != _VERSION:
        said = f"version {version}" if _CODE.fullmatch(version) else "an unknown version"
        raise EventsError(f"is of {said}, expected {_VERSION}")
    numbered = [
        (n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")
    ]
    if not numbered:
        raise EventsError(f"holds no table, expected the columns {', '.join(_COLUMNS)}")
    cells = [_cells(line, number) for number, line in numbered]
    columns = [name.strip().lower() for name in cells[0]]
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise EventsError(f"line {numbered[0][0]}: lacks the columns {', '.join(missing)}")
    start, stop, label = (columns.index(name) for name in _COLUMNS)
    rows = []
    for (number, _), row in zip(numbered[1:], cells[1:], strict=True):
        if len(row) != len(columns):
            raise EventsError(f"line {number}: expected {len(columns)} cells, found {len(row)}")
        times = (_number(row[start], number), _number(row[stop], number))
        rows.append((*times, row[label].strip().lower()))
    return _collect(rows, labels, _duration_s(stated.get("duration")))


def _cells(line: str, number: int) -> list[str]:
    try:
        return next(csv.reader([line], skipinitialspace=True))
    except csv.Error as error:
        raise EventsError(f"line {number}: is not separated by commas") from error


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return decode(path.read_bytes(), path.name).splitlines()
    except TextError as error:
        raise EventsError("is not a text") from error
    except OSError as error:
        raise EventsError(f"cannot be read ({error.strerror})") from error


def _number(cell: str, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EventsError(f"line {line}: a time or code is not a number")
    return value


def _duration_s(text: str | None) -> float | None:
    """``305.00 secs`` -> 305.0."""
    match = re.match(r"\d+(\.\d+)?", text or "")
    return float(match[0]) if match else None


def _collect(
    rows: Iterable[tuple[float, float, str]],
    labels: Iterable[str],
    duration_s: float | None,
    *,
    every_row: bool = False,
) -> EventFile:
    known, events, odd = set(labels), [], {}
    for start_s, stop_s, label in rows:
        if label not in known:
            why = f"label {label!r}" if _CODE.fullmatch(label) else "a label that is no code"
        elif stop_s <= start_s or stop_s <= 0:
            why = "an end that is not after the beginning"
        else:
            events.append(Event(start_s, stop_s, label))
            continue
        odd[why] = odd.get(why, 0) + 1
    return EventFile(tuple(sorted(events if every_row else set(events))), odd, duration_s)


def to_json(events: Iterable[Event]) -> list[list[Any]]:
    """For ``Source.extra``."""
    return [list(dataclasses.astuple(event)) for event in events]


def from_json(rows: Iterable[Iterable[Any]]) -> list[Event]:
    """Reads :func:`to_json` back."""
    return [Event(*row) for row in rows]
