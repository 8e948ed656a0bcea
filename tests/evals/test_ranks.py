"""Ranks and chance equal what trying all orders gives."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from elm_jax.evals.retrieval import ranks

few = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(any),
    )
)


def first_right_ranks(score, right):
    """The rank of the first right one in every order that the scores allow."""
    n = len(score)
    for order in itertools.permutations(range(n)):
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order)):
            yield next(rank for rank, i in enumerate(order, 1) if right[i])


@settings(deadline=None, max_examples=60)
@given(few)
def test_ties_count_as_all_their_orders_do(case):
    score, right = case
    every = list(first_right_ranks(score, right))
    placed = ranks.places(np.asarray([score], float), np.asarray([right]))
    assert ranks.ranks(placed)[0] == pytest.approx(np.mean(every))
    for k in range(1, len(score) + 2):
        expected = np.mean([rank <= k for rank in every])
        assert ranks.recall_at(placed, k)[0] == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(few)
def test_chance_is_the_mean_over_all_orders(case):
    _, right = case
    n = len(right)
    orders = [np.asarray(right)[list(o)] for o in itertools.permutations(range(n))]
    first = [int(np.argmax(o)) + 1 for o in orders]
    placed = ranks.places(np.zeros((1, n)), np.asarray([right]))
    for k in range(1, n + 2):
        expected = np.mean([rank <= k for rank in first])
        assert ranks.chance_recall_at(placed, k) == pytest.approx(expected)
    assert ranks.chance_median_rank(placed) == np.median(first)
    precision = [average_precision_score(o, -np.arange(n)) for o in set(map(tuple, orders))]
    expected = ranks.chance_average_precision(sum(right), n)
    assert expected == pytest.approx(np.mean(precision))


@settings(deadline=None)
@given(st.integers(2, 400), st.integers(1, 50))
def test_one_right_candidate_is_found_by_chance_in_k_of_n(n, k):
    placed = ranks.places(np.zeros((3, n)), np.eye(3, n, dtype=bool) | (np.arange(n) == 0))
    one = ranks.Places(*(column[:1] for column in placed))
    assert ranks.chance_recall_at(one, k) == pytest.approx(min(k / n, 1))
    assert ranks.chance_median_rank(one) == (n + 1) / 2
    assert ranks.recall_at(one, k)[0] == pytest.approx(min(k / n, 1))  # all alike: at chance


def test_pools_of_a_hundred_thousand_do_not_overflow():
    n, right = 100_000, 1000
    one = np.ones(1, int)
    placed = ranks.Places(0 * one, (n - right) * one, right * one, right * one, n * one)
    assert ranks.recall_at(placed, 10)[0] == pytest.approx(1 - (1 - right / n) ** 10, rel=1e-3)
    assert math.isfinite(ranks.chance_median_rank(placed))


def test_scores_that_are_no_numbers_and_queries_without_an_answer_are_refused():
    for score, right in [([[np.nan, 1.0]], [[True, False]]), ([[0.0, 1.0]], [[False, False]])]:
        with pytest.raises(ValueError, match="a right candidate of every query"):
            ranks.places(np.asarray(score), np.asarray(right))
