"""From shards to batches: a sampler's plans, read ahead; every batch a pure function of its step.

A batch of bags has these keys (g bags, each with its crops and segments in consecutive rows):

    signal         int16 [g * crops, c, t]      stored units; :func:`to_network` scales on device
    signal_valid   bool  [g * crops]            False is padding
    signal_bag     int32 [g * crops]            the bag's number within the batch
    text_*         as the TextTable has it      [g * segments, ...]
    text_valid     bool  [g * segments]
    text_bag       int32 [g * segments]

A batch of labelled windows has ``signal``, ``signal_valid`` and

    label          float32 [b, k]               as elm_jax.data.targets has it; NaN is missing

A batch of rows of several windows each (pairs, or more) has for the first, second, ... window

    signal_a, signal_b, ...   int16 [b, c, t]
    signal_valid   bool  [b]                    False is padding
    near           [b]                          what is to be told of a row: its sampler names it

Where signals are normalised by recording, every batch has beside each ``signal*`` its recordings'
mean and std (:mod:`elm_jax.data.moments`), which :func:`to_network` takes up.

A batch of windows without labels, of one of several directories: :mod:`elm_jax.data.mixture`.

A batch of windows (evaluation): ``signal``, ``signal_valid``, and ``window`` int32: the row in
:attr:`Windows.recording`.
"""

import abc
import dataclasses
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Batch, Int
from elm_jax.data import moments
from elm_jax.data.network_input import to_network as to_network  # part of every batch's way
from elm_jax.data.read_ahead import read_ahead
from elm_jax.data.samplers import BatchPlan, RowPlan, Sampler, share
from elm_jax.data.shards import RecordingRow, ShardReader
from elm_jax.data.text import TextTable

EQUAL_TEXTS = ("apart", "together")


class Kind(NamedTuple):
    """Batches of equal shapes, for which a step is compiled.

    Attributes:
      example: one of them, this process's rows.
      share: of all batches.
    """

    example: dict[str, np.ndarray]
    share: float = 1.0

    def more_often(self, share: float) -> "Kind":
        """The same shapes with other batches beside."""
        return self._replace(share=self.share + share)


