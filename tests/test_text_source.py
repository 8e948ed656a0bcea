"""Text towers: frozen ones run once, tuned ones learn where they may, small ones learn words."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import texts_on_processes
from etils import epath
from tiny_model import tiny_batch, tiny_objective

from elm_jax import text_source, text_vectors
from elm_jax.convert.bert import load_bert, save_bert
from elm_jax.data import tokens
from elm_jax.models.bert import Bert, BertConfig, pool_text
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.sharding import make_mesh
from elm_jax.state import init_state
from elm_jax.step import make_step
from elm_jax.text_source import find_model, pretrained_bert, scratch_bert
from elm_jax.text_vectors import cached_embeddings

TESTS = pathlib.Path(__file__).parent
TEXTS = ("Normal EEG.", "Diffuse slowing is present over both sides.", "Alpha rhythm.")


def random_params(config, seed):
    token, valid = jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool)
    init = jax.jit(lambda key: Bert(config).init(key, token, valid, train=False))
    return init(jax.random.key(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Hugging Face directory of a random BERT of two layers."""
    folder = tmp_path_factory.mktemp("model")
    tokens.learn_wordpiece(TEXTS, vocab_size=80, out_dir=folder)
    size = len(tokens.load_tokenizer(folder))
    config = BertConfig(
        vocab_size=size,
        width=8,
        n_layers=2,
        n_heads=2,
        mlp_width=8,
        max_positions=80,
        dropout=0.0,
        attention_dropout=0.0,
    )
    save_bert(folder, config, random_params(config, 0))
    return folder


def source(model, tmp_path, **changes):
    settings = dict(path=str(model), pooling="cls", freeze_layers=-1, mode="sentence", corpus=None)
    settings |= dict(workdirs=(epath.Path(tmp_path) / "run",), dtype=jnp.float32)
    settings["cache"] = epath.Path(tmp_path) / "text_cache"
    return pretrained_bert(**settings | changes)


def cached(tmp_path):
    return sorted((tmp_path / "text_cache").iterdir())


def test_a_frozen_tower_gives_each_text_its_vector_once_and_keeps_it_on_disk(
    model, tmp_path, monkeypatch
):
    frozen = source(model, tmp_path)
    assert frozen.module is None and frozen.frozen == ()
    table = frozen.table(TEXTS)
    loaded = load_bert(model)
    token, valid = tokens.tokenize(tokens.load_tokenizer(model), TEXTS, mode="sentence")
    run = jax.jit(lambda v, t, m: Bert(loaded.config).apply(v, t, m, train=False))
    expected = pool_text(run(loaded.variables, token, valid), jnp.asarray(valid), "cls")
    np.testing.assert_allclose(table.arrays["text_emb"], expected, atol=1e-5)
    (file,) = cached(tmp_path)
    assert file.suffix == ".npy"

    # From now on the tower need not run, in another run beside it either.
    monkeypatch.setattr(text_source.tokens, "tokenize", None)
    again = source(model, tmp_path, workdirs=(epath.Path(tmp_path) / "other",)).table(TEXTS)
    np.testing.assert_array_equal(again.arrays["text_emb"], table.arrays["text_emb"])


def test_a_frozen_tower_is_looked_for_when_it_is_needed_and_its_vectors_are_kept_where_told(
    model, tmp_path
):
    missing = source("no/such/folder", tmp_path)  # who embeds signals alone need not have it
    with pytest.raises(FileNotFoundError, match="hf download"):
        missing.table(TEXTS)
    unkept = source(model, tmp_path, cache=None).table(TEXTS)
    assert not (tmp_path / "text_cache").exists()
    kept = source(model, tmp_path).table(TEXTS)
    np.testing.assert_array_equal(unkept.arrays["text_emb"], kept.arrays["text_emb"])


