"""Greedy longest match: the ids of symbols, whatever order tokens were merged in.

So does the reference encode. Merging in the order of training gives other ids; models that were
trained on the reference's ids want these.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from elm_jax.axes import Int
from elm_jax.data.ecg_byte.compiled import matching
from elm_jax.data.ecg_byte.symbols import SYMBOLS, from_text


class Trie:
    """The tokens of a vocabulary, ready to be matched.

    Args:
      strings: of all tokens by id, the 26 letters first. Where two are equal the later one is
        found and the earlier never (as in the reference).

    Raises:
      NumbaMissing: numba is not installed.
    """

    def __init__(self, strings: Sequence[str]):
        self.symbols = from_text("".join(strings))
        self.begin = np.cumsum([0, *map(len, strings)])
        self._nodes = matching().build(self.symbols, self.begin, SYMBOLS)

    @property
    def nodes(self) -> int:
        """How many there are, each of 108 bytes."""
        return len(self._nodes)

    def encode(
        self, symbols: UInt8[np.ndarray, " s"], begin: Int[np.ndarray, " ends"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " ends"]]:
        """The ids of several texts, and where those of each begin.

        Releases the interpreter, so threads may encode at once.

        Args:
          symbols: all texts, uint8 from 0 to 25.
          begin: of each in ``symbols``, and the end of the last.
        """
        # int32 holds any id; the widest text is written once, into what it needs at most.
        out = np.empty(len(symbols), np.int32)
        begin_out = np.empty(len(begin), np.int64)
        begin = np.ascontiguousarray(begin, np.int64)
        symbols = np.ascontiguousarray(symbols, np.uint8)
        found = matching().encode(symbols, begin, self._nodes, out, begin_out)
        return out[:found].copy(), begin_out
