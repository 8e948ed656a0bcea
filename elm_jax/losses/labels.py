"""Losses of labels: yes/no questions, classes and numbers."""

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.losses.rows import widen


def _spread(loss: Array, count: Array) -> tuple[Array, Array]:
    """``loss`` with zeros where ``count`` is zero, and ``count`` scaled to sum to one."""
    total = count.sum()
    return jnp.where(count > 0, loss, 0), count / jnp.where(total > 0, total, 1)


def binary_cross_entropy(
    logits: Float[Array, "b k"],
    target: Float[Array, "b k"],
    *,
    valid: Bool[Array, " b"] | None = None,
    positive_weight: Float[Array, " k"] | None = None,
) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
    """Cross-entropy of independent yes/no questions, and the entries' weights.

    Args:
      logits: of "yes".
      target: 1 or 0; NaN where it is not known, which is not scored.
      valid: False for padding.
      positive_weight: multiplies the loss of an entry whose target is 1 (but not its weight in the
        mean), as PyTorch's ``pos_weight``.
    """
    logits, valid = widen(logits, valid)
    scored = jnp.isfinite(target) & valid[:, None]
    target = jnp.where(scored, target, 0).astype(logits.dtype)
    gain = 1.0 if positive_weight is None else jnp.asarray(positive_weight, logits.dtype)
    positive = gain * target * jax.nn.log_sigmoid(logits)
    loss = -positive - (1 - target) * jax.nn.log_sigmoid(-logits)
    return _spread(loss, scored.astype(logits.dtype))


def cross_entropy(
    logits: Float[Array, "b k"],
    target: Int[Array, " b"],
    *,
    valid: Bool[Array, " b"] | None = None,
    class_weight: Float[Array, " k"] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Softmax cross-entropy of one of k classes, and the rows' weights.

    With ``class_weight`` and ``label_smoothing`` as PyTorch's ``CrossEntropyLoss``: the loss is
    divided by the weights of the rows' classes, and a share ``label_smoothing`` of the target
    lies evenly on all classes, each with its own weight.

    Args:
      logits: unnormalised log-probabilities.
      target: the class; a negative one is not scored.
      valid: False for padding.
      class_weight: weight of each class.
      label_smoothing: share of the target that all classes divide.
    """
    logits, valid = widen(logits, valid)
    k = logits.shape[1]
    scored = valid & (target >= 0)
    weight = jnp.ones(k) if class_weight is None else jnp.asarray(class_weight)
    weight = weight.astype(logits.dtype)
    count = jnp.where(scored, weight[jnp.maximum(target, 0)], 0)
    one_hot = jax.nn.one_hot(jnp.maximum(target, 0), k, dtype=logits.dtype)
    soft = (1 - label_smoothing) * one_hot + label_smoothing / k
    loss = -jnp.sum(weight * soft * jax.nn.log_softmax(logits), axis=1)
    # The weight is in `count` already; a class of weight zero counts, and costs, nothing.
    return _spread(loss / jnp.where(count > 0, count, 1), count)


def squared_error(
    prediction: Float[Array, "b k"],
    target: Float[Array, "b k"],
    *,
    valid: Bool[Array, " b"] | None = None,
) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
    """Squared difference of every entry, and the entries' weights; a NaN target is not scored."""
    prediction, valid = widen(prediction, valid)
    scored = jnp.isfinite(target) & valid[:, None]
    target = jnp.where(scored, target, 0).astype(prediction.dtype)
    return _spread(jnp.square(prediction - target), scored.astype(prediction.dtype))
