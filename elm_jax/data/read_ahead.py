"""Batches by number through tf.data: made in parallel, given in order, a few ahead."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from elm_jax.axes import Batch

AHEAD = 2  # batches that wait, whole, beside those being made


def read_ahead(
    make: Callable[[int], Mapping[str, np.ndarray]], start: int, stop: int, *, threads: int
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

    Raises:
      Whatever ``make`` raises, as it is, when its batch is due; those before it are given first.
    """
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
