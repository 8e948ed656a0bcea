"""The best moments of a source for vectors of texts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float
from elm_jax.query.moments import Moment, apart, merged
from elm_jax.query.search import ExactSearch
from elm_jax.query.source import Source


class Answer(NamedTuple):
    """What one text found.

    Attributes:
      text: the query.
      similarity: of all windows.
      moments: the best, best first.
    """

    text: str
    similarity: Float[np.ndarray, " n"]
    moments: list[Moment]


def find(
    source: Source,
    texts: Sequence[str],
    vectors: Float[np.ndarray, "q e"],
    *,
    segments: int,
    windows: int,
    join: str,
    apart_s: float,
) -> list[Answer]:
    """The best moments of each text.

    Args:
      source: what is looked through.
      texts: the queries.
      vectors: theirs; a similarity is the product with a window's unit vector.
      segments: moments wanted of each.
      windows: with "merge", how many of the best windows are joined to moments; at most a tenth
        of all, or a short file would be one moment.
      join: "merge": windows that follow one another are one moment; "apart": a window is left out
        that begins less than ``apart_s`` from a better one in its recording; "none".
      apart_s: seconds.
    """
    search = ExactSearch(np.asarray(source.vectors))
    length = np.linalg.norm(vectors, axis=1)
    every = search.similarities(vectors) * length[:, None].astype(np.float32)
    best = search.top(vectors, joined_windows(windows, len(search))).index
    out = []
    for i, text in enumerate(texts):
        if join == "merge":
            found = merged(best[i], source.timeline)
        else:
            gap_s = apart_s if join == "apart" else 0.0
            found = _enough(search, vectors[i : i + 1], source, segments, gap_s)
        out.append(Answer(text, every[i], found[:segments]))
    return out


def joined_windows(wanted: int, windows: int) -> int:
    """How many of the best windows are joined: those wanted, at most a tenth of all."""
    return max(1, min(wanted, windows // 10))


def _enough(search: ExactSearch, vector, source: Source, wanted: int, gap_s: float) -> list[Moment]:
    """Looks at ever more of the best windows until enough lie apart, or all were seen."""
    many = 4 * wanted
    while True:
        best = search.top(vector, many).index[0]
        found = list(apart(best, source.timeline, apart_s=gap_s))
        if len(found) >= wanted or len(best) == len(search):
            return found
        many *= 4


def percentile(every: Float[np.ndarray, " n"], value: float) -> float:
    """Per cent of all windows that are less similar."""
    return 100 * float((every < np.float32(value)).mean())
