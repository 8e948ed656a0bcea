"""Samplers: which recordings, crops and segments make a batch, as a pure function of (seed, step).

A *bag* holds crops and text segments of one recording; every crop of a bag is a positive of each
of its segments. Counts in a plan are static; ``-1`` is padding.
"""

import collections
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from elm_jax.axes import Int

STYLES = ("x,y", "x|y", "y|x")
Counts = Sequence[int] | Int[np.ndarray, " recordings"]


class BatchPlan(NamedTuple):
    """Which recordings, which of their crops, which of their segments; ``-1`` is padding.

    Shapes: recording ``[g]``, crop ``[g, crops]``, segment ``[g, segments]``, all int64.
    """

    recording: np.ndarray
    crop: np.ndarray
    segment: np.ndarray


class RowPlan(NamedTuple):
    """Rows of several windows each, and what is to be told of a row; ``-1`` is padding.

    Attributes:
      window: ``[b, k]``, numbers of windows (:class:`elm_jax.data.pipeline.Windows`).
      label: ``[b]``, of each row; zero in padding.
    """

    window: np.ndarray
    label: np.ndarray


@runtime_checkable
class Sampler(Protocol):
    """A pure function of (seed, step); the epoch follows from it; there is no state to save.

    Attributes:
      usable: ``[recordings]`` bool, which recordings are ever drawn: whom a model was trained on.
        Of several directories, one after another (``data.corpus.Corpus.recordings``).
    """

    usable: np.ndarray

    def steps_per_epoch(self, epoch: int) -> int:
        """Batches in an epoch."""
        ...

    def plan(self, step: int) -> Any:
        """What the batch of a (global, from 0) step is made of: a BatchPlan, mostly."""
        ...


def _choose(rng: np.random.Generator, n: int, limit: int) -> np.ndarray:
    """Up to ``limit`` distinct indices below ``n`` in rising order, padded with -1."""
    out = np.full(limit, -1, np.int64)
    chosen = np.sort(rng.choice(n, min(n, limit), replace=False))
    out[: len(chosen)] = chosen
    return out


def numbers(n: int) -> Int[np.ndarray, " n"]:
    """0, 1, ... n - 1, in 32 bits where these suffice: a corpus has tens of millions of crops."""
    return np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)


class PerEpoch:
    """What is planned for a whole epoch: made once, however many threads ask, and kept for two.

    Reading ahead asks for the next epoch's while this one's last batches are still made. Parts of
    epochs do as well as whole ones.
    """

    def __init__(self, make: Callable[[Any], Any]):
        self._make, self._lock, self._kept = make, threading.Lock(), {}

    def __call__(self, epoch: Any) -> Any:
        """The plan of an epoch."""
        with self._lock:
            if epoch not in self._kept:
                self._kept = dict([*self._kept.items()][-1:]) | {epoch: self._make(epoch)}
            return self._kept[epoch]


def _by_count(count: Int[np.ndarray, " r"]) -> dict[int, list[np.ndarray]]:
    """Numbers with a positive count, by it; a list of arrays each, and empty for others."""
    order = np.argsort(count, kind="stable").astype(np.int32)
    values, first = np.unique(count[order], return_index=True)
    parts = np.split(order, first[1:])
    found = {int(v): [own] for v, own in zip(values, parts, strict=True) if v > 0}
    return collections.defaultdict(list, found)


def _filled_up(
    batch: np.ndarray,
    left: int,
    size: int,
    waiting: dict[int, list[np.ndarray]],
    rng: np.random.Generator,
) -> np.ndarray:
    """A batch begun with recordings that have ``left`` bags, completed from those with fewer."""
    taken, missing = {left: batch}, size - len(batch)
    for fewer in range(left - 1, 0, -1):
        if not missing:
            break
        if fewer not in waiting:
            continue
        pool = np.concatenate(waiting.pop(fewer))
        chosen = rng.choice(len(pool), min(missing, len(pool)), replace=False)
        taken[fewer] = pool[chosen]
        missing -= len(chosen)
        if len(chosen) < len(pool):
            waiting[fewer] = [np.delete(pool, chosen)]
    for had, own in taken.items():
        waiting[had - 1].append(own)
    return np.concatenate(list(taken.values()))


def _turns(
    count: Int[np.ndarray, " r"], rng: np.random.Generator
) -> tuple[np.ndarray, Int[np.ndarray, " r"]]:
    """``0 ... count - 1`` in random order for each recording, end to end; and where each begins."""
    first = np.cumsum(count) - count
    recording = np.repeat(numbers(len(count)), count)
    mixed = rng.permutation(numbers(len(recording)))
    mixed = mixed[np.argsort(recording[mixed], kind="stable")]
    return mixed - first[recording].astype(mixed.dtype), first


