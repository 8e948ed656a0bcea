"""The smallest encoder that reads channels by name, and a loss for it; both compile in a moment."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from elm_jax import build
from elm_jax.channels import DICTIONARY, channel_ids
from elm_jax.models.base import Encoded
from elm_jax.models.layers import Dense, cut_patches, zero_padding
from elm_jax.objectives.two_tower import TwoTower


class PlainByName(nn.Module):
    """A vector of each patch and of its electrode, averaged over electrodes."""

    by_name = True

    channels: tuple[str, ...] = ()
    width: int = 4
    patch_size: int = 16

    @nn.compact
    def __call__(self, signal, *, channel_id=None, keep=None, valid=None, train):
        ids = jnp.asarray(channel_ids(self.channels)) if channel_id is None else channel_id
        if ids.shape[-1] != signal.shape[1]:
            raise ValueError(f"{signal.shape[1]} channels, {ids.shape[-1]} names")
        patches = cut_patches(zero_padding(signal, valid), self.patch_size, None)  # b p c k
        names = self.param("names", nn.initializers.normal(1.0), (len(DICTIONARY), self.width))
        vectors = names[jnp.broadcast_to(ids, signal.shape[:2])][:, None]
        tokens = nn.tanh(Dense(self.width, name="patch")(patches) + vectors).mean(2)
        return Encoded(tokens, tokens.mean(1))


@dataclasses.dataclass(frozen=True)
class Loudness(TwoTower):
    """Learns how large a window is."""

    rows_independent: ClassVar[bool] = True

    def terms(self, out, batch):
        valid = batch["signal_valid"]
        signal = jnp.where(valid[:, None, None], batch["signal"], 0)
        error = jnp.square(out["features"].sum(1) - jnp.square(signal).mean((1, 2)))
        count = jnp.maximum(valid.sum(dtype=error.dtype), 1)
        return {"loudness": jnp.where(valid, error, 0).sum() / count}, {}


build.ENCODERS["plain_by_name"] = PlainByName
build.OBJECTIVES["loudness"] = lambda config, spec, texts: Loudness(
    build.build_encoder(config, spec)
)
