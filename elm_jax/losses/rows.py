"""What every loss shares: rows that are valid or not, and weights that say what a row counts."""

from typing import NamedTuple

import jax.numpy as jnp

from elm_jax.axes import Array, Float

SIMILARITIES = ("ring", "dense")


def require_similarity(similarity: str) -> None:
    """Raises unless it is known.

    Raises:
      ValueError: lists the known.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity is {similarity!r}; known: {SIMILARITIES}")


class RowLosses(NamedTuple):
    """Unreduced losses of both sides; ``sum(loss * weight)`` over both is the loss."""

    signal: Float[Array, " b"]
    signal_weight: Float[Array, " b"]
    text: Float[Array, " m"]
    text_weight: Float[Array, " m"]


def reduce_rows(rows: RowLosses) -> Float[Array, ""]:
    """The scalar loss: the weighted sum over the rows of both sides."""
    return jnp.sum(rows.signal * rows.signal_weight) + jnp.sum(rows.text * rows.text_weight)


def l2_normalize(x: Float[Array, "*rest d"], *, eps: float = 1e-12) -> Float[Array, "*rest d"]:
    """``x`` over its length along the last axis; a zero vector stays zero, its gradient finite."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return x / jnp.maximum(length, eps)


def widen(x: Array, valid: Array | None) -> tuple[Array, Array]:
    """``x`` widened to float32 at least with zeros for padding, and ``valid`` spelt out."""
    valid = jnp.ones(x.shape[:1], bool) if valid is None else valid
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.where(valid[:, None], wide, 0), valid


def share(scored: Array, dtype, part: float) -> Array:
    """``part`` divided evenly over the rows that are scored."""
    return part * scored.astype(dtype) / jnp.maximum(scored.sum(dtype=dtype), 1)
