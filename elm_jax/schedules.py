"""Learning rates over a run, and how long a run is.

    schedule=dict(kind="cosine", warmup_epochs=2, total_epochs=25, floor=0.01, per="epoch")
    schedule=dict(kind="constant", warmup_steps=0, total_steps=1000, floor=0.0, per="step")
    schedule=dict(kind="plateau", warmup_epochs=0, total_epochs=100, floor=0.0, per="step",
                  factor=0.1, patience_epochs=10.0, min_change=1e-4)
    schedule=dict(kind="one_cycle", total_epochs=200, rise_share=0.2, start=0.5, floor=0.0625,
                  momentum=(0.95, 0.85), per="step")

Every kind but the last warms up linearly from ``floor * rate`` over ``warmup_*``; ``per`` holds the
rate within an epoch or moves it every step. A plateau's factor comes on top, after a validation.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

UNITS = ("steps", "epochs", "samples")


class RunLength(NamedTuple):
    """How long a run is, and how its units convert; ``validation_steps`` is 0 without any."""

    total_steps: int
    steps_per_epoch: int
    rows_per_step: int
    validation_steps: int = 0


class Schedule(NamedTuple):
    """A rate by step, and what moves beside it.

    Attributes:
      rate: of a step.
      plateau: gives a factor on the rate from validations' values; None: none.
      momentum: of a step, Adam's b1; None: the optimiser's own, all along.
    """

    rate: Callable[[Any], Any]
    plateau: optax.GradientTransformationExtraArgs | None = None
    momentum: Callable[[Any], Any] | None = None


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


def run_length(
    schedule: Mapping[str, Any],
    *,
    steps_per_epoch: int,
    rows_per_step: int,
    validation_epochs: float = 0.0,
) -> RunLength:
    """The run's length from the schedule's ``total_*``, at least one step.

    ``validation_epochs`` is ``config.validation.every_epochs``, 0 without validation.
    """
    total = duration_steps(
        schedule, "total", steps_per_epoch=steps_per_epoch, rows_per_step=rows_per_step
    )
    every = max(1, round(validation_epochs * steps_per_epoch)) if validation_epochs else 0
    return RunLength(max(1, round(total)), steps_per_epoch, rows_per_step, every)


def _after_warmup(
    rate: float,
    schedule: Mapping[str, Any],
    length: RunLength,
    after: Callable[[Any, float, float], Any],
) -> Callable[[Any], Any]:
    """Linear warm-up, then ``after(step, warmup_steps, floor)``."""
    per, floor = schedule.get("per", "epoch"), schedule.get("floor", 0.01)
    if per not in ("epoch", "step"):
        raise ValueError(f"config.optimizer.schedule.per is {per!r}; known: 'epoch', 'step'")
    warmup_steps = duration_steps(
        schedule,
        "warmup",
        steps_per_epoch=length.steps_per_epoch,
        rows_per_step=length.rows_per_step,
    )

    def schedule_fn(step):
        step = jnp.asarray(step, jnp.float32)
        if per == "epoch":
            step = jnp.floor(step / length.steps_per_epoch) * length.steps_per_epoch
        warm = rate * step / max(warmup_steps, 1) + floor * rate
        return jnp.where(step < warmup_steps, warm, after(step, warmup_steps, floor))

    return schedule_fn


def warmup_cosine(
    rate: float, schedule: Mapping[str, Any], length: RunLength
) -> Callable[[Any], Any]:
    """Linear warm-up from ``floor * rate``, then a cosine back to it, as ELM's trainer has it.

    With epoch e, w warm-up epochs of n: ``rate * e / w + floor * rate`` while e < w (so the last
    warm-up epoch overshoots by the floor, as published), then ``floor * rate + (1 - floor) * rate *
    (1 + cos(pi (e - w) / (n - w))) / 2``. ``per="epoch"`` holds the rate within an epoch, as
    published; ``per="step"`` moves it every step.
    """

    def cosine(step, warmup_steps, floor):
        decay_steps = max(length.total_steps - warmup_steps, 1)
        progress = jnp.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
        return floor * rate + (1 - floor) * rate * 0.5 * (1 + jnp.cos(math.pi * progress))

    return _after_warmup(rate, schedule, length, cosine)


def _cosine(rate: float, schedule: Mapping[str, Any], length: RunLength) -> Schedule:
    return Schedule(warmup_cosine(rate, schedule, length))


def _constant(rate: float, schedule: Mapping[str, Any], length: RunLength) -> Schedule:
    def hold(step, warmup_steps, floor):
        return jnp.full_like(step, rate)

    return Schedule(_after_warmup(rate, schedule, length, hold))


def _plateau(rate: float, schedule: Mapping[str, Any], length: RunLength) -> Schedule:
    """Constant, times ``factor`` whenever ``patience_epochs`` brought no better validation.

    Better is by more than ``min_change``, in the monitored value's unit.
    """
    if not length.validation_steps:
        raise ValueError(
            "config.optimizer.schedule.kind='plateau' follows a validated value: set "
            "config.validation"
        )
    missing = [key for key in ("factor", "patience_epochs") if schedule.get(key) is None]
    if missing:
        raise ValueError(f"config.optimizer.schedule: kind 'plateau' needs {missing}")
    steps = schedule["patience_epochs"] * length.steps_per_epoch
    plateau = optax.contrib.reduce_on_plateau(
        factor=schedule["factor"],
        patience=max(1, round(steps / length.validation_steps)),
        rtol=0.0,
        atol=schedule.get("min_change", 1e-4),
    )
    return Schedule(_constant(rate, schedule, length).rate, plateau)


def _one_cycle(rate: float, schedule: Mapping[str, Any], length: RunLength) -> Schedule:
    """Up and down again in two half cosines, as ``torch.optim.lr_scheduler.OneCycleLR``.

    The rate goes from ``start * rate`` to ``rate`` over ``rise_share`` of the run and down to
    ``floor * rate`` at its last step (torch's ``div_factor`` is 1 / start, its ``final_div_factor``
    start / floor). ``momentum=(resting, peak)`` moves Adam's b1 the other way: from resting to peak
    and back; torch does so by default, between 0.95 and 0.85.
    """
    if schedule.get("per", "step") != "step":
        raise ValueError("config.optimizer.schedule: kind 'one_cycle' moves per='step'")
    if any(schedule.get(f"warmup_{unit}") for unit in UNITS):
        raise ValueError(
            "config.optimizer.schedule: kind 'one_cycle' rises over rise_share; warmup_* must be 0"
        )
    rise, start = schedule.get("rise_share", 0.2), schedule.get("start", 0.5)
    if not 0 < rise < 1:
        raise ValueError(f"config.optimizer.schedule.rise_share is {rise}: between 0 and 1")
    floor, momentum = schedule.get("floor", 0.0625), schedule.get("momentum")

    def cycle(first: float, peak: float, last: float) -> Callable[[Any], Any]:
        top, end = rise * length.total_steps - 1, length.total_steps - 1

        def at(step: Any) -> Any:
            step = jnp.asarray(step, jnp.float32)
            up = _half_cosine(first, peak, step / top if top > 0 else 1.0)
            down = _half_cosine(peak, last, (step - top) / max(end - top, 1e-9))
            return jnp.where(step <= top, up, down)

        return at

    if momentum is None:
        return Schedule(cycle(start * rate, rate, floor * rate))
    resting, peak = momentum
    return Schedule(cycle(start * rate, rate, floor * rate), momentum=cycle(resting, peak, resting))


def _half_cosine(first: float, last: float, progress: Any) -> Any:
    """From ``first`` to ``last`` while ``progress`` goes from 0 to 1, slowly at both ends."""
    return last + (first - last) / 2 * (1 + jnp.cos(math.pi * jnp.clip(progress, 0.0, 1.0)))


_SHARED = {"kind", "per", "floor"} | {f"{d}_{u}" for d in ("warmup", "total") for u in UNITS}
_KINDS = {
    "cosine": (_cosine, set()),
    "constant": (_constant, set()),
    "plateau": (_plateau, {"factor", "patience_epochs", "min_change"}),
    "one_cycle": (_one_cycle, {"rise_share", "start", "momentum"}),
}


def make_schedule(rate: float, schedule: Mapping[str, Any], length: RunLength) -> Schedule:
    """The schedule of ``config.optimizer.schedule`` (kind "cosine" if it does not say).

    Raises:
      ValueError: an unknown kind or keyword, contradictory durations, no validation to follow.
    """
    kind = schedule.get("kind", "cosine")
    if kind not in _KINDS:
        raise ValueError(f"config.optimizer.schedule.kind is {kind!r}; known: {sorted(_KINDS)}")
    make, own = _KINDS[kind]
    unknown = {key for key, value in schedule.items() if value is not None} - _SHARED - own
    if unknown:
        raise ValueError(
            f"config.optimizer.schedule: {sorted(unknown)} unknown to {kind!r}; "
            f"known: {sorted(_SHARED | own)}"
        )
    return make(rate, schedule, length)
