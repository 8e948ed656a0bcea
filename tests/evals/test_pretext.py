"""The pretext task's own score: right answers, over people, and a word where there is one."""

import types

import numpy as np
import pytest
from tiny_shards import tiny_spec

from elm_jax.data.manifest import ManifestError, RecordingRow
from elm_jax.evals.base import EvalData, Rows
from elm_jax.evals.over_seeds import aggregated
from elm_jax.evals.pretext import Pretext


class PairData(EvalData):
    """Recordings, and pairs with logits; ``people``: whose each recording is."""

    def __init__(self, people, logits, near, first):
        self.manifest = types.SimpleNamespace(simulated=True, spec=tiny_spec())
        self._recordings = [
            RecordingRow(f"r{i}", p, "test", (), (), {}) for i, p in enumerate(people)
        ]
        first = np.asarray(first)
        recording = np.stack([first, (first + 1) % len(people)], axis=1)
        logits = np.asarray(logits, np.float32)
        self._rows = Rows(
            logits.reshape(len(first), -1), np.asarray(near), recording * 0, recording
        )

    def recordings(self, split):
        if split != "test":
            raise ManifestError(f"split {split!r} holds no recordings")
        return self._recordings

    def require_rows(self, split):
        pass

    def rows(self, predict, split):
        return self._rows


def model(batch):
    raise AssertionError("logits come from PairData")


def made(people=("x:a", "x:a", "x:b"), n=300, skill=1.0, seed=0):
    rng = np.random.default_rng(seed)
    near = rng.random(n) < 0.5
    logits = np.where(near, 1, -1) * skill + rng.normal(size=n)
    return PairData(people, logits, near, rng.integers(0, len(people), n)), logits > 0, near


def test_accuracy_confusion_and_report_are_those_of_the_pairs():
    data, answer, near = made()
    result = Pretext()(model, data)
    assert result.scalars["accuracy"] == pytest.approx((answer == near).mean(), abs=1e-4)
    assert result.scalars["accuracy_low"] <= result.scalars["accuracy"]
    assert (result.scalars["pairs"], result.scalars["people"]) == (300, 2)
    assert result.scalars["chance"] == pytest.approx(max(near.mean(), 1 - near.mean()), abs=1e-4)
    far, close = result.tables["confusion"]
    assert far == {
        "label": "far", "said_far": (~near & ~answer).sum(), "said_near": (~near & answer).sum()
    }  # fmt: skip
    assert close["said_near"] == (near & answer).sum()
    assert result.tables["classes"][1]["support"] == near.sum()
    assert sum(row["pairs"] for row in result.scores) == 300
    assert {row["recording"] for row in result.scores} == {"r0", "r1", "r2"}
    (axes,) = result.figures["pretext_confusion"].axes
    assert "far or near, per pair" in axes.get_title() and "simulated" in axes.get_title()
    assert result.notes == () and Pretext(split="valid").scored_splits == ("valid",)


def test_seeds_of_a_run_are_put_together_by_the_table_of_scores():
    results = {seed: Pretext()(model, made(seed=seed)[0]) for seed in range(3)}
    summaries = {seed: result.tables for seed, result in results.items()}
    over = aggregated("pretext", summaries, simulated=True)
    accuracies = [result.scalars["accuracy"] for result in results.values()]
    assert over.scalars["accuracy_mean"] == pytest.approx(np.mean(accuracies), abs=1e-4)
    (row,) = over.tables["over_seeds"]
    assert (row["unit"], row["seeds"]) == ("pair", 3) and 0.5 <= row["chance"] < 0.6


def test_one_person_has_an_interval_over_pairs_and_it_is_said():
    data, _, _ = made(people=("x:a", "x:a"))
    result = Pretext(resamples=200)(model, data)
    assert 0.02 < result.scalars["accuracy_high"] - result.scalars["accuracy_low"] < 0.2
    (note,) = result.notes
    assert "the interval is over the pairs of one person" in note


def test_pairs_of_one_kind_alone_still_have_an_accuracy():
    data = PairData(("x:a", "x:b"), [1.0, -1.0, 2.0], [True] * 3, [0, 1, 0])
    result = Pretext()(model, data)
    assert result.scalars["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert result.scalars["chance"] == 1.0
    assert result.tables["classes"][0]["recall"] is None


def test_tasks_of_more_answers_than_two_take_the_largest():
    logits = [[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]]
    data = PairData(("x:a", "x:b"), logits, [1, 2], [0, 1])
    settings = dict(classes=("before", "within", "after"), unit="triplet")
    result = Pretext(**settings)(model, data)
    assert result.scalars["accuracy"] == 0.5 and result.scalars["triplets"] == 2
    assert result.tables["confusion"][2]["said_before"] == 1
    with pytest.raises(ValueError, match=r"labels \[1.0, 2.0\] and its model 3 outputs"):
        Pretext()(model, data)


def test_a_split_that_holds_nobody_is_told_before_anything_runs():
    data, _, _ = made()
    Pretext().check(data)
    with pytest.raises(ManifestError, match="'valid' holds no recordings"):
        Pretext(split="valid").check(data)
