"""Losses of masked reconstruction: what was hidden against what was made of the rest."""

import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float

PATCH_EPS = 1e-6  # beside a patch's variance, as He et al. 2022


def normalised_patches(patches: Float[Array, "*rest k"]) -> Float[Array, "*rest k"]:
    """Each patch at mean 0 and *unbiased* variance 1 (``norm_pix_loss``, He et al. 2022).

    Raises:
      ValueError: patches of one sample, which have no such variance.
    """
    k = patches.shape[-1]
    if k < 2:
        raise ValueError(
            "patches of one sample cannot be normalised: config.objective.normalised_patches=False"
        )
    centred = patches - patches.mean(-1, keepdims=True)
    variance = jnp.square(centred).sum(-1, keepdims=True) / (k - 1)
    return centred / jnp.sqrt(variance + PATCH_EPS)


def reconstruction(
    made: Float[Array, "b g n k"],
    patches: Float[Array, "b g n k"],
    hidden: Bool[Array, "b g n"],
    *,
    normalised: bool,
) -> tuple[Float[Array, "b g n"], Float[Array, "b g n"]]:
    """The mean square of every hidden patch's errors, and its weight among its row's.

    Visible patches have 0 and 0; a row's weights sum to one (to 0 where nothing is hidden).

    Args:
      made: what a decoder gives.
      patches: the signal's own, finite in all rows.
      hidden: which patches were not seen.
      normalised: whether patches are normalised before they are compared.
    """
    wide = jnp.promote_types(jnp.result_type(made, patches), jnp.float32)
    made, target = made.astype(wide), patches.astype(wide)
    target = normalised_patches(target) if normalised else target
    error = jnp.where(hidden, jnp.square(made - target).mean(-1), 0)
    count = hidden.sum((1, 2), dtype=wide, keepdims=True)
    return error, hidden.astype(wide) / jnp.maximum(count, 1)
