"""Retrieval between recordings and reports, and of recordings by free text.

As in ELM, the vector of a recording is the mean of the unit projections of its windows, that of a
report the mean of the unit projections of its segments (``config.text`` says what they are), and
similarity is their cosine. The released code has no retrieval; this fixes what that leaves open:

* candidates are in pools of a given size, drawn once by a seed from the recordings' names, so that
  chance is one number and models can be compared on the same pools;
* each way is scored on vectors as they are ("plain") and less the pool's mean of their side
  ("centred"). The two sides' vectors lie in two narrow cones, and one near the middle of its cone
  is near to every candidate; centring takes that off, and reads the pool, though not its pairs. It
  helps a model that is little trained, and less a better one;
* reports may be equal: ``strict`` asks for the recording's own, ``equal_text`` is content with any
  whose segments are the same, beside its own chance.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float, Int
from elm_jax.evals import scores
from elm_jax.evals.base import (
    EvalData,
    EvalResult,
    Predict,
    binary_labels,
    mean_by,
    unit_rows,
)
from elm_jax.evals.retrieval import pools, ranks
from elm_jax.evals.retrieval.figures import recall_and_ranks, text_queries

VECTORS = ("plain", "centred")
HITS = ("strict", "equal_text")
QUERY_KEYS = {"texts", "label", "against"}

Pools = list[Int[np.ndarray, " p"]]
Found = Mapping[tuple[str, str, str], ranks.Places]  # (vectors, way, hits)


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Recall, median rank and their chance, both ways; average precision of free texts.

    Attributes:
      split: whose recordings.
      pool_size: recordings in a pool; 0 puts all into one. As many whole pools as there are
        recordings for are scored.
      pool_seed: of the draw.
      one_per_person: one recording a person (drawn too), or all.
      recall_at: the k of recall@k.
      queries: name -> {"texts": one or more wordings, "label": the recordings it should find,
        "against": wordings of the contrary, may be left out}. A label may be one value of a label
        in words, ``task=rest``.
    """

    split: str
    pool_size: int = 200
    pool_seed: int = 0
    one_per_person: bool = True
    recall_at: Sequence[int] = (1, 5, 10)
    queries: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Whose people this scores."""
        return (self.split,)

    def check(self, data: EvalData) -> None:
        """Raises where settings, labels or texts cannot be used."""
        if self.pool_size < 0 or self.pool_size == 1:
            raise ValueError(
                f"pool_size is {self.pool_size}; expected 2 or more, or 0: all in one pool"
            )
        if not self.recall_at or min(self.recall_at) < 1:
            raise ValueError(f"recall_at is {self.recall_at}; expected ranks of 1 or more")
        for name, query in self.queries.items():
            _check_query(name, query)
            binary_labels(data.recordings(self.split), query["label"])
        texts = [t for query in self.queries.values() for t in _wordings(query)]
        data.require_readable(texts)
        if not self._pools(data):
            raise ValueError(
                f"split {self.split!r} has fewer than 2 recordings with windows and a report: "
                "there is nothing to retrieve among"
            )

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Tables ``recall``, ``text_queries``, ``pool``; figures ``retrieval``, ``retrieval_text``.

        Scores have, for each recording, the rank of its report among the pool's, and its own for
        its report (plain vectors). Scalars are the strict figures of plain vectors.
        """
        drawn = self._pools(data)
        rows = np.concatenate(drawn)
        signal = self._recording_vectors(predict, data)
        found = self._find(signal, self._report_vectors(predict, data, rows), data, drawn)
        ways = ways_of(data.signal_word)
        people = [data.recordings(self.split)[i].person for i in rows]
        recall = self._recall_table(found, ways, people)
        asked = self._text_queries(predict, data, signal, rows)
        simulated = data.simulated
        shown = {way: found["plain", way, "strict"] for way in ways}
        figures = {"retrieval": recall_and_ranks(shown, simulated=simulated)}
        tables = {"recall": recall}
        if asked:
            tables["text_queries"] = asked
            figures["retrieval_text"] = text_queries(asked, simulated=simulated)
        recordings, segments = data.recordings(self.split), data.segments(self.split)
        tables["pool"] = pools.table(recordings, segments, drawn)
        answers = self._answers(data, drawn, found)
        return EvalResult(
            _headlines(recall), tables, answers, figures, self._notes(data, drawn, asked)
        )

    def _pools(self, data: EvalData) -> Pools:
        recordings, segments = data.recordings(self.split), data.segments(self.split)
        windows = data.windows(self.split).counts(len(recordings))
        return pools.draw(
            recordings,
            [bool(w and s) for w, s in zip(windows, segments, strict=True)],
            size=self.pool_size,
            seed=self.pool_seed,
            one_per_person=self.one_per_person,
        )

    def _recording_vectors(self, predict: Predict, data: EvalData) -> Float[np.ndarray, "n e"]:
        encoded = data.encoded(predict, self.split)
        if encoded.projection is None:
            raise ValueError("retrieval needs a model with a projection into the texts' space")
        n = len(data.recordings(self.split))
        return mean_by(unit_rows(encoded.projection), encoded.recording, n)

    def _report_vectors(
        self, predict: Predict, data: EvalData, rows: Int[np.ndarray, " p"]
    ) -> dict[int, Float[np.ndarray, " e"]]:
        segments = data.segments(self.split)
        # In order of the alphabet: equal reports have equal vectors, to the last bit.
        texts = tuple(dict.fromkeys(t for i in rows for t in sorted(segments[i])))
        vectors = dict(zip(texts, unit_rows(data.text_projection(predict, texts)), strict=True))
        return {int(i): np.mean([vectors[t] for t in sorted(segments[i])], axis=0) for i in rows}

    def _find(self, signal, text, data: EvalData, drawn: Pools) -> Found:
        """Where the right ones come, for each kind of vectors, way and hit."""
        parts: dict[tuple[str, str, str], list[ranks.Places]] = {}
        segments = data.segments(self.split)
        for pool in drawn:
            equal = pools.equal_reports([segments[i] for i in pool])
            right = {"strict": np.eye(len(pool), dtype=bool), "equal_text": equal}
            for vectors in VECTORS:
                sides = signal[pool], np.stack([text[int(i)] for i in pool])
                score = _cosines(*sides, equal, centred=vectors == "centred")
                ways = ways_of(data.signal_word)
                for way, each in zip(ways, (score, score.T), strict=True):
                    for hits in HITS:
                        placed = ranks.places(each, right[hits])
                        parts.setdefault((vectors, way, hits), []).append(placed)
        return {key: ranks.merged(of_pools) for key, of_pools in parts.items()}

    def _recall_table(
        self, found: Found, ways: Sequence[str], people: Sequence[str]
    ) -> list[dict[str, Any]]:
        rows = []
        for vectors in VECTORS:
            for way in ways:
                placed = {hits: found[vectors, way, hits] for hits in HITS}
                about = {"way": way, "vectors": vectors}
                for k in self.recall_at:
                    columns = _columns(placed, people, *_recall(k))
                    rows.append(about | {"metric": f"recall@{k}"} | columns)
                median = _columns(placed, people, ranks.ranks, _median, ranks.chance_median_rank)
                rows.append(about | {"metric": "median_rank"} | median)
        size = int(placed["strict"].candidates[0])
        return [row | {"pool_size": size, "queries": len(people)} for row in rows]

    def _answers(self, data: EvalData, drawn: Pools, found: Found) -> tuple[dict[str, Any], ...]:
        recordings = data.recordings(self.split)
        columns = {
            f"rank_{way.lower().replace(' ', '_')}_{hits}": ranks.ranks(found["plain", way, hits])
            for way in ways_of(data.signal_word)
            for hits in HITS
        }
        where = [(number, i) for number, pool in enumerate(drawn) for i in pool]
        return tuple(
            {"recording": recordings[i].recording, "person": recordings[i].person, "pool": number}
            | {name: float(column[k]) for name, column in columns.items()}
            for k, (number, i) in enumerate(where)
        )

    def _text_queries(self, predict: Predict, data: EvalData, signal, rows) -> list[dict[str, Any]]:
        """Average precision and precision@k of each text query over all pools' recordings."""
        recordings = [data.recordings(self.split)[i] for i in rows]
        people = np.asarray([row.person for row in recordings])
        found = unit_rows(signal[rows])
        table = []
        for name, query in self.queries.items():
            label = binary_labels(recordings, query["label"])
            use = np.isfinite(label)
            if not 0 < (label == 1).sum() < use.sum():
                continue
            score = found @ self._text_vector(predict, data, query["texts"])
            if against := query.get("against"):
                score = score - found @ self._text_vector(predict, data, against)
            about = {"query": name, "text": query["texts"][0], "wordings": len(query["texts"])}
            row = _text_row(label[use], score[use], people[use], self.recall_at)
            table.append(about | {"against": len(query.get("against") or ())} | row)
        return table

    def _text_vector(self, predict: Predict, data: EvalData, texts) -> Float[np.ndarray, " e"]:
        """The normalised mean of wordings."""
        return unit_rows(unit_rows(data.text_projection(predict, tuple(texts))).mean(axis=0))

    def _notes(self, data: EvalData, drawn: Pools, asked) -> tuple[str, ...]:
        n, size = len(data.recordings(self.split)), len(drawn[0])
        per = "one recording a person" if self.one_per_person else "all recordings of a person"
        left = n - size * len(drawn)
        notes = [
            f"{len(drawn)} pool(s) of {size}, {per}, drawn with seed {self.pool_seed}; {left} of "
            f"{n} recordings are in none: another of the same person, no report, beyond the last "
            "whole pool"
        ]
        if size < self.pool_size:
            notes.append(f"pool_size={self.pool_size} asked for, {size} candidates are there")
        silent = [q for q in self.queries if q not in {row["query"] for row in asked}]
        if silent:
            notes.append(f"no recordings with, or none without, the label of: {', '.join(silent)}")
        return tuple(notes)


