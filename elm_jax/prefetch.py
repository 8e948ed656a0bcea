"""From host batches to batches on the devices, a few ahead of the step that takes them."""

import logging
import queue
import threading
from collections.abc import Iterable, Iterator

import jax
from jax.sharding import Mesh

from elm_jax.axes import Batch
from elm_jax.sharding import to_global

log = logging.getLogger(__name__)

# How long closing waits for a read that is under way; after that the thread is left to itself.
_PATIENCE_S = 10.0


def to_device(
    stream: Iterable[Batch], mesh: Mesh, *, ahead: int = 2
) -> Iterator[dict[str, jax.Array]]:
    """The batches of ``stream`` as global arrays, ``ahead`` of them on their way beforehand.

    A thread of its own takes them from ``stream`` and sends them to the devices, so that neither
    reading nor the transfer holds up the loop while a step runs. It starts with the first batch
    asked for, and ends with the stream, or when this iterator is closed or dropped; it then closes
    ``stream``.

    Args:
      stream: this process's rows of each batch.
      mesh: the devices.
      ahead: how many batches lie on the devices, beside the one in use; 0: none, and no thread.

    Raises:
      Whatever ``stream`` raises, as it is, after the batches before it.
    """
    if ahead < 1:
        for batch in stream:
            yield to_global(batch, mesh)
        return
    ready: queue.SimpleQueue[tuple[dict[str, jax.Array] | None, BaseException | None]]
    ready, free, stopped = queue.SimpleQueue(), threading.Semaphore(ahead), threading.Event()

    def send() -> None:
        error = None
        try:
            batches = iter(stream)
            try:
                while free.acquire() and not stopped.is_set():
                    if (batch := next(batches, None)) is None:
                        break
                    ready.put((to_global(batch, mesh), None))
                    del batch  # not to be kept while waiting for a free place
            finally:
                if close := getattr(batches, "close", None):
                    close()
        except BaseException as raised:  # the loop is to see it, not this thread
            error = raised
        ready.put((None, error))

    thread = threading.Thread(target=send, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            free.release()
            yield batch
            del batch
    finally:
        stopped.set()
        free.release()
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            log.warning("a read is still under way after %.0f s; it is left alone", _PATIENCE_S)
