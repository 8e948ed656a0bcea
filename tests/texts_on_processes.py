"""Embeds a few texts as one of two processes, with caches of several kinds; says what it did."""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax import text_source, text_vectors
from elm_jax.sharding import make_mesh

WORDS = "normal slowing alpha rhythm spikes over the left right temporal lobe during sleep".split()
TEXTS = tuple(" ".join(WORDS[: 1 + i % 13]) + f" {WORDS[i % 7]}." * (i // 13) for i in range(23))
PER_CHUNK = 5


def embed(model, cache):
    """The table, and which chunks this process computed (by their first text)."""
    computed = []
    whole = text_vectors._embeddings

    def counted(texts, *args):
        computed.append(TEXTS.index(texts[0]) // PER_CHUNK)
        return whole(texts, *args)

    text_vectors.TEXTS_PER_CHUNK, text_source.ROWS_PER_DEVICE = PER_CHUNK, 4
    text_vectors._embeddings = counted
    try:
        source = text_source.pretrained_bert(
            path=str(model),
            pooling="cls",
            freeze_layers=-1,
            mode="sentence",
            corpus=None,
            workdirs=(),
            cache=None if cache is None else epath.Path(cache),
            dtype=jnp.float32,
        )
        return source.table(TEXTS).arrays["text_emb"], computed
    finally:
        text_vectors._embeddings = whole


def files(cache):
    return sorted(p.name for p in cache.iterdir())


if __name__ == "__main__":
    port, process, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    jax.set_mesh(make_mesh({"data": -1}))  # as training has it: over all devices
    own, found = folder / f"own{process}", {}
    for kind, cache in {"shared": folder / "shared", "own": own, "again": own}.items():
        if kind == "again":  # as after a kill, and with the disk of one process exchanged
            present = files(own)
            for name in present[:2] if process == 0 else present[1:]:
                (own / name).unlink()
        table, computed = embed(folder / "model", cache)
        found[kind] = {"computed": computed, "files": files(cache)}
        np.save(folder / f"{kind}{process}.npy", table)
    (folder / f"{process}.json").write_text(json.dumps(found))
