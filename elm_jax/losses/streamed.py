"""What the contrastive losses need of all pairs, from tiles of bounded size (see ``ring.py``).

Log-sums of exponentials are gathered in both directions at once: a running maximum and a sum
scaled by it, for every row where it lies and for every column as it travels. Backward passes make
the tiles again from the embeddings and the log-sums, so nothing of a tile is kept in between.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.losses.ring import over_pairs, products


class LogSum(NamedTuple):
    """A sum of exponentials so far: ``exp(largest) * scaled``."""

    largest: Array
    scaled: Array

    @classmethod
    def empty(cls, like: Array) -> "LogSum":
        """No terms yet, for each row of ``like``."""
        n = like.shape[0]
        return cls(jnp.full(n, -jnp.inf, like.dtype), jnp.zeros(n, like.dtype))

    def add(self, logits: Array, axis: int) -> "LogSum":
        """With the terms along an axis of a tile; -inf is no term."""
        largest = jnp.maximum(self.largest, jnp.max(logits, axis))
        # A row without any term so far: nothing may be subtracted from its -inf.
        shift = jnp.where(jnp.isneginf(largest), 0, largest)
        new = jnp.sum(jnp.exp(logits - jnp.expand_dims(shift, axis)), axis)
        return LogSum(largest, self.scaled * jnp.exp(self.largest - shift) + new)

    def value(self) -> Array:
        """The logarithm; 0 where there are no terms."""
        none = self.scaled == 0
        return jnp.where(none, 0, self.largest + jnp.log(jnp.where(none, 1, self.scaled)))


# -- multi-instance -----------------------------------------------------------------------------


class Rows(NamedTuple):
    """One side: unit vectors, the bags of the rows, which are real."""

    unit: Array
    bag: Array
    valid: Array


class Side(NamedTuple):
    """Of each row: log-sum over all logits, sum over the logits of its bag, how many those are."""

    lse: Float[Array, " n"]
    positive_sum: Float[Array, " n"]
    positive_count: Float[Array, " n"]


def streamed_sides(
    signal_unit: Float[Array, "b e"],
    text_unit: Float[Array, "m e"],
    temperature: Float[Array, ""],
    *,
    signal_bag: Int[Array, " b"],
    text_bag: Int[Array, " m"],
    signal_valid: Bool[Array, " b"],
    text_valid: Bool[Array, " m"],
) -> tuple[Side, Side]:
    """Statistics of the logits, unit vectors' products over the temperature, of either side.

    Differentiable in the vectors, which are zero in padding, and in the temperature.
    """
    masks = (signal_bag, signal_valid), (text_bag, text_valid)
    return _sides(signal_unit, text_unit, temperature, masks)


def _sides_forward(x_unit, y_unit, temperature, masks):
    x, y = Rows(x_unit, *masks[0]), Rows(y_unit, *masks[1])
    sums = over_pairs(_side_tile, temperature, x, y, _no_sums(x), _no_sums(y))
    out = tuple(Side(lse.value(), total, count) for lse, total, count in sums)
    return out, (x, y, temperature, out[0].lse, out[1].lse)


def _no_sums(rows: Rows):
    zeros = jnp.zeros(rows.unit.shape[0], rows.unit.dtype)
    return LogSum.empty(rows.unit), zeros, zeros


def _logits(temperature, x: Rows, y: Rows):
    """Of a tile: the logits, -inf where a side is padding, and which are of one bag."""
    valid = x.valid[:, None] & y.valid[None, :]
    logits = jnp.where(valid, products(x.unit, y.unit) / temperature, -jnp.inf)
    return logits, valid & (x.bag[:, None] == y.bag[None, :])


def _side_tile(temperature, x, y, x_sums, y_sums):
    logits, positive = _logits(temperature, x, y)
    of_bag = jnp.where(positive, logits, 0)

    def add(sums, axis):
        lse, total, count = sums
        total += of_bag.sum(axis)
        return lse.add(logits, axis), total, count + positive.sum(axis, dtype=logits.dtype)

    return add(x_sums, 1), add(y_sums, 0)


def _sides_backward(kept, grads):
    x, y, temperature, *lse = kept
    of_rows, of_columns = (
        (rows, row_lse, grad.lse, grad.positive_sum)
        for rows, row_lse, grad in zip((x, y), lse, grads, strict=True)
    )
    zeros = jnp.zeros_like(x.unit), jnp.zeros_like(y.unit)
    grad_x, grad_y = over_pairs(_side_grad_tile, temperature, of_rows, of_columns, *zeros)
    # The logits are linear in x and in 1 / temperature: their sum against their gradient is x's.
    grad_temperature = -jnp.sum(x.unit * grad_x) / temperature
    return grad_x, grad_y, grad_temperature, None


def _side_grad_tile(temperature, row, column, x_sum, y_sum):
    x, x_lse, x_grad_lse, x_grad_positive = row
    y, y_lse, y_grad_lse, y_grad_positive = column
    logits, positive = _logits(temperature, x, y)
    of_lse = x_grad_lse[:, None] * jnp.exp(logits - x_lse[:, None])
    of_lse += y_grad_lse * jnp.exp(logits - y_lse)
    of_positive = jnp.where(positive, x_grad_positive[:, None] + y_grad_positive, 0)
    grad = (of_lse + of_positive) / temperature
    return x_sum + products(grad, y.unit.T), y_sum + products(grad.T, x.unit.T)


_sides = jax.custom_vjp(lambda *args: _sides_forward(*args)[0])
_sides.defvjp(_sides_forward, _sides_backward)


# -- soft targets -------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Rows of both sides: unit vectors, and which rows are real."""

    signal: Array
    text: Array
    valid: Array


