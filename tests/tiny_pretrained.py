"""A finished model of a few hundred parameters that takes ELM's signal; text tower or not."""

import pathlib

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict
from tiny_shards import make_report, tiny_spec

from elm_jax import build
from elm_jax.convert.parts import ModelParts
from elm_jax.data.people import People
from elm_jax.data.sections import DEFAULT_HEADINGS
from elm_jax.pretrained import Pretrained

ENCODER = dict(
    name="conv_eeg",
    kernels=((4, 2, 1), (8, 2, 1)),
    n_blocks=1,
    pool_sizes=(5,),
    dropout=0.0,
    res_dropout=0.0,
)
TEXT = dict(
    mode="sentence", headings=DEFAULT_HEADINGS, other_headings=(), include_heading=True, prefix="",
    tower=dict(
        name="scratch_bert", width=8, depth=1, heads=2, vocab_size=60, dropout=0.0, pooling="mean"
    ),
)  # fmt: skip


def tiny_pretrained(folder, *, text=True, window_s=5.0, seed=0, encoder=None, **spec):
    """Random weights; its vocabulary is learnt from the reports of ``tiny_shards``."""
    recipe = dict(
        dtype="float32",
        encoder=encoder or ENCODER,
        objective=dict(
            name="two_tower", signal_projection=(8, 6), text_projection=(8, 6) if text else None
        ),
        text=TEXT if text else None,
    )
    config = ConfigDict(recipe)
    reports = [make_report(abnormal=abnormal) for abnormal in (False, True)]
    texts = None
    if text:
        home = (epath.Path(folder),)
        texts = build.build_text_source(config, workdirs=home, cache=None, corpus=lambda: reports)
    spec = tiny_spec(window_s).replace(**spec)
    objective = build.build_objective(config, spec, texts)
    batch = {"signal": np.zeros((1, len(spec.channels), spec.window_samples), np.float32)}
    if text:
        batch |= texts.table(("normal",)).take(np.zeros(1, np.int64))
    params, model_state = jax.jit(objective.init)(jax.random.key(seed), batch)
    vocabulary = pathlib.Path(folder) / "tokenizer" if text else None
    return Pretrained(
        spec=spec,
        recipe=recipe,
        objective=objective,
        params=params,
        model_state=model_state,
        texts=texts,
        trained_on=People(),
        source="tiny",
        parts=ModelParts(spec, recipe, {}, {}, text_tower_dir=vocabulary),
    )
