"""EcgByte: the tokenizer; an ECG in millivolts to ids, and ids to an ECG."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Integer, UInt8

from elm_jax import paths
from elm_jax.axes import Float, Int
from elm_jax.data.ecg_byte.file import read, require_tokens, to_json
from elm_jax.data.ecg_byte.layout import EcgLayout
from elm_jax.data.ecg_byte.symbols import (
    LETTERS,
    NORMALISATION,
    SYMBOLS,
    Symbols,
    to_signal,
    to_symbols,
)
from elm_jax.data.ecg_byte.training import Merges, TrainingError, train_merges
from elm_jax.data.ecg_byte.trie import Trie

TIES = "the smallest (id, id)"
# The reference's ids: a byte each for letters, merges from 256 on.
_PUBLISHED_LETTER, _PUBLISHED_MERGE = ord("a"), 256


class IdError(ValueError):
    """Ids that a tokenizer does not have."""


class EcgTokens(NamedTuple):
    """A record as ids, and what makes a signal of them again.

    Attributes:
      ids: int32, lead after lead; a token may hold the end of one lead and the start of the next.
      minimum_mv: smallest value of the record.
      maximum_mv: largest value.
    """

    ids: Int[np.ndarray, " n"]
    minimum_mv: float
    maximum_mv: float


@dataclasses.dataclass(frozen=True)
class EcgByte:
    """A vocabulary of ECG-Byte and the signal that it is for.

    Ids: 0 to 25 are the levels (letters a to z), 26 and on the merged tokens in the order in which
    they were merged. (The released tokenizers have 97 to 122 and 256 and on:
    :meth:`published_ids`.)

    Attributes:
      layout: leads, rate and length of a record.
      merged: the letters of each merged token.
      pairs: the two ids that each was merged of; None where a file did not tell.
      training: how it was trained, JSON-ready.
      assumed: fields of ``layout`` that a file did not tell.
    """

    layout: EcgLayout
    merged: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...] | None = None
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    assumed: tuple[str, ...] = ()

    def __post_init__(self):
        require_tokens(self.merged, self.pairs, source="EcgByte")

    @classmethod
    def train(
        cls,
        symbols: Iterable[np.ndarray],
        layout: EcgLayout,
        merges: int,
        *,
        least: int = 1,
        cross_records: bool = False,
        progress: Callable[[int], None] | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> "EcgByte":
        """Trains a vocabulary; see :mod:`elm_jax.data.ecg_byte.training`.

        Args:
          symbols: of each record, as :func:`~elm_jax.data.ecg_byte.symbols.to_symbols` gives them.
          layout: the signal that they are of.
          merges: how many tokens to add.
          least: a pair that occurs more rarely is not merged.
          cross_records: whether a token may reach from one record into the next.
          progress: called with the number of merges so far.
          note: what else is to be said about the training.

        Raises:
          TrainingError: nothing to train on, or too much.
        """
        found = train_merges(
            symbols, merges, least=least, cross_records=cross_records, progress=progress
        )
        if not len(found.pairs):
            raise TrainingError(
                f"no pair occurs {least} times in {found.symbols:,} symbols: there is nothing to "
                "merge; take more records, or a smaller least"
            )
        asked = {"merges": merges, "least": least, "cross_records": cross_records, "ties": TIES}
        training = asked | _came_to(found) | dict(note or {})
        pairs = tuple((int(a), int(b)) for a, b in found.pairs)
        return cls(layout, _strings_of(pairs), pairs, training)

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return SYMBOLS + len(self.merged)

    @functools.cached_property
    def token_strings(self) -> tuple[str, ...]:
        """The letters of every token, by id."""
        return (*LETTERS, *self.merged)

    @functools.cached_property
    def token_lengths(self) -> Int[np.ndarray, " v"]:
        """Symbols in every token, by id."""
        return np.asarray([len(s) for s in self.token_strings])

    @functools.cached_property
    def digest(self) -> str:
        """Tells tokenizers apart: of the tokens, the layout and the normalisation."""
        told = [self.layout.to_dict(), NORMALISATION, self.merged]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @functools.cached_property
    def trie(self) -> Trie:
        """What finds the tokens; built when first needed."""
        return Trie(self.token_strings)

    def symbols(self, signal_mv: Float[np.ndarray, "c t"], *, source: str = "signal") -> Symbols:
        """The levels of a record.

        Raises:
          LayoutError: other leads, or another length, than the tokenizer's.
          SymbolError: no sample, a flat record, or values that are no ECG.
        """
        self.layout.require_shape(signal_mv.shape, source=source)
        return to_symbols(signal_mv, source=source)

    def encode(self, signal_mv: Float[np.ndarray, "c t"], *, source: str = "signal") -> EcgTokens:
        """The ids of a record: the longest token at each place.

        Args:
          signal_mv: leads in the order of ``layout.channels``, in millivolts.
          source: what messages call it.

        Raises:
          LayoutError: other leads, or another length, than the tokenizer's.
          SymbolError: no sample, a flat record, or values that are no ECG.
        """
        found = self.symbols(signal_mv, source=source)
        return EcgTokens(self.encode_symbols(found.symbols), found.minimum_mv, found.maximum_mv)

    def encode_symbols(self, symbols: Integer[np.ndarray, " s"]) -> Int[np.ndarray, " n"]:
        """The ids of a text of levels, int32."""
        return self.encode_texts([symbols])[0]

    def encode_texts(
        self, texts: Sequence[np.ndarray]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " ends"]]:
        """The ids of several texts, one after the other, and where each begins (and the last ends).

        Raises:
          IdError: something else than levels from 0 to 25.
        """
        symbols = np.concatenate([np.zeros(0, np.uint8), *texts])
        if len(symbols) and not 0 <= symbols.min() <= symbols.max() < SYMBOLS:
            raise IdError(
                f"levels reach from {symbols.min()} to {symbols.max()}, expected 0 to {SYMBOLS - 1}"
            )
        return self.trie.encode(symbols, np.cumsum([0, *map(len, texts)]))

    def require_ids(self, ids: Integer[np.ndarray, " n"]) -> None:
        """Raises unless all ids are of this vocabulary.

        Raises:
          IdError: names the first that is not.
        """
        bad = np.flatnonzero((ids < 0) | (ids >= self.vocab_size))
        if len(bad):
            raise IdError(
                f"{len(bad)} of {len(ids)} ids are not of this vocabulary of {self.vocab_size}; "
                f"the first: {ids[bad[0]]} at {bad[0]}. Ids of ECG-Bench's tokenizers are read by "
                "from_published_ids; other ones belong to another tokenizer"
            )

    def decode_symbols(self, ids: Integer[np.ndarray, " n"]) -> UInt8[np.ndarray, " s"]:
        """The levels of ids.

        Raises:
          IdError: an id beyond the vocabulary.
        """
        ids = np.asarray(ids, np.int64)
        self.require_ids(ids)
        length = self.token_lengths[ids]
        ends = np.cumsum(length)
        total = int(ends[-1]) if len(ends) else 0
        # Each level's place in its token, then in the row of all tokens' levels.
        place = np.arange(total) - np.repeat(ends - length, length)
        return self._row[np.repeat(self._row_begin[ids], length) + place]

    @functools.cached_property
    def _row(self) -> np.ndarray:
        letters = "".join(self.token_strings).encode("ascii")
        return np.frombuffer(letters, np.uint8) - np.uint8(ord("a"))

    @functools.cached_property
    def _row_begin(self) -> np.ndarray:
        return np.cumsum(self.token_lengths) - self.token_lengths

    def decode(
        self, ids: Integer[np.ndarray, " n"], minimum_mv: float, maximum_mv: float
    ) -> Float[np.ndarray, "c t"]:
        """The signal of ids in millivolts, float32, each sample at the middle of its level.

        It is off by at most ``(maximum_mv - minimum_mv + 1e-6) / 52``, and rounding to float32.

        Args:
          ids: of a whole record.
          minimum_mv: of the record, as :meth:`encode` gave it.
          maximum_mv: likewise.

        Raises:
          IdError: an id beyond the vocabulary.
          SymbolError: the levels do not divide into the leads, or minimum and maximum are no range.
          LayoutError: they are of another length than the tokenizer's records.
        """
        levels = self.decode_symbols(ids)
        leads = len(self.layout.channels)
        signal = to_signal(levels, minimum_mv, maximum_mv, leads=leads)
        self.layout.require_shape(signal.shape, source=f"{len(ids)} ids")
        return signal

    def published_ids(self, ids: Integer[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The same tokens under the reference's ids: letters as ASCII, merges from 256 on."""
        ids = np.asarray(ids)
        self.require_ids(ids)
        merge = ids - SYMBOLS + _PUBLISHED_MERGE
        return np.where(ids < SYMBOLS, ids + _PUBLISHED_LETTER, merge).astype(np.int32)

    def from_published_ids(self, ids: Integer[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Ids of the reference as ours.

        Raises:
          IdError: a byte that is no letter, or an id beyond the vocabulary.
        """
        ids = np.asarray(ids)
        letter, merge = ids - _PUBLISHED_LETTER, ids - _PUBLISHED_MERGE
        known = np.where(merge >= 0, merge < len(self.merged), (0 <= letter) & (letter < SYMBOLS))
        if not known.all():
            at = int(np.argmin(known))
            raise IdError(
                f"{ids[at]} at {at} is none of this tokenizer's published ids: 97 to 122, and 256 "
                f"to {_PUBLISHED_MERGE + len(self.merged) - 1}"
            )
        return np.where(merge >= 0, merge + SYMBOLS, letter).astype(np.int32)

    def save(self, path: epath.PathLike) -> None:
        """Writes the tokenizer as JSON; the file is whole or absent."""
        paths.write_text(path, to_json(self))

    @classmethod
    def load(cls, path: epath.PathLike) -> "EcgByte":
        """Reads a file of :meth:`save`.

        Raises:
          FileNotFoundError: there is none.
          TokenizerFileError: it is something else, of another version, or damaged.
        """
        return cls(**read(path))


def _strings_of(pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    strings = list(LETTERS)
    for first, second in pairs:
        strings.append(strings[first] + strings[second])
    return tuple(strings[SYMBOLS:])


def _came_to(found: Merges) -> dict[str, Any]:
    return {
        "merges_done": len(found.pairs),
        "records": found.records,
        "symbols": found.symbols,
        "tokens": len(found.ids),
        "count_of_last_merge": int(found.counts[-1]) if len(found.counts) else 0,
    }
