"""What can go wrong with checkpoints, in one message each: what happened, what is left, what to do.

Orbax and TensorStore tell a failure several times over: as the exception, as log lines with
tracebacks, as futures that nobody asked. Only the exception is passed on.
"""

import contextlib
import gc
import logging
import sys
from collections.abc import Iterator, Sequence

from etils import epath

LONGEST = 300  # characters of another library's message


class CorruptCheckpoint(ValueError):
    """A checkpoint that was finished cannot be read any more, or is not what was saved."""

    @classmethod
    def of(
        cls, folder: epath.Path, step: int, error: Exception, others: Sequence[int]
    ) -> "CorruptCheckpoint":
        """Names the step, what is wrong, and the other steps that are there."""
        todo = (
            f"To go on from step {others[-1]}, remove {folder}/{step} and give the same command"
            if others
            else "There is no other step: begin again in another --workdir"
        )
        return cls(
            f"{folder}/{step} is damaged: {said(error)}\nIt was left as it is. Other steps there: "
            f"{list(others) or 'none'}. {todo}."
        )


class SaveFailed(OSError):
    """A checkpoint could not be written; those of before are whole."""

    @classmethod
    def of(
        cls, folder: epath.Path, step: int | None, error: Exception, whole: int | None
    ) -> "SaveFailed":
        """Names the step that was not saved, why, and the last that is."""
        what = "nothing can be saved here" if step is None else f"step {step} was not saved"
        kept = "" if whole is None else f" Step {whole} is whole, and nothing of it is lost."
        return cls(
            f"{folder}: {what}: {said(error)}\nMake room, or make it writable, and give the same "
            f"command.{kept}"
        )


def said(error: BaseException) -> str:
    """An exception's message in one line; of a long one the ends, where the place and cause are."""
    text = str(error)
    for mark in ("[tensorstore_spec", "[source locations", "See full TensorStore details"):
        text = text.partition(mark)[0]
    text = " ".join(text.split()) or type(error).__name__
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


class _NoTracebacks(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is anything but Orbax's copy of an exception that it raises."""
        return not ("/orbax/" in record.pathname and record.levelno >= logging.ERROR)


_FILTER = _NoTracebacks()


def only_through_exceptions() -> None:
    """Keeps Orbax from writing on stderr what it raises as well."""
    logging.getLogger("absl").addFilter(_FILTER)  # once: the same filter is not added twice


@contextlib.contextmanager
def without_tracebacks() -> Iterator[None]:
    """Keeps asyncio from telling of the reads that fail beside the first one that is raised."""
    hook, logger = sys.unraisablehook, logging.getLogger("asyncio")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    except Exception:
        gc.collect()  # it tells of them as they are collected
        raise
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)
