"""Convolution by tiles: the same as direct convolution, values and gradients."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from elm_jax.models import tiled_conv
from elm_jax.models.convolution import conv1d_branches


def numpy_correlation(x, kernel, start, length):
    y = np.zeros((len(x), length, kernel.shape[2]))
    for i in range(length):
        window = x[:, start + i : start + i + len(kernel)]
        y[:, i] = np.einsum("bkc,kcf->bf", window, kernel)
    return y


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 20).map(lambda n: 2 * n), data=st.data())
def test_tile_matrices_correlate_exactly(size, data):
    taps = data.draw(st.integers(1, size))
    rng = np.random.default_rng(size * taps)
    x, w = rng.normal(size=size), rng.normal(size=taps)
    signal, kernel, synthesis = tiled_conv.tile_matrices(size, taps)
    found = synthesis @ ((signal @ x) * (kernel @ w))
    np.testing.assert_allclose(found, np.correlate(x, w, "valid"), atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(
    length=st.integers(1, 60),
    kernels=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=3),
    batch=st.sampled_from([1, 5]),
)
def test_tiles_equal_direct_correlation_for_any_sizes(length, kernels, batch):
    rng = np.random.default_rng(length)
    taps = max(size + start for size, start in kernels)
    x = rng.normal(size=(batch, length + taps - 1, 2)).astype(np.float32)
    weights = [rng.normal(size=(size, 2, 3)).astype(np.float32) for size, _ in kernels]
    starts = [start for _, start in kernels]
    found = tiled_conv.conv1d_tiled(jnp.asarray(x), list(map(jnp.asarray, weights)), starts, length)
    expected = [
        numpy_correlation(x, w, start, length) for w, start in zip(weights, starts, strict=True)
    ]
    np.testing.assert_allclose(found, np.concatenate(expected, -1), atol=2e-5)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float32, 2e-4), (np.float64, 1e-11)])
def test_values_and_gradients_equal_direct_convolution(dtype, atol):
    shape, sizes = (24, 100, 32), (4, 8, 16)
    assert tiled_conv.pays(shape, sizes, (32,) * 3)
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == np.float64):
        x = jnp.asarray(rng.normal(size=shape), dtype)
        kernels = [jnp.asarray(0.1 * rng.normal(size=(k, 32, 32)), dtype) for k in sizes]
        target = jnp.asarray(rng.normal(size=(24, 100, 96)), dtype)

        @functools.partial(jax.jit, static_argnames="tiled")
        def run(x, kernels, tiled):
            y, pull = jax.vjp(lambda *a: conv1d_branches(*a, tiled=tiled), x, kernels)
            return y, *pull(target)

        direct, tiled = run(x, kernels, tiled=False), run(x, kernels, tiled=True)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), tiled, direct)


def test_small_batches_and_short_signals_stay_direct():
    assert not tiled_conv.pays((1, 41, 96), (4, 8, 16), (32, 32, 32))
    assert not tiled_conv.pays((64, 500, 96), (1,), (96,))
    assert tiled_conv.pays((64, 500, 96), (4, 8, 16), (32, 32, 32))
