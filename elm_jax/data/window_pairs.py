"""Pairs of windows, near to or far from each other in time: what relative positioning learns from.

Banville et al. 2021 (doi:10.1088/1741-2552/abca18), section 2.1. Drawn as by braindecode 1.8's
``RelativePositioningSampler``: a recording, a window of it, near or far with even chances, and a
partner, each uniformly. Departure: braindecode stops at a window that has no partner; here such a
window is never the first of a pair.
"""

import dataclasses
import logging
import math
from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Bool, Int
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.samplers import PerEpoch, RowPlan
from elm_jax.data.window_times import WindowTimes, to_us

log = logging.getLogger(__name__)

NEGATIVES = ("same_recording", "other_recording")
STREAMS = {"train": 1, "valid": 2, "test": 3}  # of random numbers
_LONGEST_S = 1e10  # no recording is, and microseconds of it are whole numbers of 64 bits
_BLOCK_STEPS = 64
_CHUNK = 1 << 20  # windows looked at together: a corpus has tens of millions


@dataclasses.dataclass(frozen=True)
class Distances:
    """How far apart in time the windows of a pair begin.

    Attributes:
      tau_pos_s: near: more than 0 and at most this.
      tau_neg_s: far: at least this,
      tau_max_s: and at most this; None: however far.
      negatives: "same_recording"; or "other_recording": far is any window of another recording,
        and neither of the last two counts.

    Raises:
      ValueError: not 0 < tau_pos_s <= tau_neg_s <= tau_max_s, or an unknown word.
    """

    tau_pos_s: float
    tau_neg_s: float
    tau_max_s: float | None = None
    negatives: str = "same_recording"

    def __post_init__(self):
        if self.negatives not in NEGATIVES:
            raise ValueError(f"config.sampler.negatives is {self.negatives!r}; known: {NEGATIVES}")
        most = math.inf if self.tau_max_s is None else self.tau_max_s
        if not 0 < self.tau_pos_s <= self.tau_neg_s <= most or math.isinf(self.tau_neg_s):
            raise ValueError(
                "config.sampler needs 0 < tau_pos_s <= tau_neg_s <= tau_max_s (or None); found "
                f"{self.tau_pos_s}, {self.tau_neg_s}, {self.tau_max_s}"
            )

    @property
    def within(self) -> bool:
        """Whether far windows are of the same recording."""
        return self.negatives == "same_recording"

    def bounds_us(self, *, near: bool) -> tuple[int, int]:
        """Least and greatest distance within a recording."""
        most_s = math.inf if self.tau_max_s is None else self.tau_max_s
        bounds_s = (0.0, self.tau_pos_s) if near else (self.tau_neg_s, most_s)
        low_us, high_us = to_us(np.minimum(bounds_s, _LONGEST_S)).tolist()
        return low_us, high_us

    def __str__(self) -> str:
        near = f"near: at most {self.tau_pos_s:g} s apart"
        if not self.within:
            return f"{near}; far: of another recording"
        most = "" if self.tau_max_s is None else f" and at most {self.tau_max_s:g} s"
        return f"{near}; far: at least {self.tau_neg_s:g} s{most}"


