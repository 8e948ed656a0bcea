"""Optimisers and schedules from the config, driven by ordered regexes over parameter paths.

    config.optimizer = dict(
        name="lars", rate=0.02, weight_decay=1e-4, momentum=0.9, eta=0.001,
        reference_rows=256,                       # rate * rows per batch / 256; 0: rate as given
        schedule=dict(warmup_epochs=2, total_epochs=25, floor=0.01, per="epoch"),
        rules=((".*", "train"),),                 # first full match wins: "train", "freeze", or a
    )                                             # factor of the rate: ("encoder/.*", 0.1)

``layer_decay=0.65`` makes early layers of a transformer learn less: :mod:`elm_jax.layer_decay`.

One-dimensional parameters (biases, normalisation) are neither decayed nor adapted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from elm_jax.axes import Params
from elm_jax.layer_decay import layer_factors
from elm_jax.schedules import RunLength, Schedule, make_schedule
from elm_jax.trees import match_rules

Momentum = float | Callable[[Any], Any]  # a number, or one by step


class Optimizer(NamedTuple):
    """What the loop needs.

    Attributes:
      tx: the transformation.
      rate: the schedule's rate of a step, before ``scale``.
      trainable: a bool for every parameter.
      scale: optimiser state -> the factor that validations have put on the rate.
      after_validation: (optimiser state, value to be minimised) -> optimiser state.
    """

    tx: optax.GradientTransformation
    rate: Callable[[Any], Any]
    trainable: Params
    scale: Callable[[optax.OptState], Any] = lambda opt_state: 1.0
    after_validation: Callable[[optax.OptState, Any], optax.OptState] = lambda opt_state, _: (
        opt_state
    )


def _decays(params: Params) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def lars(rate, *, weight_decay: float, momentum: float, eta: float):
    """LARS as ELM's trainer has it: the rate multiplies *after* the momentum.

    ``optax.lars`` puts the rate inside the momentum, which differs under a schedule.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=_decays),
        optax.masked(optax.scale_by_trust_ratio(trust_coefficient=eta), _decays),
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(rate),
    )


def adam(rate, *, weight_decay: float, b1: Momentum, b2: float, eps: float):
    """Adam with decay inside the gradient, as ``torch.optim.Adam(weight_decay=...)``."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=_decays),
        _scale_by_adam(b1, b2, eps),
        optax.scale_by_learning_rate(rate),
    )


def adamw(rate, *, weight_decay: float, b1: Momentum, b2: float, eps: float):
    """Adam with decoupled decay, which the rate multiplies too."""
    return optax.chain(
        _scale_by_adam(b1, b2, eps),
        optax.add_decayed_weights(weight_decay, mask=_decays),
        optax.scale_by_learning_rate(rate),
    )


def _scale_by_adam(b1: Momentum, b2: float, eps: float) -> optax.GradientTransformation:
    """Where ``b1`` moves, the bias is corrected by its present value alone, as torch does it."""
    if not callable(b1):
        return optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
    scale = optax.inject_hyperparams(optax.scale_by_adam, static_args=("b2", "eps", "eps_root"))
    return scale(b1=b1, b2=b2, eps=eps)


def sgd(rate, *, weight_decay: float, momentum: float):
    """Stochastic gradient descent with momentum."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=_decays),
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(rate),
    )


_ADAM = dict(weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-8)
_KINDS = {
    "lars": (lars, dict(weight_decay=1e-4, momentum=0.9, eta=0.001)),
    "adam": (adam, _ADAM),
    "adamw": (adamw, _ADAM),
    "sgd": (sgd, dict(weight_decay=0.0, momentum=0.9)),
}
_COMMON = {"name", "rate", "reference_rows", "schedule", "rules", "clip_norm", "layer_decay"}