def test_other_texts_weights_pooling_or_precision_are_other_files(model, tmp_path):
    calls = []

    def embed(texts=TEXTS, **key):
        def apply(token, valid):
            calls.append(key)
            return jnp.zeros((len(token), 2))

        table = text_source._token_table(tokens.load_tokenizer(model), "sentence")
        key = {k: str(v) for k, v in key.items()}
        cached_embeddings(texts, table, apply, key=key, cache=epath.Path(tmp_path) / "text_cache")

    embed(weights="a", pooling="cls", dtype="float32")
    for other in (dict(weights="b"), dict(pooling="mean"), dict(dtype="bfloat16")):
        embed(**{"weights": "a", "pooling": "cls", "dtype": "float32"} | other)
    embed(TEXTS[:2], weights="a", pooling="cls", dtype="float32")
    assert len(calls) == len(cached(tmp_path)) == 5
    embed(weights="a", pooling="cls", dtype="float32")
    assert len(calls) == 5


def test_the_hash_follows_weights_configuration_and_vocabulary(model, tmp_path):
    config = BertConfig.from_hf_dir(model)
    found = [text_source.weights_hash(model)]
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        copy = tmp_path / name
        copy.mkdir()
        for file in model.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        if name == "model.safetensors":
            save_bert(copy, config, random_params(config, 1))
        else:
            (copy / name).write_text((copy / name).read_text() + "\n")
        found.append(text_source.weights_hash(copy))
    assert len(set(found)) == 4


def test_two_writers_at_once_leave_one_whole_file(model, tmp_path):
    together, found = threading.Barrier(2), {}
    table = text_source._token_table(tokens.load_tokenizer(model), "sentence")

    def write(i):
        def apply(token, valid):
            together.wait(30)  # both have seen that there is no file yet
            return jnp.ones((len(token), 4))

        found[i] = cached_embeddings(
            TEXTS, table, apply, key={}, cache=epath.Path(tmp_path) / "text_cache"
        )

    threads = [threading.Thread(target=write, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (file,) = cached(tmp_path)
    np.testing.assert_array_equal(np.load(file), found[0])
    np.testing.assert_array_equal(found[0], found[1])


def test_two_processes_share_the_texts_out_and_have_the_table_of_one(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, str(TESTS / "texts_on_processes.py"), port]
    both = [subprocess.Popen([*command, str(i), str(tmp_path)], env=env) for i in range(2)]
    expected, _ = texts_on_processes.embed(model, tmp_path / "alone")
    assert [p.wait(200) for p in both] == [0, 0]
    said = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2)]
    for kind in ("shared", "own", "again"):
        for process in range(2):
            table = np.load(tmp_path / f"{kind}{process}.npy")
            np.testing.assert_array_equal(table, expected, err_msg=f"{kind} {process}")
    names = texts_on_processes.files(tmp_path / "alone")
    for kind in ("shared", "own", "again"):
        assert [s[kind]["files"] for s in said] == [names, names], kind
    for kind in ("shared", "own"):
        done = [s[kind]["computed"] for s in said]
        assert sorted(done[0] + done[1]) == [0, 1, 2, 3, 4], kind
        assert abs(len(done[0]) - len(done[1])) <= 1, kind
    # Process 0 lacked two files and process 1 all but one of these: one chunk was nowhere.
    assert len(said[0]["again"]["computed"] + said[1]["again"]["computed"]) == 1


def test_a_killed_embedding_goes_on_with_what_is_missing(model, tmp_path, monkeypatch):
    whole = text_vectors._embeddings

    def killed(texts, *args):
        if texts_on_processes.TEXTS.index(texts[0]) == 2 * texts_on_processes.PER_CHUNK:
            raise KeyboardInterrupt
        return whole(texts, *args)

    monkeypatch.setattr(text_vectors, "_embeddings", killed)
    with pytest.raises(KeyboardInterrupt):
        texts_on_processes.embed(model, tmp_path)
    monkeypatch.setattr(text_vectors, "_embeddings", whole)
    first, second = texts_on_processes.files(tmp_path)
    (tmp_path / second).write_bytes((tmp_path / second).read_bytes()[:200])  # a full disk's
    table, computed = texts_on_processes.embed(model, tmp_path)
    assert len(computed) == 4 and computed[1:] == [2, 3, 4]
    np.testing.assert_array_equal(table, texts_on_processes.embed(model, None)[0])


