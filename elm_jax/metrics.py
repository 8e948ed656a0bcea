"""Where numbers go: metrics.jsonl, TensorBoard events, the log; process 0 writes, alone."""

import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath


def _plain(value: Any) -> Any:
    """A Python number for JSON; non-finite ones as text, which JSON has no number for."""
    value = float(np.asarray(value)) if not isinstance(value, int | str) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class MetricsWriter:
    """Appends one object a logged step to ``metrics.jsonl`` and scalars to TensorBoard.

    On resume, rows later than the restored step are cut, so that a curve never runs twice.
    """

    def __init__(self, workdir: epath.PathLike, *, resumed_step: int = 0):
        self._path = epath.Path(workdir) / "metrics.jsonl"
        self._active = jax.process_index() == 0
        self._tensorboard = None
        if not self._active:
            return
        rows = read_metrics(workdir)
        kept = (json.dumps(r) + "\n" for r in rows if r["step"] <= resumed_step)
        # Renamed into place: a kill in between must not cost the curve so far.
        fresh = self._path.with_suffix(".tmp")
        fresh.write_text("".join(kept))
        fresh.replace(self._path)
        from tensorboardX import SummaryWriter

        self._tensorboard = SummaryWriter(
            str(epath.Path(workdir) / "tensorboard"), purge_step=resumed_step + 1
        )

    def write(self, step: int, values: Mapping[str, Any], *, log_line: bool = True) -> None:
        """Writes the values of one step; ``log_line=False`` leaves metrics.jsonl alone."""
        if not self._active:
            return
        line = json.dumps({"step": int(step)} | {k: _plain(v) for k, v in values.items()})
        if log_line:
            with self._path.open("a") as f:
                f.write(line + "\n")
        for key, value in values.items():
            self._tensorboard.add_scalar(key, float(np.asarray(value)), int(step))

    def close(self) -> None:
        """Flushes what is pending."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``; a last line cut off by a kill is left out."""
    path = epath.Path(workdir) / "metrics.jsonl"
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
