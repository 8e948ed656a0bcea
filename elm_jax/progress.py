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

from elm_jax import paths
from elm_jax.growing import GrowingText

log = logging.getLogger(__name__)

WORTH_SAYING = 0.05  # of the time, waiting for input


class _MessageAlone(logging.Formatter):
    """For the console; tracebacks are in the log file."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


class _LogFile(logging.StreamHandler):
    """A file of the workdir; errors are in it at once, wherever it lies."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.ERROR:
            try:
                self.stream.settle()
            except OSError:  # as in emit: a log that cannot be written stops no run
                self.handleError(record)

    def close(self) -> None:
        super().close()
        self.stream.close()


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
    file = _LogFile(GrowingText(paths.of(workdir) / name))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(file)
    if jax.process_index() == 0:
        logger.addHandler(console)


class Progress:
    """Loss, examples/s and time left of a run of known length; a context manager."""

    def __init__(self, start: int, total: int):
        self._start, self._total = start, total
        self._began = time.monotonic()
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

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Shows a logged step: in the bar, or as a line."""
        said = f"loss {values['loss']:.4f}  {values['examples_per_s']:.0f} examples/s"
        if "mfu" in values:
            said += f"  MFU {values['mfu']:.0%}"
        if values["input_wait_share"] > WORTH_SAYING:
            said += f"  input wait {values['input_wait_share']:.0%}"
        if self._terminal:
            self._bar.set_postfix_str(said)
            return
        per_step = (time.monotonic() - self._began) / max(step - self._start, 1)
        left = divmod(int(per_step * (self._total - step)), 60)
        log.info("step %d/%d  %s  %d:%02d left", step, self._total, said, *left)
