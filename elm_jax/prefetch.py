"""From host batches to batches on the devices, a few ahead of the step that takes them."""

import collections
import itertools
from collections.abc import Iterable, Iterator

import jax
from jax.sharding import Mesh

from elm_jax.axes import Batch
from elm_jax.sharding import to_global


def to_device(
    stream: Iterable[Batch], mesh: Mesh, *, ahead: int = 2
) -> Iterator[dict[str, jax.Array]]:
    """The batches of ``stream`` as global arrays, ``ahead`` of them on their way beforehand.

    Args:
      stream: this process's rows of each batch.
      mesh: the devices.
      ahead: how many batches lie on the devices, beside the one in use; 0: none.
    """
    stream = iter(stream)
    waiting = collections.deque(to_global(b, mesh) for b in itertools.islice(stream, ahead))
    for batch in stream:
        waiting.append(to_global(batch, mesh))
        yield waiting.popleft()
    yield from waiting
