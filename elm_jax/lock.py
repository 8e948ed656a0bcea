"""One run at a time in a workdir."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator

from etils import epath

from elm_jax import paths

log = logging.getLogger(__name__)

NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what a file system without says


class InUse(OSError):
    """Another run is going on in the workdir."""


@contextlib.contextmanager
def alone(workdir: epath.Path) -> Iterator[None]:
    """Holds the workdir for this process; let go by its end, however it ends (``kill -9`` too).

    Kept by the file system (``flock``), also between machines that share one over NFS or Lustre
    where that is switched on. Object stores have nothing of the kind, and are not locked.

    Of several processes of a run, the first holds it for all.

    Args:
      workdir: exists already.

    Raises:
      InUse: another process holds it.
    """
    import jax

    if jax.process_index() or paths.is_remote(workdir):
        yield
        return
    path = workdir / ".lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "an unknown process"
            raise InUse(
                f"--workdir {workdir} is in use by {holder}: two runs in one folder would "
                "overwrite each other. Stop that one, or give another --workdir"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS_HERE:
                raise
            log.info(
                "%s: its file system has no locks (%s): see that it has one run", workdir, error
            )
        else:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield
