"""What the backward pass computes again instead of keeping: ``config.remat``, by name.

    "none"  everything that the backward pass needs is kept (the fastest, the most memory)
    "full"  of each block only its input is kept; the block runs once more in the backward pass
    "dots"  besides, what matrix products and convolutions give is kept; the cheap rest
            (normalisation, activations, pooling, softmax) runs once more

Parameters keep their paths and values and gradients stay the same to rounding.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax


def _products_saveable(primitive: Any, *args: Any, **params: Any) -> bool:
    """Keeps convolutions, and matrix products in which no row meets another (attention's do)."""
    products = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return primitive is jax.lax.conv_general_dilated_p or products(primitive, *args, **params)


POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": _products_saveable,
}


def require_known(remat: str) -> None:
    """Raises unless there is such a policy.

    Raises:
      ValueError: lists the known.
    """
    if remat not in POLICIES:
        raise ValueError(f"config.remat is {remat!r}; known: {sorted(POLICIES)}")


def run_block(remat: str, run: Callable[..., Any], module: nn.Module, *args: Any) -> Any:
    """``run(module, *args)``, whose intermediate values are kept as ``remat`` says.

    Args:
      remat: a name of ``POLICIES``.
      run: calls modules below ``module``; settings that are no arrays must be bound in it.
      module: whose parameters and random keys ``run`` uses.
      *args: arrays, or trees of them.

    Raises:
      ValueError: an unknown policy.
    """
    require_known(remat)
    if remat == "none":
        return run(module, *args)
    return nn.remat(run, policy=POLICIES[remat])(module, *args)


def compiler_options(remat: str) -> dict[str, str]:
    """What ``jax.jit`` must tell the compiler of the default backend for ``remat`` to save memory.

    XLA's CPU compiler drops the barriers around what is computed again before it merges equal
    expressions, and so keeps everything after all; that pass is left out.
    """
    require_known(remat)
    if remat == "none" or jax.default_backend() != "cpu":
        return {}
    return {"xla_disable_hlo_passes": "cse_barrier_expander"}
