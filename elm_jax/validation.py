"""Validation while training: the loss of a held-out split, early stopping, the best checkpoint.

    config.validation = dict(
        split="valid",
        every_epochs=1.0,
        monitor="loss",          # or any other value of the table: "accuracy", ...
        mode="min",              # or "max"
        patience_epochs=10.0,    # without a better value; None: never stops early
    )

What a run remembers of it is the list of (step, value) so far, which every checkpoint carries;
patience and best follow from that list alone. With what was measured in training since the last
validation, which checkpoints carry too, a resumed run goes on as if it had not stopped.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from elm_jax.axes import Array, Batch
from elm_jax.data.samplers import Sampler
from elm_jax.epoch_table import COLUMNS, EpochTable
from elm_jax.metrics import Measures
from elm_jax.monitor import Monitor, Point
from elm_jax.objectives.base import Objective
from elm_jax.optim import Optimizer
from elm_jax.schedules import RunLength
from elm_jax.sharding import replicated, to_global
from elm_jax.state import TrainState

log = logging.getLogger(__name__)

Measure = Callable[[TrainState], dict[str, float]]
KEYS = {"split", "every_epochs", "monitor", "mode", "patience_epochs"}


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

    def note(self, measures: Mapping[str, Array]) -> None:
        """Takes what a training step measured, for the means since the last validation."""
        ...

    def __call__(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """Measures where it is due: the state to go on with, and values to log."""
        ...

    def selection(self, step: int) -> float | None:
        """What the checkpoint of a step is chosen by, the smallest; None: its training loss."""
        ...

    def to_json(self) -> list[list[float]]:
        """What :func:`elm_jax.monitor.history_of` reads back from a checkpoint."""
        ...

    def noted(self) -> list[dict[str, float]]:
        """What :func:`of_run` takes back from a checkpoint: of the steps since a validation."""
        ...


class NoValidation:
    """A run without validation: never due, never stops."""

    stopped = False

    def due(self, step: int) -> bool:
        """Never."""
        return False

    def note(self, measures: Mapping[str, Array]) -> None:
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

    def noted(self) -> list[dict[str, float]]:
        """Nothing to remember."""
        return []


class SplitValidation:
    """Validation of a split, as ``config.validation`` says.

    Args:
      settings: ``config.validation``.
      measure: of :func:`make_measure`.
      known: names that ``measure`` gives.
      optimizer: told of every value (a plateau follows it).
      length: of the run.
      history: of the run so far, from its checkpoint.
      noted: measures of its steps since the last validation, from its checkpoint.

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
        noted: Sequence[Mapping[str, float]] = (),
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
        self._length, self._table = length, EpochTable(self._name)
        # Of what is validated, the part that has a column: a checkpoint carries it for each step.
        self._in_training = {self._name, *COLUMNS} & known
        self._noted = Measures(noted)  # since the last validation

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return self.monitor.stopped

    def due(self, step: int) -> bool:
        """After every interval, and at the end."""
        return step % self._length.validation_steps == 0 or step == self._length.total_steps

    def note(self, measures: Mapping[str, Array]) -> None:
        """See :class:`Validation`."""
        self._noted.add({k: v for k, v in measures.items() if k in self._in_training})

    def __call__(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float]]:
        """See :class:`Validation`."""
        if not self.due(step):
            return state, {}
        found = self._measure(state)
        value = found[self._name]
        self.monitor.add(step, value)
        opt_state = self._optimizer.after_validation(state.opt_state, self.monitor.cost(value))
        train, best = self._noted.means(), self.monitor.best.step
        self._noted.clear()
        epoch = step / self._length.steps_per_epoch
        seconds = self._table.row(epoch, train, found, best=best == step)
        self._tell_if_stopped()
        measured = {f"train/{k}": v for k, v in train.items()}
        measured |= {f"valid/{k}": v for k, v in (found | {"best_step": best}).items()}
        return state.replace(opt_state=opt_state), measured | {"interval_s": seconds}

    def selection(self, step: int) -> float:
        """The cost of a step's value; infinite where it was saved unmeasured."""
        costs = [self.monitor.cost(p.value) for p in self.monitor.history if p.step == step]
        return costs[-1] if costs else math.inf

    def to_json(self) -> list[list[float]]:
        """The history; NaN becomes None."""
        return [[p.step, p.value if math.isfinite(p.value) else None] for p in self.monitor.history]

    def noted(self) -> list[dict[str, float]]:
        """See :class:`Validation`."""
        return self._noted.to_json()

    def _tell_if_stopped(self) -> None:
        if self.stopped:
            log.info(
                "valid  no better %s than that of step %d within the patience: stopping",
                self._name,
                self.monitor.best.step,
            )


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
    noted: Sequence[Mapping[str, float]],
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
      noted: what :meth:`Validation.noted` gave, of the checkpoint that the run goes on from.
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
    out = SplitValidation(settings, measure, known, optimizer, length, history, noted)
    if out.stopped:
        log.info("valid  the run stopped early at step %d: no more steps", history[-1].step)
    return out
