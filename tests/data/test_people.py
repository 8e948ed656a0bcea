"""People as hashes: what can be asked of them, what cannot be read off, and what is refused."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from data_prep.tables import read_excluded
from elm_jax.data.manifest import Manifest, NotPrepared
from elm_jax.data.people import (
    NOT_KNOWN,
    People,
    PeopleError,
    flags_of,
    hash_of,
    read_people,
    union,
)

WORDS = st.text(min_size=1).filter(lambda s: s.strip() and ":" not in s)
IDS = st.builds("{}:{}".format, WORDS, WORDS)


@pytest.mark.parametrize("bad", ["aaaaaaaa", ":aaaaaaaa", "tuh:", "", "  "])
def test_a_person_without_an_institution_or_an_id_is_refused(bad):
    with pytest.raises(PeopleError, match="expected 'institution:id', such as 'tuh:aaaaaaaa'"):
        People.of(["tuh:a", bad])


def test_the_same_id_at_two_institutions_is_two_people():
    people = People.of(["tuh:1", "nmt:1", "nmt:1"])
    assert len(people) == 2 and people.counts == {"nmt": 1, "tuh": 1}
    assert hash_of("tuh", "1") != hash_of("nmt", "1")
    # The border between institution and id counts.
    assert "a:b:c" in People.of(["a:b:c"]) and "a:bc" not in People.of(["ab:c", "a:b:c"])


def test_overlap_gives_plain_ids_once_in_order_and_an_id_without_an_institution_counts():
    people = People.of(["tuh:a", "tuh:b", "nmt:ü"])
    asked = ["tuh:c", "tuh:b", "nmt:a", "tuh:a", "tuh:b", "nmt:u\u0308", "b"]
    assert people.overlap(asked) == ["tuh:b", "tuh:a", "nmt:u\u0308", "b"]
    assert people.overlap([]) == [] and People().overlap(asked) == []


def test_no_id_can_be_read_in_what_is_stored():
    stored = json.dumps(People.of([f"tuh:aaaaa{i:03d}" for i in range(50)]).to_json())
    assert "aaaaa" not in stored and "tuh" in stored
    assert len(re.findall(r'"[0-9a-f]{16}"', stored)) == 50


def test_hashes_never_change():
    # A checkpoint of today must be understood for good: this value may not be edited.
    assert People.of(["tuh:aaaaaaaa"]).to_json()["institutions"] == {"tuh": ["8a5a4d87c6c6e1ad"]}


@given(st.lists(IDS), st.booleans())
def test_people_come_back_as_they_were_stored_in_one_order(ids, unknown):
    people = People.of(ids, unknown=unknown)
    text = json.dumps(people.to_json())
    assert People.from_json(json.loads(text), source="x") == people
    assert json.dumps(People.of(reversed(ids), unknown=unknown).to_json()) == text
    assert people.overlap(ids) == list(dict.fromkeys(ids))


@given(st.lists(IDS), st.lists(IDS))
def test_a_union_has_both_and_stays_unknown_where_one_is(a, b):
    both = People.of(a).union(People.of(b))
    assert both == People.of([*a, *b]) and not both.unknown
    assert union(both, None).unknown and union(both, None).overlap(a) == both.overlap(a)


def test_what_is_not_known_is_said_in_words():
    assert str(People()) == "no people" and not People()
    assert str(NOT_KNOWN) == "people who are not known" and NOT_KNOWN and len(NOT_KNOWN) == 0
    assert str(union(People.of(["b:1", "a:1", "a:2"]), None)) == (
        "2 people of a, 1 people of b and people who are not known"
    )


def test_a_flag_never_says_not_trained_on_where_that_is_not_known():
    persons = ["a:1", "a:2", "a:1"]
    assert flags_of(People.of(["a:1"]), persons).tolist() == [1, 0, 1]
    assert flags_of(People.of(["a:1"], unknown=True), persons).tolist() == [1, -1, 1]
    assert flags_of(None, persons).tolist() == [-1, -1, -1] and flags_of(None, []).shape == (0,)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"format": 2}, "format 2, expected 1; it was written by another version"),
        ({}, "format None, expected 1"),
        ([], "format"),
        ({"format": 1, "institutions": {}}, "lack 'institutions' or 'unknown'"),
        ({"format": 1, "institutions": [], "unknown": False}, "lack"),
        ({"format": 1, "unknown": False, "institutions": {"tuh": ["zz"]}}, "16 hex digits"),
        ({"format": 1, "unknown": False, "institutions": {"tuh": [5]}}, "found 5; the file is"),
    ],
)
def test_damaged_people_are_refused_and_the_place_is_named(stored, message):
    with pytest.raises(PeopleError, match=message) as caught:
        People.from_json(stored, source="some/config.json")
    assert "some/config.json" in str(caught.value)


def test_nothing_stored_is_not_nobody():
    assert People.from_json(None, source="x") is None


# -- reading people of evaluation sets -----------------------------------------------------------


@pytest.fixture
def prepared(tmp_path):
    people = {"train": ("tuh:a", "tuh:b"), "valid": (), "test": ("tuh:c",)}
    manifest = Manifest(
        spec=tiny_spec(),
        corpus="tuab",
        simulated=False,
        people=people,
        split_seed=0,
        counts={},
        storage={"dtype": "int16", "steps_per_unit": 32},
        statistics={},
        code_version="x",
    )
    manifest.save(tmp_path)
    return tmp_path


def test_people_are_read_from_a_directory_a_manifest_or_a_list(prepared, tmp_path):
    assert read_people(prepared) == read_people(prepared / "manifest.json")
    assert read_people(prepared) == ("tuh:a", "tuh:b", "tuh:c")
    assert read_people(prepared, ["test", "valid"]) == ("tuh:c",)
    path = tmp_path / "list.txt"
    path.write_text("\ufeff# TUAB's eval\n\ntuh:c  # twice\ntuh:c\nb\n", encoding="utf-8")
    assert read_people(path) == ("tuh:c", "b")


def test_the_same_files_mean_the_same_people_as_in_preparation(prepared, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("tuh:c\n  \n# no\nb # why\n")
    for source in (path, prepared, prepared / "manifest.json"):
        assert frozenset(read_people(source)) == read_excluded(source)


def test_lists_without_people_are_refused(tmp_path):
    with pytest.raises(PeopleError, match="no such file or prepared directory"):
        read_people(tmp_path / "typo.txt")
    with pytest.raises(NotPrepared):
        read_people(tmp_path)
    for content, message in ((b"# none\n", "holds no ids"), (b"\xff\xfet", "save .* as UTF-8")):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(PeopleError, match=message):
            read_people(tmp_path / "list.txt")
