"""The compiled part of encoding: the longest token at each place, found in a trie.

Needs numba, so nothing imports this module before it is used (:mod:`.compiled` does).

The trie is one table with a row a node: for each symbol the row of the next node (0: none, since
nothing leads to the root), and in its last column the token that ends there (-1: none).
"""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def build(symbols, begin, alphabet):
    """A trie of the tokens ``symbols[begin[i]:begin[i + 1]]``; of equal ones the last counts."""
    nodes = np.zeros((len(symbols) + 1, alphabet + 1), np.int32)
    nodes[:, alphabet] = -1
    used = 1
    for token in range(len(begin) - 1):
        node = 0
        for place in range(begin[token], begin[token + 1]):
            below = nodes[node, symbols[place]]
            if not below:
                below = used
                nodes[node, symbols[place]] = below
                used += 1
            node = below
        nodes[node, alphabet] = token
    return nodes[:used].copy()


@njit(nogil=True, cache=True)
@no_type_check
def encode(symbols, begin, nodes, out, begin_out):
    """Writes the ids of each text ``symbols[begin[i]:begin[i + 1]]`` and where they begin.

    Every symbol must be a token of its own, so there is always a match. ``out`` has room for as
    many ids as there are symbols.
    """
    ends = nodes.shape[1] - 1
    found = 0
    for text in range(len(begin) - 1):
        begin_out[text] = found
        place, stop = begin[text], begin[text + 1]
        while place < stop:
            node = nodes[0, symbols[place]]
            token, after = nodes[node, ends], place + 1
            ahead = after
            while ahead < stop:
                node = nodes[node, symbols[ahead]]
                if not node:
                    break
                ahead += 1
                if nodes[node, ends] >= 0:
                    token, after = nodes[node, ends], ahead
            out[found] = token
            found += 1
            place = after
    begin_out[len(begin) - 1] = found
    return found
