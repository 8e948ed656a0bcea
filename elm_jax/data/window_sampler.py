"""A sampler of labelled windows, and which people's labels a run may see."""

import math
from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Bool, Int
from elm_jax.data.samplers import BatchPlan, PerEpoch, numbers


def choose_people(
    people: Sequence[str],
    strata: Sequence[str],
    *,
    share: float = 1.0,
    count: int = 0,
    seed: int = 0,
) -> list[str]:
    """A label budget: the people whose labels are used, drawn from all that have some.

    Drawn within strata (classes), in proportion, at least one of each: a small budget without a
    class could learn nothing. A larger budget of the same seed holds every smaller one's people of
    a stratum.

    Args:
      people: distinct people.
      strata: of each, what they are drawn within.
      share: of the people, in (0, 1].
      count: that many people instead; 0 means by share.
      seed: of the draw.

    Returns:
      the chosen, sorted.

    Raises:
      ValueError: an impossible budget, or one too small for a person of each stratum.
    """
    if not 0 < share <= 1 or count < 0 or (count and share != 1):
        raise ValueError(
            f"config.sampler: budget_share is {share} (in (0, 1]) and budget_people {count} (0: by "
            "share); set one of them"
        )
    total = count or max(1, round(share * len(people)))
    if total > len(people):
        raise ValueError(
            f"config.sampler.budget_people is {count}, but only {len(people)} training people have "
            "the label"
        )
    names = sorted(set(strata))
    if total < len(names):
        raise ValueError(
            f"config.sampler: a budget of {total} of {len(people)} people cannot hold one of each "
            f"class ({', '.join(names)}); the least is {len(names)}"
        )
    groups = [sorted(p for p, s in zip(people, strata, strict=True) if s == n) for n in names]
    chosen = []
    for i, (group, n) in enumerate(zip(groups, _apportion(groups, total), strict=True)):
        order = np.random.default_rng([seed, i]).permutation(len(group))
        chosen += [group[k] for k in order[:n]]
    return sorted(chosen)


def _apportion(groups: Sequence[Sequence[str]], total: int) -> list[int]:
    """How many of each group: one, then by largest remainder of the proportional share."""
    sizes = np.asarray([len(g) for g in groups])
    counts = np.ones(len(groups), int)
    while counts.sum() < total:
        wanted = np.where(counts < sizes, total * sizes / sizes.sum() - counts, -math.inf)
        counts[int(np.argmax(wanted))] += 1
    return counts.tolist()


class WindowSampler:
    """Windows of recordings, each once an epoch in random order, in batches of one size.

    Batches share an epoch's windows out evenly (none is nearly empty: BatchNorm would suffer); what
    is short is padding at the end. With ``balance="classes"`` an epoch has as many windows, but as
    many of each class: those of rare classes come again, those of frequent ones in turn.

    Args:
      recording: of each usable window.
      crop: its number within the recording.
      stratum: its class; only needed with ``balance``.
      recordings: how many recordings there are, usable or not.
      windows_per_batch: rows of a batch.
      windows_per_recording: at most that many of a recording an epoch, at random; 0: all.
      balance: "none" or "classes".
      shuffle: False: in order, the same every epoch (validation).
      seed: of everything random here.

    Raises:
      ValueError: no windows, an impossible size, an unknown balance.
    """

    crops_per_bag = 1

    def __init__(
        self,
        recording: Int[np.ndarray, " n"],
        crop: Int[np.ndarray, " n"],
        stratum: Int[np.ndarray, " n"] | None = None,
        *,
        recordings: int,
        windows_per_batch: int,
        windows_per_recording: int = 0,
        balance: str = "none",
        shuffle: bool = True,
        seed: int = 0,
    ):
        if windows_per_batch < 1 or windows_per_recording < 0:
            raise ValueError(
                f"config.sampler: windows_per_batch is {windows_per_batch} (at least 1), "
                f"windows_per_recording {windows_per_recording} (at least 0)"
            )
        if balance not in ("none", "classes") or (balance == "classes" and stratum is None):
            raise ValueError(
                f"config.sampler.balance is {balance!r}; known: 'none', and 'classes' where every "
                "window has one class"
            )
        if not len(recording):
            raise ValueError("no window has a label: nothing to learn")
        self._recording, self._crop = np.asarray(recording), np.asarray(crop)
        self._stratum = np.zeros(len(self._recording), int) if stratum is None else stratum
        self._limit, self._balance = windows_per_recording, balance
        self._shuffle, self._seed = shuffle, seed
        self.rows_per_batch = windows_per_batch
        self.usable: Bool[np.ndarray, " r"] = np.bincount(recording, minlength=recordings) > 0
        counts = np.bincount(self._recording)
        counts = np.minimum(counts, windows_per_recording) if windows_per_recording else counts
        self._windows_per_epoch = int(counts.sum())
        self._steps = math.ceil(self._windows_per_epoch / windows_per_batch)
        self._epoch = PerEpoch(self._plan_epoch)

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self._steps

    def _plan_epoch(self, epoch: int) -> list[np.ndarray]:
        """The windows of each batch of an epoch."""
        if not self._shuffle:
            return np.array_split(self._limited(numbers(len(self._recording))), self._steps)
        rng = np.random.default_rng([self._seed, epoch])
        windows = self._limited(rng.permutation(numbers(len(self._recording))))
        if self._balance == "classes":
            windows = rng.permutation(self._balanced(windows, rng))
        return np.array_split(windows, self._steps)

    def _limited(self, windows: np.ndarray) -> np.ndarray:
        """The first ``windows_per_recording`` of each recording, in the order given."""
        if not self._limit:
            return windows
        by_recording = np.argsort(self._recording[windows], kind="stable")
        recording = self._recording[windows][by_recording]
        first = np.searchsorted(recording, recording)
        kept = by_recording[np.arange(len(windows)) - first < self._limit]
        return windows[np.sort(kept)]

    def _balanced(self, windows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As many windows as given, each class in equal number (to one): whole rounds, then a part.

        Where that many of a class are more than it has, all come as often as each other, to one.
        """
        classes = np.unique(self._stratum[windows])
        quota = np.full(len(classes), len(windows) // len(classes))
        quota[rng.permutation(len(classes))[: len(windows) % len(classes)]] += 1
        drawn = []
        for name, n in zip(classes, quota, strict=True):
            own = windows[self._stratum[windows] == name]
            rounds, rest = divmod(n, len(own))
            drawn += [np.tile(own, rounds), rng.permutation(own)[:rest]]
        return np.concatenate(drawn)

    def plan(self, step: int) -> BatchPlan:
        """The windows of a global step: one crop a row, no text segments."""
        epoch, index = divmod(step, self._steps)
        chosen = self._epoch(epoch)[index]
        recording = np.full(self.rows_per_batch, -1, np.int64)
        crop = np.full((self.rows_per_batch, 1), -1, np.int64)
        recording[: len(chosen)] = self._recording[chosen]
        crop[: len(chosen), 0] = self._crop[chosen]
        return BatchPlan(recording, crop, np.full((self.rows_per_batch, 0), -1, np.int64))