def test_a_tuned_tower_starts_pretrained_and_its_frozen_layers_stay(model, tmp_path):
    tuned = source(model, tmp_path, freeze_layers=1)
    objective = tiny_objective(tower=True)
    objective = type(objective)(
        **{f: getattr(objective, f) for f in ("encoder", "signal_projector", "text_projector")},
        text_tower=tuned.module,
    )
    batch = tiny_batch()
    del batch["text_emb"]
    rows = np.arange(len(batch["text_valid"])) % len(TEXTS)
    batch |= {k: v for k, v in tuned.table(TEXTS).take(rows).items() if k != "text_valid"}
    settings = dict(
        name="sgd",
        rate=0.1,
        schedule=dict(warmup_steps=0, total_steps=10, per="step"),
        rules=(*((p, "freeze") for p in tuned.frozen), (".*", "train")),
    )
    state, optimizer = init_state(
        objective,
        batch,
        make_tx=lambda p: make_optimizer(settings, p, RunLength(10, 5, 8)),
        overlay=tuned.overlay,
        seed=0,
        mesh=make_mesh({"data": 1}),
        rules=((".*", ()),),
    )
    pretrained = load_bert(model).variables["params"]
    before = jax.device_get(state.params)
    same = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)  # noqa: E731
    same(before["text_tower"], pretrained)
    step = make_step(objective, optimizer, lambda b: b, seed=0)
    for _ in range(2):
        state, measures = step(state, batch)
    assert bool(measures["finite"])
    after = jax.device_get(state.params)
    for name in ("embeddings", "layer_0"):
        same(after["text_tower"][name], pretrained[name])
    for name, old, new in (
        ("tower", before["text_tower"]["layer_1"], after["text_tower"]["layer_1"]),
        ("encoder", before["encoder"], after["encoder"]),
    ):
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old, new)
        assert max(jax.tree.leaves(moved)) > 0, name


def test_freezing_more_layers_than_there_are_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"freeze_layers=3, but .* has 2 layers; -1 freezes"):
        source(model, tmp_path, freeze_layers=3)
    with pytest.raises(ValueError, match="freeze_layers=-2"):
        source(model, tmp_path, freeze_layers=-2)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "./no/such/folder"])
def test_a_missing_model_says_how_to_get_it(name, monkeypatch):
    assert os.environ["HF_HUB_OFFLINE"] == "1"  # tests never look on the network
    with pytest.raises(FileNotFoundError, match=r"hf download(.|\n)*text.tower.path=FOLDER"):
        find_model(name)


def scratch(workdirs, corpus):
    return scratch_bert(
        width=8,
        depth=1,
        heads=2,
        vocab_size=90,
        dropout=0.0,
        pooling="mean",
        mode="sentence",
        corpus=corpus,
        workdirs=tuple(epath.Path(w) for w in workdirs),
        cache=None,
        dtype=jnp.float32,
    )


def test_a_vocabulary_is_learnt_once_and_used_again(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    first = scratch([run], lambda: TEXTS).table(TEXTS)
    assert [p.name for p in run.iterdir()] == ["tokenizer"]  # nothing half-made is left
    never = lambda: pytest.fail("learnt again")  # noqa: E731
    again = scratch([run], never).table(TEXTS)
    np.testing.assert_array_equal(again.arrays["text_token"], first.arrays["text_token"])

    # A run that starts from another's parameters needs the words that these were trained on.
    other = tmp_path / "other"
    other.mkdir()
    inherited = scratch([other, run], lambda: ("other words entirely", "more of them")).table(TEXTS)
    np.testing.assert_array_equal(inherited.arrays["text_token"], first.arrays["text_token"])


def test_evaluation_never_learns_a_vocabulary(tmp_path):
    with pytest.raises(FileNotFoundError, match="vocabulary that the model was trained with"):
        scratch([tmp_path], None)