class BagSampler:
    """Multi-instance bags as ELM samples them (Gijsen & Ritter 2025).

    ``x`` is EEG, ``y`` text. Per epoch and recording with n crops and m segments:

    * ``x,y``: max(1, ceil(max(n / crops, m / segments))) bags, each with its own random
      min(n, crops) crops and min(m, segments) segments;
    * ``x|y``: one bag per segment, with up to ``crops`` crops;
    * ``y|x``: one bag per crop, with up to ``segments`` segments.

    A batch holds a recording at most once, so no positive is ever scored as a negative. Batches
    take the recordings with most bags left, ties at random: the released code takes them at random,
    which makes epochs differ in length (and then lets its data loader shuffle the plan away). The
    first batch with fewer than half of its bags filled ends the epoch, as published.

    Args:
      crops: number of crops of each recording.
      segments: number of text segments of each recording; recordings without any are never drawn.
      bags_per_batch: g, bags in a batch.
      crops_per_bag: most crops in a bag.
      segments_per_bag: most segments in a bag.
      style: "x,y", "x|y" or "y|x".
      seed: of everything random here.

    Raises:
      ValueError: an unknown style, an impossible size, or no recording with crops and segments.
    """

    def __init__(
        self,
        crops: Counts,
        segments: Counts,
        *,
        bags_per_batch: int,
        crops_per_bag: int,
        segments_per_bag: int,
        style: str = "x,y",
        seed: int = 0,
    ):
        if style not in STYLES:
            raise ValueError(f"config.sampler.style is {style!r}; known: {STYLES}")
        if min(bags_per_batch, crops_per_bag, segments_per_bag) < 1:
            raise ValueError("config.sampler: bags, crops and segments must be at least 1")
        self._crops, self._segments = np.asarray(crops, int), np.asarray(segments, int)
        self._bags_per_batch = bags_per_batch
        self.crops_per_bag = 1 if style == "y|x" else crops_per_bag
        self.segments_per_bag = 1 if style == "x|y" else segments_per_bag
        self._style, self._seed = style, seed
        self.usable = (self._crops > 0) & (self._segments > 0)
        if not self.usable.any():
            raise ValueError(
                "no recording has both a crop and a text segment: check that the reports were "
                "paired with the recordings, and config.text.headings"
            )
        self._count = np.where(self.usable, self._bags_of_each(), 0)
        self._steps = len(self._fill(np.random.default_rng(0)))
        self._epoch = PerEpoch(self._plan_epoch)

    def _bags_of_each(self) -> np.ndarray:
        if self._style == "x|y":
            return self._segments
        if self._style == "y|x":
            return self._crops
        sets = np.maximum(self._crops / self.crops_per_bag, self._segments / self.segments_per_bag)
        return np.maximum(1, np.ceil(sets)).astype(int)

    @property
    def rows_per_batch(self) -> int:
        """Crops in a batch, padding included."""
        return self._bags_per_batch * self.crops_per_bag

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self._steps

    def _fill(self, rng: np.random.Generator) -> Int[np.ndarray, "steps g"]:
        """The recordings of every batch of an epoch; ``-1`` is padding.

        A batch takes the recordings with most bags left. So those with equally many come in random
        order, one batch after another, before any of them comes again: no batch need be looked at
        by itself but those in which the bags left differ.
        """
        size, batches = self._bags_per_batch, []
        waiting = _by_count(self._count)
        for left in range(int(self._count.max()), 0, -1):
            if left not in waiting:
                continue
            most = rng.permutation(np.concatenate(waiting.pop(left)))
            whole = len(most) - len(most) % size
            batches.append(most[:whole].reshape(-1, size))
            waiting[left - 1].append(most[:whole])
            if whole < len(most):
                batch = _filled_up(most[whole:], left, size, waiting, rng)
                padding = np.full(size - len(batch), -1, batch.dtype)
                batches.append(np.concatenate([rng.permutation(batch), padding])[None])
                if len(batch) < size / 2:
                    break
        return np.concatenate(batches)

    def _plan_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Per batch the recordings ``[steps, g]``, and which of its bags of this epoch each is."""
        rng = np.random.default_rng([self._seed, epoch])
        recording = self._fill(rng)
        if self._style == "x,y":  # whose bags are all alike
            return recording, np.zeros((1, 1), np.int32)
        flat = recording.ravel()
        order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
        # The k-th time that a recording comes, it has the k-th of its turns in random order.
        turns, first = _turns(self._count, rng)
        drawn = np.bincount(flat[order], minlength=len(self._count))
        nth = np.arange(len(order)) - np.repeat(np.cumsum(drawn) - drawn, drawn)
        turn = np.full(flat.shape, -1, np.int32)
        turn[order] = turns[first[flat[order]] + nth]
        return recording, turn.reshape(recording.shape)

    def plan(self, step: int) -> BatchPlan:
        """The bags of a global step."""
        epoch, index = divmod(step, self._steps)
        recordings, turns = self._epoch(epoch)
        chosen = recordings[index]
        turn = np.broadcast_to(turns, recordings.shape)[index]
        rng = np.random.default_rng([self._seed, epoch, index])
        shape = self._bags_per_batch
        recording = np.full(shape, -1, np.int64)
        crop = np.full((shape, self.crops_per_bag), -1, np.int64)
        segment = np.full((shape, self.segments_per_bag), -1, np.int64)
        for i, r in enumerate(chosen):
            if r < 0:
                continue
            recording[i] = r
            # One crop (or segment) a bag: the bags of an epoch go through all of them, once each.
            crop[i] = (
                turn[i]
                if self._style == "y|x"
                else _choose(rng, int(self._crops[r]), self.crops_per_bag)
            )
            segment[i] = (
                turn[i]
                if self._style == "x|y"
                else _choose(rng, int(self._segments[r]), self.segments_per_bag)
            )
        return BatchPlan(recording, crop, segment)


class PairSampler:
    """Pairs of one crop and one random segment of its recording, for the paired losses.

    Every crop comes once an epoch, in random order; the last, incomplete batch is left out, as
    published, unless it is the only one (then it is padded).

    Args:
      crops: number of crops of each recording.
      segments: number of text segments of each recording; recordings without any are left out.
      pairs_per_batch: pairs in a batch.
      seed: of everything random here.

    Raises:
      ValueError: no recording has both a crop and a segment, or batches would be empty.
    """

    crops_per_bag = 1
    segments_per_bag = 1

    def __init__(self, crops: Counts, segments: Counts, *, pairs_per_batch: int, seed: int = 0):
        if pairs_per_batch < 1:
            raise ValueError(f"config.sampler.pairs_per_batch is {pairs_per_batch}; at least 1")
        crops, self._segments = np.asarray(crops, int), np.asarray(segments, int)
        drawn = np.where(self._segments > 0, crops, 0)
        self.usable = drawn > 0
        self._end = np.cumsum(
            drawn
        )  # crops are numbered through; that of each recording's last + 1
        self._drawn, self._crops = drawn, int(drawn.sum())
        if not self._crops:
            raise ValueError("no recording has both a crop and a text segment")
        self.rows_per_batch, self._seed = pairs_per_batch, seed
        self._steps = max(1, self._crops // pairs_per_batch)
        self._order = PerEpoch(self._shuffle)

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self._steps

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(numbers(self._crops))

    def plan(self, step: int) -> BatchPlan:
        """The pairs of a global step."""
        epoch, index = divmod(step, self._steps)
        size = self.rows_per_batch
        chosen = self._order(epoch)[index * size : (index + 1) * size]
        rng = np.random.default_rng([self._seed, epoch, index])
        recording = np.full(size, -1, np.int64)
        crop, segment = np.full((2, size, 1), -1, np.int64)
        n = len(chosen)
        recording[:n] = np.searchsorted(self._end, chosen, side="right")
        crop[:n, 0] = chosen - (self._end - self._drawn)[recording[:n]]
        segment[:n, 0] = rng.integers(0, self._segments[recording[:n]])
        return BatchPlan(recording, crop, segment)


def share_of(rows: int, process: int, processes: int) -> slice:
    """The rows of one process out of those of a global batch.

    Raises:
      ValueError: they cannot be shared out evenly.
    """
    if rows % processes:
        raise ValueError(
            f"{rows} rows (bags, pairs, windows) a batch cannot be shared by {processes} "
            f"processes; use {math.ceil(rows / processes) * processes}"
        )
    return slice(process * rows // processes, (process + 1) * rows // processes)


Plan = TypeVar("Plan", BatchPlan, RowPlan)


def share(plan: Plan, process: int, processes: int) -> Plan:
    """The rows of one process out of a global plan.

    Raises:
      ValueError: the rows cannot be shared out evenly.
    """
    rows = share_of(len(plan[0]), process, processes)
    return type(plan)(*(a[rows] for a in plan))
