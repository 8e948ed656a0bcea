"""Candidate pools of retrieval: drawn once by a seed, the same for every model, written down."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Bool, Int
from elm_jax.data.manifest import RecordingRow


def draw(
    recordings: Sequence[RecordingRow],
    usable: Sequence[bool] | np.ndarray,
    *,
    size: int,
    seed: int,
    one_per_person: bool,
) -> list[Int[np.ndarray, " p"]]:
    """As many whole pools as the usable recordings fill; no recording is in two.

    What is drawn depends on the recordings' names alone, not on the order in which shards have
    them.

    Args:
      recordings: those of a split.
      usable: which of them have what a candidate needs.
      size: recordings in a pool; 0, or more than there are: one pool of all.
      seed: of the draw.
      one_per_person: draw a recording of each person; else all are candidates.

    Returns:
      rows of ``recordings``, a pool each; none if fewer than two can be candidates.
    """
    rows = sorted(np.flatnonzero(usable), key=lambda i: (recordings[i].recording, i))
    drawn = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    if one_per_person:
        drawn = list({recordings[i].person: i for i in reversed(drawn)}.values())[::-1]
    size = min(size or len(drawn), len(drawn))
    if size < 2:
        return []
    whole = len(drawn) // size * size
    return list(np.asarray(drawn[:whole], np.int64).reshape(-1, size))


def report_name(segments: Sequence[str]) -> str:
    """A short digest of what a report says, whatever the order of its segments."""
    return hashlib.sha256("\n".join(sorted(segments)).encode()).hexdigest()[:16]


def equal_reports(segments: Sequence[Sequence[str]]) -> Bool[np.ndarray, "n n"]:
    """Which reports say the same."""
    names = np.asarray([report_name(s) for s in segments])
    return names[:, None] == names[None]


def table(
    recordings: Sequence[RecordingRow],
    segments: Sequence[Sequence[str]],
    pools: Sequence[Int[np.ndarray, " p"]],
) -> list[dict[str, Any]]:
    """One row a candidate: its pool, its report's digest, how many there have an equal one."""
    rows = []
    for number, pool in enumerate(pools):
        equal = equal_reports([segments[i] for i in pool]).sum(axis=1)
        for i, count in zip(pool, equal, strict=True):
            rows.append(
                {
                    "pool": number,
                    "recording": recordings[i].recording,
                    "person": recordings[i].person,
                    "report_sha256": report_name(segments[i]),
                    "equal_reports": int(count),
                }
            )
    return rows
