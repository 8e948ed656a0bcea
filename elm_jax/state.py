"""All that training carries from one step to the next, and how it is made where it will lie."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from elm_jax.axes import Batch, ModelState, Params
from elm_jax.objectives.base import Objective
from elm_jax.optim import Optimizer
from elm_jax.sharding import put, replicated, shardings


@flax.struct.dataclass
class TrainState:
    """Step, parameters, mutable model state (batch statistics, EMA) and optimiser state."""

    step: Any  # int32 []; while JAX traces or compiles, what it puts in place of an array
    params: Params
    model_state: ModelState
    opt_state: optax.OptState


def init_state(
    objective: Objective,
    example: Batch,
    *,
    make_tx: Callable[[Any], Optimizer],
    overlay: Callable[[Any], Any],
    seed: int,
    mesh: Any,
    rules: Any,
) -> tuple[TrainState, Optimizer]:
    """Shapes, then shardings, then parameters, pretrained overlay, optimiser state.

    Only the shapes of ``example`` are used: initialisation runs on zeros.
    """
    key = jax.random.key(seed)
    params_shape, model_shape = jax.eval_shape(objective.init, key, example)
    place = shardings(params_shape, model_shape, rules, mesh)

    params, model_state = fresh(objective, example, place)(key)
    params = jax.tree.map(put, overlay(params), place[0])
    optimizer = make_tx(params)
    everywhere = replicated(mesh)
    opt_place = _optimizer_shardings(optimizer.tx, params, place[0], everywhere)
    opt_state = jax.jit(optimizer.tx.init, out_shardings=opt_place)(params)
    step = put(np.zeros((), np.int32), everywhere)
    return TrainState(step, params, model_state, opt_state), optimizer


def fresh(objective: Objective, example: Batch, place: Any) -> Callable[[Any], Any]:
    """``objective.init`` of a key, jitted: made in parts where the parts will lie.

    No device ever holds a whole parameter that is shared out, nor a batch.
    """

    def init(key):
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)
        return objective.init(key, zeros)

    return jax.jit(init, out_shardings=place)


def _optimizer_shardings(tx: optax.GradientTransformation, params, placed, everywhere) -> Any:
    """Momenta lie where their parameters lie; counters are everywhere."""

    def is_masked(x):  # stands where a frozen parameter has no momentum
        return isinstance(x, optax.MaskedNode)

    return optax.tree_map_params(
        tx,
        lambda momentum, sharding: momentum if is_masked(momentum) else sharding,
        jax.eval_shape(tx.init, params),
        placed,
        transform_non_params=lambda _: everywhere,
        is_leaf=is_masked,
    )
