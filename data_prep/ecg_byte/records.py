"""The records of a prepared directory: its windows, each the text of one ECG."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from elm_jax.axes import Float, Int
from elm_jax.data.ecg_byte import EcgLayout
from elm_jax.data.manifest import SPLITS, Manifest
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader

AT_ONCE = 256  # records read together
_US_PER_S = 1e6


class RecordsError(ValueError):
    """Records that are asked for and are not there; names the directory."""


class EcgRecords:
    """All whole windows of some splits, numbered through: split after split, as stored.

    Args:
      directory: prepared, of ECGs.
      splits: of which; all that hold anything if empty.

    Attributes:
      layout: leads, rate and window.
      manifest: the directory's.
      splits: those read.
      recording: name of the recording of each record.
      start_s: where each begins in it.

    Raises:
      NotPrepared, ManifestError: the directory is not finished, or a split is unknown or empty.
      LayoutError: it holds no ECG in millivolts.
      RecordsError: no recording is as long as a window.
    """

    def __init__(self, directory: str | os.PathLike, splits: Sequence[str] = ()):
        self.directory = os.fspath(directory)
        self.manifest = Manifest.load(directory)
        self.layout = EcgLayout.of_spec(self.manifest.spec, source=f"{directory}/manifest.json")
        filled = tuple(s for s in SPLITS if self.manifest.people.get(s))
        self.splits = tuple(splits) or filled
        self._readers = [ShardReader(directory, split) for split in self.splits]
        samples = self.manifest.spec.window_samples
        self._windows = [Windows.of(reader.recordings, samples) for reader in self._readers]
        self._first = np.cumsum([0, *map(len, self._windows)])
        if not len(self):
            raise RecordsError(
                f"{directory}: no recording of {', '.join(self.splits)} is as long as a window "
                f"({self.layout.window_s:g} s); prepare with a shorter --window_s"
            )
        self.recording, self.start_s = self._places()

    def __len__(self) -> int:
        return int(self._first[-1])

    def _places(self) -> tuple[list[str], Float[np.ndarray, " n"]]:
        names, starts = [], []
        rate = self.layout.sfreq_hz
        for reader, windows in zip(self._readers, self._windows, strict=True):
            begin_s = {p.index: p.start_s for row in reader.recordings for p in row.pieces}
            names += [reader.recordings[r].recording for r in windows.recording]
            starts += [
                begin_s[int(piece)] + int(start) / rate
                for piece, start in zip(windows.piece, windows.start, strict=True)
            ]
        return names, np.asarray(starts)

    def said(self) -> str:
        """What they are, in words."""
        return (
            f"{len(self):,} records of {self.layout.window_s:g} s in {', '.join(self.splits)} of "
            f"{self.manifest.corpus}{' (simulated)' if self.manifest.simulated else ''}"
        )

    def read(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n c t"]:
        """Records in millivolts, in the order asked for."""
        spec = self.manifest.spec
        out = np.empty((len(rows), len(spec.channels), spec.window_samples), np.float32)
        part = np.searchsorted(self._first, rows, side="right") - 1
        for k in np.unique(part):
            own = np.flatnonzero(part == k)
            local = rows[own] - self._first[k]
            stored = self._windows[k].read(self._readers[k], local)
            out[own] = stored.astype(np.float32) / np.float32(self.manifest.steps_per_unit)
        return out

    def batches(
        self, rows: Int[np.ndarray, " n"]
    ) -> Iterator[tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m c t"]]]:
        """Records some hundreds at a time, with their numbers."""
        for begin in range(0, len(rows), AT_ONCE):
            own = rows[begin : begin + AT_ONCE]
            yield own, self.read(own)

    def name(self, row: int) -> str:
        """A record for messages."""
        return f"{self.recording[row]} at {self.start_s[row]:g} s"

    def find(self, recording: Sequence[str], start_s: Sequence[float]) -> Int[np.ndarray, " n"]:
        """The numbers of records by name and time.

        Raises:
          RecordsError: some are not here, or one is named twice.
        """
        here = {key: row for row, key in enumerate(map(_key, self.recording, self.start_s))}
        asked = list(map(_key, recording, start_s))
        if missing := [key for key in asked if key not in here]:
            name, us = missing[0]
            raise RecordsError(
                f"{self.directory}: {len(missing)} of {len(asked)} records are not in "
                f"{', '.join(self.splits)}, the first: {name} at {us / _US_PER_S:g} s; was the "
                "list drawn from another directory, or with another --split?"
            )
        if len(set(asked)) < len(asked):
            raise RecordsError(f"{self.directory}: records are named twice")
        return np.asarray([here[key] for key in asked], np.int64)


def _key(recording: str, start_s: float) -> tuple[str, int]:
    return recording, round(float(start_s) * _US_PER_S)


def few(names: Sequence[str]) -> str:
    """How many there are, and the first of them."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} records ({', '.join(names[:3])}{more})"
