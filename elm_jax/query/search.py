"""Exact nearest vectors: every vector is looked at, in blocks, and no index is built.

A million vectors of 256 numbers are one gigabyte: reading it once is all that a query costs.
"""

import math
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float, Int

BLOCK_ROWS = 1 << 16  # converted at a time, where vectors are not float32 already
BLOCK_SCORES = 1 << 23  # similarities at a time: one query over float32 is one product
METRICS = ("cosine", "dot")
LARGEST = 1e37  # of a product of lengths: no sum on the way overflows float32


class SearchError(ValueError):
    """Vectors or queries that have no order: not finite, of another width, none at all."""


class Hits(NamedTuple):
    """The best rows of each query, best first; of equal ones the one with the lower number first.

    Shapes: index ``[q, k]`` (int64), similarity ``[q, k]`` (float64).
    """

    index: Int[np.ndarray, "q k"]
    similarity: Float[np.ndarray, "q k"]


class ExactSearch:
    """The ``k`` vectors with the largest cosine or dot product, proved and not estimated.

    A float32 product of blocks finds candidates; all that rounding could have kept out are kept in
    (the bound of Higham, *Accuracy and Stability*, 2002, eq. 3.5), and candidates are ordered by
    the product in float64. So the answer depends on the vectors alone: not on the size of a block,
    the number of threads or the library that multiplies.

    Args:
      vectors: float32 or float16, in memory or memory-mapped; not copied.
      metric: "cosine" or "dot".
      block_rows: vectors multiplied at a time; None: as many as is fast.

    Raises:
      SearchError: no vectors, a row with a NaN or an infinity, for cosines a row of zeros.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray, "n e"],
        *,
        metric: str = "cosine",
        block_rows: int | None = None,
    ):
        if metric not in METRICS:
            raise SearchError(f"metric is {metric!r}; known: {METRICS}")
        if vectors.dtype not in (np.float32, np.float16):
            raise SearchError(f"vectors are {vectors.dtype}; expected float32 or float16")
        if not len(vectors):
            raise SearchError("there are no vectors to search")
        self.vectors, self.metric, self._block_rows = vectors, metric, block_rows
        self._norms = self._checked_norms()

    def __len__(self) -> int:
        return len(self.vectors)

    def _rows_for(self, queries: int) -> int:
        if self._block_rows is not None:
            return self._block_rows
        many = max(BLOCK_SCORES // max(queries, 1), 1)
        return many if self.vectors.dtype == np.float32 else min(many, BLOCK_ROWS)

    def _blocks(self, rows: int):
        for start in range(0, len(self), rows):
            yield start, np.asarray(self.vectors[start : start + rows])

    def _checked_norms(self) -> Float[np.ndarray, " n"]:
        norms = np.empty(len(self))
        for start, block in self._blocks(4096):  # float64 copies that fit into a core's cache
            exact = block.astype(np.float64)
            norms[start : start + len(block)] = np.sqrt(np.einsum("ne,ne->n", exact, exact))
        finite = np.isfinite(norms)
        if not finite.all():
            raise SearchError(f"vectors: {_rows(~finite)} not finite (NaN or infinity)")
        if norms.max() > LARGEST:
            raise SearchError(f"vectors: {_rows(norms > LARGEST)} too long for float32 products")
        if self.metric == "cosine" and not norms.all():
            raise SearchError(f"vectors: {_rows(norms == 0)} zeros, which have no direction")
        return norms

    def _unit_queries(self, queries: Float[np.ndarray, "q e"]) -> Float[np.ndarray, "q e"]:
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise SearchError(
                f"queries are {queries.shape}; expected [q, {self.vectors.shape[1]}], as wide as "
                "the vectors"
            )
        exact = queries.astype(np.float64)
        norms = np.sqrt(np.einsum("qe,qe->q", exact, exact))
        if not np.isfinite(norms).all():
            raise SearchError(f"queries: {_rows(~np.isfinite(norms))} not finite")
        if self.metric == "dot":
            if (long := norms * self._norms.max() > LARGEST).any():
                raise SearchError(f"queries: {_rows(long)} too long for float32 products")
            return exact
        if not norms.all():
            raise SearchError(f"queries: {_rows(norms == 0)} zeros, which have no direction")
        return exact / norms[:, None]

    def similarities(self, queries: Float[np.ndarray, "q e"]) -> Float[np.ndarray, "q n"]:
        """Every vector's similarity to every query, float32."""
        exact = self._unit_queries(queries)
        out = np.empty((len(exact), len(self)), np.float32)
        for start, block in self._blocks(self._rows_for(len(exact))):
            out[:, start : start + len(block)] = self._product(exact, block, start)
        return out

    def _product(self, exact, block, start: int) -> Float[np.ndarray, "q m"]:
        wide = np.asarray(block, np.float32)
        query = exact.astype(np.float32)
        scores = (wide @ query[0])[None] if len(query) == 1 else query @ wide.T
        if self.metric == "cosine":
            scores /= self._norms[start : start + len(block)].astype(np.float32)
        return scores

    def top(self, queries: Float[np.ndarray, "q e"], k: int) -> Hits:
        """The ``k`` most similar vectors of each query (all of them where there are fewer).

        Raises:
          SearchError: queries of another width, not finite, or zero; ``k`` below 1.
        """
        if k < 1:
            raise SearchError(f"k is {k}; expected 1 or more")
        exact = self._unit_queries(queries)
        k = min(k, len(self))
        if not len(exact):
            return Hits(np.zeros((0, k), np.int64), np.zeros((0, k)))
        found = self._candidates(exact, k)
        best = [self._ordered(query, rows, k) for query, rows in zip(exact, found, strict=True)]
        return Hits(*(np.stack(parts) for parts in zip(*best, strict=True)))

    def _slack(self, exact) -> Float[np.ndarray, " q"]:
        """Twice the largest error of a float32 similarity of each query."""
        width = self.vectors.shape[1]
        unit = np.finfo(np.float32).eps / 2
        gamma = (width + 4) * unit / (1 - (width + 4) * unit)  # + 4: rounding to float32, dividing
        size = np.sqrt(np.einsum("qe,qe->q", exact, exact))
        lost = width * float(np.finfo(np.float32).tiny)  # products below the smallest normal number
        if self.metric == "cosine":
            return 2 * (gamma * size + lost / self._norms.min())
        return 2 * (gamma * size * self._norms.max() + lost)

    def _candidates(self, exact, k: int) -> list[Int[np.ndarray, " m"]]:
        """Per query, rows among which the best ``k`` certainly are, in order of number."""
        slack = self._slack(exact)
        # At least k rows seen so far score this much: what is worse, slack granted, is out.
        floor = np.full(len(exact), -np.inf)
        found: list[list[np.ndarray]] = [[] for _ in exact]
        for start, block in self._blocks(max(self._rows_for(len(exact)), 2 * k)):
            scores = self._product(exact, block, start)
            passing = scores >= _lowered(floor, slack)
            if np.count_nonzero(passing) > 2 * k * len(exact) and len(block) > k:
                kth = np.partition(scores, len(block) - k, axis=1)[:, len(block) - k]
                floor = np.maximum(floor, kth)
                passing = scores >= _lowered(floor, slack)
            query, row = np.nonzero(passing)
            for i in np.unique(query):
                found[i].append(start + row[query == i])
        return [np.concatenate(parts) for parts in found]

    def _ordered(self, query, rows, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best ``k`` of some rows by their float64 similarity, equal ones by number."""
        scores = np.empty(len(rows))
        for start in range(0, len(rows), 4096):
            part = rows[start : start + 4096]
            # Not a matrix product: that may round equal rows differently.
            scores[start : start + 4096] = (self.vectors[part] * query).sum(axis=1)
        if self.metric == "cosine":
            scores /= self._norms[rows]
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]


def _lowered(floor, slack) -> Float[np.ndarray, "q 1"]:
    """The floors less the slack as float32, never rounded up."""
    return np.nextafter((floor - slack).astype(np.float32), np.float32(-math.inf))[:, None]


def _rows(bad) -> str:
    first = np.flatnonzero(bad)
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return f"row {', '.join(map(str, first[:3]))}{more} {'is' if len(first) == 1 else 'are'}"
