"""Training ECG-Byte: byte-pair encoding of symbols, the most frequent pair first.

**What is counted.** A pair occurs wherever its two tokens stand next to each other, so pairs may
overlap: ``aaa`` has ``aa`` twice. They are merged from left to right, each token once: ``aaa``
becomes ``Aa``. Of pairs that occur equally often the one with the smallest first id is merged, then
that with the smallest second. That is the reference's count, which it takes anew over the whole
text at each merge; ties fall there as a hash map has it. Pairs never lie across two records unless
``cross_records`` says so (in the reference they do: it joins all records).

**What it takes.** Per merge, the places of the merged pair are visited and nothing else
(:mod:`.merging`). Per symbol 2 bytes of text and 4 bytes of places, with half as many to spare:
8 bytes, and 1 more while records are collected. At worst (a text of one symbol) places grow, and
while they do there are 17 bytes a symbol. Beside that 100 bytes a pair that ever occurs, and 4
megabytes. Up to 2^31 symbols.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt16

from elm_jax.axes import Int
from elm_jax.data.ecg_byte.compiled import merging
from elm_jax.data.ecg_byte.symbols import SYMBOLS

MAX_SYMBOLS = 2**31 - 2**16
MAX_IDS = 65534
_SPARE = 1.5  # places over symbols at first
_ENTRIES = 2**16  # pairs at first: all of single symbols, and those of some hundred merges
_BUDGET = 4_000_000  # places read between two calls of `progress`: tens of milliseconds


class TrainingError(ValueError):
    """Nothing to train on, or more than there is room for."""


class Merges(NamedTuple):
    """What training gives.

    Attributes:
      pairs: ids of the two tokens of each new one; the first new id is 26.
      counts: how often each pair occurred when it was merged (overlapping ones each).
      ids: the training text after all merges, record after record.
      symbols: of the training text.
      records: how many there were.
    """

    pairs: Int[np.ndarray, "m 2"]
    counts: Int[np.ndarray, " m"]
    ids: UInt16[np.ndarray, " n"]
    symbols: int
    records: int


def train_merges(
    records: Iterable[np.ndarray],
    merges: int,
    *,
    least: int = 1,
    cross_records: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Merges:
    """Merges pairs until there are ``merges`` new tokens, or none occurs ``least`` times.

    Args:
      records: symbols (0 to 25, uint8) of each record.
      merges: how many new tokens at most.
      least: a pair that occurs more rarely is not merged.
      cross_records: whether a token may begin in one record and end in the next.
      progress: called with the number of merges so far, several times a second.

    Raises:
      TrainingError: no records, an empty one, something else than symbols, too many of them, or
        an impossible number of merges.
      NumbaMissing: numba is not installed.
    """
    if not 1 <= merges <= MAX_IDS - SYMBOLS or least < 1:
        raise TrainingError(
            f"merges={merges}, least={least}: expected 1 to {MAX_IDS - SYMBOLS} merges of pairs "
            "that occur at least once"
        )
    text, count = _text_of(records, cross_records)
    symbols = len(text) - 2 - (0 if cross_records else count - 1)
    state = _State(text, symbols, merges, least)
    state.run(progress or (lambda done: None))
    pairs, counts = state.found()
    return Merges(pairs, counts, state.ids(), symbols, count)


def _text_of(records: Iterable[np.ndarray], cross_records: bool) -> tuple[np.ndarray, int]:
    """All records in one array of ids with edges around them, and how many there are."""
    kernels = merging()
    kept, total = [], 0
    for number, record in enumerate(records):
        if record.dtype != np.uint8 or record.ndim != 1 or not len(record):
            raise TrainingError(
                f"record {number}: expected symbols as uint8 [n], n > 0, found {record.dtype} of "
                f"shape {record.shape}"
            )
        if (largest := int(record.max())) >= SYMBOLS:
            raise TrainingError(f"record {number}: symbol {largest}, expected 0 to {SYMBOLS - 1}")
        kept.append(record)
        total += len(record)
        if total + number > MAX_SYMBOLS:
            raise TrainingError(
                f"more than {MAX_SYMBOLS:,} symbols (after {number + 1} records): places are kept "
                "in 32 bits; train on a sample (python -m data_prep.ecg_byte sample)"
            )
    if not kept:
        raise TrainingError("there are no records to train on")
    gap = 0 if cross_records else 1
    text = np.full(total + 2 + gap * (len(kept) - 1), kernels.EDGE, np.uint16)
    at, count = 1, len(kept)
    kept.reverse()
    while kept:  # given back one by one: they are a third of what is held here
        record = kept.pop()
        text[at : at + len(record)] = record
        at += len(record) + gap
    return text, count


class _State:
    """The arrays of a training, and their growth."""

    def __init__(self, text: np.ndarray, symbols: int, merges: int, least: int):
        self._kernels, self._merges, self._least = merging(), merges, least
        numbers = {name: np.zeros(_ENTRIES, np.int64) for name in self._FIELDS}
        self._work = self._kernels.Work(
            text=text,
            length=np.ones(65536, np.int64),
            places=np.empty(int(len(text) * _SPARE) + 16, np.uint32),
            table=np.zeros(_table_of(_ENTRIES), np.int32),
            beside=np.zeros((4, 65536), np.int64),
            at=np.asarray([SYMBOLS, 0, 0, 0, 0, symbols], np.int64),
            merged=np.zeros((merges, 2), np.int64),
            merged_count=np.zeros(merges, np.int64),
            **numbers,
        )
        self._kernels.first_pairs(self._work, least)

    _FIELDS = ("pair", "count", "begin", "size", "queue")  # a number an entry

    @property
    def done(self) -> int:
        """Merges so far."""
        return int(self._work.at[self._kernels.DONE])

    def run(self, progress: Callable[[int], None]) -> None:
        """Merges until all are done or no pair is left."""
        kernels, tidied_at = self._kernels, -1
        while True:
            why = kernels.run(self._work, self._merges, _BUDGET, self._least)
            if why == kernels.NO_ENTRIES:
                self._more_entries()
            elif why == kernels.NO_ROOM and tidied_at == self.done:
                self._more_places()
            elif why == kernels.NO_ROOM:
                kernels.tidy(self._work)
                tidied_at = self.done
            progress(self.done)
            if why == kernels.EXHAUSTED or self.done == self._merges:
                return

    def _more_entries(self) -> None:
        """Twice as many entries."""
        work, kernels = self._work, self._kernels
        size = 2 * len(work.pair)
        grown = {name: _grown(getattr(work, name), size) for name in self._FIELDS}
        table = np.zeros(_table_of(size), np.int32)
        kernels.refill(table, grown["pair"], int(work.at[kernels.ENTRIES]))
        self._work = work._replace(table=table, **grown)

    def _more_places(self) -> None:
        """Half as many places again: what is alive and one more merge may need that much."""
        size = len(self._work.places) * 3 // 2
        self._work = self._work._replace(places=_grown(self._work.places, size))

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """The merged pairs, and how often each occurred."""
        return self._work.merged[: self.done].copy(), self._work.merged_count[: self.done].copy()

    def ids(self) -> np.ndarray:
        """What has become of the text."""
        work = self._work
        out = np.empty(work.at[self._kernels.TOKENS], np.uint16)
        self._kernels.read_text(work.text, work.length, out)
        return out


def _table_of(entries: int) -> int:
    """A power of two, so that at most half of the table is taken."""
    return 1 << (2 * entries - 1).bit_length()


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(size, array.dtype)
    out[: len(array)] = array
    return out
