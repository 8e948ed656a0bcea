"""The compiled part of training ECG-Byte: merge after merge without counting again.

Needs numba, so nothing imports this module before it is used (:mod:`.compiled` does).

The text stands in one array of 16-bit ids, and a token is written at *both ends* of the stretch
that it covers (:data:`INSIDE` where a swallowed token began). With the length of each token that is
a linked list both ways and costs 2 bytes a symbol: the next token begins ``length`` further on, the
previous one is named just before. :data:`EDGE` stands around and between texts that no token may
cross.

A pair of tokens is an *entry*: how often it occurs, and a list of where, in order. Neighbours of a
new token are new pairs, and all that such a pair will ever have is there at once; from then on it
only loses. So its list is written once, and places in it that have gone are passed over when it is
read: where a token began only larger ids are ever written, so none is mistaken. Likewise the queue
holds each pair with a count that may have fallen: only what comes to its top is looked at again.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

INSIDE = 65535
EDGE = 65534
# Places are unsigned where there are millions: else each access asks whether to count from the end.
ONE = np.uint64(1)

# Of Work.at: where each of these stands.
IDS, DONE, ENTRIES, QUEUED, USED, TOKENS = range(6)
# What `run` ended for.
PAUSED, EXHAUSTED, NO_ENTRIES, NO_ROOM = range(4)


class Work(NamedTuple):
    """All that a training holds; ``run`` and the others below change it in place.

    Attributes:
      text: ids with an :data:`EDGE` before, after and between the texts.
      length: of each id, in symbols.
      places: the lists of all pairs, one after the other: where the first of the two begins.
      table: open hash of pairs: number of the entry and 1; 0 is free.
      pair: of each entry: ``first << 16 | second``.
      count: of each entry, how often it occurs now.
      begin: of each entry, where its list begins in ``places``.
      size: of each entry, how long its list is, with what has gone.
      queue: a heap of ``count << 32 | ~pair``: most frequent first, then the smallest pair.
      beside: scratch, ``[4, 65536]``: counts of left and right neighbours, and cursors.
      at: ids, merges, entries, queued and used places, and tokens of the text, so far.
      merged: ``[merges, 2]``: the two ids of each new one.
      merged_count: how often each pair occurred when it was merged.
    """

    text: np.ndarray
    length: np.ndarray
    places: np.ndarray
    table: np.ndarray
    pair: np.ndarray
    count: np.ndarray
    begin: np.ndarray
    size: np.ndarray
    queue: np.ndarray
    beside: np.ndarray
    at: np.ndarray
    merged: np.ndarray
    merged_count: np.ndarray


@njit(nogil=True, cache=True)
@no_type_check
def _slot(table, pair_of, pair):
    """Where a pair stands in the table, or would."""
    mask = len(table) - 1
    slot = ((pair * 2654435769) >> 15) & mask
    while table[slot] and pair_of[table[slot] - 1] != pair:
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
@no_type_check
def refill(table, pair_of, entries):
    """Fills an empty table with the first entries."""
    for entry in range(entries):
        table[_slot(table, pair_of, pair_of[entry])] = entry + 1


@njit(nogil=True, cache=True)
@no_type_check
def _sink(queue, queued, key):
    """Puts a key in place of the first of the queue."""
    here = 0
    while True:
        below = 2 * here + 1
        if below >= queued:
            break
        if below + 1 < queued and queue[below + 1] > queue[below]:
            below += 1
        if queue[below] <= key:
            break
        queue[here] = queue[below]
        here = below
    queue[here] = key


@njit(nogil=True, cache=True)
@no_type_check
def _rise(queue, here, key):
    """Puts a key into the free place at the queue's end."""
    while here and queue[(here - 1) >> 1] < key:
        queue[here] = queue[(here - 1) >> 1]
        here = (here - 1) >> 1
    queue[here] = key


@njit(nogil=True, cache=True)
@no_type_check
def _key(count, pair):
    return (count << 32) | (0xFFFFFFFF - pair)


