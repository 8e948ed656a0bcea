"""An objective of a few hundred parameters, and batches for it: compiles in about a second."""

import jax.numpy as jnp
import numpy as np

from elm_jax.models.bert import Bert, BertConfig
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.heads import SignalProjector, TextProjector
from elm_jax.objectives.multi_instance import MultiInstance

CHANNELS, SAMPLES, TEXT_WIDTH, TOKENS = 3, 24, 5, 6
# Without dropout: its pattern depends on the number of rows, which padding changes.
BERT = BertConfig(
    vocab_size=20,
    width=8,
    n_layers=1,
    n_heads=2,
    mlp_width=8,
    max_positions=8,
    dropout=0.0,
    attention_dropout=0.0,
)


def tiny_objective(kind=MultiInstance, *, tower=False, dtype=None, **settings):
    return kind(
        encoder=ConvEeg(
            in_channels=CHANNELS,
            kernels=((2, 2, 1), (3, 2, 1)),
            n_blocks=1,
            pool_sizes=(2,),
            dtype=dtype,
        ),
        signal_projector=SignalProjector((6, 4), dtype=dtype),
        text_projector=TextProjector((6, 4), dtype=dtype),
        text_tower=Bert(BERT, dtype) if tower else None,
        pooling="mean",
        **settings,
    )


def tiny_batch(*, bags=4, crops=2, segments=2, tower=False, seed=0, dtype=np.float32):
    """All rows real; ``bags`` bags of ``crops`` signals and ``segments`` texts."""
    rng = np.random.default_rng(seed)
    b, m = bags * crops, bags * segments
    batch = {
        "signal": rng.normal(size=(b, CHANNELS, SAMPLES)).astype(dtype),
        "signal_valid": np.ones(b, bool),
        "signal_bag": np.repeat(np.arange(bags, dtype=np.int32), crops),
        "text_valid": np.ones(m, bool),
        "text_bag": np.repeat(np.arange(bags, dtype=np.int32), segments),
    }
    if tower:
        batch["text_token"] = rng.integers(5, 20, (m, TOKENS)).astype(np.int32)
        batch["text_token_valid"] = np.arange(TOKENS) < rng.integers(2, TOKENS + 1, (m, 1))
    else:
        batch["text_emb"] = rng.normal(size=(m, TEXT_WIDTH)).astype(dtype)
    return {k: jnp.asarray(v) for k, v in batch.items()}
