"""``--profile FIRST:LAST``: a profiler's trace of some steps, for XProf or TensorBoard."""

import logging
import pathlib
import re
import shutil
import tempfile
from typing import Any

import jax
from etils import epath

log = logging.getLogger(__name__)


class Trace:
    """Writes ``profile/`` in the workdir; knows only the steps' numbers.

    Args:
      steps: "FIRST:LAST", both traced, numbered as in the log; "STEP"; or "": nothing is traced.
      workdir: of the run.
      first: the step that the run goes on from.
      last: its last one.

    Raises:
      ValueError: ``steps`` is not of that form, or the run ends before.
    """

    def __init__(self, steps: str, workdir: epath.Path, *, first: int, last: int):
        # Files are named by machine and second, and processes may share both.
        own = f"process_{jax.process_index()}" if jax.process_count() > 1 else ""
        self._folder, self._running = workdir / "profile" / own, ""
        self._first = self._last = 0  # no step has this number
        if not steps:
            return
        if not (found := re.fullmatch(r"(\d+)(?::(\d+))?", steps)):
            raise ValueError(f"--profile is {steps!r}; expected FIRST:LAST, such as 10:12")
        self._first, self._last = int(found[1]), int(found[2] or found[1])
        if not 1 <= self._first <= self._last <= last:
            raise ValueError(f"--profile={steps}: this run does the steps 1 to {last}")
        # The same command goes on after a stop: what was traced before, or is not done again, is
        # no mistake.
        self._first = max(self._first, first + 1)
        if self._last <= first:
            log.info("profile  the steps %s were done before", steps)

    def before(self, step: int) -> None:
        """Begins with the first step asked for."""
        if step == self._first <= self._last:
            self._running = tempfile.mkdtemp(prefix="elm_jax_profile_")
            jax.profiler.start_trace(self._running)

    def after(self, step: int, loss: Any) -> None:
        """Ends when the last step's ``loss`` is there."""
        if self._running and step == self._last:
            loss.block_until_ready()
            self._end()

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *error) -> None:
        """Keeps what there is if the run stops in between."""
        if self._running:
            self._end()

    def _end(self) -> None:
        jax.profiler.stop_trace()
        made, self._running = pathlib.Path(self._running), ""  # a temporary folder of this machine
        for file in (f for f in made.rglob("*") if f.is_file()):
            target = self._folder / str(file.relative_to(made))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        shutil.rmtree(made)
        log.info("profile  steps %d to %d: xprof %s", self._first, self._last, self._folder)
