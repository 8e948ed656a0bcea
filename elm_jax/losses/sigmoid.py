"""The sigmoid contrast of SigLIP (Zhai et al. 2023, arXiv 2303.15343), dense and in tiles.

Every pair of a signal and a text is a yes/no question of its own: no row is normalised over the
others, so a sum over tiles is all that the ring has to carry.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.losses.ring import needs_tiles, over_pairs, products
from elm_jax.losses.rows import RowLosses, l2_normalize, require_similarity, share, widen
from elm_jax.losses.streamed import Rows


class Scale(NamedTuple):
    """From cosines to logits: ``cosine / temperature + bias``."""

    temperature: Array
    bias: Array


def sigmoid_contrast(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "m e"],
    *,
    signal_bag: Int[Array, " b"],
    text_bag: Int[Array, " m"],
    signal_valid: Bool[Array, " b"] | None = None,
    text_valid: Bool[Array, " m"] | None = None,
    temperature: float | Float[Array, ""] = 0.1,
    bias: float | Float[Array, ""] = -10.0,
    similarity: str = "dense",
) -> RowLosses:
    """Minus the log-sigmoid of each pair's logit, negated where the pair is of two bags.

    A signal's row is the sum over all texts, a text's that over all signals; each side has half
    the weight, so the loss is the sum over all pairs divided by the number of rows (the paper's
    Algorithm 1, where every pair is a bag of its own).

    Args:
      signal_emb: projections of the signals (need not be normalised).
      text_emb: projections of the texts.
      signal_bag: which bag a signal belongs to.
      text_bag: which bag a text belongs to.
      signal_valid: False for padding.
      text_valid: False for padding.
      temperature: divides the cosines; the paper's ``exp(-t')``.
      bias: added to them; the paper begins at -10, for most pairs are negatives.
      similarity: "ring" or "dense".

    Raises:
      ValueError: unknown similarity.
    """
    require_similarity(similarity)
    signal_emb, signal_valid = widen(signal_emb, signal_valid)
    text_emb, text_valid = widen(text_emb, text_valid)
    rings = similarity == "ring" and needs_tiles(len(signal_emb), len(text_emb))
    dtype = signal_emb.dtype
    scale = Scale(jnp.asarray(temperature, dtype), jnp.asarray(bias, dtype))
    masks = (signal_bag, signal_valid), (text_bag, text_valid)
    sums = _streamed if rings else _dense
    signal, text = sums(l2_normalize(signal_emb), l2_normalize(text_emb), scale, masks)
    weights = (share(v, dtype, 0.5) for v in (signal_valid, text_valid))
    return RowLosses(signal, next(weights), text, next(weights))


def _signed(scale: Scale, x: Rows, y: Rows) -> tuple[Array, Array]:
    """Of a tile: +1, -1 or, in padding, 0 for each pair; and its logits times that."""
    valid = x.valid[:, None] & y.valid[None, :]
    sign = jnp.where(x.bag[:, None] == y.bag[None, :], 1.0, -1.0).astype(x.unit.dtype)
    sign = jnp.where(valid, sign, 0)
    return sign, sign * (products(x.unit, y.unit) / scale.temperature + scale.bias)


def _surprise(sign: Array, signed: Array) -> Array:
    """Minus the log-sigmoid, 0 in padding."""
    return jnp.where(sign != 0, jax.nn.softplus(-signed), 0)


def _dense(x_unit, y_unit, scale: Scale, masks) -> tuple[Array, Array]:
    sign, signed = _signed(scale, Rows(x_unit, *masks[0]), Rows(y_unit, *masks[1]))
    found = _surprise(sign, signed)
    return found.sum(1), found.sum(0)


# -- in tiles -----------------------------------------------------------------------------------


def _forward(x_unit, y_unit, scale: Scale, masks):
    x, y = Rows(x_unit, *masks[0]), Rows(y_unit, *masks[1])
    zeros = (jnp.zeros(len(rows.unit), rows.unit.dtype) for rows in (x, y))
    return over_pairs(_sum_tile, scale, x, y, *zeros), (x, y, scale)


def _sum_tile(scale, x, y, x_sum, y_sum):
    found = _surprise(*_signed(scale, x, y))
    return x_sum + found.sum(1), y_sum + found.sum(0)


def _backward(kept, grads):
    x, y, scale = kept
    rows, columns = zip((x, y), grads, strict=True)
    nothing = jnp.zeros_like(x.unit), jnp.zeros(len(x.unit), x.unit.dtype)
    (grad_x, of_bias), grad_y = over_pairs(
        _grad_tile, scale, rows, columns, nothing, jnp.zeros_like(y.unit)
    )
    # Logits less the bias are linear in x and in 1 / temperature.
    of_temperature = -jnp.sum(x.unit * grad_x) / scale.temperature
    return grad_x, grad_y, Scale(of_temperature, of_bias.sum()), None


def _grad_tile(scale, row, column, x_sums, y_sum):
    (x, x_grad), (y, y_grad) = row, column
    sign, signed = _signed(scale, x, y)
    of_logits = -sign * jax.nn.sigmoid(-signed) * (x_grad[:, None] + y_grad)
    of_cosines = of_logits / scale.temperature
    grad_x, of_bias = x_sums
    x_sums = grad_x + products(of_cosines, y.unit.T), of_bias + of_logits.sum(1)
    return x_sums, y_sum + products(of_cosines.T, x.unit.T)


_streamed = jax.custom_vjp(lambda *args: _forward(*args)[0])
_streamed.defvjp(_forward, _backward)
