"""Losses as pure maths: arrays in, one value a row out; no parameters, no config.

All compute in float32 at least. Rows that are not *valid* (padding) may hold anything and change
nothing: neither a value of a valid row nor a gradient. Each function gives its rows' values
together with weights whose sum over the rows is one (zero where nothing is scored), so that
:func:`reduce_rows` is the loss; the reduction happens once, in the objective.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int

STYLES = ("x,y", "x|y", "y|x")


class RowLosses(NamedTuple):
    """Unreduced losses of both sides; ``sum(loss * weight)`` over both is the loss."""

    signal: Float[Array, " b"]
    signal_weight: Float[Array, " b"]
    text: Float[Array, " m"]
    text_weight: Float[Array, " m"]


def reduce_rows(rows: RowLosses) -> Float[Array, ""]:
    """The scalar loss: the weighted sum over the rows of both sides."""
    return jnp.sum(rows.signal * rows.signal_weight) + jnp.sum(rows.text * rows.text_weight)


def _prepare(x: Array, valid: Array | None) -> tuple[Array, Array]:
    """``x`` widened to float32 at least with zeros for padding, and ``valid`` spelt out."""
    valid = jnp.ones(x.shape[:1], bool) if valid is None else valid
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.where(valid[:, None], wide, 0), valid


def l2_normalize(x: Float[Array, "*rest d"], *, eps: float = 1e-12) -> Float[Array, "*rest d"]:
    """``x`` over its length along the last axis; a zero vector stays zero, its gradient finite."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return x / jnp.maximum(length, eps)


def _share(scored: Array, dtype, part: float) -> Array:
    """``part`` divided evenly over the rows that are scored."""
    return part * scored.astype(dtype) / jnp.maximum(scored.sum(dtype=dtype), 1)


def _masked_logsumexp(logits: Array, allowed: Array, axis: int) -> Array:
    """Log of the sum of exponentials of the ``allowed`` entries; 0 where there are none."""
    some = jnp.any(allowed, axis=axis, keepdims=True)
    # A row without any entry takes all of them: finite in value and gradient, then discarded.
    out = jax.nn.logsumexp(logits, axis=axis, where=allowed | ~some)
    return jnp.where(jnp.squeeze(some, axis), out, 0)


def multi_instance(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "m e"],
    *,
    signal_bag: Int[Array, " b"],
    text_bag: Int[Array, " m"],
    signal_valid: Bool[Array, " b"] | None = None,
    text_valid: Bool[Array, " m"] | None = None,
    temperature: float | Float[Array, ""] = 0.3,
    style: str = "x,y",
) -> RowLosses:
    """ELM's multiple-instance contrast (Gijsen & Ritter 2025), x signals, y texts.

    For a text: minus the mean, over the signals of its bag, of the log-softmax over all signals
    of the cosine / temperature; for a signal the same with the sides exchanged. A row whose bag
    has nothing on the other side is not scored.

    Args:
      signal_emb: projections of the crops (need not be normalised).
      text_emb: projections of the text segments.
      signal_bag: which bag a crop belongs to.
      text_bag: which bag a segment belongs to.
      signal_valid: False for padding.
      text_valid: False for padding.
      temperature: divides the cosines.
      style: "x|y" scores texts, "y|x" scores signals, "x,y" gives each side half the weight.

    Raises:
      ValueError: unknown style.
    """
    if style not in STYLES:
        raise ValueError(f"multi_instance style {style!r}; known: {STYLES}")
    signal_emb, signal_valid = _prepare(signal_emb, signal_valid)
    text_emb, text_valid = _prepare(text_emb, text_valid)
    logits = l2_normalize(signal_emb) @ l2_normalize(text_emb).T / temperature
    pair_valid = signal_valid[:, None] & text_valid[None, :]
    positive = (signal_bag[:, None] == text_bag[None, :]) & pair_valid

    def side(axis: int, part: float) -> tuple[Array, Array]:
        count = positive.sum(axis=axis, dtype=logits.dtype)
        mean_positive = jnp.where(positive, logits, 0).sum(axis) / jnp.maximum(count, 1)
        scored = count > 0
        loss = jnp.where(scored, _masked_logsumexp(logits, pair_valid, axis) - mean_positive, 0)
        return loss, _share(scored, logits.dtype, part)

    text_part = {"x,y": 0.5, "x|y": 1.0, "y|x": 0.0}[style]
    return RowLosses(*side(1, 1.0 - text_part), *side(0, text_part))


