"""Losses of labels equal PyTorch's, weights, smoothing and gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from elm_jax import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(12, 4)).astype(np.float32) * 3
CLASSES = RNG.integers(0, 4, 12)
WEIGHT = np.array([0.5, 1.0, 2.0, 4.0], np.float32)


def both(ours, theirs):
    """Losses and gradients of the same logits."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = theirs(logits)
    loss.backward()
    value, grad = jax.value_and_grad(lambda x: sum_of(ours(x)))(jnp.asarray(LOGITS))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(grad, logits.grad.numpy(), atol=1e-6)


def sum_of(rows):
    loss, weight = rows
    np.testing.assert_allclose(jax.lax.stop_gradient(weight).sum(), 1, rtol=1e-5)
    return jnp.sum(loss * weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy(weight, smoothing):
    torch_weight = None if weight is None else torch.tensor(weight)
    ours = None if weight is None else jnp.asarray(weight)
    theirs = torch.nn.CrossEntropyLoss(weight=torch_weight, label_smoothing=smoothing)
    both(
        lambda x: losses.cross_entropy(
            x, jnp.asarray(CLASSES), class_weight=ours, label_smoothing=smoothing
        ),
        lambda x: theirs(x, torch.tensor(CLASSES)),
    )


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_binary_cross_entropy(weight):
    target = (LOGITS > 1).astype(np.float32)
    ours = None if weight is None else jnp.asarray(weight)
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=None if weight is None else torch.tensor(weight))
    both(
        lambda x: losses.binary_cross_entropy(x, jnp.asarray(target), positive_weight=ours),
        lambda x: theirs(x, torch.tensor(target)),
    )


def test_squared_error():
    target = RNG.normal(size=LOGITS.shape).astype(np.float32)
    both(
        lambda x: losses.squared_error(x, jnp.asarray(target)),
        lambda x: torch.nn.MSELoss()(x, torch.tensor(target)),
    )
