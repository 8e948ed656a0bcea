"""Vectors of a corpus's texts by a frozen tower: computed once, kept in pieces, shared out.

Texts are taken in chunks of one size, and each chunk's vectors are a file of the cache, named by
the texts and by all that decides their vectors. A run that is killed goes on with the chunks that
are missing. Several processes compute different chunks and send each other theirs, so that every
process has the whole table and, where each has a disk of its own, the whole cache.

Shapes depend on a chunk's texts alone, never on how many processes or devices there are: so does
the arithmetic, and the table has the same bits.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from etils import epath

from elm_jax import staging
from elm_jax.axes import Float
from elm_jax.data.text import TextTable
from elm_jax.processes import gather, this_process

log = logging.getLogger(__name__)

TEXTS_PER_CHUNK = 4096  # 12 MB of 768 values each; minutes on a CPU, a second on an accelerator
# Rows end at multiples of this: few shapes to compile, little computed for padding.
_LENGTH_STEP = 16
# So many texts, short ones together, are padded to one length, on however many devices.
TEXTS_OF_ONE_LENGTH = 512

Vectors = Float[np.ndarray, "n d"]


def cached_embeddings(
    texts: Sequence[str],
    token_table: Callable[[Sequence[str]], TextTable],
    apply: Callable[..., jax.Array],
    *,
    key: Mapping[str, str],
    cache: epath.Path | None,
    rows_per_batch: int = 64,
) -> Vectors:
    """Vectors of distinct ``texts``, from disk where the same were embedded by the same weights.

    With several processes all must call it, with the same texts; up to ``TEXTS_PER_CHUNK`` of them
    are computed by each process alone, so for a few prompts one process may call it by itself.

    Args:
      texts: at least one.
      token_table: their tokens, best in rows of one length whatever the texts are.
      apply: from tokens and which of them are real, both ``[rows, l]``, to vectors.
      key: all that decides the vectors, beside the texts.
      cache: the folder; None: nothing is kept.
      rows_per_batch: texts that go through ``apply`` at once; best a divisor of
        ``TEXTS_OF_ONE_LENGTH``, so that the same texts are padded to the same length.
    """
    parts = [texts[i : i + TEXTS_PER_CHUNK] for i in range(0, len(texts), TEXTS_PER_CHUNK)]
    files = [None if cache is None else cache / _file_name(part, key) for part in parts]
    found = [None if file is None else _read(file, len(part)) for file, part in _zip(files, parts)]

    def compute(chunk: int) -> Vectors:
        out = _embeddings(parts[chunk], token_table, apply, rows_per_batch)
        _write(files[chunk], out)
        if len(parts) > 1:
            log.info("texts    part %d of %d is embedded", chunk + 1, len(parts))
        return out

    if (missing := sum(vectors is None for vectors in found)) and cache is not None:
        log.info(
            "texts    embedding %d distinct ones once, into %s (%d of %d parts are there)",
            len(texts),
            cache,
            len(parts) - missing,
            len(parts),
        )
    if jax.process_count() == 1 or len(parts) == 1:
        found = [compute(i) if v is None else v for i, v in enumerate(found)]
    else:
        _share_out(found, compute)
        for file, vectors in _zip(files, found):
            if file is not None and not file.exists():  # a disk of this process alone
                _write(file, vectors)
    return np.concatenate(found)


def _zip(*columns):
    return zip(*columns, strict=True)


def _file_name(texts: Sequence[str], key: Mapping[str, str]) -> str:
    content = json.dumps([dict(sorted(key.items())), list(texts)], ensure_ascii=False)
    return f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.npy"


def _read(file: epath.Path, texts: int) -> Vectors | None:
    """What a file holds; None where there is none, or a damaged one, which is told."""
    if not file.exists():
        return None
    try:
        vectors = np.load(staging.local(file), allow_pickle=False)
    except (ValueError, EOFError) as error:
        log.warning("%s is damaged (%s): its texts are embedded again", file, error)
        return None
    return vectors if vectors.ndim == 2 and len(vectors) == texts else None


def _write(file: epath.Path | None, vectors: Vectors) -> None:
    """Appears whole or not at all; two processes may do it at once."""
    if file is not None:
        with staging.written(file) as unique:
            np.save(unique, vectors)


def _share_out(found: list[Vectors | None], compute: Callable[[int], Vectors]) -> None:
    """Completes ``found`` on every process: who has a chunk sends it, the others are shared out."""
    here, processes = this_process()
    have = gather(np.asarray([[v is not None for v in found]]))
    to_do: list[list[int]] = [[] for _ in range(processes)]
    for chunk, who in enumerate(have.T):
        if who.any() and not who.all():
            to_do[int(np.argmax(who))].append(chunk)
    for chunk in np.flatnonzero(~np.any(have, axis=0)).tolist():
        min(to_do, key=len).append(chunk)
    for turn in range(max(map(len, to_do))):
        turns = [own[turn] if turn < len(own) else None for own in to_do]
        own = turns[here]
        vectors = None
        if own is not None:
            vectors = compute(own) if found[own] is None else found[own]
        for chunk, sent in _zip(turns, _exchanged(vectors)):
            if chunk is not None and found[chunk] is None:
                found[chunk] = sent


def _exchanged(vectors: Vectors | None) -> list[Vectors]:
    """What each process has brought, in their order; those that had nothing give no rows."""
    own = np.zeros((0, 0), np.float32) if vectors is None else vectors
    shapes = gather(np.asarray([own.shape]))
    padded = np.zeros(shapes.max(axis=0), np.float32)
    padded[: own.shape[0], : own.shape[1]] = own
    gathered = gather(padded).reshape(len(shapes), *padded.shape)
    return [rows[:n, :d] for rows, (n, d) in _zip(gathered, shapes.tolist())]


def _embeddings(
    texts: Sequence[str],
    token_table: Callable[[Sequence[str]], TextTable],
    apply: Callable[..., jax.Array],
    rows_per_batch: int,
) -> Vectors:
    """Vectors of texts, short ones together, in batches of one number of rows."""
    arrays = token_table(texts).arrays
    token, valid = arrays["text_token"], arrays["text_token_valid"]
    tokens = valid.sum(axis=1)
    order = np.argsort(tokens, kind="stable")
    made = []
    for start in range(0, len(texts), rows_per_batch):
        rows = order[start : start + rows_per_batch]
        rows = np.pad(rows, (0, rows_per_batch - len(rows)), mode="edge")
        block = start // TEXTS_OF_ONE_LENGTH * TEXTS_OF_ONE_LENGTH
        longest = int(tokens[order[block : block + TEXTS_OF_ONE_LENGTH]].max())
        length = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
        made.append(apply(token[rows, :length], valid[rows, :length]))  # not waited for
    out = np.empty((len(texts), made[0].shape[1]), np.float32)
    out[order] = np.concatenate([np.asarray(m, np.float32) for m in made])[: len(texts)]
    return out
