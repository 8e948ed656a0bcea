"""ResNet1d and MERL's head: padded rows, odd lengths, dropped views, lengths it never learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.models.base import Encoded
from elm_jax.models.merl_head import MerlHead
from elm_jax.models.resnet1d import DEPTHS, ConvNorm1d, ResNet1d

TINY = dict(blocks=(1, 1), width=4)


@pytest.fixture(scope="module", params=[18, 50], ids=["basic", "bottleneck"])
def tiny(request):
    module = ResNet1d(request.param, **TINY)
    x = jax.random.normal(jax.random.key(0), (4, 3, 41))
    variables = jax.jit(lambda key: module.init(key, x, train=False))(jax.random.key(1))
    return module, variables, x


def train_step(module, variables, x, valid):
    @jax.jit
    def run(params):
        def loss(params):
            own = variables | {"params": params}
            found, new = module.apply(own, x, valid=valid, train=True, mutable=["batch_stats"])
            rows = 1.0 if valid is None else valid[:, None]
            pooled = found.pooled * rows
            return jnp.sum(jnp.square(pooled)), (pooled, new["batch_stats"])

        return jax.grad(loss, has_aux=True)(params)

    grads, (pooled, stats) = run(variables["params"])
    return pooled, stats, grads


def near(found, expected, atol=2e-5):
    same = lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4)  # noqa: E731
    jax.tree.map(same, found, expected)


def test_padded_rows_that_hold_nan_touch_no_output_no_statistic_and_no_gradient(tiny):
    module, variables, x = tiny
    valid = jnp.array([True, False, True, True, False, True])
    padded = jnp.full((6, *x.shape[1:]), np.nan).at[np.flatnonzero(valid)].set(x)
    pooled, stats, grads = train_step(module, variables, padded, valid)
    near((pooled[valid], stats, grads), train_step(module, variables, x, None))


def test_recomputing_changes_no_gradient(tiny):
    module, variables, x = tiny
    expected = train_step(module, variables, x, None)
    near(train_step(module.clone(remat="full"), variables, x, None), expected)


def test_batchnorm_folded_into_a_kernel_is_batchnorm_after_it():
    x = jax.random.normal(jax.random.key(0), (2, 9, 3))
    module = ConvNorm1d(4, taps=3, stride=2)
    drawn = lambda i: jax.random.uniform(jax.random.key(i), (4,), minval=0.5)  # noqa: E731
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 4))
    params = {"kernel": kernel, "norm": {"scale": drawn(2), "bias": drawn(3)}}
    stats = {"norm": {"mean": drawn(4), "var": drawn(5)}}
    found = module.apply({"params": params, "batch_stats": stats}, x, train=False)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    rows = np.stack([padded[:, i : i + 3].reshape(2, 9) for i in range(0, 9, 2)], axis=1)
    y = (rows @ kernel.reshape(9, 4) - drawn(4)) / np.sqrt(drawn(5) + 1e-5)
    np.testing.assert_allclose(found, y * drawn(2) + drawn(3), atol=1e-5)


@pytest.mark.parametrize("samples, tokens", [(1, 1), (2, 1), (41, 11), (44, 11), (45, 12)])
def test_any_length_halves_rounding_up_in_stem_and_second_stage(samples, tokens):
    module = ResNet1d(18, **TINY)
    x = jnp.zeros((2, 3, samples))
    found = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, train=False)[0])
    assert found.tokens.shape == (2, tokens, 8) and found.pooled.shape == (2, 8)


@pytest.mark.parametrize("depth, layers", [(18, 17), (34, 33), (50, 49), (101, 100)])
def test_the_depths_have_their_number_of_convolutions_and_2_5_s_keep_their_widths(depth, layers):
    x = jnp.zeros((1, 12, 1000))
    made = jax.eval_shape(
        lambda: ResNet1d(depth).init_with_output(jax.random.key(0), x, train=False)
    )
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(made[1]["params"])]
    assert sum("kernel" in path and "skip" not in path for path in paths) == layers
    assert made[0].tokens.shape == (1, 63, 512 * (4 if DEPTHS[depth].bottleneck else 1))


def test_what_it_cannot_do_is_said():
    x = jnp.zeros((2, 3, 40))
    init = lambda **options: ResNet1d(**options).init(  # noqa: E731
        jax.random.key(0), x, train=False
    )
    with pytest.raises(ValueError, match=r"encoder.depth is 20; known: \[18, 34, 50, 101\]"):
        init(depth=20)
    with pytest.raises(ValueError, match="in_channels=12, the signal has 3 channels"):
        init(in_channels=12)
    with pytest.raises(ValueError, match="encoder.blocks"):
        init(blocks=(1, 0))
    with pytest.raises(ValueError, match="keep must be None"):
        ResNet1d().init(jax.random.key(0), x, keep=jnp.zeros((1, 1), int), train=False)


# -- MERL's head ----------------------------------------------------------------------------------


def head(pooling, tokens=5, **options):
    module = MerlHead(width=8, heads=2, hidden=6, pooling=pooling, **options)
    x = jax.random.normal(jax.random.key(2), (4, tokens, 7))
    encoded = Encoded(x, x.mean(1))
    return module, module.init(jax.random.key(3), encoded, train=False), encoded


@pytest.mark.parametrize("pooling", ["attention", "mlp"])
def test_views_drop_each_their_own_and_the_projection_drops_nothing(pooling):
    module, variables, encoded = head(pooling, dropout=0.5)
    same = variables["params"] | {"second": variables["params"]["first"]}
    variables = variables | {"params": same}

    def run(key):
        rngs = {"dropout": jax.random.key(key)}
        return module.apply(variables, encoded, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    one, other = run(0), run(1)
    np.testing.assert_array_equal(one.projection, other.projection)
    assert (one.first == 0).mean() > 0.2 and (one.second == 0).mean() > 0.2
    assert ((one.first == 0) != (one.second == 0)).any()
    assert ((one.first == 0) != (other.first == 0)).any()
    still = module.apply(variables, encoded, train=False)
    np.testing.assert_array_equal(still.first, still.second)


@pytest.mark.parametrize("pooling", ["attention", "mlp"])
def test_padded_rows_of_nan_reach_neither_vectors_nor_statistics_of_the_head(pooling):
    module, variables, encoded = head(pooling, dropout=0.0)
    valid = jnp.array([True, False, True, True, True])
    spread = lambda x: jnp.full((5, *x.shape[1:]), np.nan).at[valid].set(x)  # noqa: E731
    padded = Encoded(*map(spread, encoded))

    def run(encoded, valid):
        return module.apply(variables, encoded, valid=valid, train=True, mutable=["batch_stats"])

    found, stats = run(padded, valid)
    expected, expected_stats = run(encoded, None)
    near([v[valid] for v in found], list(expected))
    near(stats, expected_stats)
    assert np.isfinite(found.projection).all()


def test_attention_says_which_length_it_learnt_and_mlp_takes_any():
    module, variables, _ = head("attention")
    longer = head("attention", tokens=6)[2]
    with pytest.raises(ValueError, match="positions of 5 tokens, the encoder gives 6.*window_s"):
        module.apply(variables, longer, train=False)
    module, variables, _ = head("mlp")
    assert module.apply(variables, longer, train=False).projection.shape == (4, 8)
    with pytest.raises(ValueError, match="pooling is 'max'; known"):
        head("max")
