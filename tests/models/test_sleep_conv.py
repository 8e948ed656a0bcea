"""SleepConv: padded rows, impossible windows, dropout, compute types, what remat keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.models.sleep_conv import SleepConv

SMALL = dict(
    sfreq_hz=50.0, in_channels=2, window_samples=90, filters=3, kernel_s=0.1, pool_s=0.08,
    pad_s=0.04, outputs=4, batch_norm=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def small():
    x = jax.random.normal(jax.random.key(0), (5, 2, 90))
    module = SleepConv(**SMALL)
    variables = jax.jit(lambda key: module.init(key, x, train=False))(jax.random.key(1))
    # A scale below zero: the largest output is then where the convolution gives the smallest.
    turned = jnp.array([1.0, -0.7, 0.3])
    norms = {k: v | {"scale": turned} for k, v in variables["params"].items() if "norm" in k}
    return variables | {"params": variables["params"] | norms}, x


def train_step(variables, x, valid, key=None, **options):
    """Vectors, new statistics and gradients."""
    module = SleepConv(**SMALL | dict(dropout=0.0) | options)
    rngs = {} if key is None else {"dropout": key}

    @jax.jit
    def run(params, x, valid):
        def loss(params):
            own = variables | {"params": params}
            encoded, new = module.apply(
                own, x, valid=valid, train=True, mutable=["batch_stats"], rngs=rngs
            )
            rows = 1.0 if valid is None else valid[:, None]
            pooled = encoded.pooled * rows
            return jnp.sum(jnp.square(pooled)), (pooled, new["batch_stats"])

        return jax.grad(loss, has_aux=True)(params)

    grads, (pooled, stats) = run(variables["params"], x, valid)
    return pooled, stats, grads


def near(found, expected, atol=2e-5):
    same = lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4)  # noqa: E731
    jax.tree.map(same, found, expected)


@pytest.mark.parametrize("fill, method", [(1e6, "direct"), (np.nan, "cpu")])
def test_padded_rows_touch_no_output_no_statistic_and_no_gradient(small, fill, method):
    variables, x = small
    valid = jnp.array([True, False, True, True, False, True, True])
    padded = jnp.full((7, 2, 90), fill).at[np.flatnonzero(valid)].set(x)
    expected = train_step(variables, x, None, method="direct")
    found = train_step(variables, padded, valid, method=method)
    near((found[0][valid], *found[1:]), expected)


def test_recomputing_changes_no_gradient(small):
    variables, x = small
    expected = train_step(variables, x, None, method="direct")
    near(train_step(variables, x, None, method="direct", remat="full"), expected)


def test_dropout_is_on_the_features_alone_and_only_while_training(small):
    variables, x = small
    key = jax.random.key(3)
    one = train_step(variables, x, None, key=key, dropout=0.5)
    two = train_step(variables, x, None, key=key, dropout=0.0)
    near(one[1], two[1])
    assert np.abs(one[0] - two[0]).max() > 0.01
    features = SleepConv(**SMALL | dict(outputs=None, dropout=0.5))
    apply = lambda v: features.apply(v, x, train=True, mutable=["batch_stats"])[0]  # noqa: E731
    jax.eval_shape(apply, variables)  # asks for no key


def test_bfloat16_computes_narrow_with_wide_statistics(small):
    variables, x = small
    narrow = SleepConv(**SMALL, dtype=jnp.bfloat16)
    keys = {"dropout": jax.random.key(0)}
    train = lambda v: narrow.apply(v, x, train=True, mutable=["batch_stats"], rngs=keys)  # noqa: E731
    encoded, new = jax.eval_shape(train, variables)
    assert encoded.pooled.dtype == encoded.tokens.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(new))
    evaluated, expected = (
        jax.jit(lambda v, m=m: m.apply(v, x, train=False).pooled)(variables)
        for m in (narrow, SleepConv(**SMALL))
    )
    np.testing.assert_allclose(evaluated.astype(jnp.float32), expected, atol=0.1)


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((2, 3, 90), {}, "in_channels=2, the signal has 3 channels"),
        ((2, 2, 91), {}, "windows of 90 samples.*found 91"),
        ((2, 2, 10), dict(outputs=None), "10 samples leaves none.*longer window_s"),
        ((2, 2, 90), dict(activation="swish"), "'swish'; known: .*'silu'"),
        ((2, 2, 90), dict(method="fast"), "encoder.method 'fast'; known"),
        ((2, 2, 90), dict(pool_s=0.0), "pool_s=0.0 must be positive"),
    ],
)
def test_what_cannot_be_encoded_says_why(shape, options, message):
    module = SleepConv(**SMALL | options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(shape), train=False))


def test_features_come_from_windows_of_any_length():
    module = SleepConv(**SMALL | dict(outputs=None))
    make = lambda t: module.init_with_output(jax.random.key(0), jnp.zeros((2, 2, t)), train=False)  # noqa: E731
    encoded, variables = jax.eval_shape(lambda: make(120))
    assert "out" not in variables["params"]
    n = encoded.tokens.shape[1]
    assert encoded.tokens.shape == (2, n, 3 * 2) and encoded.pooled.shape == (2, n * 3 * 2)
