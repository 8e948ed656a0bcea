"""What is refused when data and processes do not fit, before anything is read."""

import importlib

import jax
import pytest
from tiny_shards import write_tiny_shards

from elm_jax import build
from elm_jax.data.corpus import Corpus
from elm_jax.data.shards import ManifestError


def test_training_needs_a_shard_a_process_and_evaluation_does_not(tmp_path, monkeypatch):
    shards = write_tiny_shards(tmp_path / "shards", people=4, valid_people=2, test_people=2)
    config = importlib.import_module("configs.elm_supervised").get_config("smoke")
    config.data.dir = str(shards)
    corpus = Corpus.open(config)
    build.settle_labels(config, corpus)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(
        ManifestError, match="'train' lies in 2 shards, fewer than the 3 .*_shards 3"
    ):
        build.build_batches(config, corpus, None)
    assert corpus.reader("valid").shards == 2
    sampler, _ = build.build_batches(config, corpus, None, "valid")
    assert sampler.steps_per_epoch(0)
