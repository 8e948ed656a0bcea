"""The distinct text segments of a corpus, and what the model reads for each."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from elm_jax.axes import Bool, Int
from elm_jax.data.sections import KNOWN_HEADINGS, segment_report


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Every distinct text once, with its arrays (tokens, or a frozen tower's embedding).

    Attributes:
      texts: the distinct texts.
      arrays: batch key to array whose first axis follows ``texts``: ``text_emb [n, d]``, or
        ``text_token [n, l]`` with ``text_token_valid [n, l]``.
    """

    texts: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]

    def __post_init__(self):
        for key, array in self.arrays.items():
            if len(array) != len(self.texts):
                raise ValueError(f"{key} has {len(array)} rows for {len(self.texts)} texts")
        object.__setattr__(self, "_row", {t: i for i, t in enumerate(self.texts)})

    def rows(self, texts: Iterable[str]) -> Int[np.ndarray, " n"]:
        """Row numbers of texts.

        Raises:
          KeyError: a text that is not in the table.
        """
        return np.asarray([self._row[t] for t in texts], np.int64)

    def take(self, rows: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
        """Batch arrays for row numbers; ``-1`` gives row 0's values and ``text_valid`` False."""
        valid: Bool[np.ndarray, " n"] = rows >= 0
        safe = np.where(valid, rows, 0)
        return {k: a[safe] for k, a in self.arrays.items()} | {"text_valid": valid}


def distinct(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Distinct texts in order of first appearance."""
    return tuple(dict.fromkeys(text for group in groups for text in group))


def segments_of(
    reports: Sequence[str],
    *,
    mode: str,
    headings: Sequence[str] | str,
    include_heading: bool = True,
    prefix: str = "",
    other_headings: Sequence[str] = (),
) -> tuple[str, ...]:
    """The segments of all reports of one recording, pooled, each once.

    ``other_headings`` are known beside the usual ones: they end a section and begin another.
    """
    known = (*KNOWN_HEADINGS, *other_headings)
    pooled = (
        segment_report(
            report,
            mode=mode,
            headings=headings,
            include_heading=include_heading,
            prefix=prefix,
            known_headings=known,
        )
        for report in reports
    )
    return distinct(pooled)
