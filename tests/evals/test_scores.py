"""Scores equal the textbook's, intervals resample people, and the undefined is no number."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from elm_jax.evals import scores

SCORED = {  # ours, scikit-learn's, what they take
    scores.roc_area: (metrics.roc_auc_score, "score"),
    scores.average_precision: (metrics.average_precision_score, "score"),
    scores.balanced_accuracy: (metrics.balanced_accuracy_score, "class"),
    scores.accuracy: (metrics.accuracy_score, "class"),
    scores.cohen_kappa: (metrics.cohen_kappa_score, "class"),
    scores.weighted_f1: (
        lambda t, p: metrics.f1_score(t, p, average="weighted", zero_division=0),
        "class",
    ),
    scores.hamming_loss: (lambda t, p: np.mean(t != p), "class"),
    scores.mean_absolute_error: (metrics.mean_absolute_error, "value"),
    scores.r2: (metrics.r2_score, "value"),
}


def example(kind, seed, n=60):
    rng = np.random.default_rng(seed)
    if kind == "score":
        truth = rng.integers(0, 2, n)
        return truth, np.round(rng.normal(size=n) + truth, 0)  # many ties
    if kind == "class":
        return rng.integers(0, 4, n), rng.integers(0, 3, n)
    return rng.normal(30, 5, n), rng.normal(30, 5, n)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ours", SCORED, ids=lambda f: f.__name__)
def test_scores_and_all_their_resamples_equal_scikit_learn(ours, seed):
    theirs, kind = SCORED[ours]
    truth, said = example(kind, seed)
    assert ours(truth, said) == pytest.approx(theirs(truth, said), abs=1e-12)
    people = np.random.default_rng(seed).integers(0, 15, len(truth)).astype(str)

    def plain(t, p):
        if kind == "score" and len(set(t)) < 2:
            return np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes that a resample has only as predictions
            return float(theirs(t, p))

    fast = scores.with_interval(ours, people, truth, said, resamples=60)
    slow = scores.with_interval(plain, people, truth, said, resamples=60)
    assert fast == pytest.approx(slow, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_counts_are_the_same_as_repeated_rows(data):
    ours = data.draw(st.sampled_from(list(SCORED)))
    n = data.draw(st.integers(1, 12))
    truth, said = example(SCORED[ours][1], data.draw(st.integers(0, 99)), n)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    rows = np.repeat(np.arange(n), times)
    found = ours(truth, said, times=times[None].astype(float))[0]
    repeated = ours(truth[rows], said[rows]) if len(rows) else np.nan
    assert found == pytest.approx(repeated, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("statistic", "truth", "said"),
    [
        (scores.roc_area, [1, 1], [0.1, 0.2]),
        (scores.average_precision, [0, 0], [0.1, 0.2]),
        (scores.cohen_kappa, [1, 1], [1, 1]),
        (scores.r2, [3.0, 3.0], [3.0, 3.1]),
    ],
)
def test_what_is_not_defined_is_not_a_number(statistic, truth, said):
    found = scores.with_interval(statistic, ["a", "b"], np.array(truth), np.array(said))
    assert np.isnan(found).all()


def test_columns_that_cannot_be_scored_are_left_out_of_the_mean():
    truth = np.array([[0, 0], [1, 0], [0, 0], [1, 0]])
    score = np.array([[0.1, 0.3], [0.9, 0.1], [0.2, 0.9], [0.8, 0.2]])
    assert scores.roc_area(truth, score) == 1.0
    assert scores.average_precision(truth, score) == 1.0
    assert np.isnan(scores.roc_area(truth[:, 1:], score[:, 1:]))


def test_rows_that_lack_a_value_in_any_array_or_column_do_not_count():
    truth = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    said = np.array([1.5, np.nan, 3.0, 4.5, 5.5])
    found = scores.with_interval(scores.mean_absolute_error, list("abcde"), truth, said)
    assert found == (0.5, 0.5, 0.5)
    columns = np.array([[0, 1], [0, np.nan], [1, 1.0]])
    zero = scores.with_interval(scores.hamming_loss, list("abc"), columns, columns)
    assert zero == (0.0, 0.0, 0.0)
    nothing = scores.with_interval(scores.r2, ["a"], np.array([np.nan]), np.array([1.0]))
    assert np.isnan(nothing).all()


def test_one_person_has_a_value_but_no_interval():
    truth, said = example("class", 0)
    found = scores.with_interval(scores.accuracy, ["same"] * len(truth), truth, said)
    assert np.isfinite(found.value) and np.isnan(found.low) and np.isnan(found.high)


def test_copies_of_a_persons_recordings_do_not_narrow_the_interval():
    truth, said = example("value", 1)
    people, many = np.arange(60).astype(str), np.repeat(np.arange(60), 5)
    alone = scores.with_interval(scores.r2, people, truth, said)
    copied = scores.with_interval(scores.r2, people[many], truth[many], said[many])
    assert copied == pytest.approx(alone, abs=1e-9)


def test_arrays_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"equally long, found \[2, 3\]"):
        scores.with_interval(scores.r2, list("abc"), np.ones(3), np.ones(2))


def test_a_hundred_thousand_windows_take_seconds():
    import time

    truth, said = example("score", 0, 100_000)
    people = np.repeat(np.arange(200), 500).astype(str)
    began = time.perf_counter()
    scores.with_interval(scores.roc_area, people, truth, said.astype(float))
    assert time.perf_counter() - began < 30


def test_an_interval_over_two_people_looks_at_each_way_to_draw_them_once():
    looked_at = []

    def mean(values, *, times=None):
        times = np.ones((1, len(values))) if times is None else times
        looked_at.append(len(times))
        found = times @ values / times.sum(axis=1)
        return found if len(found) > 1 else float(found[0])

    mean.counted = True
    found = scores.with_interval(mean, ["a", "a", "b"], np.asarray([0.0, 0.0, 3.0]), resamples=200)
    assert found == (1.0, 0.0, 3.0) and looked_at == [1, 3]