@njit(nogil=True, cache=True)
@no_type_check
def _add(work, pair, count):
    """A new entry with room for its list; where the list begins."""
    entry, begin = work.at[ENTRIES], work.at[USED]
    work.pair[entry], work.count[entry] = pair, count
    work.begin[entry], work.size[entry] = begin, count
    work.table[_slot(work.table, work.pair, pair)] = entry + 1
    _rise(work.queue, work.at[QUEUED], _key(count, pair))
    work.at[ENTRIES] += 1
    work.at[QUEUED] += 1
    work.at[USED] += count
    return begin


@njit(nogil=True, cache=True)
@no_type_check
def first_pairs(work, least):
    """Entries and lists of the pairs of single symbols that occur ``least`` times or more."""
    text, symbols = work.text, work.at[IDS]
    counts = np.zeros((symbols, symbols), np.int64)
    before = text[1]
    for place in range(2, len(text) - 1):
        here = text[place]
        if before != EDGE and here != EDGE:
            counts[before, here] += 1
        before = here
    cursor = np.full((symbols, symbols), -1, np.int64)
    for first in range(symbols):
        for second in range(symbols):
            if counts[first, second] >= least:
                cursor[first, second] = _add(work, first << 16 | second, counts[first, second])
    before = text[1]
    for place in range(2, len(text) - 1):
        here = text[place]
        if before != EDGE and here != EDGE and cursor[before, here] >= 0:
            work.places[cursor[before, here]] = place - 1
            cursor[before, here] += 1
        before = here


@njit(nogil=True, cache=True)
@no_type_check
def _best(work, least):
    """The entry that is merged next, or -1 where none occurs ``least`` times any more."""
    while work.at[QUEUED]:
        key = work.queue[0]
        pair = 0xFFFFFFFF - (key & 0xFFFFFFFF)
        entry = work.table[_slot(work.table, work.pair, pair)] - 1
        count = work.count[entry]
        if count >= least and key >> 32 == count:
            return entry
        if count >= least:
            _sink(work.queue, work.at[QUEUED], _key(count, pair))
        else:
            work.at[QUEUED] -= 1
            if work.at[QUEUED]:
                _sink(work.queue, work.at[QUEUED], work.queue[work.at[QUEUED]])
    return -1


@njit(nogil=True, cache=True)
@no_type_check
def _join(work, entry, new):
    """Writes the new token wherever the pair stands, left to right; how often that was.

    Their places move to the front of the pair's list. What stood beside is counted: a left
    neighbour stays what it is, a right one may become the new token in turn.
    """
    text, places = work.text, work.places
    first, second = np.uint16(work.pair[entry] >> 16), np.uint16(work.pair[entry] & 0xFFFF)
    first_length, second_length = np.uint64(work.length[first]), np.uint64(work.length[second])
    left, right, new = work.beside[0], work.beside[1], np.uint16(new)
    begin = np.uint64(work.begin[entry])
    kept = begin
    for k in range(begin, begin + np.uint64(work.size[entry])):
        place = np.uint64(places[k])
        middle = place + first_length
        if text[place] != first or text[middle] != second:
            continue
        before, after = text[place - ONE], text[middle + second_length]
        text[middle] = INSIDE
        text[place] = new
        text[middle + second_length - ONE] = new
        if before == new:
            right[first] -= 1
            right[new] += 1
        else:
            left[before] += 1
        right[after] += 1
        places[kept] = place
        kept += ONE
    return np.int64(kept - begin)


@njit(nogil=True, cache=True)
@no_type_check
def _lose(work, pair, count):
    """The pair occurs so many times fewer; nothing where it is too rare to have an entry."""
    slot = _slot(work.table, work.pair, pair)
    if work.table[slot]:
        work.count[work.table[slot] - 1] -= count


