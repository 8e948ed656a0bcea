"""Validation while training: the loss of a held-out split, early stopping, the best checkpoint.

    config.validation = dict(
        split="valid",
        every_epochs=1.0,
        monitor="loss",          # or any other value of the table: "accuracy", ...
        mode="min",              # or "max"
        patience_epochs=10.0,    # without a better value; None: never stops early
    )

What a run remembers of it is the list of (step, value) so far, which every checkpoint carries;
patience and best follow from that list alone, so a resumed run goes on as if it had not stopped.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from elm_jax.axes import Array, Batch
from elm_jax.data.samplers import Sampler
from elm_jax.objectives.base import Objective
from elm_jax.optim import Optimizer
from elm_jax.schedules import RunLength
from elm_jax.sharding import replicated, to_global
from elm_jax.state import TrainState

log = logging.getLogger(__name__)

Measure = Callable[[TrainState], dict[str, float]]
KEYS = {"split", "every_epochs", "monitor", "mode", "patience_epochs"}


class Point(NamedTuple):
    """A monitored value, NaN where it was no number."""

    step: int
    value: float


def every_epochs(settings: Mapping[str, Any] | None) -> float:
    """Epochs between validations; 0 without.

    Raises:
      ValueError: no positive number.
    """
    if not settings:
        return 0.0
    every = settings["every_epochs"]
    if not every > 0:
        raise ValueError(f"config.validation.every_epochs is {every}; expected more than 0")
    return every


def make_measure(
    objective: Objective,
    prepare: Callable[[Batch], Batch],
    batches: Callable[[], Any],
    mesh: Mesh,
) -> Measure:
    """A function from the state to the split's loss, terms and scores, in evaluation mode.

    Means are over all rows of the split (a batch counts for what its loss is divided by), not over
    batches.

    Args:
      objective: whose loss it is.
      prepare: stored integers to network values, on the device.
      batches: gives the split's host batches, from the first to the last.
      mesh: the devices.
    """

    def one(params, model_state, batch):
        key = jax.random.key(0)  # nothing is random in evaluation mode
        loss, out = objective.loss(params, model_state, prepare(batch), key, train=False)
        return {"loss": loss, **out.terms, **out.report}, out.weight, out.sums

    apply = jax.jit(one, out_shardings=replicated(mesh))

    def measure(state: TrainState) -> dict[str, float]:
        means: dict[str, float] = {}
        sums: dict[str, Any] = {}
        total = 0.0
        for batch in batches():
            out = apply(state.params, state.model_state, to_global(batch, mesh))
            values, weight, more = jax.device_get(out)
            for name, value in values.items():
                # 0 times a value that is no number, of a batch of padding, must not count.
                part = float(weight) * float(value) if weight > 0 else 0.0
                means[name] = means.get(name, 0.0) + part
            for name, value in more.items():
                sums[name] = sums.get(name, 0.0) + np.asarray(value, np.float64)
            total += float(weight)
        out = {name: value / total if total else math.nan for name, value in means.items()}
        return out | objective.scores(sums)

    return measure


def names_of(
    objective: Objective, prepare: Callable[[Batch], Batch], state: TrainState, example: Batch
) -> set[str]:
    """What a validation will measure; nothing is computed."""

    def one(state, batch):
        batch = prepare(batch)
        loss, out = objective.loss(
            state.params, state.model_state, batch, jax.random.key(0), train=False
        )
        return {"loss": loss, **out.terms, **out.report}, out.sums

    values, sums = jax.eval_shape(one, state, example)
    return set(values) | set(objective.scores(jax.tree.map(lambda s: np.ones(s.shape), sums)))


@runtime_checkable
class Validation(Protocol):
    """What the loop knows of validation."""

    stopped: bool

    def due(self, step: int) -> bool:
        """Whether this step is followed by a validation."""
        ...

    def note(self, train_loss: Array) -> None:
        """Takes the loss of a training step, for the mean since the last validation."""
        ...

    def __call__(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """Measures where it is due: the state to go on with, and values to log."""
        ...

    def selection(self, step: int) -> float | None:
        """What the checkpoint of a step is chosen by, the smallest; None: its training loss."""
        ...

    def to_json(self) -> list[list[float]]:
        """What :func:`history_of` reads back from a checkpoint."""
        ...


class NoValidation:
    """A run without validation: never due, never stops."""

    stopped = False

    def due(self, step: int) -> bool:
        """Never."""
        return False

    def note(self, train_loss: Array) -> None:
        """Nothing."""

    def __call__(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """Nothing."""
        return state, {}

    def selection(self, step: int) -> None:
        """None: checkpoints are chosen by their training loss."""
        return None

    def to_json(self) -> list[list[float]]:
        """Nothing to remember."""
        return []


class Monitor:
    """The values so far: which is best, and whether to stop. Pure but for :meth:`add`.

    Args:
      mode: "min" or "max".
      patience_steps: stop that long after the best; None: never.
      history: of before.

    Raises:
      ValueError: an unknown mode, a patience that is not positive.
    """

    def __init__(
        self, mode: str, patience_steps: float | None = None, history: Sequence[Point] = ()
    ):
        if mode not in ("min", "max"):
            raise ValueError(f"config.validation.mode is {mode!r}; known: 'min', 'max'")
        if patience_steps is not None and not patience_steps > 0:
            raise ValueError("config.validation.patience_epochs must be positive, or None")
        self.sign = 1.0 if mode == "min" else -1.0
        self._patience_steps = patience_steps
        self.history = list(history)

    def add(self, step: int, value: float) -> None:
        """Appends a value."""
        self.history.append(Point(step, value))

    def cost(self, value: float) -> float:
        """What is to be minimised; infinite for what is no number."""
        return self.sign * value if math.isfinite(value) else math.inf

    @property
    def best(self) -> Point | None:
        """The first of the best values."""
        return min(self.history, key=lambda p: self.cost(p.value), default=None)

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        if self._patience_steps is None or not self.history:
            return False
        return self.history[-1].step - self.best.step >= self._patience_steps


class SplitValidation:
    """Validation of a split, as ``config.validation`` says.

    Args:
      settings: ``config.validation``.
      measure: of :func:`make_measure`.
      known: names that ``measure`` gives.
      optimizer: told of every value (a plateau follows it).
      length: of the run.
      history: of the run so far, from its checkpoint.

    Raises:
      ValueError: unknown settings, or a monitored value that is not measured.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        measure: Measure,
        known: set[str],
        optimizer: Optimizer,
        length: RunLength,
        history: Sequence[Point] = (),
    ):
        self._name = settings.get("monitor", "loss")
        if self._name not in known:
            raise ValueError(
                f"config.validation.monitor is {self._name!r}; measured are {sorted(known)}"
            )
        patience = settings.get("patience_epochs")
        steps = None if patience is None else patience * length.steps_per_epoch
        self.monitor = Monitor(settings.get("mode", "min"), steps, history)
        self._split, self._measure, self._optimizer = settings["split"], measure, optimizer
        self._length, self._since = length, time.monotonic()
        self._table_begun = False
        self._train_losses: list[Array] = []  # since the last validation, on the device

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return self.monitor.stopped

    def due(self, step: int) -> bool:
        """After every interval, and at the end."""
        return step % self._length.validation_steps == 0 or step == self._length.total_steps

    def note(self, train_loss: Array) -> None:
        """See :class:`Validation`."""
        self._train_losses.append(train_loss)

    def __call__(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """See :class:`Validation`."""
        if not self.due(step):
            return state, {}
        found = self._measure(state)
        value = found[self._name]
        self.monitor.add(step, value)
        opt_state = self._optimizer.after_validation(state.opt_state, self.monitor.cost(value))
        train_loss = float(jnp.mean(jnp.stack(self._train_losses)))
        self._train_losses.clear()
        self._show(step, train_loss, found)
        measured = found | {"best_step": self.monitor.best.step}
        return state.replace(opt_state=opt_state), {f"valid/{k}": v for k, v in measured.items()}

    def selection(self, step: int) -> float:
        """The cost of a step's value; infinite where it was saved unmeasured."""
        costs = [self.monitor.cost(p.value) for p in self.monitor.history if p.step == step]
        return costs[-1] if costs else math.inf

    def to_json(self) -> list[list[float]]:
        """The history; NaN becomes None."""
        return [[p.step, p.value if math.isfinite(p.value) else None] for p in self.monitor.history]

    def _show(self, step: int, train_loss: float, found: Mapping[str, float]) -> None:
        """A row of the table in the log."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        shown = ["loss"] + [k for k in ("accuracy", "balanced_accuracy", self._name) if k in found]
        shown = list(dict.fromkeys(shown))
        if not self._table_begun:
            heads = "".join(f"{_short(name):>12}" for name in shown)
            log.info("%s%8s%12s%s%6s%9s", "valid ", "epoch", "train loss", heads, "best", "seconds")
            self._table_begun = True
        best = "*" if self.monitor.best.step == step else ""
        cells = "".join(f"{found[name]:12.4f}" for name in shown)
        epoch = step / self._length.steps_per_epoch
        log.info("%s%8.2f%12.4f%s%6s%9.1f", "valid ", epoch, train_loss, cells, best, seconds)
        if self.stopped:
            log.info(
                "valid  no better %s than that of step %d within the patience: stopping",
                self._name,
                self.monitor.best.step,
            )


def _short(name: str) -> str:
    return {"loss": "valid loss", "balanced_accuracy": "bal. acc."}.get(name, name)


def history_of(stored: Any) -> list[Point]:
    """The history of a checkpoint (its ``extra["validation"]``)."""
    return [Point(int(s), math.nan if v is None else float(v)) for s, v in stored or ()]


def of_run(
    settings: Mapping[str, Any] | None,
    make_batches: Callable[[str], tuple[Sampler, Any]],
    *,
    objective: Objective,
    prepare: Callable[[Batch], Batch],
    optimizer: Optimizer,
    length: RunLength,
    state: TrainState,
    mesh: Mesh,
    history: Sequence[Point],
    threads: int,
    by: str = "tf_data",
) -> Validation:
    """The validation of ``config.validation``; none where it is None.

    Args:
      settings: ``config.validation``.
      make_batches: a split's sampler and batches; its first epoch is measured.
      objective: whose loss is measured.
      prepare: stored integers to network values, on the device.
      optimizer: told of every value.
      length: of the run.
      state: only its shapes are used.
      mesh: the devices.
      history: of the run so far.
      threads: that read.
      by: see :func:`elm_jax.data.read_ahead.read_ahead`.

    Raises:
      ValueError: unknown or missing settings, or a split that the data lack.
    """
    if not settings:
        return NoValidation()
    unknown, missing = set(settings) - KEYS, {"split", "every_epochs"} - set(settings)
    if unknown or missing:
        raise ValueError(
            f"config.validation: unknown {sorted(unknown)}, lacks {sorted(missing)}; known: "
            f"{sorted(KEYS)}"
        )
    sampler, batches = make_batches(settings["split"])
    steps = sampler.steps_per_epoch(0)
    measure = make_measure(
        objective, prepare, lambda: batches.dataset(0, steps, threads=threads, by=by), mesh
    )
    known = names_of(objective, prepare, state, batches.batch(0))
    out = SplitValidation(settings, measure, known, optimizer, length, history)
    if out.stopped:
        log.info("valid  the run stopped early at step %d: no more steps", history[-1].step)
    return out
