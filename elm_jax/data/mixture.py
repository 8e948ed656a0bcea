"""Several prepared directories in one training: every batch is of one of them, in turn.

Montages differ in their number of channels, so a batch holds windows of one directory alone, and
batches alternate: each directory has as many of an epoch's batches as its windows fill, spread over
the epoch as evenly as can be. A batch has

    signal         int16 [b, c, t]   c is that of its directory
    signal_valid   bool  [b]         False is padding
    channel_id     int32 [b, c]      numbers of the channels' names (elm_jax.channels), for encoders
                                     that read channels by name; in every row, so that it is shared
                                     out and cut like anything else
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Batch, Int
from elm_jax.data.pipeline import Kind, Windows
from elm_jax.data.read_ahead import read_ahead
from elm_jax.data.samplers import share_of
from elm_jax.data.shards import ShardReader
from elm_jax.data.window_sampler import WindowSampler

PLACES = 1 << 32  # into which the room of a window is divided


class MixturePlan(NamedTuple):
    """Whose windows make a batch, and which; ``-1`` is padding.

    Attributes:
      corpus: number of the directory.
      recording: of each row, among those of that directory.
      crop: number of its window within the recording.
      place: where each window lies within its room, in parts of ``PLACES``; None: on the grid.
    """

    corpus: int
    recording: Int[np.ndarray, " b"]
    crop: Int[np.ndarray, " b"]
    place: Int[np.ndarray, " b"] | None


def in_turn(steps: Sequence[int]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Whose each batch of an epoch is, and the how-manieth of its owner's.

    Args:
      steps: batches of each owner.
    """
    due = np.concatenate([(np.arange(n) + 0.5) / n for n in steps])
    order = np.argsort(due, kind="stable")
    owner = np.repeat(np.arange(len(steps)), steps)
    return owner[order], np.concatenate([np.arange(n) for n in steps])[order]