@njit(nogil=True, cache=True)
@no_type_check
def _renew_pairs(work, entry, new, least):
    """Old pairs with the two tokens lose, pairs with the new one get entries, and cursors."""
    first, second = work.pair[entry] >> 16, work.pair[entry] & 0xFFFF
    left, right = work.beside[0], work.beside[1]
    left_at, right_at = work.beside[2], work.beside[3]
    # Where the new token follows itself, `second, first` stood between the two.
    if right[new]:
        _lose(work, second << 16 | first, right[new])
    for other in range(new + 1):
        left_at[other] = right_at[other] = -1
        if left[other]:
            _lose(work, other << 16 | first, left[other])
            if left[other] >= least:
                left_at[other] = _add(work, other << 16 | new, left[other])
        if right[other]:
            if other != new:
                _lose(work, second << 16 | other, right[other])
            if right[other] >= least:
                right_at[other] = _add(work, new << 16 | other, right[other])
        left[other] = right[other] = 0
    left[EDGE] = right[EDGE] = 0
    work.count[entry] = 0


@njit(nogil=True, cache=True)
@no_type_check
def _list_pairs(work, entry, new, kept):
    """Writes the lists of the pairs with the new token."""
    text, places, length = work.text, work.places, work.length
    left_at, right_at = work.beside[2], work.beside[3]
    new_length, begin = np.uint64(length[new]), np.uint64(work.begin[entry])
    for k in range(begin, begin + np.uint64(kept)):
        place = np.uint64(places[k])
        before, after = text[place - ONE], text[place + new_length]
        if before < new and left_at[before] >= 0:
            places[np.uint64(left_at[before])] = place - np.uint64(length[before])
            left_at[before] += 1
        if after <= new and right_at[after] >= 0:
            places[np.uint64(right_at[after])] = place
            right_at[after] += 1
    work.size[entry] = 0


@njit(nogil=True, cache=True)
@no_type_check
def room_for(work, entry):
    """Places that the lists of new pairs may take when this one is merged."""
    return min(2 * work.count[entry], work.at[TOKENS])


@njit(nogil=True, cache=True)
@no_type_check
def run(work, merges, budget, least):
    """Merges on, until there are ``merges`` in all or some ``budget`` of places was read.

    Returns:
      why it ended: PAUSED (that many, or the budget), EXHAUSTED (no pair occurs ``least`` times),
      NO_ENTRIES or NO_ROOM (the arrays of entries or of places must grow; nothing was changed).
    """
    symbols = work.at[IDS] - work.at[DONE]
    while work.at[DONE] < merges and budget > 0:
        entry = _best(work, least)
        if entry < 0:
            return EXHAUSTED
        new = work.at[IDS]
        if work.at[ENTRIES] + 2 * (new + 1) > len(work.pair):
            return NO_ENTRIES
        if work.at[USED] + room_for(work, entry) > len(work.places):
            return NO_ROOM
        budget -= work.size[entry]
        first, second = work.pair[entry] >> 16, work.pair[entry] & 0xFFFF
        done = new - symbols
        work.merged[done, 0], work.merged[done, 1] = first, second
        work.merged_count[done] = work.count[entry]
        work.length[new] = work.length[first] + work.length[second]
        kept = _join(work, entry, new)
        _renew_pairs(work, entry, new, least)
        _list_pairs(work, entry, new, kept)
        work.at[IDS] += 1
        work.at[DONE] += 1
        work.at[TOKENS] -= kept
    return PAUSED


@njit(nogil=True, cache=True)
@no_type_check
def tidy(work):
    """Moves the lists together, without what has gone; what is used is then what is alive."""
    text, places = work.text, work.places
    used = 0
    for entry in range(work.at[ENTRIES]):
        first, second = work.pair[entry] >> 16, work.pair[entry] & 0xFFFF
        length, begin = work.length[first], used
        for k in range(work.begin[entry], work.begin[entry] + work.size[entry]):
            place = np.int64(places[k])
            if text[place] == first and text[place + length] == second:
                places[used] = place
                used += 1
        work.begin[entry], work.size[entry] = begin, used - begin
    work.at[USED] = used


@njit(nogil=True, cache=True)
@no_type_check
def read_text(text, length, out):
    """Writes the ids that the text has become; edges are left out."""
    found, place = 0, 1
    while place < len(text) - 1:
        if text[place] == EDGE:
            place += 1
            continue
        out[found] = text[place]
        found += 1
        place += length[text[place]]
