"""Of the values that validations gave: which is best, and whether to stop."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A monitored value, NaN where it was no number."""

    step: int
    value: float


def history_of(stored: Any) -> list[Point]:
    """The history of a checkpoint (its ``extra["validation"]``)."""
    return [Point(int(s), math.nan if v is None else float(v)) for s, v in stored or ()]


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
