"""Random kernels: what each feature is, and that nothing about how they are computed changes it."""

import numpy as np
import pytest

from elm_jax.evals import random_convolutions as rc
from elm_jax.evals.window_features import amplitude


def test_features_are_largest_values_and_shares_of_time_above_two_thresholds(monkeypatch):
    x = np.random.default_rng(0).normal(size=(5, 3, 90)).astype(np.float32)
    kernels = rc.draw(3, 90, count=20, seed=1)
    monkeypatch.setattr(rc, "_BLOCK", 1)  # a window at a time
    found = rc.features(x, kernels).reshape(5, 20, 3)
    at = 0
    for dilation, weights in kernels:
        for kernel in weights.reshape(-1, rc.TAPS, 3):
            length = 90 - 8 * dilation
            passed = sum(
                kernel[j] @ x[:, :, j * dilation : j * dilation + length] for j in range(rc.TAPS)
            )
            np.testing.assert_allclose(found[:, at, 0], passed.max(-1), atol=1e-5)
            for k, threshold in enumerate((-0.5, 0.5), 1):
                share = (passed > threshold).mean(-1)
                np.testing.assert_allclose(found[:, at, k], share, atol=1.5 / length)
            at += 1
    assert at == 20
    monkeypatch.setattr(rc, "_BLOCK", 10**9)  # all at once
    np.testing.assert_allclose(rc.features(x, kernels).reshape(5, 20, 3), found, atol=2e-2)


def test_kernels_have_mean_zero_over_few_channels_and_every_dilation_that_fits():
    kernels = rc.draw(12, 1000, seed=3)
    assert [k.dilation for k in kernels] == [1, 2, 4, 8, 16, 32, 64]  # 8 * 128 > 999
    weights = np.concatenate([k.weights.reshape(-1, 9, 12) for k in kernels])
    assert len(weights) == rc.KERNELS
    np.testing.assert_allclose(weights.sum(axis=1), 0, atol=1e-5)
    used = (weights != 0).any(axis=1).sum(axis=1)
    assert used.min() == 1 and used.max() == 9 and 1 < np.median(used) < 5
    again, other = rc.draw(12, 1000, seed=3), rc.draw(12, 1000, seed=4)
    assert all((a.weights == b.weights).all() for a, b in zip(kernels, again, strict=True))
    assert not (kernels[0].weights == other[0].weights).all()
    with pytest.raises(ValueError, match="windows of 9 samples, these have 8"):
        rc.draw(12, 8)
    assert rc.features(np.zeros((0, 12, 1000)), kernels).shape == (0, 3000)


def test_amplitude_has_five_numbers_a_channel():
    x = np.stack([np.full((2, 4), 3.0), np.arange(8.0).reshape(2, 4)])
    found = amplitude(x).reshape(2, 5, 2)
    np.testing.assert_array_equal(found[0, :, 0], [3, 3, 3, 0, 0])
    np.testing.assert_allclose(found[1, :, 1], [4, 7, 5.5, np.std([4, 5, 6, 7]), 3])
