"""Several processes of one run: whose rows are whose, and what one of them does for all.

Rows of a batch are shared out in blocks, in the order of the processes; with one process every
function here is the identity.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


class OtherProcessFailed(ValueError):
    """The first process could not do what all wait for; its own error says why."""


def this_process() -> tuple[int, int]:
    """This process's number, and how many there are."""
    return jax.process_index(), jax.process_count()


def shareable(rows: int) -> int:
    """The next number of rows, not below ``rows``, of which every process has equally many."""
    processes = jax.process_count()
    return -(-rows // processes) * processes


def own(rows: np.ndarray) -> np.ndarray:
    """This process's block of rows that all processes have.

    Raises:
      ValueError: they cannot be shared out evenly.
    """
    index, count = this_process()
    if len(rows) % count:
        raise ValueError(f"{len(rows)} rows cannot be shared out evenly over {count} processes")
    each = len(rows) // count
    return rows[index * each : (index + 1) * each]


def gather(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes, in their order, on every one; bit for bit.

    All processes must call it, with equally many rows of the same kind.
    """
    if jax.process_count() == 1:
        return rows
    # As bytes: what goes through the devices as numbers would lose its float64.
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    found = multihost_utils.process_allgather(flat.view(np.uint8), tiled=True)
    return np.ascontiguousarray(found).view(rows.dtype).reshape(-1, *rows.shape[1:])


def first_says(decide: Callable[[], int]) -> int:
    """What ``decide`` gives on the first process, told to all; the others do not call it.

    For what reads or writes files: the others then neither race nor see them half-way. All
    processes must call it.

    Raises:
      OtherProcessFailed: on the others, where it raised on the first.
    """
    index, count = this_process()
    if count == 1:
        return decide()
    said, error = np.zeros(2, np.int32), None
    if index == 0:
        try:
            said[0] = decide()
        except BaseException as raised:  # to be told to stop is none of the others' faults
            error, said[1] = raised, 1
    said = multihost_utils.broadcast_one_to_all(said)
    if error is not None:
        raise error
    if said[1]:
        raise OtherProcessFailed("process 0 failed, and this one waits for nothing: see its log")
    return int(said[0])
