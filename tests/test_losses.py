"""Losses: equal to the published ones, and deaf to padding."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from elm_jax import losses

STYLE_NAMES = {"x,y": "xy", "x|y": "x_given_y", "y|x": "y_given_x"}


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden/elm/losses.npz") as file:
        return dict(file)


def mil(signal, text, style="x,y", temperature=0.3, **kwargs):
    rows = losses.multi_instance(signal, text, style=style, temperature=temperature, **kwargs)
    return losses.reduce_rows(rows)


@pytest.mark.parametrize("style", losses.STYLES)
def test_multi_instance_equals_the_published_loss_and_gradient(golden, style):
    bags = dict(
        signal_bag=jnp.asarray(golden["mil_eeg_id"], jnp.int32),
        text_bag=jnp.asarray(golden["mil_text_id"], jnp.int32),
    )
    loss, (grad_signal, grad_text) = mil_value_and_grad(
        golden["mil_eeg"], golden["mil_text"], style=style, **bags
    )
    name = STYLE_NAMES[style]
    np.testing.assert_allclose(loss, golden[f"mil_{name}_loss"], atol=1e-5)
    np.testing.assert_allclose(grad_signal, golden[f"mil_{name}_grad_eeg"], atol=1e-5)
    np.testing.assert_allclose(grad_text, golden[f"mil_{name}_grad_text"], atol=1e-5)


def test_soft_target_contrast_equals_the_published_loss_and_gradient(golden):
    def loss_fn(signal, text):
        return losses.reduce_rows(losses.soft_target_contrast(signal, text, temperature=0.07))

    value_and_grad = jax.jit(jax.value_and_grad(loss_fn, argnums=(0, 1)))
    loss, (grad_signal, grad_text) = value_and_grad(golden["el_eeg"], golden["el_text"])
    np.testing.assert_allclose(loss, golden["el_loss"], atol=1e-5)
    np.testing.assert_allclose(grad_signal, golden["el_grad_eeg"], atol=1e-5)
    np.testing.assert_allclose(grad_text, golden["el_grad_text"], atol=1e-5)


def test_orthogonality_and_alignment_equal_the_published_loss_and_gradient(golden):
    def ortho(hidden):
        return 0.5 * losses.orthogonality(hidden).sum()

    def align(signal, text):
        loss, weight = losses.alignment(signal, text)
        return 0.5 * (loss * weight).sum()

    loss, grad = jax.jit(jax.value_and_grad(ortho))(golden["e_hidden"])
    np.testing.assert_allclose(loss, golden["e_ortho"], atol=1e-5)
    np.testing.assert_allclose(grad, golden["e_grad_hidden"], atol=1e-5)
    loss, grad = jax.jit(jax.value_and_grad(align))(golden["el_eeg"], golden["el_text"])
    np.testing.assert_allclose(loss, golden["e_align"], atol=1e-5)
    np.testing.assert_allclose(grad, golden["e_grad_eeg"], atol=1e-5)


mil_value_and_grad = jax.jit(jax.value_and_grad(mil, argnums=(0, 1)), static_argnames="style")


def padded(x, places, fill):
    """``x`` with rows of ``fill`` put in at ``places`` (indices of the result)."""
    n = len(x) + len(places)
    valid = np.ones(n, bool)
    valid[list(places)] = False
    out = np.full((n, *x.shape[1:]), fill, x.dtype)
    out[valid] = x
    return out, valid


# Sizes are few, so that few shapes are compiled.
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    style=st.sampled_from(losses.STYLES),
    fill=st.sampled_from([0.0, np.nan, np.inf, 1e4]),
    data=st.data(),
)
def test_padded_rows_change_neither_loss_nor_gradient(seed, style, fill, data):
    rng = np.random.default_rng(seed)
    b, m, d = 7, 5, 6
    signal = rng.normal(size=(b, d)).astype(np.float32)
    text = rng.normal(size=(m, d)).astype(np.float32)
    # Some bags have no text, some no signal.
    signal_bag, text_bag = rng.integers(0, 4, b), rng.integers(0, 4, m)
    rows_of = lambda n, extra: st.lists(  # noqa: E731
        st.integers(0, n + extra - 1), min_size=extra, max_size=extra, unique=True
    )
    signal_places, text_places = data.draw(rows_of(b, 3)), data.draw(rows_of(m, 4))

    signal_pad, signal_valid = padded(signal, signal_places, fill)
    text_pad, text_valid = padded(text, text_places, fill)
    # Padding may carry the number of a real bag.
    bag_pad, _ = padded(signal_bag, signal_places, 1)
    text_bag_pad, _ = padded(text_bag, text_places, 1)

    expected, grads = mil_value_and_grad(
        signal, text, style=style, signal_bag=signal_bag, text_bag=text_bag
    )
    found, grads_pad = mil_value_and_grad(
        signal_pad,
        text_pad,
        style=style,
        signal_bag=bag_pad,
        text_bag=text_bag_pad,
        signal_valid=signal_valid,
        text_valid=text_valid,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    for grad, grad_pad, valid in zip(grads, grads_pad, (signal_valid, text_valid), strict=True):
        np.testing.assert_allclose(np.asarray(grad_pad)[valid], grad, atol=1e-6)
        assert (np.asarray(grad_pad)[~valid] == 0).all()


@pytest.mark.parametrize("fill", [0.0, np.nan, 1e4])
def test_padded_pairs_change_neither_paired_loss_nor_gradient(fill):
    rng = np.random.default_rng(0)
    signal, text = rng.normal(size=(2, 6, 5)).astype(np.float32)
    signal_pad, valid = padded(signal, [0, 3, 8], fill)
    text_pad, _ = padded(text, [0, 3, 8], fill)

    def el(signal, text, valid=None):
        return losses.reduce_rows(losses.soft_target_contrast(signal, text, valid=valid))

    def e(signal, text, valid=None):
        loss, weight = losses.alignment(signal, text, valid=valid)
        return losses.orthogonality(signal, valid=valid).sum() + (loss * weight).sum()

    for fn in (el, e):
        value_and_grad = jax.jit(jax.value_and_grad(fn, argnums=(0, 1)))
        expected, grads = value_and_grad(signal, text)
        found, grads_pad = value_and_grad(signal_pad, text_pad, valid)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        for grad, grad_pad in zip(grads, grads_pad, strict=True):
            np.testing.assert_allclose(np.asarray(grad_pad)[valid], grad, atol=1e-6)
            assert (np.asarray(grad_pad)[~valid] == 0).all()


def test_rows_without_a_positive_are_not_scored():
    signal = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    text = signal[:2] + 1
    rows = losses.multi_instance(
        signal, text, signal_bag=jnp.array([0, 1, 9]), text_bag=jnp.array([0, 1])
    )
    assert rows.signal[2] == 0 and rows.signal_weight[2] == 0
    np.testing.assert_allclose(rows.signal_weight.sum() + rows.text_weight.sum(), 1)


def test_a_batch_of_padding_alone_has_loss_and_gradient_zero():
    x, none = jnp.ones((3, 4)), jnp.zeros(3, bool)
    bag = jnp.arange(3)
    fns = [
        lambda x: mil(x, x, signal_bag=bag, text_bag=bag, signal_valid=none, text_valid=none),
        lambda x: losses.reduce_rows(losses.soft_target_contrast(x, x, valid=none)),
        lambda x: losses.orthogonality(x, valid=none).sum(),
    ]
    for fn in fns:
        loss, grad = jax.jit(jax.value_and_grad(fn))(x)
        assert loss == 0 and (grad == 0).all()


def test_losses_are_float32_for_bfloat16_inputs():
    x = jnp.ones((4, 8), jnp.bfloat16)
    bag = jnp.arange(4)
    assert mil(x, x, signal_bag=bag, text_bag=bag).dtype == jnp.float32
    assert losses.soft_target_contrast(x, x).signal.dtype == jnp.float32
    assert losses.orthogonality(x).dtype == jnp.float32


def test_a_zero_vector_has_a_finite_gradient():
    grad = jax.grad(lambda x: losses.l2_normalize(x)[0, 0])(jnp.zeros((1, 3)))
    assert np.isfinite(grad).all()


def test_unknown_style_is_named():
    with pytest.raises(ValueError, match=r"xy.*x\|y"):
        mil(
            jnp.ones((2, 2)),
            jnp.ones((2, 2)),
            "xy",
            signal_bag=jnp.arange(2),
            text_bag=jnp.arange(2),
        )
