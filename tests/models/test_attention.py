"""Attention: block by block, by device, by position."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.models import attention, blocked_attention


def clean_environment():
    """Without what pytest set for one device; the package is found from the checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_NUM"))}
    return kept | {"PYTHONPATH": "."}


def draw(b, n, m, h, k, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((b, n, h, k), (b, m, h, k), (b, m, h, k), (b, n, h, k))
    return [jax.random.normal(key, s, dtype) for key, s in zip(keys, shapes, strict=True)]


def slopes(function, q, k, v, weight):
    def total(q, k, v):
        return (function(q, k, v).astype(jnp.float32) * weight).sum()

    return jax.jit(jax.value_and_grad(total, (0, 1, 2)))(q, k, v)


@pytest.mark.parametrize(
    "size, block", [((3, 5, 7, 2, 4), 1), ((3, 5, 7, 2, 4), 110), ((2, 1, 6, 3, 8), 2**19)]
)
def test_blocks_give_the_plain_values_and_gradients(monkeypatch, size, block):
    monkeypatch.setattr(blocked_attention, "BLOCK_WEIGHTS", block)
    q, k, v, weight = draw(*size)
    q = q * 3  # some weights near one, some near zero
    found = slopes(lambda *a: blocked_attention.attention(*a), q, k, v, weight)
    expected = slopes(jax.nn.dot_product_attention, q, k, v, weight)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-5)


def test_blocks_survive_logits_beyond_what_exp_can_hold():
    q, k, v, weight = draw(2, 3, 4, 1, 4)
    _, found = slopes(lambda *a: blocked_attention.attention(*a), q * 300, k, v, weight)
    assert all(np.isfinite(f).all() for f in found)


def test_blocks_in_bfloat16_keep_a_wide_softmax():
    q, k, v, weight = draw(2, 9, 9, 2, 8, jnp.bfloat16)
    found = blocked_attention.attention(q, k, v)
    assert found.dtype == jnp.bfloat16
    wide = [a.astype(jnp.float32) for a in (q, k, v)]
    np.testing.assert_allclose(
        found.astype(jnp.float32), jax.nn.dot_product_attention(*wide), atol=0.03
    )


@pytest.mark.parametrize(
    "device, shape, dtype, masked, how",
    [
        ("gpu", (2, 553, 8, 64), jnp.bfloat16, False, "cudnn"),
        ("gpu", (2, 553, 8, 64), jnp.float32, False, "xla"),
        ("gpu", (2, 553, 8, 64), jnp.bfloat16, True, "xla"),
        ("gpu", (2, 553, 8, 20), jnp.bfloat16, False, "xla"),
        ("gpu", (2, 553, 2, 256), jnp.float16, False, "xla"),
        ("tpu", (64, 553, 8, 64), jnp.bfloat16, False, "xla"),
        ("cpu", (64, 553, 4, 16), jnp.float32, False, "blocked"),
        ("cpu", (64, 553, 4, 16), jnp.float32, True, "xla"),
        ("cpu", (2, 13, 4, 16), jnp.float32, False, "xla"),
    ],
)
def test_device_type_and_sizes_choose_how_attention_runs(
    monkeypatch, device, shape, dtype, masked, how
):
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    assert attention.implementation(shape, shape[1], dtype, masked) == how


@pytest.mark.parametrize("how", ["xla", "blocked"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_way_gives_the_plain_form(monkeypatch, how, dtype):
    """Plain: all weights written out, as where dropout needs them."""
    q, k, v, weight = draw(2, 6, 6, 2, 8, dtype)
    monkeypatch.setattr(attention, "implementation", lambda *sizes: how)
    found = slopes(attention.attention, q, k, v, weight)
    plain = slopes(lambda *a: attention.attention(*a, drop=lambda w: w), q, k, v, weight)
    tolerance = 2e-5 if dtype == jnp.float32 else 0.1
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        one, other = (np.asarray(x, np.float32) for x in (one, other))
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def test_long_sequences_take_blocks_and_the_module_gives_the_same(monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 30, 16))
    module = attention.MultiHeadAttention(2)
    variables = module.init(jax.random.key(1), x, train=False)
    plain = module.apply(variables, x, train=False)
    monkeypatch.setattr(blocked_attention, "WORTH_WEIGHTS", 100)
    np.testing.assert_allclose(module.apply(variables, x, train=False), plain, atol=1e-6)


def test_rotation_depends_on_distance_alone_and_leaves_the_second_half():
    q, k, *_ = draw(1, 1, 1, 1, 8)
    products = []
    for shift in (0, 5):
        angle = (
            attention.rotary_angles(jnp.array([3 + shift]), 4),
            attention.rotary_angles(jnp.array([7 + shift]), 4),
        )
        turned = [attention.rotate(x, a) for x, a in zip((q, k), angle, strict=True)]
        products.append(float((turned[0] * turned[1]).sum()))
        np.testing.assert_array_equal(turned[0][..., 4:], q[..., 4:])
    np.testing.assert_allclose(*products, atol=1e-5)
    # Positions are stretched by two, pairs are neighbours.
    at_two = attention.rotary_angles(jnp.array([2]), 4)
    np.testing.assert_allclose(at_two[0], [1.0, 0.01], rtol=1e-6)
    one = jnp.zeros((1, 1, 1, 8)).at[..., 0].set(1)
    np.testing.assert_allclose(
        attention.rotate(one, at_two)[0, 0, 0, :3], [np.cos(1), np.sin(1), 0], atol=1e-6
    )


def test_blocks_are_of_each_devices_own_rows():
    script = pathlib.Path(__file__).resolve().parent.parent / "attention_on_devices.py"
    done = subprocess.run([sys.executable, script], cwd=script.parent.parent, capture_output=True,
                          text=True, env=clean_environment())  # fmt: skip
    assert done.stdout.strip() == "same", done.stderr[-2000:]
