"""Text files that grow line by line, where nothing can be appended to: objects in a store.

A local file is appended to. Of a remote one the whole text is held here and written anew, behind
the back of whoever writes and at most every few seconds, since an object has no end to write at.
"""

import concurrent.futures
import time

from etils import epath

from elm_jax import paths

EVERY_S = 30.0


class GrowingText:
    """An open text file; ``write`` and ``flush`` are those of a stream.

    Args:
      path: of the file; what stands there is kept.
      every_s: a remote file is written anew no oftener than this, but by :meth:`settle`.
    """

    def __init__(self, path: epath.PathLike, *, every_s: float = EVERY_S):
        self.path = paths.of(path)
        self._remote = paths.is_remote(self.path)
        self._every_s, self._sent_s = every_s, time.monotonic()
        if self._remote:
            self._parts = [self.path.read_text()] if self.path.exists() else []
            self._sent = len(self._parts)  # of the parts, how many stand there
            self._sender = concurrent.futures.ThreadPoolExecutor(1, "growing_text")
            self._pending: concurrent.futures.Future | None = None
        else:
            # Nothing but what is local is ever appended to.
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def write(self, text: str) -> int:
        """Adds text at the end."""
        if not self._remote:
            return self._file.write(text)
        self._parts.append(text)
        return len(text)

    def flush(self) -> None:
        """Local: what was written is in the file. Remote: it is sent, if it is time again."""
        if not self._remote:
            self._file.flush()
            return
        busy = self._pending is not None and not self._pending.done()
        if busy or time.monotonic() - self._sent_s < self._every_s:
            return
        self._collect()
        self._pending = self._sender.submit(self._send)

    def settle(self) -> None:
        """Returns when all that was written stands in the file.

        Raises:
          RemoteError: it could not be sent.
        """
        if not self._remote:
            self._file.flush()
            return
        self._collect()
        if self._sent != len(self._parts):
            self._send()

    def close(self) -> None:
        """Settles, and lets go."""
        if not self._remote:
            self._file.close()
            return
        self.settle()
        self._sender.shutdown()

    def _collect(self) -> None:
        """Waits for what is on its way; what failed there stays unsent and is sent again."""
        if self._pending is not None:
            concurrent.futures.wait([self._pending])
            self._pending = None

    def _send(self) -> None:
        count = len(self._parts)
        self._sent_s = time.monotonic()
        with paths.told():
            self.path.write_text("".join(self._parts[:count]))
        self._sent = count
