"""Whether vectors still tell rows apart: two numbers that fall when an encoder collapses."""

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.losses.rows import widen

# Up to this width the features' products are summed, [d, d]; above, the smaller of the two forms.
NARROW = 512


def spread(
    features: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None
) -> dict[str, Float[Array, ""]]:
    """How far, and in how many directions, vectors spread over the valid rows of a batch.

    ``feature_std``: mean over the features of their deviation over the rows; 0 when all rows get
    one vector (complete collapse). ``effective_rank``: the participation ratio (tr C)^2 / tr(C^2)
    of the covariance C: 1 when all differences lie along one direction (dimensional collapse), at
    most the smaller of d and the rows less one; 0 without any spread.

    Products and sums alone: an eigenvalue solver would be a call out of the compiled step. Nothing
    is differentiated through it.
    """
    x, valid = widen(jax.lax.stop_gradient(features), valid)
    rows = jnp.maximum(valid.sum(dtype=x.dtype), 1)
    centred = jnp.where(valid[:, None], x - x.sum(0) / rows, 0)
    variance = jnp.square(centred).sum(0) / rows
    b, d = x.shape
    # C and the rows' Gram matrix have the same eigenvalues, but for zeros.
    products = centred.T @ centred if d <= max(b, NARROW) else centred @ centred.T
    total = variance.sum() * rows
    square = jnp.square(products).sum()
    rank = jnp.where(square > 0, total**2 / jnp.where(square > 0, square, 1), 0)
    return {"feature_std": jnp.sqrt(variance).mean(), "effective_rank": rank}
