"""Splits by recording: for studies of one person, and said wherever the data are."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import prepare

from data_prep.corpora.base import CorpusError, Source
from data_prep.split import DEFAULT_FRACTIONS, named_splits, split_recordings
from elm_jax.data.manifest import Manifest, load_recordings


def source(recording, person="x:a", split=None):
    return Source(recording, person, pathlib.Path("a"), f"{recording}.edf", split=split)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), unique=True, min_size=1))
def test_by_person_nobody_is_in_two_splits_and_by_recording_sizes_are_of_recordings(pairs):
    sources = [source(f"p{p}r{r}", f"x:p{p}") for p, r in pairs]
    people = split_recordings(sources, None, 0, "person")
    assert len({(s.person, people[s.recording]) for s in sources}) == len(
        {s.person for s in sources}
    )
    recordings = split_recordings(sources, None, 0, "recording")
    assert set(recordings) == {s.recording for s in sources} == set(people)
    if len(sources) > 1:
        n = sum(split == "test" for split in recordings.values())
        assert abs(n - DEFAULT_FRACTIONS["test"] * len(sources)) <= 1


def test_given_splits_stand_and_the_others_are_drawn():
    sources = [source("a", split="test"), source("b", split="train"), source("c"), source("d")]
    found = split_recordings(sources, {"train": 1.0, "valid": 0.0, "test": 0.0}, 0, "recording")
    assert found == {"a": "test", "b": "train", "c": "train", "d": "train"}


def test_validation_recordings_come_out_of_the_published_training_ones():
    sources = [source(f"t{i}", split="train") for i in range(8)] + [source("e", split="test")]
    found = split_recordings(sources, {"train": 0.75, "valid": 0.25, "test": 0.0}, 0, "recording")
    assert found.pop("e") == "test" and sorted(found.values()) == ["train"] * 6 + ["valid"] * 2


def test_recordings_are_named_by_patterns_and_all_others_train():
    sources = [source(f"S001R{n:02d}") for n in (4, 8, 12)]
    named = named_splits(sources, {"valid": ("*R08",), "test": ("S001R12", "*2")})
    assert [s.split for s in named] == ["train", "valid", "test"]
    assert named_splits(sources, {"valid": (), "test": ()}) == sources


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"test": ("R12",)}, "--test_recordings R12: fits no recording.*S001R04.*whole name"),
        ({"test": ("*R04",), "valid": ("S001*",)}, "S001R04: is named for test and valid"),
    ],
)
def test_patterns_that_fit_nothing_or_twice_are_errors(patterns, message):
    with pytest.raises(CorpusError, match=message):
        named_splits([source("S001R04"), source("S001R08")], patterns)


@pytest.fixture
def one_person(tmp_path, write_edf):
    """Three recordings of one person."""
    for n in (4, 8, 12):
        write_edf(tmp_path / "edf" / f"R{n:02d}.edf", seed=n)
    rows = "".join(f"R{n:02d}.edf,me\n" for n in (4, 8, 12))
    (tmp_path / "people.csv").write_text("file,person\n" + rows)
    people = ("--people", tmp_path / "people.csv", "--min_duration_s", "0", "--drop_start_s", "0")
    return lambda *words, out="out": prepare(
        "edf_folder", tmp_path / "edf", tmp_path / out, *people, *words
    )


@pytest.mark.parametrize("held_out", ["R04", "R08", "R12"])
def test_one_persons_recordings_are_held_out_in_turn(one_person, tmp_path, capsys, held_out):
    assert one_person("--split_by", "recording", "--test_recordings", held_out) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.split_by == "recording"
    assert manifest.options["test_recordings"] == [held_out]
    assert manifest.people == {"train": ("local:me",), "valid": (), "test": ("local:me",)}
    splits = {row.recording: row.split for row in load_recordings(tmp_path / "out")}
    assert [r for r, split in splits.items() if split == "test"] == [held_out]
    assert "SPLIT BY RECORDING, not by person: 1 of 1 people" in capsys.readouterr().out
    assert one_person("--split_by", "recording", "--test_recordings", held_out) == 0  # complete
    assert one_person("--split_by", "recording") == 2  # otherwise prepared


def test_by_default_one_person_is_in_one_split(one_person, tmp_path):
    assert one_person() == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.split_by == "person"
    assert [s for s, people in manifest.people.items() if people] == ["train"]


@pytest.mark.parametrize(
    "words",
    [
        ("--test_recordings", "R04"),
        ("--split_by", "recording", "--test_recordings", "R04", "--split", "train=1"),
    ],
)
def test_contradictions_are_mistakes_of_the_command(one_person, words):
    with pytest.raises(SystemExit):
        one_person(*words)
