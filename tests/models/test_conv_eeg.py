"""ConvEeg: padded rows, impossible windows, dropout, compute types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.models import conv_eeg
from elm_jax.models.conv_eeg import ELM_BRANCHES, ConvEeg, minimum_window

SMALL = dict(in_channels=3, kernels=((3, 4, 1), (6, 4, 1)), n_blocks=2, pool_sizes=(2, 3))


@pytest.fixture(scope="module")
def small():
    x = jax.random.normal(jax.random.key(0), (6, 3, 50))
    module = ConvEeg(**SMALL)
    init = jax.jit(lambda key: module.init(key, x, train=False))
    return module, init(jax.random.key(1)), x


def evaluate(module, variables, x):
    return jax.jit(lambda v, x: module.apply(v, x, train=False).pooled)(variables, x)


@pytest.mark.parametrize("fill", [0.0, 1e6, np.nan])
def test_padded_rows_touch_no_output_no_statistic_and_no_gradient(small, fill):
    module, variables, x = small
    valid = jnp.array([True, False, True, True, False, True, True, True])
    padded = jnp.full((8, 3, 50), fill).at[np.flatnonzero(valid)].set(x)

    @jax.jit
    def run(params, x, valid):
        def loss(params):
            encoded, new = module.apply(
                {**variables, "params": params}, x, valid=valid, train=True, mutable=["batch_stats"]
            )
            pooled = encoded.pooled if valid is None else encoded.pooled * valid[:, None]
            return jnp.sum(jnp.square(pooled)), (encoded.pooled, new)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (_, (expected, new)), grads = run(variables["params"], x, None)
    (_, (found, new_padded)), grads_padded = run(variables["params"], padded, valid)
    np.testing.assert_allclose(found[valid], expected, atol=1e-5)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)  # noqa: E731
    jax.tree.map(near, new_padded, new)
    jax.tree.map(near, grads_padded, grads)


def test_evaluation_does_not_touch_the_statistics(small):
    module, variables, x = small
    apply = jax.jit(lambda v: module.apply(v, x, train=False, mutable=["batch_stats"]))
    _, new = apply(variables)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])


def test_folded_evaluation_equals_unfolded_batchnorm(small):
    module, variables, x = small
    # Statistics and affine parameters unlike their initial values.
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(
        lambda a: jnp.asarray(rng.uniform(0.5, 2.0, a.shape), a.dtype) * (a + 0.3), variables
    )
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), noisy)
        reference = evaluate(module, wide, np.asarray(x, np.float64))
    found = evaluate(module, noisy, x)
    np.testing.assert_allclose(found, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [2, 5])
def test_evaluation_in_chunks_equals_evaluation_at_once(small, monkeypatch, batch):
    _, variables, x = small
    monkeypatch.setattr(conv_eeg, "CPU_SAMPLES_AT_ONCE", 2 * x.shape[2])
    expected, found = (
        jax.jit(lambda v, x, m=m: ConvEeg(**SMALL, method=m).apply(v, x, train=False))(
            variables, x[:batch]
        )
        for m in ("direct", "cpu")
    )
    np.testing.assert_allclose(found.tokens, expected.tokens, atol=1e-5)
    np.testing.assert_allclose(found.pooled, expected.pooled, atol=1e-5)


@pytest.mark.parametrize(
    ("pool_sizes", "shortest"), [((3, 2, 2, 2), 108), ((4, 4, 4, 4), 576), ((0, 0), 9)]
)
def test_a_window_too_short_for_the_last_padding_is_an_error(pool_sizes, shortest):
    assert minimum_window(ELM_BRANCHES, ELM_BRANCHES, pool_sizes) == shortest
    module = ConvEeg(n_blocks=len(pool_sizes), pool_sizes=pool_sizes)
    init = lambda t: jax.eval_shape(  # noqa: E731
        lambda x: module.init(jax.random.key(0), x, train=False), jnp.zeros((1, 2, t))
    )
    init(shortest)
    with pytest.raises(ValueError, match=f"{shortest - 1} samples is too short.*{shortest}"):
        init(shortest - 1)


@pytest.mark.parametrize(
    ("changes", "channels", "message"),
    [
        ({}, 4, "in_channels=3.*4 channels"),
        ({"pool_sizes": (2,)}, 3, "pool_sizes"),
        ({"kernels": ((3, 4, 1), (6, 4, 2))}, 3, "strides"),
        ({"block_kernels": ((3, 5, 1),)}, 3, "width"),
        ({"method": "fast"}, 3, "method.*fast"),
    ],
)
def test_what_does_not_fit_is_named(changes, channels, message):
    module = ConvEeg(**(SMALL | changes))
    with pytest.raises(ValueError, match=message):
        module.init(jax.random.key(0), jnp.zeros((2, channels, 50)), train=False)


def test_tokens_cannot_be_left_out(small):
    module, variables, x = small
    with pytest.raises(ValueError, match="keep"):
        module.apply(variables, x, keep=jnp.arange(2)[None], train=False)


def test_strides_shorten_branch_and_skip_alike():
    module = ConvEeg(**(SMALL | {"kernels": ((3, 4, 2), (6, 4, 2))}))
    x = jnp.zeros((2, 3, 101))
    encoded, _ = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, train=False))
    # 101 -> 51 (stem) -> 26 (stride) -> 13 (pool) -> 7 (stride) -> 2 (pool)
    assert encoded.tokens.shape == (2, 2, 8) and encoded.pooled.shape == (2, 8)


def test_dropout_acts_in_training_alone(small):
    _, variables, x = small
    module = ConvEeg(**SMALL, dropout=0.5, res_dropout=0.2)

    @jax.jit
    def train(seed):
        key = {"dropout": jax.random.key(seed)}
        return module.apply(variables, x, train=True, mutable=["batch_stats"], rngs=key)[0].pooled

    assert not np.allclose(train(0), train(1))
    plain = evaluate(ConvEeg(**SMALL), variables, x)
    np.testing.assert_array_equal(evaluate(module, variables, x), plain)


def test_bfloat16_compute_keeps_parameters_and_statistics_in_float32(small):
    _, variables, x = small

    def train(dtype):
        module = ConvEeg(**SMALL, dtype=dtype)
        return jax.jit(lambda v: module.apply(v, x, train=True, mutable=["batch_stats"]))(variables)

    float32 = jnp.dtype("float32")
    init = lambda: ConvEeg(**SMALL, dtype=jnp.bfloat16).init(jax.random.key(1), x, train=False)  # noqa: E731
    assert {a.dtype for a in jax.tree.leaves(jax.eval_shape(init))} == {float32}
    encoded, new = train(jnp.bfloat16)
    assert encoded.pooled.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(new)} == {float32}
    reference, _ = train(None)
    np.testing.assert_allclose(encoded.pooled.astype(float32), reference.pooled, atol=0.1, rtol=0.1)
