"""Signal2Vec from the command line: vectors of tokens, and the nearest of each."""

import dataclasses
from typing import Any

import numpy as np
from tqdm import tqdm

from elm_jax import signal2vec
from elm_jax.axes import Float
from elm_jax.data.ecg_byte import EcgByte
from elm_jax.data.ecg_byte.token_file import TokenFile


def train(tokens: TokenFile, settings: signal2vec.Settings, seed: int) -> signal2vec.Vectors:
    """Trains vectors of a file of tokens, with a bar.

    Raises:
      VectorError: nothing is left to learn from.
    """
    with tqdm(total=settings.steps, desc="signal2vec", unit="step", disable=None) as bar:

        def progress(done: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}")
            bar.update(done - bar.n)

        size = tokens.meta["vocab_size"]
        return signal2vec.train_vectors(tokens.texts, size, settings, seed=seed, progress=progress)


def meta_of(
    tokens: TokenFile, tokenizer: EcgByte, settings: signal2vec.Settings, seed: int
) -> dict[str, Any]:
    """What stands beside the vectors in their file."""
    return {
        "tokenizer": tokenizer.digest,
        "tokens": list(tokenizer.token_strings),
        "settings": dataclasses.asdict(settings),
        "seed": seed,
        "corpus": tokens.meta["corpus"],
        "simulated": tokens.meta["simulated"],
        "splits": tokens.meta["splits"],
    }


def neighbour_rows(
    vectors: signal2vec.Vectors, tokenizer: EcgByte, neighbours: int
) -> list[dict[str, Any]]:
    """A row a neighbour of each trained token, the most frequent tokens first."""
    order = np.argsort(-vectors.count, kind="stable")
    ids = order[vectors.trained[order]]
    found, like = signal2vec.nearest(vectors, ids, min(neighbours, len(ids) - 1))
    strings = tokenizer.token_strings
    return [
        {
            "id": int(i),
            "token": strings[i],
            "count": int(vectors.count[i]),
            "rank": rank,
            "neighbour_id": int(j),
            "neighbour": strings[j],
            "cosine": float(cosine),
        }
        for i, row, near in zip(ids, found, like, strict=True)
        for rank, (j, cosine) in enumerate(zip(row, near, strict=True), 1)
    ]


def plane(
    vectors: signal2vec.Vectors, tokenizer: EcgByte
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Trained tokens on their two first principal components; their mean levels and lengths."""
    ids = np.flatnonzero(vectors.trained)
    x = vectors.vector[ids].astype(np.float64)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    left, size, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    levels = [tokenizer.decode_symbols(np.asarray([i])).mean() for i in ids]
    return left[:, :2] * size[:2], np.asarray(levels), tokenizer.token_lengths[ids].astype(float)
