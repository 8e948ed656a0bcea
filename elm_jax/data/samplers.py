"""Samplers: which recordings, crops and segments make a batch, as a pure function of (seed, step).

A *bag* holds crops and text segments of one recording; every crop of a bag is a positive of each
of its segments. Counts in a plan are static; ``-1`` is padding.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

STYLES = ("x,y", "x|y", "y|x")


class BatchPlan(NamedTuple):
    """Which recordings, which of their crops, which of their segments; ``-1`` is padding.

    Shapes: recording ``[g]``, crop ``[g, crops]``, segment ``[g, segments]``, all int64.
    """

    recording: np.ndarray
    crop: np.ndarray
    segment: np.ndarray


@runtime_checkable
class Sampler(Protocol):
    """A pure function of (seed, step); the epoch follows from it; there is no state to save.

    Attributes:
      usable: ``[recordings]`` bool, which recordings are ever drawn: whom a model was trained on.
    """

    usable: np.ndarray

    def steps_per_epoch(self, epoch: int) -> int:
        """Batches in an epoch."""
        ...

    def plan(self, step: int) -> BatchPlan:
        """What the batch of a (global, from 0) step is made of."""
        ...


def _choose(rng: np.random.Generator, n: int, limit: int) -> np.ndarray:
    """Up to ``limit`` distinct indices below ``n`` in rising order, padded with -1."""
    out = np.full(limit, -1, np.int64)
    chosen = np.sort(rng.choice(n, min(n, limit), replace=False))
    out[: len(chosen)] = chosen
    return out


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
        crops: Sequence[int],
        segments: Sequence[int],
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

    def _fill(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The recordings of every batch of an epoch."""
        left, batches = self._count.copy(), []
        while left.any():
            order = np.lexsort((rng.random(len(left)), -left))
            batch = order[: min(self._bags_per_batch, int((left > 0).sum()))]
            left[batch] -= 1
            batches.append(rng.permutation(batch))
            if len(batch) < self._bags_per_batch / 2:
                break
        return batches

    @functools.lru_cache(maxsize=2)  # noqa: B019  (a sampler lives as long as its run)
    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """Per batch ``[bags, 2]``: the recording, and which of its bags of this epoch this is."""
        rng = np.random.default_rng([self._seed, epoch])
        orders = [rng.permutation(n) for n in self._count]
        seen = np.zeros(len(self._count), int)
        batches = []
        for batch in self._fill(rng):
            turns = np.array([orders[r][seen[r]] for r in batch])
            seen[batch] += 1
            batches.append(np.stack([batch, turns], axis=1))
        return batches

    def plan(self, step: int) -> BatchPlan:
        """The bags of a global step."""
        epoch, index = divmod(step, self._steps)
        chosen = self._epoch(epoch)[index]
        rng = np.random.default_rng([self._seed, epoch, index])
        shape = self._bags_per_batch
        recording = np.full(shape, -1, np.int64)
        crop = np.full((shape, self.crops_per_bag), -1, np.int64)
        segment = np.full((shape, self.segments_per_bag), -1, np.int64)
        for i, (r, turn) in enumerate(chosen):
            recording[i] = r
            # One crop (or segment) a bag: the bags of an epoch go through all of them, once each.
            crop[i] = (
                turn
                if self._style == "y|x"
                else _choose(rng, int(self._crops[r]), self.crops_per_bag)
            )
            segment[i] = (
                turn
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

    def __init__(
        self, crops: Sequence[int], segments: Sequence[int], *, pairs_per_batch: int, seed: int = 0
    ):
        if pairs_per_batch < 1:
            raise ValueError(f"config.sampler.pairs_per_batch is {pairs_per_batch}; at least 1")
        crops, self._segments = np.asarray(crops, int), np.asarray(segments, int)
        drawn = np.where(self._segments > 0, crops, 0)
        self.usable = drawn > 0
        self._recording = np.repeat(np.arange(len(crops)), drawn)
        self._crop = np.concatenate([np.arange(n) for n in drawn]) if len(drawn) else drawn
        if not len(self._crop):
            raise ValueError("no recording has both a crop and a text segment")
        self.rows_per_batch, self._seed = pairs_per_batch, seed
        self._steps = max(1, len(self._crop) // pairs_per_batch)

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self._steps

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._crop))

    def plan(self, step: int) -> BatchPlan:
        """The pairs of a global step."""
        epoch, index = divmod(step, self._steps)
        size = self.rows_per_batch
        chosen = self._order(epoch)[index * size : (index + 1) * size]
        rng = np.random.default_rng([self._seed, epoch, index])
        recording = np.full(size, -1, np.int64)
        crop, segment = np.full((2, size, 1), -1, np.int64)
        n = len(chosen)
        recording[:n], crop[:n, 0] = self._recording[chosen], self._crop[chosen]
        segment[:n, 0] = rng.integers(0, self._segments[recording[:n]])
        return BatchPlan(recording, crop, segment)


def share(plan: BatchPlan, process: int, processes: int) -> BatchPlan:
    """The rows of one process out of a global plan.

    Raises:
      ValueError: the bags cannot be shared out evenly.
    """
    bags = len(plan.recording)
    if bags % processes:
        raise ValueError(
            f"{bags} bags a batch cannot be shared by {processes} processes; use "
            f"{math.ceil(bags / processes) * processes}"
        )
    rows = slice(process * bags // processes, (process + 1) * bags // processes)
    return BatchPlan(*(a[rows] for a in plan))
