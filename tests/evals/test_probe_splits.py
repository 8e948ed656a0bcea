"""Nobody is on two sides of a split, and splits are alike in what people are alike in."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.evals.probe.splits import Fold, budget_people, deal, draw, folds, limited

CELLS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=40)


def counts(cell, rows):
    found = collections.Counter(cell[i] for i in rows)
    return {c: found[c] for c in set(cell)}


@settings(deadline=None)
@given(CELLS, st.integers(2, 7), st.integers(0, 99))
def test_folds_differ_by_one_person_at_most_in_size_and_in_every_cell(cell, k, seed):
    fold = deal(cell, k, np.random.default_rng(seed))
    sizes = np.bincount(fold, minlength=k)
    assert sizes.max() - sizes.min() <= 1
    per_cell = [counts(cell, np.flatnonzero(fold == f)) for f in range(k)]
    for c in set(cell):
        found = [own[c] for own in per_cell]
        assert max(found) - min(found) <= 1


@settings(deadline=None)
@given(CELLS, st.data(), st.integers(0, 99))
def test_a_draw_has_every_cells_share_to_within_one_person(cell, data, seed):
    n = data.draw(st.integers(1, len(cell)))
    chosen = draw(cell, n, np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen.tolist())) == n
    for c, found in counts(cell, chosen).items():
        assert abs(found - n * cell.count(c) / len(cell)) < 1


@settings(deadline=None)
@given(CELLS, st.data(), st.integers(0, 99))
def test_a_draw_has_every_class_where_it_has_room_for_them(cell, data, seed):
    n = data.draw(st.integers(1, len(cell)))
    number = st.sampled_from([1, 1, 1, 2, 3])
    code = np.array([data.draw(number) for _ in cell])
    classes = code[:, None] == np.arange(1, 4)
    chosen = draw(cell, n, np.random.default_rng(seed), classes=classes)
    assert len(chosen) == len(set(chosen.tolist())) == n
    there = classes.any(axis=0)
    if n >= there.sum():
        np.testing.assert_array_equal(classes[chosen].any(axis=0), there)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0, 1])), min_size=6, max_size=30),
    st.sampled_from(["prepared", "folds", "leave_one_person_out"]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.one_of(st.just(1.0), st.sampled_from([0.01, 0.3]), st.integers(1, 2)),
    st.integers(0, 20),
)
def test_nobody_is_ever_on_two_sides_of_any_split(people, outer, valid_share, budget, seed):
    cell = [f"{c}{y}" for c, y in people]
    classes = np.array([y for _, y in people])[:, None] == np.arange(2)
    rows = np.random.default_rng(seed).permutation(len(people))
    prepared = {"train": rows[:4], "valid": rows[4:5], "test": rows[5:]}
    settings_ = dict(outer=outer, count=3, valid_share=valid_share, seed=seed)
    names = [str(i) for i in range(len(people))]
    made = list(folds(cell, classes, prepared=prepared, names=names, **settings_))
    small = [limited(f, cell, classes, budget, (seed, i)) for i, f in enumerate(made)]
    for fold in [*made, *small]:
        sides = [set(side.tolist()) for side in (fold.train, fold.valid, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert sides[0] and sides[2]
    assert all(bool(len(f.valid)) == (valid_share > 0) for f in made)
    scored = np.concatenate([f.test for f in made])
    expected = rows[5:] if outer == "prepared" else rows
    np.testing.assert_array_equal(np.sort(scored), np.sort(expected))
    again = list(folds(cell, classes, prepared=prepared, names=names, **settings_))
    for one, two in zip(made, again, strict=True):
        assert one.name == two.name
        for a, b in zip(one[1:], two[1:], strict=True):
            np.testing.assert_array_equal(a, b)


def test_repeats_differ_and_a_given_validation_split_is_kept():
    cell, classes = ["x"] * 20, np.ones((20, 1), bool)
    prepared = {"train": np.arange(10), "valid": np.arange(10, 14), "test": np.arange(14, 20)}
    same = dict(prepared=prepared, count=4, valid_share=0.2, names=[""] * 20)
    (only,) = folds(cell, classes, outer="prepared", seed=0, **same)
    assert only.valid.tolist() == [10, 11, 12, 13] and only.train.tolist() == list(range(10))
    first, second = (
        [f.test.tolist() for f in folds(cell, classes, outer="folds", seed=s, **same)]
        for s in (0, 1)
    )
    assert first != second
    (fixed,) = folds(cell, classes, outer="prepared", seed=0, **same | {"valid_share": 0.0})
    assert len(fixed.train) == 14 and len(fixed.valid) == 0


def test_below_a_full_budget_validation_people_are_no_more_than_training_people():
    fold = Fold("all", np.arange(50), np.arange(50, 70), np.arange(70, 80))
    cell, classes = ["x"] * 80, np.ones((80, 1), bool)
    sizes = {b: limited(fold, cell, classes, b, (0,)) for b in (0.01, 0.1, 7, 1.0, 50)}
    found = {b: (len(f.train), len(f.valid), len(f.test)) for b, f in sizes.items()}
    expected = {0.01: (1, 1, 10), 0.1: (5, 5, 10), 7: (7, 7, 10), 1.0: (50, 20, 10)}
    assert found == expected | {50: (50, 20, 10)}


@pytest.mark.parametrize("budget", [0, -1, 0.0, 1.5, 11, True, "all"])
def test_a_budget_that_is_none_is_an_error(budget):
    with pytest.raises(ValueError, match="budget .*at most the 10 there are"):
        budget_people(budget, 10)
