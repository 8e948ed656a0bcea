"""Exact search: the answer of a full sort, whatever the blocks, ties and sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.query.search import ExactSearch, SearchError


def by_sorting(vectors, queries, k, metric):
    """The same by a full sort in float64; products row by row, so that equal rows stay equal."""
    wide, asked = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":  # lengths as the search has them: another sum may round differently
        asked = asked / np.sqrt(np.einsum("qe,qe->q", asked, asked))[:, None]
    scores = np.stack([(wide * q).sum(axis=1) for q in asked])
    if metric == "cosine":
        scores /= np.sqrt(np.einsum("ne,ne->n", wide, wide))
    rows = np.arange(len(vectors))
    index = np.stack([np.lexsort((rows, -s))[:k] for s in scores])
    return index, np.take_along_axis(scores, index, axis=1)


def same_as_sorting(vectors, queries, k, metric, block_rows):
    found = ExactSearch(vectors, metric=metric, block_rows=block_rows).top(queries, k)
    index, similarity = by_sorting(vectors, queries, k, metric)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.similarity, similarity, rtol=1e-12)


sizes = dict(
    n=st.integers(1, 300), width=st.integers(1, 20), queries=st.integers(1, 4),
    k=st.integers(1, 40), block_rows=st.integers(1, 100), seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(["cosine", "dot"]), half=st.booleans(),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(**sizes, spread=st.sampled_from([1, 3, 1000]))
def test_whole_numbers_with_many_ties_come_as_a_full_sort_has_them(
    n, width, queries, k, block_rows, seed, metric, half, spread
):
    rng = np.random.default_rng(seed)
    kind = np.float16 if half else np.float32
    vectors = rng.integers(-spread, spread + 1, (n, width)).astype(kind)
    asked = rng.integers(-spread, spread + 1, (queries, width)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1  # a row of zeros has no cosine
    asked[~asked.any(axis=1)] = 1
    same_as_sorting(vectors, asked, k, metric, block_rows)


@settings(max_examples=150, deadline=None)
@given(**sizes, close=st.sampled_from([1.0, 1e-3, 1e-7]))
def test_neighbours_closer_than_float32_can_tell_are_told_apart(
    n, width, queries, k, block_rows, seed, metric, half, close
):
    rng = np.random.default_rng(seed)
    kind = np.float16 if half else np.float32
    centre = rng.normal(size=width) + 2
    vectors = (centre + close * rng.normal(size=(n, width))).astype(kind)
    asked = (centre + close * rng.normal(size=(queries, width))).astype(np.float32)
    same_as_sorting(vectors, asked, k, metric, block_rows)


@pytest.mark.parametrize("order", [1, -1])
def test_vectors_sorted_by_similarity_do_not_hide_the_best(order):
    angle = np.linspace(0.0, 1.5, 5000)[::order]
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    same_as_sorting(vectors, np.asarray([[1.0, 0.0]], np.float32), 20, "cosine", 64)


def test_equal_vectors_come_by_number_in_any_block():
    vectors = np.tile(np.asarray([[0.1, 0.7, 0.3]], np.float32), (1000, 1))
    found = ExactSearch(vectors, block_rows=37).top(vectors[:1], 12)
    np.testing.assert_array_equal(found.index, [np.arange(12)])
    np.testing.assert_allclose(found.similarity, 1.0, atol=1e-12)


def test_the_answer_does_not_depend_on_the_other_queries_or_the_block():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 64)).astype(np.float32)
    asked = rng.normal(size=(5, 64)).astype(np.float32)
    whole = ExactSearch(vectors).top(asked, 10)
    for i in range(5):
        alone = ExactSearch(vectors, block_rows=999).top(asked[i : i + 1], 10)
        np.testing.assert_array_equal(whole.index[i], alone.index[0])
        np.testing.assert_array_equal(whole.similarity[i], alone.similarity[0])


def test_a_memory_mapped_file_of_half_floats_is_searched_in_place(tmp_path):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2000, 16)).astype(np.float16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    same_as_sorting(mapped, rng.normal(size=(2, 16)).astype(np.float32), 7, "cosine", 100)


def test_similarities_of_all_rows_agree_with_the_best():
    rng = np.random.default_rng(2)
    search = ExactSearch(rng.normal(size=(500, 8)).astype(np.float32), block_rows=77)
    asked = rng.normal(size=(2, 8)).astype(np.float32)
    every, found = search.similarities(asked), search.top(asked, 3)
    near = np.take_along_axis(every, found.index, axis=1)
    np.testing.assert_allclose(near, found.similarity, atol=1e-6)


def test_fewer_vectors_than_asked_for_give_all_and_no_query_gives_none():
    vectors = np.eye(3, dtype=np.float32)
    assert ExactSearch(vectors).top(vectors[:1], 10).index.tolist() == [[0, 1, 2]]
    assert ExactSearch(vectors).top(vectors[:0], 2).index.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.__setitem__((7, 1), np.nan), "row 7 is not finite"),
        (lambda v: v.__setitem__((slice(3, 8), 0), np.inf), "row 3, 4, 5 and 2 more are not fin"),
        (lambda v: v.__setitem__(4, 0.0), "row 4 is zeros, which have no direction"),
    ],
)
def test_rows_without_an_order_are_refused_by_number(change, message):
    vectors = np.ones((9, 2), np.float32)
    change(vectors)
    with pytest.raises(SearchError, match=message):
        ExactSearch(vectors)


@pytest.mark.parametrize("size", [1e-40, 1e-22, 1e15, 1e35])
def test_very_short_and_very_long_vectors_are_ordered_or_refused(size):
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(200, 8)) * size).astype(np.float32)
    same_as_sorting(vectors, rng.normal(size=(1, 8)).astype(np.float32), 5, "cosine", 33)
    long = np.full((3, 8), 1e38, np.float32)
    with pytest.raises(SearchError, match="row 0, 1, 2 are too long for float32"):
        ExactSearch(long)
    with pytest.raises(SearchError, match="queries: row 0 is too long"):
        ExactSearch(long / 1e18, metric="dot").top(long[:1] / 1e17, 1)


def test_what_cannot_be_asked_is_said():
    search = ExactSearch(np.ones((4, 3), np.float32))
    good = np.ones((1, 3), np.float32)
    for queries, k, message in [
        (np.ones((1, 2), np.float32), 1, r"queries are \(1, 2\); expected \[q, 3\]"),
        (good * np.nan, 1, "row 0 is not finite"),
        (good * 0, 1, "row 0 is zeros"),
        (good, 0, "k is 0"),
    ]:
        with pytest.raises(SearchError, match=message):
            search.top(queries, k)
    with pytest.raises(SearchError, match="no vectors"):
        ExactSearch(np.zeros((0, 3), np.float32))
    with pytest.raises(SearchError, match="float64"):
        ExactSearch(np.ones((4, 3), np.float64))
    with pytest.raises(SearchError, match="'l2'; known"):
        ExactSearch(np.ones((4, 3), np.float32), metric="l2")
