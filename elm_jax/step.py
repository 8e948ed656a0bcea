"""One update: state and batch to state and measures, jitted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from elm_jax.axes import Array, Batch
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
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
    """The jitted update: state and batch to state and measures.

    A step whose loss or gradients are not finite leaves the state as it was (``finite`` is 0).
    """
    if microbatches != 1 or remat != "none":
        raise NotImplementedError

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        batch = prepare(batch)

        def loss_fn(params):
            return objective.loss(params, state.model_state, batch, key, train=True)

        (loss, out), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = optimizer.tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        model_state = objective.after_update(params, out.model_state, state.step)
        l2_grads = trainable_norm(grads, optimizer.trainable)
        finite = jnp.isfinite(loss) & jnp.isfinite(l2_grads)
        new = TrainState(state.step + 1, params, model_state, opt_state)
        new = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, state)
        measures = {"loss": loss, **out.terms, **out.report}
        measures |= {
            "l2_grads": l2_grads,
            "l2_params": trainable_norm(params, optimizer.trainable),
            "l2_updates": trainable_norm(updates, optimizer.trainable),
            "learning_rate": optimizer.rate(state.step) * optimizer.scale(state.opt_state),
            "finite": finite,
        }
        return new, measures

    return jax.jit(step, donate_argnums=0)