def soft_target_contrast(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "b e"],
    *,
    valid: Bool[Array, " b"] | None = None,
    temperature: float | Float[Array, ""] = 0.07,
) -> RowLosses:
    """ELM's ``el`` loss: paired contrast towards the two sides' own similarities.

    Targets are softmax((signal signal^T + text text^T) / 2 * temperature) along a row; signals
    are scored against its transpose, whose rows do not sum to one (as published). Gradients flow
    through the targets.

    Args:
      signal_emb: projections of the crops.
      text_emb: row i is the text of crop i.
      valid: False for padded pairs.
      temperature: divides the cosines, and multiplies the targets' logits.
    """
    signal_emb, valid = _prepare(signal_emb, valid)
    text_emb, _ = _prepare(text_emb, valid)
    signal_unit, text_unit = l2_normalize(signal_emb), l2_normalize(text_emb)
    pair_valid = valid[:, None] & valid[None, :]
    logits = text_unit @ signal_unit.T / temperature
    likeness = (signal_unit @ signal_unit.T + text_unit @ text_unit.T) / 2 * temperature
    target_lse = _masked_logsumexp(likeness, pair_valid, 1)[:, None]
    targets = jnp.where(pair_valid, jnp.exp(jnp.where(pair_valid, likeness - target_lse, 0)), 0)

    def side(axis: int) -> Array:
        lse = jnp.expand_dims(_masked_logsumexp(logits, pair_valid, axis), axis)
        return jnp.sum(jnp.where(pair_valid, targets * (lse - logits), 0), axis=axis)

    weight = _share(valid, logits.dtype, 0.5)
    return RowLosses(side(0), weight, side(1), weight)


def orthogonality(
    hidden: Float[Array, "b d"],
    *,
    valid: Bool[Array, " b"] | None = None,
    off_diagonal_weight: float = 0.0051,
) -> Float[Array, " d"]:
    """First part of ELM's ``e`` loss (M-FLAG): one value a feature; their sum is the loss.

    Rows are normalised, the Gram matrix of the features is divided by the number of valid rows,
    and its distance from the identity is squared, off the diagonal with a small weight, halved.
    """
    hidden, valid = _prepare(hidden, valid)
    unit = l2_normalize(hidden)
    gram = unit.T @ unit / jnp.maximum(valid.sum(dtype=unit.dtype), 1)
    eye = jnp.eye(gram.shape[0], dtype=gram.dtype)
    weight = jnp.where(eye > 0, 1.0, off_diagonal_weight).astype(gram.dtype)
    per_feature = jnp.sum(weight * jnp.square(gram - eye), axis=1) / 2
    return jnp.where(valid.any(), per_feature, 0)


def alignment(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "b e"],
    *,
    valid: Bool[Array, " b"] | None = None,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Second part of ELM's ``e`` loss: 4 - 4 cosine of each pair, and the rows' weights."""
    signal_emb, valid = _prepare(signal_emb, valid)
    text_emb, _ = _prepare(text_emb, valid)
    cosine = jnp.sum(l2_normalize(signal_emb) * l2_normalize(text_emb), axis=-1)
    return jnp.where(valid, 4 - 4 * cosine, 0), _share(valid, cosine.dtype, 1.0)


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
    logits, valid = _prepare(logits, valid)
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
    logits, valid = _prepare(logits, valid)
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
    prediction, valid = _prepare(prediction, valid)
    scored = jnp.isfinite(target) & valid[:, None]
    target = jnp.where(scored, target, 0).astype(prediction.dtype)
    return _spread(jnp.square(prediction - target), scored.astype(prediction.dtype))