@dataclasses.dataclass(frozen=True)
class Windows:
    """The consecutive windows of some recordings, numbered through.

    Attributes:
      recording: row of the recording of each window.
      piece: index of the stored piece that holds it.
      start: first sample within that piece.
    """

    recording: Int[np.ndarray, " n"]
    piece: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, recordings: Sequence[RecordingRow], window_samples: int) -> "Windows":
        """Every whole window of every piece, in order."""
        pieces = [
            (r, piece.index, piece.n_samples // window_samples)
            for r, recording in enumerate(recordings)
            for piece in recording.pieces
        ]
        # 32 bits: a large corpus has tens of millions of windows, and every process holds this.
        recording, piece, count = np.asarray(pieces, np.int32).reshape(-1, 3).T
        before = np.repeat((np.cumsum(count) - count).astype(np.int32), count)
        start = (np.arange(count.sum(), dtype=np.int32) - before) * np.int32(window_samples)
        return cls(np.repeat(recording, count), np.repeat(piece, count), start)

    def __len__(self) -> int:
        return len(self.recording)

    def counts(self, recordings: int) -> list[int]:
        """Windows of each recording."""
        return np.bincount(self.recording, minlength=recordings).tolist()

    def first(self, recordings: int) -> Int[np.ndarray, " r"]:
        """Number of the first window of each recording (where it has any)."""
        counts = self.counts(recordings)
        return np.cumsum(counts) - counts

    def read(
        self,
        reader: ShardReader,
        rows: Int[np.ndarray, " n"],
        start: Int[np.ndarray, " n"] | None = None,
    ) -> np.ndarray:
        """int16 ``[n, c, t]`` for window numbers; ``-1`` gives zeros. A piece is opened once.

        ``start``: the first sample of each, where it is not that of :attr:`start`.
        """
        spec = reader.manifest.spec
        out = np.zeros((len(rows), len(spec.channels), spec.window_samples), np.int16)
        real = np.flatnonzero(rows >= 0)
        real = real[np.argsort(self.piece[rows[real]], kind="stable")]
        pieces, first = np.unique(self.piece[rows[real]], return_index=True)
        if not len(pieces):  # a process's share may be padding alone
            return out
        for piece, own in zip(pieces, np.split(real, first[1:]), strict=True):
            begin = self.start[rows[own]] if start is None else start[own]
            out[own] = reader.cut(int(piece), begin, spec.window_samples)
        return out

    def moments(
        self, reader: ShardReader, rows: Int[np.ndarray, " n"], key: str = "signal"
    ) -> dict[str, np.ndarray]:
        """What a batch carries beside the windows under ``key``: see :mod:`elm_jax.data.moments`.

        ``<key>_mean`` and ``<key>_std``, float32 ``[n, c]``, 0 and 1 for ``-1``; nothing where
        signals are not normalised by recording.
        """
        if not len(self):
            piece = np.full(len(rows), -1)
        else:
            piece = np.where(rows >= 0, self.piece[np.maximum(rows, 0)], -1)
        found = reader.moments_of(piece)
        return {} if found is None else dict(moments.beside(key, found))


class _Pipeline(abc.ABC):
    """Batches by step: shards and a sampler; the kinds say what a plan becomes.

    Args:
      reader: the split's shards.
      sampler: whose plans are followed; recordings are ``reader.recordings``.
      windows: the recordings' windows.
      process: this process's number and how many there are.
    """

    def __init__(
        self, reader: ShardReader, sampler: Sampler, windows: Windows, process: tuple[int, int]
    ):
        self._reader, self._sampler, self._windows = reader, sampler, windows
        self._process = process
        self._first_window = windows.first(len(reader.recordings))

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This process's rows of the batch of a global step."""
        return self.assemble(share(self._sampler.plan(step), *self._process))

    def kinds(self) -> list[Kind]:
        """One: all batches have the same shapes."""
        return [Kind(self.batch(0))]

    @abc.abstractmethod
    def assemble(self, plan: BatchPlan) -> dict[str, np.ndarray]:
        """Reads what a plan names."""

    def dataset(
        self, start: int, stop: int, *, threads: int = 2, by: str = "tf_data"
    ) -> Iterator[Batch]:
        """Batches of steps ``start`` to ``stop``, read ahead in order."""
        return read_ahead(self.batch, start, stop, threads=threads, by=by)

    def _window_of(self, plan: BatchPlan) -> Int[np.ndarray, " rows"]:
        """The window of each crop of a plan, ``-1`` for padding."""
        first = self._first_window[np.maximum(plan.recording, 0)][:, None]
        return np.where(plan.crop >= 0, first + plan.crop, -1).ravel()


class BagPipeline(_Pipeline):
    """Batches of bags: crops of recordings, and rows of a text table.

    Args:
      reader: the split's shards.
      sampler: whose plans are followed; recordings are ``reader.recordings``.
      windows: the recordings' windows.
      texts: what the model reads for a text.
      segment_rows: for each recording, the rows of its segments in ``texts``.
      process: this process's number and how many there are.
      equal_texts: "apart": a bag is what the sampler draws together. "together", of pairs: all
        pairs of a batch with the same text are one bag, whose number is the text's in ``texts``.

    Raises:
      ValueError: an unknown ``equal_texts``, or "together" where bags have several texts.
    """

    def __init__(
        self,
        reader: ShardReader,
        sampler: Sampler,
        windows: Windows,
        texts: TextTable,
        segment_rows: Sequence[np.ndarray],
        process: tuple[int, int] = (0, 1),
        equal_texts: str = "apart",
    ):
        super().__init__(reader, sampler, windows, process)
        self._texts, self._segment_rows = texts, segment_rows
        if equal_texts not in EQUAL_TEXTS:
            raise ValueError(
                f"config.sampler.equal_texts is {equal_texts!r}; known: {list(EQUAL_TEXTS)}"
            )
        self._together = equal_texts == "together"
        if self._together and (sampler.crops_per_bag, sampler.segments_per_bag) != (1, 1):
            raise ValueError(
                "config.sampler.equal_texts='together' is for sampler 'pairs'; here a bag has up "
                f"to {sampler.segments_per_bag} texts and {sampler.crops_per_bag} crops"
            )

    def assemble(self, plan: BatchPlan) -> dict[str, np.ndarray]:
        """Reads what a plan names."""
        bags, crops = plan.crop.shape
        segments = plan.segment.shape[1]
        window = self._window_of(plan)
        text = np.full((bags, segments), -1, np.int64)
        for i, recording in enumerate(plan.recording):
            real = plan.segment[i] >= 0
            text[i, real] = self._segment_rows[recording][plan.segment[i, real]]
        bag = np.arange(bags, dtype=np.int32) + self._process[0] * bags
        if self._together:
            bag = text[:, 0].astype(np.int32)
        return {
            "signal": self._windows.read(self._reader, window),
            "signal_valid": window >= 0,
            "signal_bag": np.repeat(bag, crops),
            "text_bag": np.repeat(bag, segments),
            **self._windows.moments(self._reader, window),
        } | self._texts.take(text.ravel())


class WindowPipeline(_Pipeline):
    """Batches of labelled windows: a sampler's windows, and their targets.

    Args:
      reader: the split's shards.
      sampler: whose plans are followed; recordings are ``reader.recordings``.
      windows: the recordings' windows.
      targets: of every window, float32 ``[windows, k]``.
      process: this process's number and how many there are.
    """

    def __init__(
        self,
        reader: ShardReader,
        sampler: Sampler,
        windows: Windows,
        targets: np.ndarray,
        process: tuple[int, int] = (0, 1),
    ):
        super().__init__(reader, sampler, windows, process)
        self._targets = targets

    def assemble(self, plan: BatchPlan) -> dict[str, np.ndarray]:
        """Reads what a plan names."""
        window = self._window_of(plan)
        valid = window >= 0
        label = np.where(valid[:, None], self._targets[np.maximum(window, 0)], np.nan)
        batch = {
            "signal": self._windows.read(self._reader, window),
            "signal_valid": valid,
            "label": label.astype(np.float32),
        }
        return batch | self._windows.moments(self._reader, window)


class RowPipeline(_Pipeline):
    """Batches of rows of several windows each: the windows of a row, by letters, and its label.

    Args:
      reader: the split's shards.
      sampler: whose plans (:class:`~elm_jax.data.samplers.RowPlan`) are followed.
      windows: the recordings' windows.
      label: the key under which a batch has the rows' labels.
      process: this process's number and how many there are.
    """

    def __init__(
        self,
        reader: ShardReader,
        sampler: Sampler,
        windows: Windows,
        *,
        label: str,
        process: tuple[int, int] = (0, 1),
    ):
        super().__init__(reader, sampler, windows, process)
        self._label = label

    def assemble(self, plan: RowPlan) -> dict[str, np.ndarray]:
        """Reads what a plan names."""
        rows, per_row = plan.window.shape
        # In one call, all first windows before all second ones: a piece is opened once.
        signal = self._windows.read(self._reader, plan.window.T.ravel())
        batch: dict[str, np.ndarray] = {}
        for i in range(per_row):
            key = f"signal_{string.ascii_lowercase[i]}"
            batch[key] = signal[i * rows : (i + 1) * rows]
            batch |= self._windows.moments(self._reader, plan.window[:, i], key)
        return batch | {"signal_valid": plan.window[:, 0] >= 0, self._label: plan.label}


def window_batches(
    reader: ShardReader,
    windows: Windows,
    *,
    rows_per_batch: int,
    threads: int = 2,
    by: str = "tf_data",
    process: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """All windows in order, in batches of one size; the last is padded (``signal_valid``).

    Of ``rows_per_batch``, which all processes have together, process i of n reads the i-th n-th.

    Raises:
      ValueError: they cannot be shared out evenly.
    """
    index, count = process
    if rows_per_batch % count:
        raise ValueError(
            f"{rows_per_batch} rows cannot be shared out evenly over {count} processes"
        )
    steps, each = -(-len(windows) // rows_per_batch), rows_per_batch // count

    def batch(step: int) -> dict[str, np.ndarray]:
        rows = step * rows_per_batch + index * each + np.arange(each)
        rows = np.where(rows < len(windows), rows, -1)
        batch = {
            "signal": windows.read(reader, rows),
            "signal_valid": rows >= 0,
            "window": rows.astype(np.int32),
        }
        return batch | windows.moments(reader, rows)

    return read_ahead(batch, 0, steps, threads=threads, by=by)
