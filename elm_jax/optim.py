"""Optimisers and schedules from the config, driven by ordered regexes over parameter paths.

    config.optimizer = dict(
        name="lars", rate=0.02, weight_decay=1e-4, momentum=0.9, eta=0.001,
        reference_rows=256,                       # rate * rows per batch / 256; 0: rate as given
        schedule=dict(warmup_epochs=2, total_epochs=25, floor=0.01, per="epoch"),
        rules=((".*", "train"),),                 # first full match wins: "train" or "freeze"
    )

One-dimensional parameters (biases, normalisation) are neither decayed nor adapted.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from elm_jax.axes import Params

UNITS = ("steps", "epochs", "samples")


class Optimizer(NamedTuple):
    """What the loop needs: the transformation, the rate by step, which leaves learn."""

    tx: optax.GradientTransformation
    rate: Callable[[Any], Any]
    trainable: Params  # a bool for every parameter


class RunLength(NamedTuple):
    """How long a run is, and how its units convert."""

    total_steps: int
    steps_per_epoch: int
    rows_per_step: int


def duration_steps(
    settings: Mapping[str, Any], name: str, *, steps_per_epoch: int, rows_per_step: int
) -> float:
    """Reads ``{name}_steps``, ``{name}_epochs`` or ``{name}_samples`` as a number of steps.

    Raises:
      ValueError: none or more than one of the three is set.
    """
    found = {u: settings.get(f"{name}_{u}") for u in UNITS}
    found = {u: v for u, v in found.items() if v is not None}
    if len(found) != 1:
        raise ValueError(
            f"config.optimizer.schedule: set exactly one of "
            f"{[f'{name}_{u}' for u in UNITS]}, found {found or 'none'}"
        )
    unit, value = next(iter(found.items()))
    if value < 0:
        raise ValueError(f"config.optimizer.schedule.{name}_{unit} is negative: {value}")
    steps = {"steps": 1, "epochs": steps_per_epoch, "samples": 1 / rows_per_step}[unit]
    return value * steps


def warmup_cosine(
    rate: float, schedule: Mapping[str, Any], length: RunLength
) -> Callable[[Any], Any]:
    """Linear warm-up from ``floor * rate``, then a cosine back to it, as ELM's trainer has it.

    With epoch e, w warm-up epochs of n: ``rate * e / w + floor * rate`` while e < w (so the last
    warm-up epoch overshoots by the floor, as published), then ``floor * rate + (1 - floor) * rate *
    (1 + cos(pi (e - w) / (n - w))) / 2``. ``per="epoch"`` holds the rate within an epoch, as
    published; ``per="step"`` moves it every step.
    """
    per, floor = schedule.get("per", "epoch"), schedule.get("floor", 0.01)
    if per not in ("epoch", "step"):
        raise ValueError(f"config.optimizer.schedule.per is {per!r}; known: 'epoch', 'step'")
    warmup_steps = duration_steps(
        schedule,
        "warmup",
        steps_per_epoch=length.steps_per_epoch,
        rows_per_step=length.rows_per_step,
    )
    decay_steps = max(length.total_steps - warmup_steps, 1)

    def schedule_fn(step):
        step = jnp.asarray(step, jnp.float32)
        if per == "epoch":
            step = jnp.floor(step / length.steps_per_epoch) * length.steps_per_epoch
        warm = rate * step / max(warmup_steps, 1) + floor * rate
        progress = jnp.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
        cosine = floor * rate + (1 - floor) * rate * 0.5 * (1 + jnp.cos(math.pi * progress))
        return jnp.where(step < warmup_steps, warm, cosine)

    return schedule_fn


def path_of(key_path: Sequence[Any]) -> str:
    """``encoder/stem/conv_0/kernel`` for a pytree key path."""
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def match_rules(tree: Any, rules: Sequence[tuple[str, Any]], *, what: str) -> Any:
    """Gives every leaf the value of the first rule whose regex matches its whole path.

    Raises:
      ValueError: a leaf that no rule covers, or a rule that covers no leaf (a typo, mostly); the
        catch-all ``.*`` may be idle.
    """
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
    used = set()

    def value_of(key_path, _):
        path = path_of(key_path)
        for i, (pattern, value) in enumerate(compiled):
            if pattern.fullmatch(path):
                used.add(i)
                return value
        raise ValueError(f"{what}: no rule covers parameter {path!r}; end the rules with '.*'")

    matched = jax.tree_util.tree_map_with_path(value_of, tree)
    idle = [p for i, (p, _) in enumerate(rules) if i not in used and p != ".*"]
    if idle:
        raise ValueError(f"{what}: rules {idle} match no parameter of this model")
    return matched


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


def adam(rate, *, weight_decay: float, b1: float, b2: float, eps: float):
    """Adam with decay inside the gradient, as ``torch.optim.Adam(weight_decay=...)``."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=_decays),
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        optax.scale_by_learning_rate(rate),
    )


def adamw(rate, *, weight_decay: float, b1: float, b2: float, eps: float):
    """Adam with decoupled decay."""
    return optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=_decays)


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
_COMMON = {"name", "rate", "reference_rows", "schedule", "rules", "clip_norm"}


def run_length(
    schedule: Mapping[str, Any], *, steps_per_epoch: int, rows_per_step: int
) -> RunLength:
    """The run's length from the schedule's ``total_*``, at least one step."""
    total = duration_steps(
        schedule, "total", steps_per_epoch=steps_per_epoch, rows_per_step=rows_per_step
    )
    return RunLength(max(1, round(total)), steps_per_epoch, rows_per_step)


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
    rate = warmup_cosine(peak, settings["schedule"], length)
    tx = make(rate, **{k: settings.get(k, v) for k, v in defaults.items()})
    if settings.get("clip_norm"):
        tx = optax.chain(optax.clip_by_global_norm(settings["clip_norm"]), tx)
    rules = tuple(tuple(r) for r in settings.get("rules", ((".*", "train"),)))
    labels = match_rules(params, rules, what="config.optimizer.rules")
    bad = set(jax.tree.leaves(labels)) - {"train", "freeze"}
    if bad:
        raise ValueError(f"config.optimizer.rules: {sorted(bad)}; known: 'train', 'freeze'")
    tx = optax.multi_transform({"train": tx, "freeze": optax.set_to_zero()}, labels)
    return Optimizer(tx, rate, jax.tree.map(lambda label: label == "train", labels))


def trainable_norm(tree: Params, trainable: Params) -> jax.Array:
    """The l2 norm over the leaves that learn; frozen ones would revive their backward pass."""
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(trainable), strict=True)
    return optax.global_norm([x for x, learns in leaves if learns])