def ways_of(word: str) -> tuple[str, str]:
    """What is asked, and for what, of signals called so: "ECG to report", "report to ECG"."""
    return f"{word} to report", f"report to {word}"


def _check_query(name: str, query: Mapping[str, Any]) -> None:
    texts = [query.get("texts"), *([query["against"]] if query.get("against") else [])]
    if not {"texts", "label"} <= set(query) <= QUERY_KEYS or not all(map(_are_texts, texts)):
        raise ValueError(
            f"queries.{name}: expected {{'texts': (...), 'label': ...}} and perhaps 'against', "
            f"each with at least one text that is not empty; found {dict(query)}"
        )


def _wordings(query: Mapping[str, Any]) -> tuple[str, ...]:
    return (*query["texts"], *(query.get("against") or ()))


def _are_texts(texts: Any) -> bool:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        return False
    return len(texts) > 0 and all(isinstance(t, str) and t.strip() for t in texts)


def _cosines(signal, text, equal, *, centred: bool) -> Float[np.ndarray, "p p"]:
    """Recording by report."""
    if centred:
        signal, text = (side - side.mean(axis=0) for side in (signal, text))
    # Each distinct report once: a matrix product may round equal columns differently.
    distinct, which = np.unique(equal.argmax(axis=1), return_inverse=True)
    return (unit_rows(signal) @ unit_rows(text[distinct]).T)[:, which]


