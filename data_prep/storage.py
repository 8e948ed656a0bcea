"""What will be stored, worked out before anything is written: integers, cuts, shards, counts."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.data.label_values import counted_at
from elm_jax.data.manifest import SPLITS, Moments
from elm_jax.data.spec import SignalSpec

MAX_PIECE_S = 600.0
SHARD_BYTES = 128 * 2**20
MIN_SHARDS = 8
_INT16 = np.iinfo(np.int16)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A recording whose pieces are ready to be written.

    Attributes:
      recording: unique name.
      person: ``institution:id``.
      split: "train", "valid" or "test".
      start_s: where each piece begins in the recording.
      n_samples: length of each piece.
      reports: texts.
      labels: JSON-ready values.
      total: sum of all stored samples, exact.
      total_square: sum of their squares, exact.
      piece_labels: of each piece alone; empty where none has any.
      moments: of the whole recording, in the spec's unit; None where not measured.
    """

    recording: str
    person: str
    split: str
    start_s: tuple[float, ...]
    n_samples: tuple[int, ...]
    reports: tuple[str, ...] = ()
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    total: int = 0
    total_square: int = 0
    piece_labels: tuple[dict[str, Any], ...] = ()
    moments: Moments | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Stored":
        """Reads ``dataclasses.asdict`` back, also after JSON."""
        moments = Moments.of(values.get("moments"))
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known | {"moments": moments})

    def labels_of(self, piece: int) -> dict[str, Any]:
        """What one of the pieces is labelled beyond its recording."""
        return self.piece_labels[piece] if self.piece_labels else {}


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard file to be: its name, and which pieces of which recordings it takes, in order."""

    split: str
    file: str
    items: tuple[tuple[int, int], ...]


def quantise(signal: np.ndarray, steps_per_unit: float) -> tuple[np.ndarray, int]:
    """Float signal -> int16 steps, rounded to even, and how many samples did not fit.

    Samples out of range take the nearest end of it; the caller lists their count as a defect.

    Args:
      signal: float ``[c, t]`` in the spec's unit.
      steps_per_unit: steps in one unit.

    Raises:
      ValueError: a value is not a finite number.
    """
    if not np.isfinite(signal).all():
        raise ValueError("a piece to be stored holds values that are not finite")
    steps = np.rint(np.asarray(signal, np.float32) * np.float32(steps_per_unit))
    overflow = int(np.count_nonzero((steps < _INT16.min) | (steps > _INT16.max)))
    return np.clip(steps, _INT16.min, _INT16.max).astype(np.int16), overflow


def exact_sums(signal: np.ndarray) -> tuple[int, int]:
    """Sum and sum of squares of int16 samples, without rounding."""
    wide = signal.astype(np.int64)
    return int(wide.sum()), int(np.vdot(wide, wide))


def cut_long(n_samples: int, spec: SignalSpec, max_piece_s: float = MAX_PIECE_S) -> list[slice]:
    """Stretches of whole windows, none over ``max_piece_s``; the last keeps the tail.

    A piece no longer than the limit stays as it is.
    """
    limit = round(max_piece_s * spec.sfreq_hz)
    if n_samples <= limit:
        return [slice(0, n_samples)]
    length = max(limit // spec.window_samples, 1) * spec.window_samples
    starts = list(range(0, n_samples, length))
    # A tail shorter than a window would be a piece without any: it stays with its neighbour.
    if n_samples - starts[-1] < spec.window_samples and len(starts) > 1:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], n_samples], strict=True)]


def plan_shards(
    rows: Sequence[Stored],
    spec: SignalSpec,
    name: str,
    *,
    shard_bytes: int = SHARD_BYTES,
    min_shards: int = MIN_SHARDS,
) -> list[Shard]:
    """Which piece goes into which file: consecutive runs of about equal size.

    At least ``min_shards`` files a split where it has that many pieces, so that several hosts can
    share the reading.
    """
    shards = []
    for split in SPLITS:
        items, sizes = [], []
        for r, row in enumerate(rows):
            if row.split == split:
                items += [(r, p) for p in range(len(row.n_samples))]
                sizes += [2 * len(spec.channels) * n for n in row.n_samples]
        if not items:
            continue
        count = min(max(-(-sum(sizes) // shard_bytes), min_shards), len(items))
        # A piece goes where its middle lies; then every file is given at least one piece.
        middle = np.cumsum(sizes) - np.asarray(sizes) / 2
        home = np.minimum((middle * count / sum(sizes)).astype(int), count - 1)
        first = np.searchsorted(home, np.arange(count))
        for k in range(1, count):
            first[k] = min(max(first[k], first[k - 1] + 1), len(items) - (count - k))
        for k, (a, b) in enumerate(zip(first, [*first[1:], len(items)], strict=True)):
            file = f"{name}-{split}.array_record-{k:05d}-of-{count:05d}"
            shards.append(Shard(split, file, tuple(items[a:b])))
    return shards


def statistics(rows: Sequence[Stored], spec: SignalSpec, steps_per_unit: float) -> dict[str, Any]:
    """Mean and standard deviation of the train split in network values, from exact sums.

    Without a train split both stay at 0 and 1, with 0 samples: nothing was measured.
    """
    train = [row for row in rows if row.split == "train"]
    n = len(spec.channels) * sum(sum(row.n_samples) for row in train)
    result = {"split": "train", "samples": n, "mean": 0.0, "std": 1.0}
    if n:
        scale = spec.scale / steps_per_unit
        total, square = sum(r.total for r in train), sum(r.total_square for r in train)
        variance = (n * square - total * total) / (n * n)
        result["mean"] = total / n * scale
        # A corpus of nothing but flat lines has no scale of its own.
        result["std"] = variance**0.5 * scale if variance > 0 else 1.0
    return result


def counts(rows: Sequence[Stored], spec: SignalSpec) -> dict[str, dict[str, Any]]:
    """What there is, by split and in total."""
    result = {}
    for split in (*SPLITS, "total"):
        own = [row for row in rows if split in (row.split, "total")]
        lengths = [n for row in own for n in row.n_samples]
        result[split] = {
            "people": len({row.person for row in own}),
            "recordings": len(own),
            "pieces": len(lengths),
            "windows": sum(n // spec.window_samples for n in lengths),
            "hours": round(sum(lengths) / spec.sfreq_hz / 3600, 4),
            "reports": sum(len(row.reports) for row in own),
            "recordings_without_report": sum(not row.reports for row in own),
        }
    return result


def label_counts(
    rows: Sequence[Stored], name: str, spec: SignalSpec
) -> dict[str, dict[str, dict[str, int]]]:
    """Split -> value of a label -> {recordings, windows}; "none" is the value of what lacks it.

    A list of values counts at each of them, an empty one at "[]".
    """
    result: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        windows: dict[str, int] = {}
        for p, n in enumerate(row.n_samples):
            value = row.labels_of(p).get(name, row.labels.get(name))
            for key in counted_at(value):
                windows[key] = windows.get(key, 0) + n // spec.window_samples
        for key, count in windows.items():
            cell = result.setdefault(row.split, {}).setdefault(key, {"recordings": 0, "windows": 0})
            cell["recordings"] += 1
            cell["windows"] += count
    return result
