"""Convolution and pooling in one go: the same as one after the other, values and gradients."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from elm_jax.models import pooled_conv
from elm_jax.models.convolution import max_pool


def plain(x, kernel, pool, pad, valid):
    """Largest values and moments, one step after the other."""
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0)))
    length = padded.shape[1] - len(kernel) + 1
    cut = jnp.stack([padded[:, k : k + length] for k in range(len(kernel))])
    y = jnp.einsum("kbtc,kcf->btf", cut, kernel)
    rows = valid[:, None, None]
    count = jnp.maximum(valid.sum() * length, 1)
    mean = jnp.where(rows, y, 0).sum((0, 1)) / count
    var = jnp.where(rows, jnp.square(y - mean), 0).sum((0, 1)) / count
    return max_pool(y, pool), mean, var


def in_numpy(x, kernel, pool, pad, valid):
    """Largest values and moments, one step after the other."""
    padded = np.pad(x, ((0, 0), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=1)
    y = np.einsum("btck,kcf->btf", windows, kernel)
    n = y.shape[1] // pool
    largest = y[:, : n * pool].reshape(len(y), n, pool, -1).max(2)
    of_valid = y[valid].reshape(-1, y.shape[2]) if valid.any() else np.zeros((1, y.shape[2]))
    return largest, of_valid.mean(0), of_valid.var(0), valid.sum() * y.shape[1]


@settings(max_examples=3, deadline=None)
@given(
    taps=st.integers(1, 9), pool=st.integers(1, 6), pad=st.integers(0, 7), pools=st.integers(1, 4),
    tail=st.integers(0, 5), valid=st.lists(st.booleans(), min_size=1, max_size=5),
    at_once=st.sampled_from([1, 40, 1 << 17]),
)  # fmt: skip
def test_values_and_moments_for_any_sizes_and_chunks(taps, pool, pad, pools, tail, valid, at_once):
    t = max(1, pool * pools + min(tail, pool - 1) + taps - 1 - 2 * pad)
    rng, valid = np.random.default_rng(t), np.array(valid)
    x, kernel = rng.normal(size=(len(valid), t, 2)), rng.normal(size=(taps, 2, 3))
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled_conv, "VALUES_AT_ONCE", at_once)
        options = dict(pool=pool, pad=pad)
        convolve = lambda x, k, v: pooled_conv.conv_max_pool(x, k, valid=v, **options)  # noqa: E731
        run = jax.jit(convolve)
        found = run(jnp.array(x), jnp.array(kernel), jnp.array(valid))
        for one, two in zip(found, in_numpy(x, kernel, pool, pad, valid), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-12)


def test_gradients_of_values_and_moments_with_a_tail_that_fills_no_pool(monkeypatch):
    monkeypatch.setattr(pooled_conv, "VALUES_AT_ONCE", 200)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, kernel = jnp.array(rng.normal(size=(5, 44, 2))), jnp.array(rng.normal(size=(7, 2, 3)))
        valid = jnp.array([True, False, True, True, True])

        def of(function):
            def run(x, kernel):
                largest, mean, var = function(x, kernel)
                weight = jnp.cos(jnp.arange(largest.size)).reshape(largest.shape)
                return (largest * weight).sum() + (mean * 3 + jnp.sin(9 * var)).sum()

            return jax.jit(jax.grad(run, argnums=(0, 1)))(x, kernel)

        options = dict(pool=5, pad=3, valid=valid)
        found = of(lambda *own: pooled_conv.conv_max_pool(*own, **options)[:3])
        expected = of(lambda *own: plain(*own, 5, 3, valid))
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-11)


def test_a_flat_signal_shares_its_gradient_and_makes_no_nan():
    x, kernel = jnp.zeros((2, 20, 1)), jnp.ones((3, 1, 2))

    def run(x, kernel):
        largest, mean, var, _ = pooled_conv.conv_max_pool(x, kernel, pool=4, pad=1)
        return largest.sum() + mean.sum() + var.sum()

    slope_x, slope_kernel = jax.jit(jax.grad(run, argnums=(0, 1)))(x, kernel)
    # Every output of a pool gets a fourth of one, of both filters.
    expected = np.full(20, 3 * 2 * (1 / 4 + 1 / 40))
    expected[[0, -1]] *= 2 / 3
    np.testing.assert_allclose(slope_x[0, :, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(slope_kernel, 0)
