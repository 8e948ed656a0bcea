"""Byte-pair encoding as one would write it first: everything is counted again at every merge."""

from collections import Counter

import numpy as np


def count_pairs(texts):
    """How often each pair of neighbours occurs; overlapping ones each."""
    return Counter(pair for text in texts for pair in zip(text, text[1:], strict=False))


def merge(text, pair, new):
    """From left to right, each token once."""
    out, place = [], 0
    while place < len(text):
        if tuple(text[place : place + 2]) == pair:
            out.append(new)
            place += 2
        else:
            out.append(text[place])
            place += 1
    return out


def train(records, merges, *, least=1, cross_records=False):
    """Pairs, their counts, and the ids that the records have become."""
    texts = [np.concatenate(records).tolist()] if cross_records else [r.tolist() for r in records]
    pairs, counts = [], []
    while len(pairs) < merges:
        found = count_pairs(texts)
        best = min(found, key=lambda pair: (-found[pair], pair), default=None)
        if best is None or found[best] < least:
            break
        texts = [merge(text, best, 26 + len(pairs)) for text in texts]
        pairs.append(best)
        counts.append(found[best])
    return pairs, counts, [i for text in texts for i in text]


def encode(strings, letters):
    """The longest token at each place; of equal strings the last."""
    ids, known, longest = [], {s: i for i, s in enumerate(strings)}, max(map(len, strings))
    while letters:
        token = next(t for n in range(longest, 0, -1) if (t := letters[:n]) in known and t)
        ids.append(known[token])
        letters = letters[len(token) :]
    return ids
