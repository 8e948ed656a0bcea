"""Reading prepared shards: stored pieces and parts of them, by index, from any thread."""

import functools
from collections.abc import Sequence

import numpy as np
from etils import epath

from elm_jax import paths
from elm_jax.axes import Float, Int
from elm_jax.data.dataset_info import shard_files
from elm_jax.data.manifest import (
    STEPS_PER_UNIT,
    Manifest,
    ManifestError,
    NotPrepared,
    PieceRow,
    RecordingRow,
    load_recordings,
)
from elm_jax.data.moments import MomentsTable
from elm_jax.data.shard_file import ShardError, ShardFile, signal_span

__all__ = [
    "STEPS_PER_UNIT", "Manifest", "ManifestError", "NotPrepared", "PieceRow", "RecordingRow",
    "ShardError", "ShardReader", "load_recordings",
]  # fmt: skip


# Open at once, beside one checked reader a thread: far below what a process may have (often 1,024).
_OPEN_FILES, _OPEN_READERS = 256, 32
# From this share of a piece on, one read of all of it is quicker than twenty a window.
_WHOLE_FROM = 1 / 6


class ShardReader:
    """One split of a prepared directory.

    Opens nothing until the first read. The first time that a piece is needed it is read whole and
    its checksum is verified; after that, only the bytes of the windows asked for are. Files stay
    open for a while, at most some hundreds of them, and threads share them. Pickles by path, so it
    travels to worker processes.

    Args:
      directory: a prepared directory.
      split: "train", "valid" or "test".
      moments: "recording" where batches are to carry the recordings' own mean and std
        (``SignalSpec.moments``).

    Attributes:
      manifest: the directory's manifest.
      recordings: the split's recordings; ``PieceRow.index`` is what :meth:`read` takes.

    Raises:
      NotPrepared: the directory's preparation was not finished.
      ManifestError: the split is unknown or holds no recording; or a recording's mean and std
        are wanted and not stored, or its std is 0.
    """

    def __init__(self, directory: epath.PathLike, split: str, *, moments: str = "fixed"):
        self.directory, self.split, self.moments = paths.of(directory), split, moments
        self.manifest = Manifest.load(directory)
        self.recordings = load_recordings(directory, split)
        if not self.recordings:
            counts = {s: len(people) for s, people in self.manifest.people.items()}
            raise ManifestError(
                f"{directory}: split {split!r} holds no recordings; people per split: {counts}. "
                "Choose another split, or prepare with --split train=..,valid=..,test=.."
            )
        pieces = [(p.index, p.n_samples) for row in self.recordings for p in row.pieces]
        index, self._n_samples = np.asarray(sorted(pieces), np.int64).reshape(-1, 2).T
        if not np.array_equal(index, np.arange(len(index))):
            raise self._mixed("its numbers have gaps")
        self._table = None
        if moments == "recording":
            channels = self.manifest.spec.channels
            self._table = MomentsTable(self.recordings, channels, str(self.directory))
        # Where the signal begins in its record; -1: never read, so not checked either.
        self._signal_at = np.full(len(index), -1, np.int64)
        self._checked = functools.lru_cache(_OPEN_READERS)(lambda k: self._shards[k].open_checked())
        self._direct = functools.lru_cache(_OPEN_FILES)(lambda k: self._shards[k].open_direct())

    def __getstate__(self):
        return {"directory": self.directory, "split": self.split, "moments": self.moments}

    def __setstate__(self, state):
        self.__init__(**state)

    def __len__(self) -> int:
        return len(self._n_samples)

    def __repr__(self) -> str:
        return f"ShardReader({str(self.directory)!r}, {self.split!r}, {len(self)} pieces)"

    def _mixed(self, found: str) -> ManifestError:
        return ManifestError(
            f"{self.directory}: recordings.jsonl lists {len(self)} pieces in {self.split}, but "
            f"{found}: files of two preparations are mixed; prepare into an empty directory"
        )

    @functools.cached_property
    def _shards(self) -> list[ShardFile]:
        """The split's files."""
        files = shard_files(self.directory, self.split)
        if (found := sum(records for _, records in files)) != len(self):
            raise self._mixed(f"the shards hold {found}")
        return [ShardFile(self.directory / name, records) for name, records in files]

    @functools.cached_property
    def _first(self) -> Int[np.ndarray, " shards"]:
        """Index of the first piece of each shard."""
        lengths = [shard.records for shard in self._shards]
        return np.cumsum([0, *lengths[:-1]])

    @property
    def shards(self) -> int:
        """How many files the split lies in."""
        return len(self._shards)

    def require_shards(self, processes: int) -> None:
        """Raises unless every process of a training run can have a file to itself.

        Any process can read any piece, and splits that are only evaluated are read so. But the
        reads of a whole training out of fewer files than hosts would all go to the same places.

        Raises:
          ManifestError: says with how many shards to prepare.
        """
        if self.shards >= processes:
            return
        what = f"prepare it again with --min_shards {processes} (python -m data_prep.prepare)"
        if len(self) < processes:
            what = f"it has {len(self)} pieces in all, so start at most as many processes"
        raise ManifestError(
            f"{self.directory}: split {self.split!r} lies in {self.shards} shards, fewer than the "
            f"{processes} processes (one a host) that are to train on it: {what}"
        )

    def moments_of(
        self, piece: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "n c"]] | None:
        """Mean and std of the recordings of stored pieces, in ``spec.unit``; 0 and 1 for ``-1``.

        None where signals are not normalised by recording.
        """
        return None if self._table is None else self._table.of_pieces(piece)

    def _locate(self, index: int) -> tuple[int, int]:
        """Shard, and position in it, of a piece."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r}: no piece {index}")
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        return shard, int(index - self._first[shard])

    def read(self, index: int) -> Int[np.ndarray, "c t"]:
        """A stored piece, int16 in steps of ``1 / manifest.steps_per_unit`` units; read-only.

        Raises:
          IndexError: no such piece in this split.
          ShardError: its shard is gone or damaged.
        """
        shard, position = self._locate(index)
        file = self._shards[shard]
        record = file.record(position, self._checked(shard))
        try:
            begin, end = signal_span(record)
            signal = np.frombuffer(record, "<i2", (end - begin) // 2, begin)
            signal = signal.reshape(len(self.manifest.spec.channels), int(self._n_samples[index]))
        except ValueError as error:
            raise file.error(position, error) from error
        self._signal_at[index] = begin
        return signal

    def read_many(self, indices: Sequence[int]) -> list[Int[np.ndarray, "c t"]]:
        """Stored pieces in the order asked for."""
        # One by one: a record is megabytes, so a pool of threads per call costs more than it saves.
        return [self.read(i) for i in indices]

    def cut(
        self, index: int, starts: Int[np.ndarray, " n"], samples: int
    ) -> Int[np.ndarray, "n c samples"]:
        """Stretches of a stored piece, as :meth:`read` has it.

        Args:
          index: of the piece.
          starts: first sample of each stretch.
          samples: length of each.

        Raises:
          IndexError: no such piece in this split, or it ends before a stretch does.
          ShardError: its shard is gone or damaged.
        """
        shard, position = self._locate(index)
        length = int(self._n_samples[index])
        if len(starts) and not 0 <= starts.min() <= starts.max() <= length - samples:
            raise IndexError(f"{self!r}: piece {index} ends at {length}, before a stretch does")
        file = self._direct(shard) if self._signal_at[index] >= 0 else None
        if file is None:
            return _stretches(self.read(index), starts, samples)
        channels, at = len(self.manifest.spec.channels), int(self._signal_at[index])
        try:
            if len(starts) * samples >= _WHOLE_FROM * length:
                whole = np.empty((channels, length), np.int16)
                file.read_into(memoryview(whole).cast("B"), position, at)
                return _stretches(whole, starts, samples)
            out = np.empty((len(starts), channels, samples), np.int16)
            sample = np.add.outer(starts, np.arange(channels, dtype=np.int64) * length)
            file.read_rows_into(out.reshape(-1, samples), position, at + 2 * sample.ravel())
        except OSError as error:
            raise self._shards[shard].error(position, error) from error
        return out


def _stretches(
    signal: Int[np.ndarray, "c t"], starts: Int[np.ndarray, " n"], samples: int
) -> Int[np.ndarray, "n c samples"]:
    out = np.empty((len(starts), len(signal), samples), np.int16)
    for row, start in zip(out, starts, strict=True):
        row[:] = signal[:, start : start + samples]
    return out
