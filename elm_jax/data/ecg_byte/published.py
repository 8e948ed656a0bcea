"""Tokenizers as ECG-Bench releases them: a pickle of ``(vocab, merges)``.

``vocab`` names the text of every id, the 256 bytes first; ``merges`` has the bytes and the id of
each merged token. Which two tokens one was merged of, and which signals it is for, is not in them.

A pickle is a program. This one is only let build dicts, lists, tuples, texts, bytes and whole
numbers: whatever it names from a module is refused with its name, and so is what would take
memory without end.
"""

import io
import pickle
import pickletools
from collections.abc import Sequence
from typing import Any, NoReturn

from etils import epath

from elm_jax import paths
from elm_jax.data.ecg_byte.file import MAX_LETTERS
from elm_jax.data.ecg_byte.layout import EcgLayout
from elm_jax.data.ecg_byte.symbols import LETTERS
from elm_jax.data.ecg_byte.tokenizer import EcgByte

MAX_BYTES = 64 * 2**20  # a released file has 0.5 MB
_BYTES, _FIRST_MERGE = 256, 256
# The extension registry gives objects without asking for their names.
_NEVER = ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER")


class PickleRefused(ValueError):
    """A pickle that is more than data, too large, or broken; says what it names."""


class NotATokenizer(ValueError):
    """Data that is no released tokenizer; names the file and what was expected."""


class _DataOnly(pickle.Unpickler):
    """Builds what opcodes build by themselves; looks nothing up."""

    def __init__(self, file: io.BytesIO, path: str):
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> NoReturn:
        raise PickleRefused(
            f"{self._path}: refused: the pickle names {module}.{name}; a tokenizer is plain dicts, "
            "lists, tuples, texts, bytes and whole numbers. Nothing of it was run"
        )

    def persistent_load(self, pid: Any) -> NoReturn:
        raise PickleRefused(f"{self._path}: refused: the pickle refers to an object outside")


def read_pickle(path: epath.PathLike) -> Any:
    """The data of a pickle that holds nothing else.

    Raises:
      FileNotFoundError: there is no such file.
      PickleRefused: it names a class or function, is larger than 64 MiB, or broken.
    """
    path = paths.of(path)
    if (size := path.stat().length) > MAX_BYTES:
        raise PickleRefused(f"{path}: {size:,} bytes; a tokenizer has at most {MAX_BYTES:,}")
    content = path.read_bytes()
    _require_modest(content, str(path))
    try:
        return _DataOnly(io.BytesIO(content), str(path)).load()
    except PickleRefused:
        raise
    except Exception as error:  # whatever bytes can make an unpickler say
        raise PickleRefused(f"{path}: broken ({type(error).__name__}: {error})") from error


def _require_modest(content: bytes, path: str) -> None:
    """Raises where the opcodes ask for memory that the file's size does not account for."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in _NEVER:
                raise PickleRefused(f"{path}: refused: the pickle uses {opcode.name}")
            # The unpickler's memo is an array: an index is a size.
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(content):
                raise PickleRefused(f"{path}: refused: {opcode.name} {argument} in a small file")
    except PickleRefused:
        raise
    except Exception as error:  # as above
        raise PickleRefused(f"{path}: not a pickle ({error})") from error


def read_published(path: epath.PathLike, layout: EcgLayout, *, assumed: Sequence[str]) -> EcgByte:
    """A released tokenizer.

    Args:
      path: the ``.pkl``.
      layout: what signals it is for; the file does not tell.
      assumed: fields of ``layout`` that nobody told either.

    Raises:
      FileNotFoundError: there is no such file.
      PickleRefused: it is not plain data.
      NotATokenizer: it is other data.
    """
    content = read_pickle(path)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise NotATokenizer(f"{path}: expected (vocab, merges), found {type(content).__name__}")
    merged = merged_of(*content, source=str(path))
    note = {"source": f"ECG-Bench, {paths.of(path).name}", "merges": len(merged)}
    return EcgByte(layout, merged, training=note, assumed=tuple(assumed))


def merged_of(vocab: Any, merges: Any, *, source: str) -> tuple[str, ...]:
    """The letters of each merged token of a released tokenizer.

    Raises:
      NotATokenizer: the two are not what they should be, or do not say the same.
    """
    if not isinstance(vocab, dict) or not isinstance(merges, list | tuple):
        raise NotATokenizer(
            f"{source}: expected a dict (vocab) and a list (merges), found "
            f"{type(vocab).__name__} and {type(merges).__name__}"
        )
    merged, letters = [], 0
    for number, entry in enumerate(merges):
        sequence = _sequence_of(entry, number, source)
        letters += len(sequence)
        if letters > MAX_LETTERS:  # one list that many tokens share is small in the file
            raise NotATokenizer(f"{source}: tokens of more than {MAX_LETTERS:,} letters together")
        merged.append(_text_of(sequence, number, source))
    _require_vocab(vocab, merged, source)
    return tuple(merged)


def _sequence_of(entry: Any, number: int, source: str) -> Sequence[int]:
    """The bytes of a merge, whose id must be the next."""
    pair = isinstance(entry, tuple | list) and len(entry) == 2
    if not pair or not isinstance(entry[0], list | tuple | bytes) or type(entry[1]) is not int:
        raise NotATokenizer(f"{source}: merge {number} is not (bytes, id)")
    if entry[1] != _FIRST_MERGE + number:
        raise NotATokenizer(
            f"{source}: merge {number} has id {entry[1]}, expected {_FIRST_MERGE + number}"
        )
    return entry[0]


def _text_of(sequence: Sequence[int], number: int, source: str) -> str:
    low, high = ord(LETTERS[0]), ord(LETTERS[-1])
    if len(sequence) < 2 or not all(type(b) is int and low <= b <= high for b in sequence):
        raise NotATokenizer(
            f"{source}: merge {number} is {list(sequence[:8])!r}, expected two or more bytes of "
            "the letters a to z: this is no vocabulary of ECG-Byte"
        )
    return bytes(sequence).decode("ascii")


def _require_vocab(vocab: dict, merged: Sequence[str], source: str) -> None:
    """Raises unless the vocabulary names the bytes and the merged tokens, and nothing else."""
    expected = [chr(b) if b < 128 else f"<{b}>" for b in range(_BYTES)] + list(merged)
    for number, text in enumerate(expected):
        if vocab.get(number) != text:
            raise NotATokenizer(
                f"{source}: vocab has {str(vocab.get(number))[:40]!r} for id {number}, the merges "
                f"say {text[:40]!r}"
            )
    if len(vocab) != len(expected):
        raise NotATokenizer(f"{source}: vocab has {len(vocab)} ids, expected {len(expected)}")
