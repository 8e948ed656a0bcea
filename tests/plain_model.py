"""The smallest two-tower model, with BatchNorm or dropout only where asked; compiles quickly."""

import flax.linen as nn
import jax
import numpy as np
from tiny_model import tiny_batch

from elm_jax.models.base import Encoded
from elm_jax.models.layers import BatchNorm, Dense, zero_padding
from elm_jax.objectives.multi_instance import MultiInstance


class PlainEncoder(nn.Module):
    """A Dense layer on the flattened window."""

    norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, signal, *, valid=None, train):
        signal = zero_padding(signal, valid)
        x = nn.tanh(Dense(4, name="dense")(signal.reshape(len(signal), -1)))
        if self.norm:
            x = BatchNorm(4, name="norm")(x, valid=valid, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return Encoded(x[:, None], x)


class PlainHead(nn.Module):
    """A Dense layer."""

    features: int = 3

    @nn.compact
    def __call__(self, x, *, valid=None, train):
        return nn.tanh(Dense(self.features, name="dense")(x))


class PlainTower(nn.Module):
    """A table of tokens."""

    @nn.compact
    def __call__(self, token_id, token_valid, *, train):
        return nn.Embed(20, 5, name="word")(token_id)


def plain_objective(kind=MultiInstance, *, norm=False, dropout=0.0, **settings):
    return kind(
        encoder=PlainEncoder(norm, dropout),
        signal_projector=PlainHead(),
        text_projector=PlainHead(),
        text_tower=PlainTower(),
        pooling="mean",
        **settings,
    )


def wide(tree):
    """Floats as float64."""

    def leaf(x):
        return np.asarray(x, np.float64) if jax.numpy.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(leaf, tree)


def ragged_batch(bags=8, crops=8, segments=4, seed=0):
    """Bags of different sizes: padding here and there, one text or crop alone in the last."""
    made = tiny_batch(bags=bags, crops=crops, segments=segments, tower=True, seed=seed)
    batch = {k: np.array(v) for k, v in made.items()}
    for side, per_bag, missing in (("signal", crops, (0, 3)), ("text", segments, (2,))):
        valid = batch[f"{side}_valid"]
        valid[list(missing)] = False
        valid[len(valid) - per_bag + 1 :] = False
    batch["signal"][~batch["signal_valid"]] = np.nan
    return batch


def variables_of(objective, batch, seed=0):
    """Random parameters and batch statistics without compiling anything, in float64."""
    rng = np.random.default_rng(seed)
    params, model_state = jax.eval_shape(objective.init, jax.random.key(0), batch)

    def draw(path, x):  # factors of a normalisation and variances lie around one
        around = 1.0 if path[-1].key in ("scale", "var") else 0.0
        return around + rng.uniform(-0.3, 0.3, size=x.shape)

    return jax.tree_util.tree_map_with_path(draw, (params, model_state))


def narrow(tree):
    """Floats as float32, on the device."""

    def leaf(x):
        x = np.asarray(x)
        return jax.numpy.asarray(x.astype(np.float32) if x.dtype == np.float64 else x)

    return jax.tree.map(leaf, tree)
