"""One update: state and batch to state and measures, jitted."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from elm_jax import accumulate
from elm_jax.axes import Array, Batch
from elm_jax.models.remat import compiler_options
from elm_jax.objectives.base import Objective
from elm_jax.optim import Optimizer, trainable_norm
from elm_jax.state import TrainState


def make_step(
    objective: Objective,
    optimizer: Optimizer,
    prepare: Callable[[Batch], Batch],
    seed: int,
    *,
    microbatches: int = 1,
    remat: str = "none",
    place: Any = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
    """The jitted update: state and batch to state and measures.

    A step whose loss or gradients are not finite leaves the state as it was (``finite`` is 0). The
    state that goes in is donated: its buffers are those of the state that comes out.

    Args:
      objective: model and loss.
      optimizer: of its parameters; those that do not learn are not differentiated.
      prepare: stored integers to network values, row by row, on the device.
      seed: of dropout; the key of a step follows from it and the step's number.
      microbatches: in how many parts the models see a batch (see :mod:`elm_jax.accumulate`).
      remat: the name with which the models were built (see :mod:`elm_jax.models.remat`); here it
        only tells the compiler.
      place: a sharding for every leaf of the state, which then lies there after a step too; None
        leaves that to the compiler, which may cut what was whole.

    Raises:
      ValueError: an unknown ``remat``; when traced: rows that cannot be cut evenly.
    """
    found_by = accumulate.value_and_grad(objective, prepare, optimizer.trainable, microbatches)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        found = found_by(state.params, state.model_state, batch, key)
        # Of frozen parameters there is no gradient, and the optimiser looks at none.
        grads = jax.tree.map(
            lambda learns, p, g: g if learns else jnp.zeros_like(p),
            optimizer.trainable,
            state.params,
            found.grads,
        )
        updates, opt_state = optimizer.tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        model_state = objective.after_update(params, found.model_state, state.step)
        l2_grads = trainable_norm(grads, optimizer.trainable)
        finite = jnp.isfinite(found.loss) & jnp.isfinite(l2_grads)
        new = TrainState(state.step + 1, params, model_state, opt_state)
        new = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, state)
        measures = {"loss": found.loss, **found.terms, **found.report}
        measures |= {
            "l2_grads": l2_grads,
            # Of what is kept: a norm of ``params`` would hold a second copy of them until then.
            "l2_params": trainable_norm(new.params, optimizer.trainable),
            "l2_updates": trainable_norm(updates, optimizer.trainable),
            "learning_rate": optimizer.rate(state.step) * optimizer.scale(state.opt_state),
            "finite": finite,
        }
        return new, measures

    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=None if place is None else (place, None),
        compiler_options=compiler_options(remat),
    )
