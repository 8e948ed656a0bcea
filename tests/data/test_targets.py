"""Labels as targets: what is missing, wrong or one-sided is said before anything is learnt."""

import logging

import numpy as np
import pytest

from elm_jax.data.labelled import Budget, Labelled
from elm_jax.data.labels import LabelError
from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.targets import Target, TargetError, with_classes, with_moments


def recordings(labels, windows=2, person=lambda i: f"t:p{i}", piece_labels=None):
    """One piece of ``windows`` windows of 10 samples for each dict of labels."""
    pieces = [(PieceRow(i, 0.0, 10 * windows, (piece_labels or {}).get(i, {})),) for i in range(99)]
    rows = [
        RecordingRow(f"r{i}", person(i), "train", pieces[i], (), own)
        for i, own in enumerate(labels)
    ]
    return rows, Windows.of(rows, 10)


def values_of(target, labels, **kwargs):
    return target.of_windows(*recordings(labels, **kwargs))


BINARY = Target("x", "binary")


def test_a_missing_label_is_nan_and_its_recording_is_left_out_and_told(caplog):
    rows, windows = recordings([{"x": 1}, {}, {"x": None}, {"x": "no"}, {"x": ""}])
    found = Labelled.of(BINARY, rows, windows)
    np.testing.assert_array_equal(found.values[::2, 0], [1, np.nan, np.nan, 0, np.nan])
    assert found.usable.tolist() == [True] * 2 + [False] * 4 + [True] * 2 + [False] * 2
    with caplog.at_level(logging.INFO, logger="elm_jax"):
        found.tell("train")
    assert "4 windows, 2 recordings, 2 people; 2 with, 2 without" in caplog.text
    assert "3 recordings of 3 people in train have no 'x' and are left out (r1, r2, r4)" in (
        caplog.text
    )


def test_one_class_only_or_no_label_at_all_is_refused():
    one = Labelled.of(BINARY, *recordings([{"x": 1}, {"x": 1}]))
    with pytest.raises(TargetError, match=r"one class only in the 4 windows .*\[4\] with, \[0\]"):
        one.require_contrast()
    with pytest.raises(TargetError, match="none of the 2 recordings has the label 'x'"):
        Labelled.of(BINARY, *recordings([{"x": None}, {}])).require_contrast()
    with pytest.raises(LabelError, match="no recording has a label 'y'; known: x"):
        values_of(Target("y", "binary"), [{"x": 1}])
    with pytest.raises(TargetError, match="1 value.* nothing to tell apart"):
        with_classes(Target("x", "multiclass"), *recordings([{"x": "a"}, {"x": "A"}]))


def test_an_event_s_label_stands_before_its_recording_s():
    rows = recordings([{"x": 0}, {"x": 0}], piece_labels={1: {"x": 1}})
    assert BINARY.of_windows(*rows)[:, 0].tolist() == [0, 0, 1, 1]


def test_a_value_in_words_is_asked_for_by_its_value():
    rows = [{"task": "Rest"}, {"task": "arithmetic"}, {}]
    found = values_of(Target("task=rest", "binary"), rows)[::2, 0]
    np.testing.assert_array_equal(found, [1, 0, np.nan])
    with pytest.raises(TargetError, match="recording 'r1' is 'arithmetic'.*'task=VALUE'"):
        values_of(Target("task", "binary"), [{"task": 1}, {"task": "arithmetic"}])


def test_classes_are_read_in_the_order_of_numbers_or_of_words_and_may_be_given():
    rows = recordings([{"x": 10}, {"x": 2}, {"x": 2.0}, {}])
    target = with_classes(Target("x", "multiclass"), *rows)
    assert target.classes == ("2", "10") and target.outputs == 2
    np.testing.assert_array_equal(target.of_windows(*rows)[::2, 0], [1, 0, 0, np.nan])
    given = Target("x", "multiclass", ("10", "2", "7"))
    assert with_classes(given, *rows) is given and given.of_windows(*rows)[0, 0] == 0
    with pytest.raises(
        TargetError, match=r"'r0' is '10.0'; config.labels.classes are \['2', '3'\]"
    ):
        Target("x", "multiclass", ("2", "3")).of_windows(*rows)


def test_several_findings_have_a_column_each_with_their_own_gaps():
    target = Target("findings", "multilabel", ("a", "b"))
    found = values_of(target, [{"a": 1}, {"a": 0, "b": "yes"}])
    np.testing.assert_array_equal(found[::2], [[1, np.nan], [0, 1]])


def test_numbers_are_standardised_by_the_people_of_the_budget_alone():
    rows, windows = recordings([{"age": a} for a in (20, 40, 60, 80)])
    found = Labelled.of(Target("age", "regression"), rows, windows, Budget(people=2))
    ages = found.values[found.usable][:, 0]
    target = with_moments(Target("age", "regression"), found.values[found.usable])
    assert (target.mean, target.std) == (ages.mean(), ages.std())
    scaled = target.of_windows(rows, windows)[found.usable]
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-6)
    with pytest.raises(TargetError, match="1 value.*nothing to learn"):
        with_moments(Target("age", "regression"), np.full((3, 1), 40.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(name="x", kind="binry"), "'binry'; known"),
        (dict(name="", kind="binary"), "name is empty"),
        (dict(name="x", kind="binary", classes=("a", "b")), "which has none"),
        (dict(name="x", kind="multiclass", classes=("a",)), "at least 2"),
        (dict(name="x", kind="multilabel"), "classes is empty"),
        (dict(name="x", kind="multiclass", classes=("a", "A")), "has one twice"),
        (dict(kind="binary"), r"lacks \['name'\]"),
        (dict(name="x", kind="binary", clases=()), r"unknown \['clases'\]"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(TargetError, match=message):
        Target.from_dict(settings)


def test_a_target_comes_back_from_json():
    target = Target("x", "multiclass", ("b", "a"))
    assert Target.from_dict(target.to_dict()) == target


def test_balanced_weights_make_classes_count_alike():
    rows = recordings([{"x": v} for v in "aaab"])
    target = with_classes(Target("x", "multiclass"), *rows)
    found = Labelled.of(target, *rows)
    assert found.balanced_weights() == pytest.approx((4 / 6, 2.0))
    # Half of the way, as DARE-EEG weights TUEV: (mean share / share) ** 0.5, up to a factor.
    assert found.balanced_weights(0.5) == pytest.approx(((4 / 6) ** 0.5, 2.0**0.5))
    binary = Labelled.of(Target("x=b", "binary"), *rows)
    assert binary.balanced_weights() == pytest.approx((3.0,))