class MixtureSampler:
    """The samplers of several directories, one after another in proportion to their batches.

    An epoch is an epoch of each: every window comes once. So a directory of a few windows has one
    batch an epoch, mostly padding; it neither comes again nor is left out.

    Args:
      parts: of each directory; all with as many rows a batch.
      shift: windows begin anywhere within their room (see :meth:`Part.starts`), elsewhere in every
        epoch, as EEGPT crops its trials at random.
      seed: of the shifts.

    Raises:
      ValueError: no directory, or batches of different sizes.
    """

    def __init__(self, parts: Sequence[WindowSampler], *, shift: bool = False, seed: int = 0):
        sizes = {part.rows_per_batch for part in parts}
        if len(sizes) != 1:
            raise ValueError(f"a mixture needs parts with equally many rows a batch, found {sizes}")
        self.rows_per_batch = sizes.pop()
        self._parts, self._shift, self._seed = tuple(parts), shift, seed
        self.usable = np.concatenate([part.usable for part in parts])
        self._steps = [part.steps_per_epoch(0) for part in parts]
        self._owner, self._own = in_turn(self._steps)

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return len(self._owner)

    @property
    def first_steps(self) -> list[int]:
        """The first step of each directory."""
        return np.unique(self._owner, return_index=True)[1].tolist()

    @property
    def shares(self) -> list[float]:
        """Which share of the batches is each directory's."""
        return [n / len(self._owner) for n in self._steps]

    def plan(self, step: int) -> MixturePlan:
        """The windows of a global step."""
        epoch, index = divmod(step, len(self._owner))
        corpus = int(self._owner[index])
        own = epoch * self._steps[corpus] + int(self._own[index])
        plan = self._parts[corpus].plan(own)
        place = None
        if self._shift:
            # A stream of its own: the first three numbers alone seed the order of windows.
            rng = np.random.default_rng([self._seed, epoch, index, 1])
            place = rng.integers(0, PLACES, self.rows_per_batch)
        return MixturePlan(corpus, plan.recording, plan.crop[:, 0], place)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A split of one directory.

    Attributes:
      reader: its shards.
      windows: its windows, on the grid.
      channel_id: numbers of its channels' names; None where these are not read by name.
    """

    reader: ShardReader
    windows: Windows
    channel_id: tuple[int, ...] | None = None

    def sampler(
        self, *, windows_per_batch: int, windows_per_recording: int, shuffle: bool, seed: int
    ) -> WindowSampler:
        """Of all its windows."""
        recordings = len(self.reader.recordings)
        recording = self.windows.recording
        crop = np.arange(len(recording)) - self.windows.first(recordings)[recording]
        return WindowSampler(
            recording,
            crop,
            recordings=recordings,
            windows_per_batch=windows_per_batch,
            windows_per_recording=windows_per_recording,
            shuffle=shuffle,
            seed=seed,
        )

    @functools.cached_property
    def _first_window(self) -> Int[np.ndarray, " r"]:
        return self.windows.first(len(self.reader.recordings))

    @functools.cached_property
    def _piece_samples(self) -> Int[np.ndarray, " pieces"]:
        pieces = {p.index: p.n_samples for r in self.reader.recordings for p in r.pieces}
        return np.asarray([pieces[i] for i in range(len(pieces))], np.int64)

    def starts(
        self, window: Int[np.ndarray, " b"], place: Int[np.ndarray, " b"]
    ) -> Int[np.ndarray, " b"]:
        """First sample of each window, moved within its room.

        Of the ``m = samples - length + 1`` places where a window of a piece can begin, each of its
        ``k`` windows has the k-th part, in order: a piece that holds one window is cropped
        anywhere, and those of a long one stay in order and cover all of it.

        Args:
          window: numbers of windows; ``-1`` is padding.
          place: within the room, in parts of ``PLACES``.
        """
        length = self.reader.manifest.spec.window_samples
        samples = self._piece_samples[self.windows.piece[window]]
        begins, count = samples - length + 1, samples // length
        number = self.windows.start[window].astype(np.int64) // length
        low, high = number * begins // count, (number + 1) * begins // count
        return low + (place * (high - low) >> 32)

    def batch(self, plan: MixturePlan) -> dict[str, np.ndarray]:
        """Reads what a plan names."""
        window = np.where(plan.crop >= 0, self._first_window[plan.recording] + plan.crop, -1)
        start = None if plan.place is None else self.starts(window, plan.place)
        batch = {
            "signal": self.windows.read(self.reader, window, start),
            "signal_valid": window >= 0,
            **self.windows.moments(self.reader, window),
        }
        if self.channel_id is not None:
            batch["channel_id"] = np.tile(np.asarray(self.channel_id, np.int32), (len(window), 1))
        return batch


class MixturePipeline:
    """Batches of several directories by step.

    Args:
      parts: the directories.
      sampler: whose plans are followed; its parts are of ``parts``.
      process: this process's number and how many there are.
    """

    def __init__(
        self, parts: Sequence[Part], sampler: MixtureSampler, process: tuple[int, int] = (0, 1)
    ):
        self._parts, self._sampler, self._process = tuple(parts), sampler, process

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This process's rows of the batch of a global step."""
        plan = self._sampler.plan(step)
        rows = share_of(len(plan.crop), *self._process)
        own = [None if values is None else values[rows] for values in plan[1:]]
        return self._parts[plan.corpus].batch(MixturePlan(plan.corpus, *own))

    def kinds(self) -> list[Kind]:
        """Every shape that comes, the first batch's first, and how often."""
        found: dict[tuple, Kind] = {}
        steps, shares = self._sampler.first_steps, self._sampler.shares
        for step, share in sorted(zip(steps, shares, strict=True)):
            example = self.batch(step)
            kind = found.get(shape := tuple((k, v.shape) for k, v in example.items()))
            found[shape] = Kind(example, share) if kind is None else kind.more_often(share)
        return list(found.values())

    def dataset(
        self, start: int, stop: int, *, threads: int = 2, by: str = "tf_data"
    ) -> Iterator[Batch]:
        """Batches of steps ``start`` to ``stop``, read ahead in order."""
        return read_ahead(self.batch, start, stop, threads=threads, by=by)


def mixture(
    parts: Sequence[Part],
    *,
    windows_per_batch: int,
    windows_per_recording: int = 0,
    shift: bool = False,
    shuffle: bool = True,
    seed: int = 0,
) -> MixtureSampler:
    """A sampler of all windows of all directories.

    Args:
      parts: the directories.
      windows_per_batch: rows of a batch.
      windows_per_recording: at most that many of a recording an epoch, at random; 0: all.
      shift: windows begin elsewhere in every epoch.
      shuffle: False: in order, the same every epoch (validation).
      seed: of everything random here.

    Raises:
      ValueError: an impossible size, a directory without a window.
    """
    samplers = []
    for number, part in enumerate(parts):
        if not len(part.windows):
            raise ValueError(
                f"{part.reader.directory}: no recording of {part.reader.split} holds a window"
            )
        made = part.sampler(
            windows_per_batch=windows_per_batch,
            windows_per_recording=windows_per_recording,
            shuffle=shuffle,
            seed=seed + number * PLACES,  # equal directories are not read in equal order
        )
        samplers.append(made)
    return MixtureSampler(samplers, shift=shift, seed=seed)
