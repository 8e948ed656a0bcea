"""Embeds a corpus and says how far it is; as a script, on as many devices as XLA_FLAGS says."""

import pathlib
import sys

import jax

from elm_jax import embed
from elm_jax.data.corpus import Corpus
from elm_jax.data.embedding_writer import EmbeddingWriter
from elm_jax.pretrained import load_pretrained


class Telling(EmbeddingWriter):
    """Prints each batch of windows that is in the file, and waits to be killed."""

    def write(self, start, vectors):
        """As it is, and a line."""
        super().write(start, vectors)
        if "features" in vectors:
            print(jax.device_count(), len(vectors["features"]), flush=True)
            sys.stdin.readline()


if __name__ == "__main__":
    source, shards, path = sys.argv[1:]
    embed.EmbeddingWriter = Telling
    model = load_pretrained(source)
    corpus = Corpus.fitting(shards, model.spec, hint="", text=model.recipe["text"])
    corpus = corpus.with_normalisation(model.spec)
    embed.embed_corpus(model, corpus, (), pathlib.Path(path), rows_per_batch=5)