def make_optimizer(settings: Mapping[str, Any], params: Params, length: RunLength) -> Optimizer:
    """Builds the optimiser of ``config.optimizer`` for ``params`` (arrays or their shapes).

    Raises:
      ValueError: unknown name or keyword, contradictory durations, an uncovered parameter.
    """
    name = settings["name"]
    if name not in _KINDS:
        raise ValueError(f"config.optimizer.name is {name!r}; known: {sorted(_KINDS)}")
    make, defaults = _KINDS[name]
    unknown = set(settings) - _COMMON - set(defaults)
    if unknown:
        raise ValueError(
            f"config.optimizer: {sorted(unknown)} unknown to {name!r}; "
            f"known: {sorted(_COMMON | set(defaults))}"
        )
    peak = settings["rate"]
    if settings.get("reference_rows"):
        peak = peak * length.rows_per_step / settings["reference_rows"]
    schedule = make_schedule(peak, settings["schedule"], length)
    own = {k: settings.get(k, v) for k, v in defaults.items()}
    if schedule.momentum is not None:
        if "b1" not in own:
            raise ValueError(
                f"config.optimizer.schedule.momentum moves Adam's b1, which {name!r} has not"
            )
        own["b1"] = schedule.momentum
    tx = make(schedule.rate, **own)
    if settings.get("clip_norm"):
        tx = optax.chain(optax.clip_by_global_norm(settings["clip_norm"]), tx)
    factors = _factors(settings.get("rules", ((".*", "train"),)), params)
    if settings.get("layer_decay"):
        by_layer = layer_factors(params, settings["layer_decay"])
        factors = jax.tree.map(lambda rule, layer: rule * layer, factors, by_layer)
    trainable = jax.tree.map(bool, factors)
    labels = jax.tree.map(lambda factor: "train" if factor else "freeze", factors)
    steps = [optax.multi_transform({"train": tx, "freeze": optax.set_to_zero()}, labels)]
    if set(jax.tree.leaves(factors)) - {0.0, 1.0}:
        steps.append(
            optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))
        )
    if schedule.plateau is None:
        return Optimizer(optax.chain(*steps) if steps[1:] else steps[0], schedule.rate, trainable)
    return _on_plateau(optax.chain(*steps), schedule, trainable)


def _factors(rules: Sequence[tuple[str, Any]], params: Params) -> Any:
    """For every parameter the factor on its rate; 0 where it is frozen."""
    words = {"train": 1.0, "freeze": 0.0}
    numbers = []
    for pattern, value in (tuple(rule) for rule in rules):
        factor = words.get(value) if isinstance(value, str) else value
        if not (value in words or (isinstance(factor, int | float) and 0 < factor < math.inf)):
            raise ValueError(
                f"config.optimizer.rules: {pattern!r} has {value!r}; known: 'train', 'freeze', or "
                "a positive factor of the rate"
            )
        numbers.append((pattern, float(factor)))
    return match_rules(params, numbers, what="config.optimizer.rules")


def _on_plateau(
    tx: optax.GradientTransformation, schedule: Schedule, trainable: Params
) -> Optimizer:
    """``tx`` with updates scaled by a plateau's factor, which only validations move."""
    plateau = schedule.plateau

    def scale(updates, state, params=None):
        del params
        return jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates), state

    # Its state is a handful of scalars, whatever the parameters are.
    scaled = optax.GradientTransformation(lambda _: plateau.init(jnp.zeros(())), scale)

    def after_validation(opt_state, value):
        inner, state = opt_state
        return inner, plateau.update({}, state, value=jnp.asarray(value, jnp.float32))[1]

    return Optimizer(
        optax.chain(tx, scaled),
        schedule.rate,
        trainable,
        scale=lambda opt_state: opt_state[-1].scale,
        after_validation=after_validation,
    )


def trainable_norm(tree: Params, trainable: Params) -> jax.Array:
    """The l2 norm over the leaves that learn; frozen ones would revive their backward pass."""
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(trainable), strict=True)
    return optax.tree.norm([x for x, learns in leaves if learns])
