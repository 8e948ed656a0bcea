"""The smallest masked objectives, batches for them, and the golden files' as objectives."""

import jax
import jax.numpy as jnp
import numpy as np

from elm_jax.channels import DICTIONARY
from elm_jax.masked_objectives import dual_aligned, masked_dual
from elm_jax.models.eeg_transformer import EegTransformer

MAKE = {"masked_dual": masked_dual, "dual_aligned": dual_aligned}
CHANNELS = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "T3", "T4")
PATCH, PATCHES = 4, 4


def tiny_masked(name="masked_dual", *, channels=CHANNELS, dtype=None, encoder=(), **settings):
    """Width 8, two summary tokens, one layer each."""
    sizes = dict(width=8, depth=1, heads=2, summary_tokens=2, patch_size=PATCH, dtype=dtype)
    heads = dict(predictor=dict(depth=1), reconstructor=dict(depth=1))
    settings = dict(name=name, total_steps=10) | heads | settings
    if name == "dual_aligned":
        settings = dict(projection=(6, 4)) | settings
    return MAKE[name](settings, EegTransformer(channels=channels, **(sizes | dict(encoder))))


def tiny_windows(rows=8, *, channels=CHANNELS, patches=PATCHES, seed=0, ids=False):
    """All rows real; ``ids``: with the numbers of the channels."""
    rng = np.random.default_rng(seed)
    batch = {
        "signal": rng.normal(size=(rows, len(channels), patches * PATCH)).astype(np.float32),
        "signal_valid": np.ones(rows, bool),
    }
    if ids:
        upper = [name.upper() for name in channels]
        old = {"T3": "T7", "T4": "T8"}
        numbers = [DICTIONARY.index(old.get(n, n)) for n in upper]
        batch["channel_id"] = np.tile(np.asarray(numbers, np.int32), (rows, 1))
    return {k: jnp.asarray(v) for k, v in batch.items()}


def drawn_variables(objective, batch, seed=0, std=0.3):
    """Random parameters and state without compiling; the momentum encoder is another one."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)

    def leaf(path, x):
        around = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(around + rng.normal(0, std, x.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)
