"""BatchNorm against PyTorch's, padding, initial values, attention."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from elm_jax.models import attention as attention_module
from elm_jax.models import convolution, layers
from elm_jax.models.heads import SignalProjector, TextProjector


@jax.jit
def batch_norm(x, valid=None):
    module = layers.BatchNorm(x.shape[-1])
    variables = module.init(jax.random.key(0), x, train=False)
    return module.apply(variables, x, valid=valid, train=True, mutable=["batch_stats"])


def train(module, variables, x, valid=None):
    def apply(v, x, valid):
        return module.apply(v, x, valid=valid, train=True, mutable=["batch_stats"])

    return jax.jit(apply)(variables, x, valid)


def test_batchnorm_trains_and_evaluates_as_pytorch():
    import torch

    x = np.random.default_rng(0).normal(2.0, 3.0, (5, 7, 4)).astype(np.float32)
    twin = torch.nn.BatchNorm1d(4)
    expected = twin(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).detach()
    found, new = batch_norm(jnp.asarray(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    stats = new["batch_stats"]
    np.testing.assert_allclose(stats["mean"], twin.running_mean, atol=1e-6)
    np.testing.assert_allclose(stats["var"], twin.running_var, rtol=1e-5)
    module = layers.BatchNorm(4)
    evaluated = module.apply(
        {"params": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}, **new}, jnp.asarray(x), train=False
    )
    expected = twin.eval()(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).detach()
    np.testing.assert_allclose(evaluated, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.permutations([True, True, True, True, False, False]) | st.just([False] * 6),
    st.sampled_from([0.0, 1e5, np.nan]),
)
def test_batchnorm_sees_valid_rows_alone(valid, fill):
    valid = np.array(valid)
    x = np.random.default_rng(0).normal(1.0, 2.0, (6, 3, 2)).astype(np.float32)
    padded = np.where(valid[:, None, None], x, np.float32(fill))
    found, new = batch_norm(jnp.asarray(padded), jnp.asarray(valid))
    if not valid.any():
        np.testing.assert_array_equal(new["batch_stats"]["mean"], np.zeros(2))
        np.testing.assert_array_equal(new["batch_stats"]["var"], np.ones(2))
        return
    expected, expected_new = batch_norm(jnp.asarray(x[valid]))
    np.testing.assert_allclose(np.asarray(found)[valid], expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new, expected_new)


def test_one_value_a_channel_is_an_error_or_feeds_the_biased_variance():
    with pytest.raises(ValueError, match="more than one value"):
        batch_norm(jnp.ones((1, 4)))
    _, new = batch_norm(jnp.ones((3, 4)), jnp.array([True, False, False]))
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9)


def test_batchnorm_keeps_float32_statistics_in_bfloat16():
    # 1000 + noise: in bfloat16 a mean would be off by whole units.
    x = (1000 + 8 * jax.random.normal(jax.random.key(0), (512, 3))).astype(jnp.bfloat16)
    found, new = batch_norm(x)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        new["batch_stats"]["mean"], 0.1 * x.astype(jnp.float32).mean(0), rtol=1e-5
    )


@pytest.mark.parametrize("head", [SignalProjector((9, 6)), TextProjector((9, 6))])
def test_padded_rows_touch_nothing_in_the_projectors(head):
    x = jax.random.normal(jax.random.key(0), (5, 4))
    variables = jax.jit(lambda x: head.init(jax.random.key(1), x, train=False))(x)
    valid = jnp.array([True, True, False, True, True, True, False])
    padded = jnp.full((7, 4), jnp.nan).at[np.flatnonzero(valid)].set(x)
    expected, new = train(head, variables, x)
    found, new_padded = train(head, variables, padded, valid)
    np.testing.assert_allclose(found[valid], expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new_padded, new)


def test_reflection_padding_equals_pytorch_and_never_reflects_twice():
    import torch

    x = np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32)
    expected = torch.nn.ReflectionPad1d((8, 7))(torch.from_numpy(x).transpose(1, 2))
    found = convolution.reflect_pad(jnp.asarray(x), 8, 7)
    np.testing.assert_array_equal(found, expected.transpose(1, 2))
    with pytest.raises(ValueError, match="at least 9 samples, found 8"):
        convolution.reflect_pad(jnp.asarray(x[:, :8]), 8, 7)


def test_initial_values_are_pytorchs():
    kernel = layers.Dense(400).init(jax.random.key(0), jnp.ones((1, 100)))["params"]["kernel"]
    assert np.abs(kernel).max() <= 0.1
    np.testing.assert_allclose(kernel.std(), 0.1 / np.sqrt(3), rtol=0.02)


attention = jax.jit(attention_module.attention)


def test_attention_ignores_invalid_keys():
    key = jax.random.key(0)
    q, k, v = jax.random.normal(key, (3, 2, 5, 2, 4))
    valid = jnp.array([[True, True, False, True, False], [True] * 5])
    found = attention(q, k, v, key_valid=valid)
    seen = jnp.array([0, 1, 3])
    expected = attention(q[:1], k[:1, seen], v[:1, seen])
    np.testing.assert_allclose(found[:1], expected, atol=1e-6)
    np.testing.assert_allclose(found[1:], attention(q[1:], k[1:], v[1:]), atol=1e-6)


def test_attention_equals_pytorch():
    import torch

    q, k, v = np.random.default_rng(0).normal(size=(3, 2, 5, 3, 4)).astype(np.float32)
    as_torch = [torch.from_numpy(a).transpose(1, 2) for a in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*as_torch).transpose(1, 2)
    found = attention(jnp.asarray(q), jnp.asarray(k), jnp.asarray(v))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_attention_width_must_divide_into_heads():
    module = attention_module.MultiHeadAttention(3)
    with pytest.raises(ValueError, match="n_heads=3"):
        module.init(jax.random.key(0), jnp.ones((1, 2, 4)), train=False)


def test_max_pool_drops_the_tail():
    x = jnp.arange(7.0).reshape(1, 7, 1)
    np.testing.assert_array_equal(convolution.max_pool(x, 3)[0, :, 0], [2.0, 5.0])


def test_elu_and_its_slope_equal_pytorchs():
    import torch

    x = np.concatenate([np.linspace(-30, 5, 71), [-1e-4, 0.0, 1e-4]]).astype(np.float32)
    twin = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.elu(twin)
    expected.sum().backward()
    found, slope = jax.jit(jax.vmap(jax.value_and_grad(layers.elu)))(x)
    np.testing.assert_allclose(found, expected.detach(), atol=2e-7)
    np.testing.assert_allclose(slope[x != 0], twin.grad[x != 0], atol=2e-7)
    np.testing.assert_allclose(slope[x == 0], 1.0, atol=2e-7)


def test_branches_equal_separate_padded_convolutions_in_pytorch():
    import torch

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 30, 3)).astype(np.float32)
    for sizes, stride in (((4, 7, 16), 1), ((5, 2), 3), ((1, 1), 2)):
        kernels = [rng.normal(size=(k, 3, 4)).astype(np.float32) for k in sizes]
        found = jax.jit(convolution.conv1d_branches, static_argnames="stride")(
            x, [jnp.asarray(k) for k in kernels], stride=stride
        )
        expected = []
        for k in kernels:
            pad = torch.nn.ReflectionPad1d((len(k) // 2, (len(k) - 1) // 2))
            padded = pad(torch.from_numpy(x).transpose(1, 2))
            weight = torch.from_numpy(k.transpose(2, 1, 0).copy())
            expected.append(torch.nn.functional.conv1d(padded, weight, stride=stride))
        expected = torch.cat(expected, 1).transpose(1, 2)
        np.testing.assert_allclose(found, expected, atol=1e-4)
