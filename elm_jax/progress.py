"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Mapping

import absl.logging
import jax
from etils import epath
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)


class _MessageAlone(logging.Formatter):
    """For the console; tracebacks are in the log file."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def setup_logging(workdir: epath.PathLike) -> None:
    """Log lines to the console and to ``train.log`` in the workdir (process 0; others aside)."""
    # Libraries tell dozens of lines a checkpoint; their warnings and errors remain.
    absl.logging.set_verbosity(absl.logging.WARNING)
    name = "train.log" if jax.process_index() == 0 else f"train.{jax.process_index()}.log"
    logger = logging.getLogger("elm_jax")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_MessageAlone())
    file = logging.StreamHandler((epath.Path(workdir) / name).open("a"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(file)
    if jax.process_index() == 0:
        logger.addHandler(console)


class Progress:
    """Loss, examples/s and time left of a run of known length; a context manager."""

    def __init__(self, start: int, total: int, rows_per_step: int):
        self._start, self._total, self._rows = start, total, rows_per_step
        self._began = self._last_time = time.monotonic()
        self._last_step = start
        self._terminal = sys.stderr.isatty() and jax.process_index() == 0
        self._bar = tqdm(
            total=total, initial=start, unit="step", disable=not self._terminal, dynamic_ncols=True
        )
        self._redirect = logging_redirect_tqdm([logging.getLogger("elm_jax")])

    def __enter__(self) -> "Progress":
        if self._terminal:
            self._redirect.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()
        if self._terminal:
            self._redirect.__exit__(*error)

    def advance(self) -> None:
        """One step done."""
        self._bar.update(1)

    def rate(self, step: int) -> float:
        """Examples a second since the last call."""
        now = time.monotonic()
        rate = (step - self._last_step) * self._rows / max(now - self._last_time, 1e-9)
        self._last_time, self._last_step = now, step
        return rate

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Shows a logged step: in the bar, or as a line."""
        loss, rate = values["loss"], values["examples_per_s"]
        if self._terminal:
            self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} examples/s")
            return
        per_step = (time.monotonic() - self._began) / max(step - self._start, 1)
        left = int(per_step * (self._total - step))
        log.info(
            "step %d/%d  loss %.4f  %.0f examples/s  %d:%02d left",
            step,
            self._total,
            loss,
            rate,
            *divmod(left, 60),
        )