def streamed_soft_target_rows(
    signal_unit: Float[Array, "b e"],
    text_unit: Float[Array, "b e"],
    temperature: Float[Array, ""],
    *,
    valid: Bool[Array, " b"],
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Signals' and texts' rows of :func:`elm_jax.losses.soft_target_contrast`.

    With logits L = text signal^T / temperature and targets P, a text's row is the sum along a row
    of P (r - L), r the log-sum of the row of L; a signal's is the sum along a column of P (c - L),
    c the log-sum of the column. P's own log-sums a must be whole before P is summed along a
    column: two turns of the ring, and two for the gradient.
    """
    return _soft(signal_unit, text_unit, temperature, valid)


def _soft_forward(signal, text, temperature, valid):
    pair = Pair(signal, text, valid)
    empty = LogSum.empty(signal)
    row, column = over_pairs(_lse_tile, temperature, pair, pair, (empty, empty), empty)
    row_lse, target_lse, column_lse = row[0].value(), row[1].value(), column.value()
    zeros = jnp.zeros_like(row_lse)
    rows, columns = (pair, row_lse, target_lse), (pair, column_lse)
    of_text, (of_signal, target_sum) = over_pairs(
        _soft_tile, temperature, rows, columns, zeros, (zeros, zeros)
    )
    return (of_signal, of_text), (rows, columns, of_text, target_sum, temperature)


def _soft_logits(temperature, x: Pair, y: Pair):
    """Of a tile: logits of x's texts and y's signals, and the targets'; -inf in padding."""
    valid = x.valid[:, None] & y.valid[None, :]
    logits = products(x.text, y.signal) / temperature
    likeness = (products(x.signal, y.signal) + products(x.text, y.text)) / 2 * temperature
    return jnp.where(valid, logits, -jnp.inf), jnp.where(valid, likeness, -jnp.inf)


def _lse_tile(temperature, x, y, x_sums, y_sum):
    logits, likeness = _soft_logits(temperature, x, y)
    row_lse, target_lse = x_sums
    return (row_lse.add(logits, 1), target_lse.add(likeness, 1)), y_sum.add(logits, 0)


def _surprise(lse, logits):
    """Minus the log-probability, 0 in padding."""
    return jnp.where(jnp.isneginf(logits), 0, lse - logits)


def _soft_tile(temperature, row, column, x_sum, y_sums):
    (x, row_lse, target_lse), (y, column_lse) = row, column
    logits, likeness = _soft_logits(temperature, x, y)
    target = jnp.exp(likeness - target_lse[:, None])
    x_sum += jnp.sum(target * _surprise(row_lse[:, None], logits), 1)
    of_signal, target_sum = y_sums
    of_signal += jnp.sum(target * _surprise(column_lse, logits), 0)
    return x_sum, (of_signal, target_sum + target.sum(0))


def _soft_backward(kept, grads):
    (pair, row_lse, target_lse), (_, column_lse), of_text, target_sum, temperature = kept
    grad_signal_row, grad_text_row = grads
    columns = pair, column_lse, grad_signal_row
    zeros = jnp.zeros_like(of_text)
    of_columns, _ = over_pairs(
        _target_mean_tile, temperature, (pair, target_lse), columns, zeros, ()
    )
    # Mean of the targets' gradient under the targets, which a softmax takes off.
    mean = grad_text_row * of_text + of_columns
    rows = pair, row_lse, target_lse, grad_text_row, mean
    columns = *columns, target_sum
    nothing = jnp.zeros_like(pair.signal)
    (signal, text, of_temperature), (column_signal, column_text) = over_pairs(
        _soft_grad_tile, temperature, rows, columns,
        (nothing, nothing, zeros), (nothing, nothing),
    )  # fmt: skip
    grad_temperature = jnp.sum(of_temperature) / temperature
    return signal + column_signal, text + column_text, grad_temperature, None


def _target_mean_tile(temperature, row, column, x_sum, nothing):
    (x, target_lse), (y, column_lse, grad_signal_row) = row, column
    logits, likeness = _soft_logits(temperature, x, y)
    target = jnp.exp(likeness - target_lse[:, None])
    return x_sum + jnp.sum(target * grad_signal_row * _surprise(column_lse, logits), 1), nothing


def _soft_grad_tile(temperature, row, column, x_sums, y_sums):
    x, row_lse, target_lse, grad_text_row, mean = row
    y, column_lse, grad_signal_row, target_sum = column
    logits, likeness = _soft_logits(temperature, x, y)
    target = jnp.exp(likeness - target_lse[:, None])
    by_row, by_column = grad_text_row[:, None], grad_signal_row

    of_logits = by_row * jnp.exp(logits - row_lse[:, None]) - target * (by_row + by_column)
    of_logits += by_column * target_sum * jnp.exp(logits - column_lse)
    of_logits /= temperature
    of_target = by_row * _surprise(row_lse[:, None], logits)
    of_target += by_column * _surprise(column_lse, logits)
    of_likeness = target * (of_target - mean[:, None]) / 2 * temperature

    text_logits, signal_likeness, text_likeness = (
        products(of_logits, y.signal.T),
        products(of_likeness, y.signal.T),
        products(of_likeness, y.text.T),
    )
    # Logits go with 1 / temperature, targets' logits with the temperature; both are linear in a
    # row's vectors, so that their sum against their gradient is that of the vectors.
    of_temperature = jnp.sum(x.signal * signal_likeness, 1)
    of_temperature += jnp.sum(x.text * (text_likeness - text_logits), 1)
    signal, text, so_far = x_sums
    x_sums = signal + signal_likeness, text + text_logits + text_likeness, so_far + of_temperature

    signal, text = y_sums
    signal += products(of_logits.T, x.text.T) + products(of_likeness.T, x.signal.T)
    return x_sums, (signal, text + products(of_likeness.T, x.text.T))


_soft = jax.custom_vjp(lambda *args: _soft_forward(*args)[0])
_soft.defvjp(_soft_forward, _soft_backward)
