"""Entries of published files, one by one: of JSON lists, of line-delimited JSON, of Parquet."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any, TextIO

from elm_jax.data.dialogues import DialogueError

SUFFIXES = (".json", ".jsonl", ".parquet")
_CHUNK_CHARS = 1 << 20
_LONGEST_CHARS = 1 << 24  # of an entry: what is longer is not closed


def entries_of(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of each entry; holds no more of the file than one needs.

    Raises:
      DialogueError: the file is missing, of another kind, or damaged; says where.
    """
    if not path.is_file():
        raise DialogueError(f"{path}: no such file")
    if path.suffix.lower() not in SUFFIXES:
        raise DialogueError(f"{path}: expected {', '.join(SUFFIXES)}")
    reader = {".json": _json, ".jsonl": _lines, ".parquet": _parquet}[path.suffix.lower()]
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise DialogueError(f"{path}: expected UTF-8 text, found other bytes ({error})") from error


def _lines(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    raise DialogueError(f"{path}:{number}: not JSON ({error})") from error


def _parquet(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        # Images are stored beside their paths, and are most of the file.
        columns = [f.name for f in file.schema_arrow if not pyarrow.types.is_struct(f.type)]
        number = 0
        for batch in file.iter_batches(columns=columns):
            for value in batch.to_pylist():
                number += 1
                yield number, value
    except pyarrow.ArrowException as error:
        raise DialogueError(f"{path}: not a Parquet file ({error})") from error


class _Text:
    """What is left of a file, read as it is needed; knows the line."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.at, self.line = file, "", 0, 1

    def more(self) -> bool:
        """Reads on; False at the end of the file."""
        self.line += self.text.count("\n", 0, self.at)
        chunk = self.file.read(_CHUNK_CHARS)
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)

    def sign(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def here(self) -> int:
        """Number of the line."""
        return self.line + self.text.count("\n", 0, self.at)


def _json(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    """Entries of a list of objects: a gigabyte of them would need many of memory at once."""
    with path.open(encoding="utf-8-sig") as file:
        text, number = _Text(file), 0
        _expect(path, text, "[")
        while text.sign() != "]":
            if number:
                _expect(path, text, ",")
            number += 1
            if text.sign() != "{":
                _expect(path, text, "{")
            yield number, _object(path, text, number)
        text.at += 1
        if text.sign():
            raise DialogueError(f"{path}:{text.here()}: expected nothing after the list")


def _expect(path: pathlib.Path, text: _Text, sign: str) -> None:
    if text.sign() != sign:
        what = "a list of objects: " if sign in "[{" else ""
        raise DialogueError(
            f"{path}:{text.here()}: expected {what}{sign!r}, found "
            f"{text.text[text.at : text.at + 40]!r}"
        )
    text.at += 1


def _object(path: pathlib.Path, text: _Text, number: int) -> Any:
    decoder = json.JSONDecoder()
    while True:
        try:
            value, text.at = decoder.raw_decode(text.text, text.at)
            return value
        except json.JSONDecodeError as error:
            if len(text.text) > _LONGEST_CHARS or not text.more():
                raise DialogueError(
                    f"{path}:{text.here()}: entry {number} is damaged, or the file is cut: "
                    f"{error.msg}"
                ) from error
