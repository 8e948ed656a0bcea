"""A corpus as tokens: the ids of every record in one ``.npz``, with whose they are.

Two bytes a token, and no pickle: it opens with ``numpy.load(path, allow_pickle=False)``.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt16

from elm_jax.axes import Float, Int
from elm_jax.data.ecg_byte.arrays import ArraysError, read_npz, write_npz
from elm_jax.data.ecg_byte.tokenizer import EcgByte, EcgTokens

FORMAT, VERSION = "elm_jax ECG-Byte tokens", 1
_ARRAYS = ("ids", "begin", "minimum_mv", "maximum_mv", "start_s")


class TokenFileError(ValueError):
    """A file that holds no tokens, is damaged, or is of another tokenizer."""


@dataclasses.dataclass(frozen=True, eq=False)
class TokenFile:
    """Records as ids.

    Attributes:
      ids: of all records, one after the other.
      begin: of each record in ``ids``, and the end of the last.
      minimum_mv: of each record.
      maximum_mv: of each record.
      recording: name of the recording that each was cut from.
      start_s: where in it.
      meta: ``tokenizer`` (its digest), ``vocab_size``, and what was said when they were made.
    """

    ids: UInt16[np.ndarray, " tokens"]
    begin: Int[np.ndarray, " ends"]
    minimum_mv: Float[np.ndarray, " n"]
    maximum_mv: Float[np.ndarray, " n"]
    recording: tuple[str, ...]
    start_s: Float[np.ndarray, " n"]
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.recording)

    def __getitem__(self, index: int) -> EcgTokens:
        """A record; what :meth:`EcgByte.decode` takes."""
        ids = self.ids[self.begin[index] : self.begin[index + 1]].astype(np.int32)
        return EcgTokens(ids, float(self.minimum_mv[index]), float(self.maximum_mv[index]))

    @property
    def texts(self) -> list[UInt16[np.ndarray, " _n"]]:
        """The ids of each record."""
        return np.split(self.ids, self.begin[1:-1])

    def require_tokenizer(self, tokenizer: EcgByte, *, source: str) -> None:
        """Raises unless the ids are of this tokenizer.

        Raises:
          TokenFileError: they are of another.
        """
        if self.meta["tokenizer"] != tokenizer.digest:
            raise TokenFileError(
                f"{source}: made by tokenizer {self.meta['tokenizer']} of {self.meta['vocab_size']}"
                f" tokens, not by the one given ({tokenizer.digest}, {tokenizer.vocab_size}); give "
                "that one, or encode again"
            )

    def save(self, path: epath.PathLike) -> None:
        """Writes the file; it is whole or absent."""
        head = dict(self.meta) | {"format": FORMAT, "version": VERSION}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        texts = {"meta": json.dumps(head, ensure_ascii=False), "recording": _joined(self.recording)}
        encoded = {k: np.frombuffer(v.encode(), np.uint8) for k, v in texts.items()}
        write_npz(path, arrays | encoded)

    @classmethod
    def load(cls, path: epath.PathLike) -> "TokenFile":
        """Reads a file of :meth:`save`.

        Raises:
          FileNotFoundError: there is none.
          TokenFileError: it is something else, of another version, or damaged.
        """
        try:
            arrays = read_npz(path, (*_ARRAYS, "meta", "recording"))
            meta = json.loads(arrays.pop("meta").tobytes().decode())
            recording = tuple(json.loads(arrays.pop("recording").tobytes().decode()))
        except ArraysError as error:
            raise TokenFileError(str(error)) from error
        except ValueError as error:
            raise TokenFileError(f"{path}: damaged ({error}); encode again") from error
        found = (meta.pop("format", None), meta.pop("version", None))
        if found != (FORMAT, VERSION):
            raise TokenFileError(f"{path}: found {found}, expected {(FORMAT, VERSION)}")
        _require_sound(arrays, len(recording), meta, path)
        return cls(**arrays, recording=recording, meta=meta)


def _joined(names: Sequence[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _require_sound(
    arrays: Mapping[str, np.ndarray], records: int, meta: Mapping[str, Any], path: epath.PathLike
) -> None:
    ids, begin = arrays["ids"], arrays["begin"]
    sizes = {name: len(arrays[name]) for name in ("minimum_mv", "maximum_mv", "start_s")}
    ordered = len(begin) == records + 1 and begin[0] == 0 and begin[-1] == len(ids)
    if set(sizes.values()) != {records} or not ordered or (np.diff(begin) < 1).any():
        raise TokenFileError(
            f"{path}: {records} recordings, {sizes}, {len(begin)} ends, {len(ids)} ids do not fit "
            "together; encode again"
        )
    if not {"tokenizer", "vocab_size"} <= set(meta) or int(ids.max()) >= meta["vocab_size"]:
        raise TokenFileError(f"{path}: ids reach beyond the vocabulary that it names")
