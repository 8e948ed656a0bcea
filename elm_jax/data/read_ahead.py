"""Batches by number, made in parallel, given in order, a few ahead: by tf.data or by plain threads.

Both give the same. ``config.data.reader="threads"`` does without TensorFlow, which takes some
440 MB of memory and seconds of every start; nothing else of a run needs it.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from elm_jax.axes import Batch

AHEAD = 2  # batches that wait, whole, beside those being made
READERS = ("tf_data", "threads")
Make = Callable[[int], Mapping[str, np.ndarray]]


def reader_of(config: Any) -> str:
    """``config.data.reader``: by what batches are made ahead; "tf_data" where it is not said.

    Raises:
      ValueError: neither "tf_data" nor "threads".
    """
    return _require_known(config.data.get("reader", "tf_data"))


def _require_known(by: str) -> str:
    if by not in READERS:
        raise ValueError(f"config.data.reader is {by!r}; known: {READERS}")
    return by


def read_ahead(
    make: Make, start: int, stop: int, *, threads: int, by: str = "tf_data"
) -> Iterator[Batch]:
    """``make(step)`` for each step from ``start`` on; nothing is made of the steps before.

    At most ``threads + AHEAD`` batches are in memory beside the one that is given. Closing the
    iterator ends the making.

    Args:
      make: any thread may call it; all batches have the keys and types of the first, and may
        differ in their shapes.
      start: the first step.
      stop: the step after the last.
      threads: how many batches are made at the same time.
      by: "tf_data" or "threads".

    Raises:
      ValueError: ``by`` is another word.
      Whatever ``make`` raises, as it is, when its batch is due; those before it are given first.
    """
    ahead = _by_threads if _require_known(by) == "threads" else _by_tf_data
    return ahead(make, start, stop, threads)


def _by_threads(make: Make, start: int, stop: int, threads: int) -> Iterator[Batch]:
    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="read_ahead")
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    try:
        for step in range(start, stop):
            due = step + len(waiting)
            for ahead in range(due, min(stop, step + threads + AHEAD + 1)):
                waiting.append(pool.submit(make, ahead))
            made = waiting.popleft()
            if (error := made.exception()) is not None:
                raise error from None
            batch = made.result()
            del made  # not to be kept beside what is given
            yield batch
            del batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_tf_data(make: Make, start: int, stop: int, threads: int) -> Iterator[Batch]:
    if stop <= start:
        return
    import tensorflow as tf

    first = dict(make(start))  # whose types are those of all
    keys = sorted(first)
    types = [tf.as_dtype(first[key].dtype) for key in keys]
    raised: dict[int, BaseException] = {}

    def arrays(step: np.integer) -> list[np.ndarray]:
        try:
            batch = make(int(step))
            return [batch[key] for key in keys]
        except BaseException as error:
            # TensorFlow makes a wall of text of an exception, and of some the end of the data.
            raised[int(step)] = error
            raise RuntimeError from error

    @tf.autograph.experimental.do_not_convert  # plain Python, nothing to be rewritten
    def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
        made = tf.numpy_function(arrays, [step], types)
        return dict(zip(keys, made, strict=True))

    dataset = tf.data.Dataset.range(start + 1, stop)
    dataset = dataset.map(load, num_parallel_calls=threads, deterministic=True).prefetch(AHEAD)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    yield first
    del first
    try:
        yield from dataset.with_options(options).as_numpy_iterator()
    except tf.errors.OpError:
        if not raised:
            raise
        raise raised[min(raised)] from None
