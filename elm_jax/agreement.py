"""What single processes wish, heard by all of them at the same point of the program."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


class Agreement:
    """Whether any process wishes each of some things; the same answer on every process.

    A call starts a reduction of a few bytes over all devices and reads that of the call before,
    which is through by the time that a training step is: calling it once a step costs no wait of
    the host for the devices, and an answer comes one step late. With one process nothing is
    reduced, and the answer comes at once.

    All processes must call it equally often.

    Args:
      wishes: how many things there are to be wished.
    """

    def __init__(self, wishes: int):
        self._alone = jax.process_count() == 1
        self._nothing = (False,) * wishes
        self._under_way: jax.Array | None = None
        if self._alone:
            return
        mesh = Mesh(np.asarray(jax.devices()), ("device",))
        self._rows = NamedSharding(mesh, P("device"))
        self._shape = (mesh.size, wishes)
        self._any = jax.jit(lambda rows: jnp.max(rows, 0), out_shardings=NamedSharding(mesh, P()))

    def __call__(self, wishes: Sequence[bool]) -> tuple[bool, ...]:
        """Says what this process wishes, and hears what any wished at the call before."""
        if self._alone:
            return tuple(wishes)
        before, self._under_way = self._under_way, self._start(wishes)
        return self._nothing if before is None else _read(before)

    def at_once(self, wishes: Sequence[bool]) -> tuple[bool, ...]:
        """As a call, but waits for what every process wishes now."""
        if self._alone:
            return tuple(wishes)
        before, self._under_way = self._under_way, None
        heard = self._nothing if before is None else _read(before)
        now = _read(self._start(wishes))
        return tuple(a or b for a, b in zip(heard, now, strict=True))

    def _start(self, wishes: Sequence[bool]) -> jax.Array:
        row = np.asarray([wishes], np.int32)
        rows = jax.make_array_from_callback(self._shape, self._rows, lambda index: row)
        return self._any(rows)


def _read(reduced: jax.Array) -> tuple[bool, ...]:
    return tuple(bool(wished) for wished in np.asarray(reduced))
