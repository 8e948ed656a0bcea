"""Alignment of pairs without negatives: the two parts of ELM's ``e`` loss."""

import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.losses.rows import l2_normalize, share, widen


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
    hidden, valid = widen(hidden, valid)
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
    signal_emb, valid = widen(signal_emb, valid)
    text_emb, _ = widen(text_emb, valid)
    cosine = jnp.sum(l2_normalize(signal_emb) * l2_normalize(text_emb), axis=-1)
    return jnp.where(valid, 4 - 4 * cosine, 0), share(valid, cosine.dtype, 1.0)
