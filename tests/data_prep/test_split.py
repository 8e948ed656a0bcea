import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.corpora.base import CorpusError, Source
from data_prep.split import (
    DEFAULT_FRACTIONS,
    assign,
    hold_out,
    parse_fractions,
    split_people,
)

people = st.sets(st.integers(0, 10_000).map(lambda i: f"x:{i}"), min_size=1, max_size=60)
fractions = st.sampled_from(
    [
        DEFAULT_FRACTIONS,
        {"train": 0.8, "valid": 0.1, "test": 0.1},
        {"train": 1.0, "valid": 0.0, "test": 0.0},
        {"train": 0.0, "valid": 0.0, "test": 1.0},
    ]
)


def source(person, split=None, i=0):
    return Source(f"{person}/{i}", person, pathlib.Path("a"), f"{person}_{i}.edf", split=split)


@given(people, fractions, st.integers(0, 5))
def test_everyone_has_one_split_and_sizes_are_the_fractions(members, parts, seed):
    result = assign(members, parts, seed)
    assert set(result) == members
    wanted = [s for s, f in parts.items() if f > 0]
    for split, fraction in parts.items():
        size = sum(v == split for v in result.values())
        assert abs(size - fraction * len(members)) <= 2
        if fraction == 0:
            assert size == 0
        elif len(members) >= len(wanted):
            assert size >= 1


@settings(max_examples=200)
@given(people, fractions, st.integers(0, 3))
def test_a_new_person_moves_at_most_one_other_over_each_cut(members, parts, seed):
    before, after = assign(members, parts, seed), assign(members | {"x:new"}, parts, seed)
    assert sum(before[p] != after[p] for p in members) <= 2


@given(people, st.integers(0, 3))
def test_the_order_of_people_does_not_matter(members, seed):
    parts = DEFAULT_FRACTIONS
    assert assign(sorted(members), parts, seed) == assign(sorted(members)[::-1], parts, seed)


def test_another_seed_is_another_split():
    members = [f"x:{i}" for i in range(50)]
    assert assign(members, DEFAULT_FRACTIONS, 0) != assign(members, DEFAULT_FRACTIONS, 1)


def test_published_splits_are_kept_and_the_rest_is_seeded():
    sources = [source("x:a", "test"), source("x:b", "train"), source("x:c"), source("x:d")]
    result = split_people(sources, {"train": 1.0, "valid": 0.0, "test": 0.0}, 0)
    assert result == {"x:a": "test", "x:b": "train", "x:c": "train", "x:d": "train"}


def test_validation_people_come_out_of_the_published_training_people_only():
    sources = [source(f"x:{i}", "train") for i in range(18)] + [source("x:t", "test")]
    result = split_people(sources, {"train": 0.8, "valid": 0.1, "test": 0.1}, 0)
    assert result["x:t"] == "test"
    assert sum(v == "valid" for v in result.values()) == 2
    assert sum(v == "test" for v in result.values()) == 1


def test_a_person_in_two_published_splits_is_an_error():
    with pytest.raises(CorpusError, match="x:a is in the published splits train and test"):
        split_people([source("x:a", "train"), source("x:a", "test", 1)], None, 0)


@pytest.mark.parametrize(
    "text", ["train=0.5", "train=0.8,valid=0.1,tset=0.1", "train=x,test=1", "train=-1,test=2", ""]
)
def test_impossible_fractions_are_refused(text):
    with pytest.raises(ValueError, match="--split"):
        parse_fractions(text)


def test_fractions_are_read():
    assert parse_fractions("train=0.8, test=0.2") == {"train": 0.8, "valid": 0.0, "test": 0.2}


def test_people_held_out_are_the_test_set_whatever_was_published():
    sources = [source("a:1", "test"), source("a:2", "train"), source("a:2", None, 1), source("b:1")]
    for people, held in (("2", {"a:2"}), ("a:1, 2", {"a:1", "a:2"}), ("1", {"a:1", "b:1"})):
        split = {s.person: s.split for s in hold_out(sources, people)}
        assert split == {p: "test" if p in held else "train" for p in ("a:1", "a:2", "b:1")}
    fractions = {"train": 0.5, "valid": 0.5, "test": 0.0}
    split = split_people(hold_out(sources, "b:1"), fractions, seed=0)
    assert split["b:1"] == "test" and sorted(split.values()) == ["test", "train", "valid"]


@pytest.mark.parametrize(
    ("people", "said"),
    [("3", "nobody is '3'"), ("1,2", "nobody to train"), (",", "nobody to test")],
)
def test_people_held_out_must_be_there_and_leave_some(people, said):
    with pytest.raises(CorpusError, match=said):
        hold_out([source("a:1"), source("a:2")], people)
