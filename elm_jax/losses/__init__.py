"""Losses as pure maths: arrays in, one value a row out; no parameters, no config.

All compute in float32 at least. Rows that are not *valid* (padding) may hold anything and change
nothing: neither a value of a valid row nor a gradient. Each function gives its rows' values
together with weights whose sum over the rows is one (zero where nothing is scored), so that
:func:`reduce_rows` is the loss; the reduction happens once, in the objective.
"""

from elm_jax.losses.aligned import alignment, orthogonality
from elm_jax.losses.contrast import (
    STYLES,
    multi_instance,
    paired_contrast,
    soft_target_contrast,
)
from elm_jax.losses.labels import binary_cross_entropy, cross_entropy, squared_error
from elm_jax.losses.reconstruction import reconstruction
from elm_jax.losses.rows import SIMILARITIES, RowLosses, l2_normalize, reduce_rows
from elm_jax.losses.sigmoid import sigmoid_contrast

__all__ = [
    "SIMILARITIES",
    "STYLES",
    "RowLosses",
    "alignment",
    "binary_cross_entropy",
    "cross_entropy",
    "l2_normalize",
    "multi_instance",
    "orthogonality",
    "paired_contrast",
    "reconstruction",
    "reduce_rows",
    "sigmoid_contrast",
    "soft_target_contrast",
    "squared_error",
]
