"""Models of a few hundred parameters in parts, of every kind that can be saved."""

import jax
import numpy as np

from elm_jax.convert import network
from elm_jax.convert.parts import ModelParts
from elm_jax.data import tokens
from elm_jax.data.people import People
from elm_jax.models.bert import BertConfig
from elm_jax.signals.pipeline import ELM_SPEC

SPEC = ELM_SPEC.replace(window_s=0.8, mean=0.25, std=1.5)
ENCODER = dict(
    name="conv_eeg",
    kernels=[[3, 4, 1], [6, 5, 1]],
    block_kernels=[[2, 5, 1], [5, 4, 1]],
    n_blocks=2,
    pool_sizes=[3, 0],
    dropout=0.1,
    res_dropout=0.2,
)
OBJECTIVES = {
    "projector": dict(name="two_tower", signal_projection=[7, 6], text_projection=None),
    "one_layer": dict(name="two_tower", signal_projection=[6], text_projection=None),
    "frozen_tower": dict(
        name="multi_instance", temperature=0.3, signal_projection=[7, 6], text_projection=[5, 6]
    ),
    "tower": dict(
        name="soft_target_contrast", temperature=0.1, signal_projection=[7, 6],
        text_projection=[5, 6],
    ),
    "classifier": dict(
        name="classify", signal_projection=None, text_projection=None, hidden=[16, 12], dropout=0.1,
        labels=dict(name="finding", kind="multiclass", classes=["a", "b", "c"]),
    ),
    "regression": dict(
        name="classify", signal_projection=[7, 6], hidden=[16],
        labels=dict(name="age", kind="regression", mean=50.0, std=20.0),
    ),
}  # fmt: skip
SCRATCH = dict(
    name="scratch_bert", width=8, depth=2, heads=2, vocab_size=60, dropout=0.0, pooling="mean"
)
HUB = dict(
    name="pretrained_bert", path="ncbi/MedCPT-Query-Encoder", pooling="cls", freeze_layers=-1
)
TEXTS = ["Diffuse slowing is seen.", "Normal alpha rhythm.", "Diffuse slowing and alpha."]


def tiny_parts(kind, folder=None, *, seed=0, encoder=None, objective=None, spec=SPEC):
    """Random parameters and statistics; ``folder`` gets the vocabulary of kind "tower"."""
    tower = {"tower": SCRATCH, "frozen_tower": HUB}.get(kind)
    recipe = dict(
        dtype="float32",
        encoder=encoder or ENCODER,
        objective=objective or OBJECTIVES[kind],
        text=dict(mode="sentence", tower=tower) if tower else None,
    )
    bert, tokenizer = None, None
    if kind == "tower":
        tokenizer = folder / "tokenizer"
        tokens.learn_wordpiece(TEXTS, vocab_size=60, out_dir=tokenizer, min_frequency=1)
        size = len(tokens.load_tokenizer(tokenizer))
        bert = BertConfig(
            vocab_size=size, width=8, n_layers=2, n_heads=2, mlp_width=32, max_positions=80
        )
    width = 8 if kind == "frozen_tower" else None
    objective = network.build_network(recipe, spec, bert)
    text = network.text_inputs(recipe, text_width=width, bert=bert)
    params, state = network.shapes(objective, spec, text)
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        value = rng.normal(0, 0.3, leaf.shape).astype(np.float32)
        return np.abs(value) + 0.5 if path[-1].key in ("var", "scale") else value

    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=jax.tree_util.tree_map_with_path(draw, params),
        model_state=jax.tree_util.tree_map_with_path(draw, state),
        trained_on=People.of(["tuh:aaaaaaaa", "tuh:aaaaaaab"]).to_json(),
        text_tower_dir=tokenizer,
        source=f"tiny {kind}",
    )


def assert_same_weights(a, b):
    assert a.weights_sha256 == b.weights_sha256
    assert jax.tree.structure(a.params) == jax.tree.structure(b.params)
