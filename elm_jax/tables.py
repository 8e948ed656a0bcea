"""Tables of results as people read them: three digits, intervals in one cell; and as CSV."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any, NamedTuple

NOTHING = "–"  # a value that is not there, or is no number


ABBREVIATIONS = (
    "auroc", "auprc", "bacc", "ece", "mae", "r2", "nll", "pca", "tsne", "umap", "roc", "eeg", "ecg"
)  # fmt: skip


def name_of(key: str) -> str:
    """A key for the eye: words, the field's abbreviations in capitals."""
    return " ".join(w.upper() if w in ABBREVIATIONS else w for w in key.split("_"))


def file_stem(name: str) -> str:
    """A name as part of a file's: letters, digits and a few signs; no path."""
    return re.sub(r"[^\w.=+-]+", "_", name).lstrip(".") or "_"


class Shown(NamedTuple):
    """A table ready to be printed or set.

    Attributes:
      columns: names.
      cells: rows of texts, each as long as ``columns``.
      numeric: for each column, whether it is set flush right.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every column that any row has, in the order in which they first appear."""
    return list(dict.fromkeys(key for row in rows for key in row))


def format_value(value: Any) -> str:
    """A value in a cell: floats to three digits, very large and small ones with an exponent."""
    value = value.item() if hasattr(value, "item") else value  # NumPy's numbers
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
        plain = value == 0 or 1e-3 <= abs(value) < 1e5
        return f"{value:.3f}" if plain else f"{value:.2e}"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    return str(value)


def with_interval(value: Any, low: Any, high: Any) -> str:
    """``0.972 [0.921, 1.000]``; the value alone where it has no interval."""
    if low is None and high is None:
        return format_value(value)
    return f"{format_value(value)} [{format_value(low)}, {format_value(high)}]"


def _bounds(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Columns that have an interval -> its two columns; an interval may have no value."""
    stems = [c.removesuffix("_low") for c in columns if c.endswith("_low")]
    found = {stem: (f"{stem}_low", f"{stem}_high") for stem in stems}
    if "value" in columns:
        found["value"] = ("low", "high")
    return {stem: pair for stem, pair in found.items() if set(pair) <= set(columns)}


def show(rows: Sequence[Mapping[str, Any]]) -> Shown:
    """A table for the eye; ``x``, ``x_low``, ``x_high`` become one column, so do value/low/high."""
    every = columns_of(rows)
    bounds = _bounds(every)
    # An interval without a value stands where its lower end stood.
    of_low = {low: stem for stem, (low, _) in bounds.items() if stem not in every}
    merged = {name for pair in bounds.values() for name in pair} - set(of_low)
    columns = tuple(of_low.get(c, c) for c in every if c not in merged)

    def cell(row: Mapping[str, Any], column: str) -> str:
        if column not in bounds:
            return format_value(row.get(column))
        low, high = (row.get(name) for name in bounds[column])
        if column in row or (low is None and high is None):
            return with_interval(row.get(column), low, high)
        return f"[{format_value(low)}, {format_value(high)}]"

    cells = tuple(tuple(cell(row, c) for c in columns) for row in rows)
    numeric = tuple(_is_numeric(rows, c if c in every else bounds[c][0]) for c in columns)
    return Shown(columns, cells, numeric)


def _is_numeric(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    values = [row[column] for row in rows if row.get(column) is not None]
    return bool(values) and all(isinstance(v, Number) and not isinstance(v, bool) for v in values)


def aligned(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table for the terminal, the header first."""
    shown = show(rows)
    lines = [shown.columns, *shown.cells]
    # A line break in a text would tear the table apart.
    lines = [[" ".join(cell.split()) for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(shown.columns))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, shown.numeric, strict=True)
        ).rstrip()
        for line in lines
    ]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """All rows with all digits; a value that a row lacks is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
