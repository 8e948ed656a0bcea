"""The long part of a preparation: every recording through the signal pipeline, in parallel."""

import concurrent.futures as futures
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from data_prep.corpora.base import Source
from data_prep.parts import Part, Recipe, load_parts, make_part
from data_prep.places import state_of

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_LINE_EVERY_S = 10.0
# A fresh process imports for seconds; less than this is done sooner in this one.
_WORTH_A_PROCESS_BYTES = 150_000_000
_worker_state: Any = None


class PrepareError(RuntimeError):
    """A preparation that cannot go on; the message says what to do."""


class Progress:
    """One bar over the bytes of the input on a terminal; elsewhere a plain line now and then."""

    def __init__(self, what: str, total_bytes: int, files: int):
        self._what, self._files, self._done, self._bytes = what, files, 0, 0
        self._total, self._began, self._last = total_bytes, time.monotonic(), time.monotonic()
        self._skipped = 0
        self._bar = tqdm(
            total=total_bytes,
            desc=what,
            unit="B",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def advance(self, size: int, skipped: bool) -> None:
        """One file done."""
        self._done, self._bytes = self._done + 1, self._bytes + size
        self._skipped += skipped
        self._bar.update(size)
        self._bar.set_postfix_str(f"{self._done}/{self._files} files, {self._skipped} skipped")
        now = time.monotonic()
        if self._bar.disable and now - self._last >= _LINE_EVERY_S:
            self._last = now
            left_s = (now - self._began) * (self._total / max(self._bytes, 1) - 1)
            print(
                f"{self._what}: {self._done}/{self._files} files, {self._skipped} skipped, "
                f"about {left_s / 60:.0f} min left",
                flush=True,
            )

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()


def size_of(source: Source) -> int:
    """Bytes of a source's file; 0 where there is none to be read."""
    try:
        return state_of(source.path).size_bytes
    except OSError:
        return 0


def sizes_of(sources: Sequence[Source]) -> list[int]:
    """Bytes that each source stands for; several in one file have equal shares of it."""
    sharing = Counter(source.path for source in sources)
    return [size_of(source) // sharing[source.path] for source in sources]


def workers_for(asked: int | None, sources: Sequence[Source]) -> int:
    """``--workers``; without it one a core, as far as there is enough to do for each."""
    if asked is not None:
        return asked
    worth = sum(sizes_of(sources)) // _WORTH_A_PROCESS_BYTES
    return min(worth, os.cpu_count() or 1) if worth > 1 else 0


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started inside use one thread: the parallelism is over files."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _start_worker(state: Any) -> None:
    global _worker_state
    _worker_state = state
    # Ctrl-C is the parent's to handle: it lets what is under way finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's workers wait for work forever if the parent was killed: end with it instead."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _call(function: Callable[[Any, Any], Any], item: Any) -> Any:
    return function(_worker_state, item)


def run_parallel(
    function: Callable[[Any, Any], Any], state: Any, items: Sequence[Any], workers: int
) -> Iterator[tuple[int, Any]]:
    """Yields (index, ``function(state, item)``) as they finish.

    ``workers`` fresh processes get ``state`` once; 0 works in this process, in order. Either way
    with one thread: matrix products round otherwise with several, and results would differ.

    Raises:
      PrepareError: a worker died.
    """
    if workers == 0 or not items:
        for i, item in enumerate(items):
            with threadpool_limits(1):
                result = function(state, item)
            yield i, result
        return
    with (
        _one_thread_each(),
        futures.ProcessPoolExecutor(
            min(workers, len(items)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(state,),
        ) as pool,
    ):
        pending = {pool.submit(_call, function, item): i for i, item in enumerate(items)}
        try:
            for future in futures.as_completed(pending):
                yield pending[future], future.result()
        except BrokenProcessPool as error:
            raise PrepareError(
                "a worker process died, most often because memory ran out; what is finished is "
                f"kept: run the same command again with fewer --workers (now {workers})"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _make(recipe: Recipe, job: tuple[Source, str]) -> Part:
    source, key = job
    try:
        return make_part(recipe, source, key)
    except MemoryError as error:
        raise PrepareError(
            f"{source.file}: not enough memory; what is finished is kept: run the same command "
            "again with fewer --workers, or a smaller --max_duration_s"
        ) from error


def prepare_parts(recipe: Recipe, sources: Sequence[Source], workers: int | None) -> list[Part]:
    """The parts of all sources, in their order; those finished before are not done again.

    ``workers`` is that of :func:`run_parallel`; None: as many as are worth it.

    Raises:
      PrepareError: a worker died, or memory ran out.
      OSError: a part could not be written.
    """
    recipe.folder.mkdir(parents=True, exist_ok=True)
    keys = [recipe.key(source) for source in sources]
    parts = load_parts(recipe.folder, keys)
    sizes = sizes_of(sources)
    # Large files first, so that no worker is left alone with one at the end.
    todo = sorted((i for i, part in enumerate(parts) if part is None), key=lambda i: -sizes[i])
    if len(todo) < len(sources):
        print(f"{len(sources) - len(todo)} of {len(sources)} recordings were finished before")
    progress = Progress("preparing", sum(sizes[i] for i in todo), len(todo))
    try:
        jobs = [(sources[i], keys[i]) for i in todo]
        own = workers_for(workers, [source for source, _ in jobs])
        for n, part in run_parallel(_make, recipe, jobs, own):
            parts[todo[n]] = part
            progress.advance(sizes[todo[n]], part.skipped is not None)
    finally:
        progress.close()
    return parts