def _recall(k: int):
    """Each query's recall@k, how queries become one number, and its chance."""
    return (
        lambda placed: ranks.recall_at(placed, k),
        _mean,
        lambda placed: ranks.chance_recall_at(placed, k),
    )


@scores.counted
def _mean(values: np.ndarray, *, times: np.ndarray) -> Float[np.ndarray, " r"]:
    return times @ values / times.sum(axis=1)


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def _columns(placed, people, of_query, statistic, chance) -> dict[str, float]:
    """Value, interval over people and chance, for both kinds of hit."""
    out = {}
    for hits, where in placed.items():
        found = scores.with_interval(statistic, people, of_query(where))
        out |= {hits: found.value, f"{hits}_low": found.low, f"{hits}_high": found.high}
        out |= {f"{hits}_chance": chance(where)}
    return {key: round(value, 4) for key, value in out.items()}


def _text_row(label, score, people, recall_at) -> dict[str, Any]:
    """Average precision with interval and chance, and precision among the first k."""
    positives, n = int(label.sum()), len(label)
    found = scores.with_interval(scores.average_precision, people, label, score)
    row = {"ap": found.value, "ap_low": found.low, "ap_high": found.high}
    row["ap_chance"] = ranks.chance_average_precision(positives, n)
    first = np.argsort(-score, kind="stable")
    row |= {f"precision@{k}": float(label[first[:k]].mean()) for k in recall_at}
    row["precision_chance"] = positives / n
    rounded = {key: round(value, 4) for key, value in row.items()}
    return rounded | {"recordings": n, "positives": positives}


def _headlines(table: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """``eeg_to_report_recall@10`` and so on (of ECGs ``ecg_to_report_...``)."""
    return {
        f"{row['way'].lower().replace(' ', '_')}_{row['metric']}": row["strict"]
        for row in table
        if row["vectors"] == "plain"
    }
