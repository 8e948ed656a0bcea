"""Several splits read as one, so that batches run across them."""

from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Float, Int
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader


class JoinedReader(ShardReader):
    """The pieces of several splits, numbered through; their recordings stay with their splits.

    Args:
      readers: of the splits, in the order in which they are read.
    """

    def __init__(self, readers: Sequence[ShardReader]):
        self.manifest = readers[0].manifest
        self._readers = readers
        self._starts = np.cumsum([0, *(len(r) for r in readers)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: int) -> Int[np.ndarray, "c t"]:
        """A stored piece by its joint number."""
        reader, own = self._home(index)
        return reader.read(own)

    def cut(
        self, index: int, starts: Int[np.ndarray, " n"], samples: int
    ) -> Int[np.ndarray, "n c samples"]:
        """Stretches of a stored piece by its joint number."""
        reader, own = self._home(index)
        return reader.cut(own, starts, samples)

    def moments_of(
        self, piece: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "n c"]] | None:
        """See :meth:`ShardReader.moments_of`; by the pieces' joint numbers."""
        split = np.searchsorted(self._starts, np.maximum(piece, 0), side="right") - 1
        out: tuple[np.ndarray, np.ndarray] | None = None
        for number, reader in enumerate(self._readers):
            own = np.where((split == number) & (piece >= 0), piece - self._starts[number], -1)
            if (found := reader.moments_of(own)) is None:
                return None
            here = (own >= 0)[:, None]
            out = (
                found
                if out is None
                else tuple(np.where(here, new, old) for new, old in zip(found, out, strict=True))
            )
        return out

    def _home(self, index: int) -> tuple[ShardReader, int]:
        """The reader of the split that has a piece, and the piece's number there."""
        split = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._readers[split], int(index - self._starts[split])

    def windows(self, of_splits: Sequence[Windows], start: int) -> Windows:
        """The windows of all splits from ``start`` on, with joint numbers of pieces."""
        parts = [
            (w.recording, w.piece + first, w.start)
            for w, first in zip(of_splits, self._starts[:-1], strict=True)
        ]
        return Windows(*(np.concatenate(column)[start:] for column in zip(*parts, strict=True)))
