"""Who may work in an output folder: one that assembles it, or any number that prepare parts.

The lock is the system's (``flock``): it goes with the process, however that ends. On a shared
folder it may hold on one machine only, and an object store has none. Nothing depends on it for
being right: files appear whole, under names that only their content decides.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from etils import epath

from data_prep.work import PrepareError
from elm_jax.data.manifest import WORK_DIR
from elm_jax.lock import NO_LOCKS_HERE
from elm_jax.paths import is_remote


@contextmanager
def held(out: epath.Path, *, shared: bool = False) -> Iterator[None]:
    """Holds a folder's lock for the time of the block; makes the folder.

    Args:
      out: the output folder.
      shared: others may hold it so too.

    Raises:
      PrepareError: somebody holds it who does not share.
    """
    work = out / WORK_DIR
    work.mkdir(parents=True, exist_ok=True)
    if is_remote(out):
        yield
        return
    handle = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(handle, out, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _take(handle: int, out: epath.Path, kind: int) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PrepareError(f"{out}: another preparation is running here; wait for it") from error
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
        print(f"{out}: this file system has no locks; do not run two preparations into it at once")
