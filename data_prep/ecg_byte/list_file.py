"""A list of records: text with a line a record, and above it how they were drawn."""

import dataclasses
from collections.abc import Sequence

from etils import epath

from elm_jax import paths

TITLE = "# ECG-Byte: a list of records"
_COLUMNS = ("recording", "start_s", "cluster")


class ListError(ValueError):
    """A list that cannot be read or written; names the file and the line."""


@dataclasses.dataclass(frozen=True)
class RecordList:
    """Some records of a directory.

    Attributes:
      recording: name of the recording of each.
      start_s: where each begins in it.
      cluster: the morphological cluster of each; empty where none were formed.
      drawn: lines that say of what and how they were drawn.
    """

    recording: tuple[str, ...]
    start_s: tuple[float, ...]
    cluster: tuple[int, ...]
    drawn: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.recording)

    def save(self, path: epath.PathLike) -> None:
        """Writes the list; the file is whole or absent.

        Raises:
          ListError: a recording's name does not fit on a line.
        """
        for name in self.recording:
            if set(name) & set("\t\r\n"):
                raise ListError(f"{path}: a recording is named {name!r}: no tab or line break fits")
        columns = [self.recording, map(repr, self.start_s)]
        columns += [map(str, self.cluster)] if self.cluster else []
        head = [TITLE, *(f"# {line}" for line in self.drawn)]
        lines = [*head, "\t".join(_COLUMNS[: len(columns)])]
        lines += ["\t".join(cells) for cells in zip(*columns, strict=True)]
        paths.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: epath.PathLike) -> "RecordList":
        """Reads a list of :meth:`save`, or one that somebody wrote by hand.

        Raises:
          FileNotFoundError: there is none.
          ListError: names the line that does not fit.
        """
        lines = paths.read_text(path).split("\n")
        first = next((i for i, line in enumerate(lines) if line and line[0] != "#"), None)
        columns = tuple(lines[first].split("\t")) if first is not None else ()
        if columns not in (_COLUMNS[:2], _COLUMNS):
            raise ListError(
                f"{path}: expected a line with the columns {' and '.join(_COLUMNS[:2])} (and "
                f"perhaps {_COLUMNS[2]}), parted by tabs; found {columns}"
            )
        rows = [_row(line, columns, path, n) for n, line in _numbered(lines, first)]
        if not rows:
            raise ListError(f"{path}: lists no record")
        recording, start_s, *cluster = zip(*rows, strict=True)
        head = [line for line in lines[:first] if line.strip() not in ("", TITLE)]
        drawn = tuple(line[1:].strip() for line in head)
        return cls(recording, start_s, tuple(cluster[0]) if cluster else (), drawn)


def _numbered(lines: Sequence[str], first: int) -> list[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(lines[first + 1 :], first + 2) if line.strip()]


def _row(line: str, columns: Sequence[str], path: epath.PathLike, number: int) -> tuple:
    cells = line.split("\t")
    if len(cells) != len(columns):
        raise ListError(f"{path}:{number}: {len(cells)} cells, expected {len(columns)}: {line!r}")
    try:
        return (cells[0], float(cells[1]), *map(int, cells[2:]))
    except ValueError as error:
        raise ListError(f"{path}:{number}: {error}; expected a time in seconds") from error
