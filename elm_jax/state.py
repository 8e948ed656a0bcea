"""All that training carries from one step to the next."""

import flax.struct
import jax
import optax

from elm_jax.axes import Array, ModelState, Params


@flax.struct.dataclass
class TrainState:
    """Step, parameters, mutable model state (batch statistics, EMA) and optimiser state."""

    step: Array | jax.ShapeDtypeStruct
    params: Params
    model_state: ModelState
    opt_state: optax.OptState
