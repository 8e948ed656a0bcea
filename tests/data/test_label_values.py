"""Labels of several values: what is in a list, what is not, and what nobody knows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from data_prep.storage import Stored, label_counts
from elm_jax.data.embedding_columns import columns_of, label_datasets, list_labels
from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.label_values import LabelValueError, as_word, holds, in_words, is_missing, parse
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.targets import Target, TargetError, with_classes
from elm_jax.evals.base import binary_labels
from elm_jax.evals.point_labels import of_recordings, of_windows
from elm_jax.evals.probe.data import Sample, cells

WORDS = st.text(st.characters(codec="ascii", exclude_characters="|="), min_size=1, max_size=8)
#: Ragged, empty, of one value, of two, of none that is asked for, absent.
LABELS = ([], ["MI"], ["MI", "STTC"], ["NORM"], None, ["mi ", "CD"])
SPEC = tiny_spec().replace(window_s=0.1)  # of 10 samples
HAS_MI = [0, 1, 1, 0, math.nan, 1]


def recordings(values, name="superclass"):
    """One recording of two windows of 10 samples for each value; None: without the label."""
    return [
        RecordingRow(
            f"r{i}", f"x:p{i}", "train", (PieceRow(i, 0.0, 20),), (),
            {"age": 50 + i} | ({} if value is None else {name: value}),
        )
        for i, value in enumerate(values)
    ]  # fmt: skip


def windows_of(values, **kwargs):
    rows = recordings(values, **kwargs)
    return rows, Windows.of(rows, 10)


@given(st.lists(WORDS, max_size=5), WORDS)
def test_a_list_holds_a_value_or_says_that_it_does_not(values, wanted):
    expected = any(as_word(v) == as_word(wanted) for v in values)
    assert holds(values, wanted) == float(expected)
    assert holds(values, f"{wanted}|{wanted}") == float(expected)


@pytest.mark.parametrize("value", [None, "", math.nan, np.float32("nan")])
def test_what_is_absent_says_nothing_and_an_empty_list_says_no_to_everything(value):
    assert is_missing(value) and math.isnan(holds(value, "MI"))
    assert not is_missing([]) and holds([], "MI") == 0.0


def test_one_value_of_several_words_for_the_same_is_enough():
    assert parse("diagnosis=AF|AFIB") == ("diagnosis", "AF|AFIB") and parse("x") == ("x", None)
    assert [holds(v, "AF|AFIB") for v in (["AFIB"], "af", ["AFL"], [])] == [1, 1, 0, 0]
    assert holds("AF|AFIB", "AF|AFIB") == 1  # a value that has the sign in it
    assert holds([2, 3], "2.0") == 1 and holds((), "2") == 0


@pytest.mark.parametrize(
    "value", [{"MI": 100.0}, [["MI"]], ["MI", None], ["MI", math.nan], [{"MI": 1}], [""]]
)
def test_what_is_no_value_is_refused_by_everything_that_reads_labels(value):
    with pytest.raises(LabelValueError, match="expected a word, a number, or a list of these"):
        holds(value, "MI")
    with pytest.raises(ValueError, match="label 'superclass' of recording 'r1'.*expected a word"):
        binary_labels(recordings([["MI"], value]), "superclass=MI")
    with pytest.raises(TargetError, match="label 'superclass' of recording 'r1'.*expected a word"):
        Target("superclass=MI", "binary").of_windows(*windows_of([["MI"], value]))


def test_recordings_windows_and_targets_agree_on_who_has_a_value():
    rows, windows = windows_of(LABELS)
    np.testing.assert_array_equal(binary_labels(rows, "superclass=MI"), HAS_MI)
    found = Target("superclass=MI", "binary").of_windows(rows, windows)
    np.testing.assert_array_equal(found[:, 0], np.repeat(HAS_MI, 2))
    several = Target("t", "multilabel", ("superclass=MI", "superclass=STTC", "superclass=HYP"))
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [math.nan] * 3, [1, 0, 0]]
    np.testing.assert_array_equal(several.of_windows(rows, windows)[::2], expected)


@pytest.mark.parametrize("values", [[["a", "b"], ["c", "d"]], [["a"], ["b"]], [[], []]])
def test_lists_of_one_length_stay_lists_of_windows(values):
    found = window_labels(*windows_of(values), "superclass")
    assert found.shape == (4,) and found.tolist() == [values[0], values[0], values[1], values[1]]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_list_where_one_value_is_wanted_is_refused_and_the_way_to_ask_is_told(kind):
    target = Target("superclass", kind)
    with pytest.raises(TargetError, match=r"is a list of values, \[.*'superclass=VALUE'"):
        with_classes(target, *windows_of(LABELS)).of_windows(*windows_of(LABELS))
    with pytest.raises(ValueError, match="a list of values.*write 'superclass=MI'"):
        binary_labels(recordings([["MI"]]), "superclass")


def test_a_map_is_coloured_by_one_value_or_by_what_occurs_together():
    rows, windows = windows_of(LABELS)
    one = of_windows(rows, windows, "superclass=MI")
    assert one.classes == ("not superclass=MI", "superclass=MI")
    np.testing.assert_array_equal(one.value, np.repeat(HAS_MI, 2))
    all_of_it = of_recordings(rows, "superclass")
    assert set(all_of_it.classes) == {"[]", "MI", "MI + STTC", "NORM", "CD + mi"}
    assert np.isnan(all_of_it.value).tolist() == [v is None for v in LABELS]
    assert in_words(["STTC", "MI"]) == "MI + STTC" and in_words([]) == "[]"


def test_people_are_alike_in_one_value_of_a_list_or_in_all_of_it():
    rows, windows = windows_of([["MI"], ["MI", "CD"], [], None])
    target = Target("age", "regression")
    truth = target.of_windows(rows, windows)
    people = tuple(row.person for row in rows)
    sample = Sample(("train",), tuple(rows), windows.recording, people, np.arange(4), target, truth)
    cell = cells(sample, ("superclass=MI", "superclass"))
    assert [c[1:] for c in cell] == [
        ("1.0", "MI"), ("1.0", "CD + MI"), ("0.0", "[]"), ("missing", "missing"),
    ]  # fmt: skip


def test_counts_have_a_recording_at_each_of_its_values():
    rows = [
        Stored(f"r{i}", f"x:p{i}", "train", (0.0,), (20,), labels=row.labels)
        for i, row in enumerate(recordings(LABELS))
    ]
    found = label_counts(rows, "superclass", SPEC)["train"]
    assert {k: v["recordings"] for k, v in found.items()} == {
        "[]": 1, "MI": 2, "STTC": 1, "NORM": 1, "none": 1, "mi ": 1, "CD": 1,
    }  # fmt: skip
    assert found["MI"] == {"recordings": 2, "windows": 4}


def test_a_file_of_vectors_keeps_lists_and_gives_them_back():
    rows = recordings(LABELS)
    labels = label_datasets(rows)
    column = columns_of(rows, SPEC, labels)[labels["superclass"]]
    assert list_labels(rows) == ["superclass"] and column[2] == b'["MI"]' and column[8] == b""
    file = object.__new__(EmbeddingFile)
    file.attributes = {"labels": labels, "list_labels": list_labels(rows)}
    file._dataset = lambda name: {labels["superclass"]: column}[name]
    found = file.label("superclass")[::2].tolist()
    assert found == [None if v is None else tuple(v) for v in LABELS]
