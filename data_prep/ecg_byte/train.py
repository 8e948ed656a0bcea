"""Training a tokenizer on the records of a list, or on all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

import elm_jax
from data_prep.ecg_byte.list_file import RecordList
from data_prep.ecg_byte.records import EcgRecords, few
from elm_jax.axes import Int
from elm_jax.data.ecg_byte import EcgByte
from elm_jax.data.ecg_byte.symbols import SYMBOLS, is_flat, to_symbols


class Texts:
    """The symbols of records one after the other, with a bar; flat records are left out, counted.

    Attributes:
      flat: names of those left out so far.
    """

    def __init__(self, records: EcgRecords, rows: Int[np.ndarray, " n"]):
        self._records, self._rows = records, rows
        self.flat: list[str] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        with tqdm(total=len(self._rows), desc="symbols", unit="record", disable=None) as bar:
            for rows, signal in self._records.batches(self._rows):
                for row, x in zip(rows, signal, strict=True):
                    if is_flat(x):
                        self.flat.append(self._records.name(row))
                    else:
                        yield to_symbols(x, source=self._records.name(row)).symbols
                bar.update(len(rows))


class _MergeBar:
    """A bar of merges that appears with the first: until then symbols are read, under their own."""

    def __init__(self, merges: int):
        self._merges, self._bar = merges, None

    def at(self, done: int) -> None:
        """So many merges are done."""
        if self._bar is None:
            self._bar = tqdm(total=self._merges, desc="merges", unit="merge", disable=None)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> "_MergeBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def rows_of(records: EcgRecords, chosen: RecordList | None) -> Int[np.ndarray, " n"]:
    """The numbers of the records of a list; of all without one."""
    if chosen is None:
        return np.arange(len(records))
    return records.find(chosen.recording, chosen.start_s)


def train(
    records: EcgRecords,
    chosen: RecordList | None,
    *,
    merges: int,
    least: int,
    cross_records: bool,
) -> EcgByte:
    """Trains a tokenizer and prints what it came to.

    Raises:
      TrainingError: nothing to train on, or more than there is room for.
    """
    texts = Texts(records, rows_of(records, chosen))
    note = {
        "corpus": records.manifest.corpus,
        "simulated": records.manifest.simulated,
        "splits": list(records.splits),
        "drawn": list(chosen.drawn) if chosen else ["all of them"],
        "elm_jax": elm_jax.__version__,
    }
    with _MergeBar(merges) as bar:
        tokenizer = EcgByte.train(
            texts,
            records.layout,
            merges,
            least=least,
            cross_records=cross_records,
            progress=bar.at,
            note=note,
        )
    _print(tokenizer.training, merges, texts.flat)
    return tokenizer


def _print(training: dict[str, Any], merges: int, flat: list[str]) -> None:
    symbols, tokens, done = (training[k] for k in ("symbols", "tokens", "merges_done"))
    print(
        f"Trained on {training['records']:,} records, {symbols:,} symbols: {done:,} merges, "
        f"{SYMBOLS + done:,} ids.\nThe text became {tokens:,} tokens, {symbols / tokens:.2f} "
        f"symbols each; the last pair occurred {training['count_of_last_merge']:,} times."
    )
    if done < merges:
        often = f" {training['least']} times" if training["least"] > 1 else ""
        print(f"No further pair occurs{often}: {done:,} of {merges:,} merges.")
    if flat:
        print(f"Left out, flat: {few(flat)}.")
