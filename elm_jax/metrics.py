"""Where numbers go: metrics.jsonl, TensorBoard events, the log; process 0 writes, alone."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.axes import Array
from elm_jax.growing import GrowingText


def _plain(value: Any) -> Any:
    """A Python number for JSON; non-finite ones as text, which JSON has no number for."""
    value = float(np.asarray(value)) if not isinstance(value, int | str) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Measures:
    """What was measured at the steps since something was last written, on the devices until then.

    A checkpoint carries it along: a mean over steps that a stop cuts in two is that of a run which
    was not stopped, bit for bit.

    Args:
      stored: what :meth:`to_json` gave, of the checkpoint that a run goes on from.
    """

    def __init__(self, stored: Sequence[Mapping[str, float]] | None = None):
        self._steps: list[Mapping[str, Array | float]] = list(stored or ())

    def add(self, measures: Mapping[str, Array]) -> None:
        """Takes the measures of a step; the same ones at every step."""
        self._steps.append(measures)

    def means(self) -> dict[str, float]:
        """Means over steps: a single one says little where batches differ in size."""
        steps = self.to_json()
        return {k: float(np.mean([step[k] for step in steps])) for k in steps[0]}

    def clear(self) -> None:
        """Forgets them: they are written."""
        self._steps.clear()

    def to_json(self) -> list[dict[str, float]]:
        """Numbers of Python, which hold float32 exactly."""
        self._steps = [
            {k: float(v) for k, v in step.items()} for step in jax.device_get(self._steps)
        ]
        return list(self._steps)


def _summary_writer() -> type:
    """The writer of tensorboardX, imported as where there is no PyTorch.

    It imports PyTorch wherever that is installed, for a type's name: 200 MB and two seconds.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # what makes an import raise ImportError
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


class MetricsWriter:
    """Appends one object a logged step to ``metrics.jsonl`` and scalars to TensorBoard.

    On resume, rows later than the restored step are cut, so that a curve never runs twice. In a
    bucket, where nothing can be appended to, both are written anew at :meth:`flush`.
    """

    def __init__(self, workdir: epath.PathLike, *, resumed_step: int = 0):
        workdir = paths.of(workdir)
        self._active = jax.process_index() == 0
        self._tensorboard = None
        if not self._active:
            return
        rows = read_metrics(workdir)
        kept = (json.dumps(r) + "\n" for r in rows if r["step"] <= resumed_step)
        # Whole at any time: a kill in between must not cost the curve so far.
        paths.write_text(workdir / "metrics.jsonl", "".join(kept))
        self._rows = GrowingText(workdir / "metrics.jsonl")
        self._events = staging.Outbox(workdir / "tensorboard")
        self._tensorboard = _summary_writer()(str(self._events.folder), purge_step=resumed_step + 1)

    def write(self, step: int, values: Mapping[str, Any], *, log_line: bool = True) -> None:
        """Writes the values of one step; ``log_line=False`` leaves metrics.jsonl alone."""
        if not self._active:
            return
        line = json.dumps({"step": int(step)} | {k: _plain(v) for k, v in values.items()})
        if log_line:
            self._rows.write(line + "\n")
            self._rows.flush()
        for key, value in values.items():
            self._tensorboard.add_scalar(key, float(np.asarray(value)), int(step))

    def flush(self) -> None:
        """Returns when all rows stand in the workdir: before each checkpoint, whose rows they are.

        Raises:
          RemoteError: they cannot be sent there.
        """
        if self._tensorboard is not None:
            self._rows.settle()
            self._tensorboard.flush()
            self._events.send()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error) -> None:
        """Closed where the block fails; what comes after one that did not writes on."""
        if kind is not None:
            self.close()

    def close(self) -> None:
        """Flushes what is pending."""
        if self._tensorboard is not None:
            self._rows.close()
            self._tensorboard.close()
            self._events.close()


def read_metrics(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``; a last line cut off by a kill is left out."""
    path = paths.of(workdir) / "metrics.jsonl"
    if not path.exists():
        return []
    rows = []
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if i + 1 < len(lines):
                raise ValueError(f"{path}:{i + 1} is not JSON: {line[:80]!r}") from error
    return rows
