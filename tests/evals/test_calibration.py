"""Temperatures: found where they are known, finite where likelihood has no maximum."""

import numpy as np
import pytest
from scipy.special import softmax

from elm_jax.evals.zero_shot.calibration import (
    Calibration,
    Rows,
    fit,
    nll,
    one_hot,
    probabilities,
)
from elm_jax.evals.zero_shot.reliability import Bins, ece


def drawn(rng, n, k, temperature, bias=0.0):
    """Cosines of windows, and truths that softmax(cosine / temperature + bias) says."""
    cosine = rng.uniform(-0.8, 0.8, (n, k))
    probability = softmax(cosine / temperature + np.arange(k) * bias, axis=1)
    truth = (rng.random((n, 1)) > np.cumsum(probability, axis=1)[:, :-1]).sum(axis=1)
    return cosine, truth.astype(float)


def names(n):
    return [str(i) for i in range(n)]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.15, 1.0])
def test_the_temperature_that_made_the_truths_is_found(k, temperature):
    cosine, truth = drawn(np.random.default_rng(0), 6000, k, temperature)
    found, remark = fit(Rows(cosine.astype(np.float32)), truth, names(6000))
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.bias == () and not remark
    truth[::2] = np.nan  # rows without a label do not count
    assert fit(Rows(cosine), truth, names(6000))[0].temperature == pytest.approx(
        temperature, rel=0.15
    )


@pytest.mark.parametrize("k", [2, 3])
def test_a_bias_is_found_beside_it_and_sums_to_zero(k):
    cosine, truth = drawn(np.random.default_rng(0), 8000, k, 0.3, bias=0.7)
    found, _ = fit(Rows(cosine), truth, names(8000), with_bias=True)
    assert found.temperature == pytest.approx(0.3, rel=0.1)
    np.testing.assert_allclose(np.diff(found.bias), 0.7, atol=0.12)
    assert sum(found.bias) == pytest.approx(0, abs=1e-9)


def test_a_fitted_temperature_is_no_worse_than_any_other():
    cosine, truth = drawn(np.random.default_rng(1), 300, 3, 0.4)
    found, _ = fit(Rows(cosine), truth, names(300))
    target = one_hot(truth, 3)
    best = nll(probabilities(Rows(cosine), found), target)
    for temperature in np.geomspace(0.01, 100, 200):
        assert best <= nll(probabilities(Rows(cosine), Calibration(temperature)), target) + 1e-9


def test_calibration_lowers_the_error_on_other_people():
    rng = np.random.default_rng(2)
    cosine, truth = drawn(rng, 2000, 2, 0.25)
    other, other_truth = drawn(rng, 4000, 2, 0.25)
    found, _ = fit(Rows(cosine), truth, names(2000))
    before = ece(probabilities(Rows(other), Calibration(0.05)), other_truth, Bins())
    after = ece(probabilities(Rows(other), found), other_truth, Bins())
    assert before > 0.1 and after < 0.03


def test_recordings_need_another_temperature_than_their_windows():
    """Windows tell little each; their mean over a recording tells more than one of them does."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(300), 12)
    truth = rng.integers(0, 2, 300).astype(float)
    margin = 0.05 * (2 * truth[group] - 1) + rng.normal(0, 0.2, len(group))
    cosine = np.stack([-margin / 2, margin / 2], axis=1)
    of_windows, _ = fit(Rows(cosine), truth[group], [str(g) for g in group])
    rows = Rows(cosine, group, 300)
    of_recordings, _ = fit(rows, truth, names(300))
    assert of_recordings.temperature < of_windows.temperature / 2
    p = probabilities(rows, of_recordings)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert ece(p, truth, Bins()) < ece(probabilities(rows, of_windows), truth, Bins())


def test_where_all_are_answered_right_the_temperature_stays_sensible():
    truth = np.repeat([0.0, 1.0], 8)
    cosine = np.stack([0.5 - truth, truth - 0.5], axis=1) * 0.2
    for with_bias in (False, True):
        found, remark = fit(Rows(cosine), truth, names(16), with_bias=with_bias)
        assert "smoothed" in remark
        # 9 of 10: what eight right answers of eight people are worth
        p = probabilities(Rows(cosine), found)
        np.testing.assert_allclose(p[truth == 1, 1], 0.9, atol=0.01)
        # ... and they are worth no more where each person has ten windows
        many = np.repeat(np.arange(16), 10)
        again, _ = fit(Rows(cosine[many]), truth[many], [str(i) for i in many], with_bias=with_bias)
        assert again.temperature == pytest.approx(found.temperature, rel=0.02)


def test_cosines_against_the_truth_give_constant_probabilities_and_a_remark():
    truth = np.repeat([0.0, 1.0], 20)
    cosine = np.stack([truth, 1 - truth], axis=1)
    found, remark = fit(Rows(cosine), truth, names(40))
    assert "do not tell these classes apart" in remark
    np.testing.assert_allclose(probabilities(Rows(cosine), found), 0.5, atol=0.01)


def test_recordings_without_windows_have_no_probability_and_do_not_count():
    rows = Rows(np.array([[0.1, 0.3], [0.2, 0.1]]), np.array([0, 2]), 3)
    p = probabilities(rows, Calibration(0.3))
    assert np.isnan(p[1]).all() and np.isfinite(p[[0, 2]]).all()
    assert np.isfinite(nll(p, one_hot(np.array([0.0, 1.0, 1.0]), 2)))
