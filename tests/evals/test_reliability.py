"""Calibration errors against worked examples, and against what chance alone would give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.evals.zero_shot.reliability import (
    Bins,
    calibrated_band,
    draw_truths,
    ece,
    reliability,
    risk_coverage,
)


def two(positive):
    positive = np.asarray(positive, float)
    return np.stack([1 - positive, positive], axis=1)


def test_ece_is_that_of_a_worked_example():
    probability = two([0.1, 0.1, 0.3, 0.9, 0.9, 0.9])
    truth = np.array([0, 1, 0, 1, 1, 0.0])
    bins = Bins(5)  # 0.1 twice; 0.3 alone; 0.9 three times
    expected = (2 * abs(0.5 - 0.1) + 1 * abs(0 - 0.3) + 3 * abs(2 / 3 - 0.9)) / 6
    assert ece(probability, truth, bins, of="classes") == pytest.approx(expected)
    # The winner is right with confidence 0.9 in 3 of 5, and with 0.7 in 1 of 1.
    assert ece(probability, truth, bins) == pytest.approx((5 * 0.3 + 1 * 0.3) / 6)


def test_errors_of_two_classes_cancel_in_the_winners_ece_alone():
    """Positive is always underestimated: 0.2 where half are, 0.8 where all are."""
    probability = two([0.2] * 10 + [0.8] * 10)
    truth = np.array([1] * 4 + [0] * 6 + [1] * 10)
    assert ece(probability, truth, Bins(10), of="classes") == pytest.approx(0.2)
    assert ece(probability, truth, Bins(10)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("style", ["equal_width", "equal_mass"])
def test_more_classes_count_each_class(style):
    probability = np.tile([0.5, 0.3, 0.2], (10, 1))
    truth = np.array([0] * 5 + [1] * 3 + [2] * 2)
    for of in ("winner", "classes"):
        assert ece(probability, truth, Bins(15, style), of=of) == pytest.approx(0.0, abs=1e-12)
    wrong = np.array([2] * 5 + [1] * 3 + [0] * 2)
    found = ece(probability, wrong, Bins(15, style), of="classes")
    assert found == pytest.approx((0.3 + 0 + 0.3) / 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_every_prediction_has_one_bin_and_equal_ones_share_it(predicted, count):
    predicted = np.asarray(predicted)
    for style in ("equal_width", "equal_mass"):
        where = Bins(count, style).of(predicted)
        assert where.min() >= 0 and where.max() < count
        order = np.argsort(predicted, kind="stable")
        assert (np.diff(where[order]) >= 0).all()
        for value in predicted:
            assert len(set(where[predicted == value])) == 1


def test_bins_of_equal_mass_have_equal_numbers():
    predicted = np.random.default_rng(0).beta(0.3, 0.3, 300)
    assert set(np.bincount(Bins(15, "equal_mass").of(predicted))) == {20}


@pytest.mark.parametrize(("bins", "told"), [(Bins(0), "one bin"), (Bins(5, "wide"), "equal_mass")])
def test_bins_that_are_none_are_refused(bins, told):
    with pytest.raises(ValueError, match=told):
        bins.check()


@pytest.mark.parametrize("of", ["winner", "classes"])
def test_the_band_holds_a_calibrated_model_and_not_an_overconfident_one(of):
    rng = np.random.default_rng(0)
    inside, outside = 0, 0
    for _ in range(40):
        positive = rng.beta(0.5, 0.5, 150)
        truth = (rng.random(150) < positive).astype(float)
        people = [str(i) for i in range(150)]
        low, high = calibrated_band(two(positive), people, Bins(15), of=of, draws=200)
        inside += low <= ece(two(positive), truth, Bins(15), of=of) <= high
        sharp = positive**4 / (positive**4 + (1 - positive) ** 4)
        low, high = calibrated_band(two(sharp), people, Bins(15), of=of, draws=200)
        outside += ece(two(sharp), truth, Bins(15), of=of) > high
    assert inside >= 33 and outside >= 35  # 38 of 40 expected inside


def test_the_band_is_of_people_not_of_rows():
    positive = np.random.default_rng(0).beta(0.5, 0.5, 40)
    alone = calibrated_band(two(positive), [str(i) for i in range(40)], Bins(15))
    many = np.repeat(np.arange(40), 10)
    same = calibrated_band(two(positive[many]), [str(i) for i in many], Bins(15))
    strangers = calibrated_band(two(positive[many]), [str(i) for i in range(400)], Bins(15))
    np.testing.assert_allclose(same, alone, atol=1e-12)
    assert strangers[1] < alone[1] / 1.8


def test_drawn_truths_have_the_predicted_frequencies_whatever_the_people():
    probability = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2], [0.0, 1.0, 0.0]])
    drawn = np.concatenate(list(draw_truths(probability, ["a", "a", "b"], draws=20_000)))
    found = np.stack([(drawn == c).mean(axis=0) for c in range(3)], axis=1)
    np.testing.assert_allclose(found, probability, atol=0.015)
    assert (drawn[:, 2] == 1).all()


def test_reliability_bins_add_up_and_say_what_chance_would_give():
    rng = np.random.default_rng(1)
    positive = rng.beta(0.5, 0.5, 400)
    truth = (rng.random(400) < positive).astype(float)
    people = [str(i) for i in range(400)]
    found = reliability(two(positive), truth, people, Bins(10))
    assert sum(b.rows for b in found) == 400
    total = sum(b.rows * abs(b.observed - b.predicted) for b in found) / 400
    assert total == pytest.approx(ece(two(positive), truth, Bins(10), of="classes"))
    assert sum(b.low <= b.observed <= b.high for b in found) >= 8


def test_risk_falls_with_coverage_where_confidence_knows():
    probability = two([0.95, 0.9, 0.2, 0.6, 0.45])
    truth = np.array([1, 1, 0, 0, 0])
    curve = risk_coverage(probability, truth)
    np.testing.assert_allclose(curve.coverage, [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 0, 0, 0.25, 0.2])
    assert curve.area == pytest.approx(np.mean([0, 0, 0, 0.25, 0.2]))
    assert curve.at(0.75) == (0.25, 0.6)


def test_rows_of_equal_confidence_are_answered_together():
    truth = np.array([1, 0, 1, 0])
    orders = [risk_coverage(two([0.8] * 4), truth[o]) for o in ([0, 1, 2, 3], [1, 3, 0, 2])]
    for curve in orders:
        np.testing.assert_allclose(curve.coverage, [1.0])
        assert curve.area == 0.5