class WindowPairSampler:
    """Pairs of windows of recordings, near or far, a plan of windows ``[b, 2]`` and ``near [b]``.

    Batches share an epoch's pairs out
    evenly; what is short is padding at the end.

    A window is only ever the first of a pair if it has partners of both kinds: else it alone would
    tell the answer. Recordings without such a window are left out altogether.

    Args:
      windows: of the recordings; the time of one is where it begins in its recording.
      recordings: of the split.
      sfreq_hz: of the windows' samples.
      distances: what is near, what far.
      pairs_per_batch: rows of a batch.
      pairs_per_recording: pairs of an epoch, times the usable recordings: each has so many on
        average.
      split: pairs of "train" are drawn anew every epoch, those of others are the same in all.
      seed: of everything random here.

    Attributes:
      usable: ``[recordings]``, which are ever drawn.
      first: places (:class:`~elm_jax.data.window_times.WindowTimes`) that may be first.

    Raises:
      ValueError: an impossible size, or no pair of both kinds in any recording.
    """

    label = "near"

    def __init__(
        self,
        windows: Windows,
        recordings: Sequence[RecordingRow],
        sfreq_hz: float,
        distances: Distances,
        *,
        pairs_per_batch: int,
        pairs_per_recording: int,
        split: str = "train",
        seed: int = 0,
    ):
        if min(pairs_per_batch, pairs_per_recording) < 1:
            raise ValueError(
                f"config.sampler: pairs_per_batch is {pairs_per_batch}, pairs_per_recording "
                f"{pairs_per_recording}; both at least 1"
            )
        self._times = WindowTimes(windows, recordings, sfreq_hz)
        self._names = [row.recording for row in recordings]
        self._distances, self._split, self._seed = distances, split, seed
        self.rows_per_batch = pairs_per_batch
        self.first = self._with_partners()
        # Of the usable recordings: how many first windows each has, and where they begin.
        counts = np.bincount(self._times.recording(self.first), minlength=len(recordings))
        self.usable: Bool[np.ndarray, " r"] = counts > 0
        self._recordings = np.flatnonzero(self.usable)
        self._count = counts[self._recordings]
        self._begin = np.cumsum(self._count) - self._count
        self._require_some()
        self.pairs_per_epoch = pairs_per_recording * len(self._recordings)
        self._steps = math.ceil(self.pairs_per_epoch / pairs_per_batch)
        self._drawn = PerEpoch(self._draw_block)

    def _with_partners(self) -> Int[np.ndarray, " n"]:
        """Places of the windows that have partners of both kinds."""
        found = [np.zeros(0, np.int32)]
        for begin in range(0, len(self._times), _CHUNK):
            place = np.arange(begin, min(begin + _CHUNK, len(self._times)))
            for near in (True, False) if self._distances.within else (True,):
                bounds_us = self._distances.bounds_us(near=near)
                place = place[self._times.away(place, *bounds_us) > 0]
            found.append(place.astype(np.int32))
        return np.concatenate(found)

    def _require_some(self) -> None:
        needed = 1 if self._distances.within else 2
        if len(self._recordings) >= needed:
            return
        longest, span_s = self._times.longest()
        least = "" if needed == 1 else f"; {needed} recordings are needed"
        raise ValueError(
            f"config.sampler: {len(self._recordings)} of the {len(self._names)} recordings of "
            f"{self._split!r} have a window with partners of both kinds{least} "
            f"({self._distances}). The longest, {self._names[longest]!r}, has "
            f"{self._times.count[longest]} windows that begin within {span_s:g} s: lower "
            "config.sampler.tau_neg_s, raise tau_pos_s or tau_max_s, or prepare shorter windows"
        )

    def tell(self) -> None:
        """Says in the log what is drawn, and what never can be."""
        log.info(
            "pairs    %s: %d an epoch from %d recordings, in %d batches; %s",
            self._split, self.pairs_per_epoch, len(self._recordings), self._steps, self._distances,
        )  # fmt: skip
        alone = len(self._times) - len(self.first)
        if alone:
            log.info(
                "pairs    %d of %d windows lack a partner near or far: never the first of a pair",
                alone, len(self._times),
            )  # fmt: skip
        if not self.usable.all():
            left_out = [n for n, used in zip(self._names, self.usable, strict=True) if not used]
            more = ", ..." if len(left_out) > 5 else ""
            log.warning(
                "pairs    %d of %d recordings of %s are left out, no window has partners of both "
                "kinds (%s%s)",
                len(left_out), len(self._names), self._split, ", ".join(left_out[:5]), more,
            )  # fmt: skip

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self._steps

    def plan(self, step: int) -> RowPlan:
        """The pairs of a global step."""
        epoch, index = divmod(step, self._steps)
        block, within = divmod(index, _BLOCK_STEPS)
        window, label = self._drawn((epoch if self._split == "train" else 0, block))
        each, more = divmod(self.pairs_per_epoch, self._steps)
        real = np.arange(self.rows_per_batch) < each + (index < more)
        return RowPlan(np.where(real[:, None], window[within], -1), label[within] & real)

    def _draw_block(self, epoch_and_block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Windows ``[steps, b, 2]`` and labels ``[steps, b]`` of some steps that follow each other.

        Together, since one draw of many pairs takes far less time than many of a few.
        """
        rng = np.random.default_rng([self._seed, STREAMS[self._split], *epoch_and_block])
        steps = min(_BLOCK_STEPS, self._steps - epoch_and_block[1] * _BLOCK_STEPS)
        window, near = self.draw(rng, steps * self.rows_per_batch)
        shape = steps, self.rows_per_batch
        return window.reshape(*shape, 2), near.reshape(shape)

    def draw(
        self, rng: np.random.Generator, pairs: int
    ) -> tuple[Int[np.ndarray, "pairs 2"], Bool[np.ndarray, " pairs"]]:
        """Pairs of window numbers, and whether each is near."""
        home = rng.integers(0, len(self._recordings), pairs)
        # In order of place, which bisection is quickest with; the pairs are mixed at the end.
        first = np.sort(self.first[self._begin[home] + rng.integers(0, self._count[home])])
        near = rng.random(pairs) < 0.5
        second = np.empty(pairs, np.int64)
        second[near] = self._partner(rng, first[near], near=True)
        second[~near] = self._partner(rng, first[~near], near=False)
        order = rng.permutation(pairs)
        return self._times.window[np.stack([first, second], axis=1)[order]], near[order]

    def _partner(
        self, rng: np.random.Generator, first: Int[np.ndarray, " n"], *, near: bool
    ) -> Int[np.ndarray, " n"]:
        """Places of windows near to or far from others."""
        if near or self._distances.within:
            return self._times.draw_away(rng, first, *self._distances.bounds_us(near=near))
        # Any window of another usable recording, which is drawn first.
        home = np.searchsorted(self._recordings, self._times.recording(first))
        other = rng.integers(0, len(self._recordings) - 1, len(first))
        recording = self._recordings[other + (other >= home)]
        return self._times.first[recording] + rng.integers(0, self._times.count[recording])


def window_pairs(
    windows: Windows,
    recordings: Sequence[RecordingRow],
    sfreq_hz: float,
    *,
    split: str,
    pairs_per_batch: int = 128,
    pairs_per_recording: int = 250,
    tau_pos_s: float = 60.0,
    tau_neg_s: float = 900.0,
    tau_max_s: float | None = None,
    negatives: str = "same_recording",
    seed: int = 0,
) -> WindowPairSampler:
    """The sampler of ``config.sampler``; see :class:`Distances` and :class:`WindowPairSampler`.

    Defaults are those of braindecode's example; the paper draws 2,000 pairs a recording.

    Raises:
      ValueError: settings that do not fit each other or the recordings.
    """
    return WindowPairSampler(
        windows,
        recordings,
        sfreq_hz,
        Distances(tau_pos_s, tau_neg_s, tau_max_s, negatives),
        pairs_per_batch=pairs_per_batch,
        pairs_per_recording=pairs_per_recording,
        split=split,
        seed=seed,
    )
