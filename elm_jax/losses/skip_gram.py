"""The loss of skip-gram with negative sampling (Mikolov et al. 2013, arXiv:1310.4546, eq. 4)."""

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float


def skip_gram(
    center: Float[Array, "b d"],
    context: Float[Array, "b d"],
    noise: Float[Array, "b k d"],
    keep: Bool[Array, "b k"],
) -> Float[Array, " b"]:
    """How badly each centre tells its neighbour from noise.

    The terms of noise are summed, as in the paper (ECG-Bench's Signal2Vec averages them).

    Args:
      center: vectors of the tokens.
      context: of their neighbours.
      noise: of tokens drawn at random.
      keep: False where the random token is the neighbour itself: no noise.
    """
    near = jax.nn.log_sigmoid(jnp.einsum("bd,bd->b", center, context))
    far = jax.nn.log_sigmoid(-jnp.einsum("bd,bkd->bk", center, noise))
    return -near - jnp.sum(far, axis=1, where=keep)
