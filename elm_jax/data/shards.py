"""Reading prepared shards: random access to stored pieces, by index, from any thread."""

import pathlib
import threading
from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Int
from elm_jax.data.manifest import (
    STEPS_PER_UNIT,
    Manifest,
    ManifestError,
    NotPrepared,
    PieceRow,
    RecordingRow,
    load_recordings,
)

__all__ = [
    "STEPS_PER_UNIT", "Manifest", "ManifestError", "NotPrepared", "PieceRow", "RecordingRow",
    "ShardReader", "load_recordings",
]  # fmt: skip


class ShardReader:
    """One split of a prepared directory.

    Opens nothing until the first read; then holds one reader a shard, which threads share. Pickles
    by path, so it travels to worker processes.

    Args:
      directory: a prepared directory.
      split: "train", "valid" or "test".

    Attributes:
      manifest: the directory's manifest.
      recordings: the split's recordings; ``PieceRow.index`` is what :meth:`read` takes.

    Raises:
      NotPrepared: the directory's preparation was not finished.
      ManifestError: the split is unknown or holds no recording.
    """

    def __init__(self, directory: str | pathlib.Path, split: str):
        self.directory, self.split = pathlib.Path(directory), split
        self.manifest = Manifest.load(directory)
        self.recordings = load_recordings(directory, split)
        if not self.recordings:
            counts = {s: len(people) for s, people in self.manifest.people.items()}
            raise ManifestError(
                f"{directory}: split {split!r} holds no recordings; people per split: {counts}. "
                "Choose another split, or prepare with --split train=..,valid=..,test=.."
            )
        self._source = None
        self._lock = threading.Lock()

    def __getstate__(self):
        return {"directory": self.directory, "split": self.split}

    def __setstate__(self, state):
        self.__init__(**state)

    def __len__(self) -> int:
        return sum(len(row.pieces) for row in self.recordings)

    def __repr__(self) -> str:
        return f"ShardReader({str(self.directory)!r}, {self.split!r}, {len(self)} pieces)"

    def _open(self):
        """The split's TFDS data source, made once; importing it pulls in no TensorFlow."""
        with self._lock:
            if self._source is None:
                import tensorflow_datasets as tfds

                builder = tfds.builder_from_directory(self.directory)
                source = builder.as_data_source(split=self.split)
                if len(source) != len(self):
                    raise ManifestError(
                        f"{self.directory}: recordings.jsonl lists {len(self)} pieces in "
                        f"{self.split}, the shards hold {len(source)}: files of two preparations "
                        "are mixed; prepare into an empty directory"
                    )
                self._source = source
        return self._source

    def read(self, index: int) -> Int[np.ndarray, "c t"]:
        """A stored piece, int16 in steps of ``1 / manifest.steps_per_unit`` units; read-only.

        Raises:
          IndexError: no such piece in this split.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r}: no piece {index}")
        source = self._source or self._open()
        return source[int(index)]["signal"]

    def read_many(self, indices: Sequence[int]) -> list[Int[np.ndarray, "c t"]]:
        """Stored pieces in the order asked for."""
        # One by one: a record is megabytes, so a pool of threads per call costs more than it saves.
        return [self.read(i) for i in indices]
