"""Small networks behind an encoder: into the space shared with the text, or to classes.

Heads with ``reads_tokens`` take the encoder's tokens ``[b n d]``, one a stretch of time, whose
width ``d`` may hold several summary tokens side by side; the others take its one pooled vector.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.models.layers import (
    BatchNorm,
    Dense,
    Dtype,
    MaxNormDense,
    elu,
    statistics_dtype,
    zero_padding,
)

POOLINGS = ("flatten", "mean", "max", "attention")
# PyTorch's default, which the published heads have; their encoder has 1e-6.
LAYER_NORM_EPS = 1e-5


def constrained(features: int, limit: float | None, **options: Any) -> nn.Module:
    """A linear layer whose weights of each output are at most ``limit`` long; None: any length."""
    if limit is None:
        return Dense(features, **options)
    return MaxNormDense(features, limit=limit, **options)


class SignalProjector(nn.Module):
    """ELM's EEG projector: Linear, BatchNorm, ELU, Linear without bias; one size: Linear alone.

    Attributes:
      sizes: (hidden, out), or (out,) for a single Linear without bias.
      dtype: computed in.
    """

    sizes: tuple[int, ...] = (512, 256)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b e"]:
        """Projects pooled features; ``valid`` rows alone touch the batch statistics.

        Raises:
          ValueError: ``sizes`` has neither one nor two entries.
        """
        if len(self.sizes) not in (1, 2):
            raise ValueError(f"SignalProjector.sizes must be (hidden, out) or (out,): {self.sizes}")
        x = zero_padding(x, valid)
        if len(self.sizes) == 2:
            x = Dense(self.sizes[0], dtype=self.dtype, name="hidden")(x)
            norm = BatchNorm(self.sizes[0], name="norm")
            x = elu(norm(x, valid=valid, train=train))
        return Dense(self.sizes[-1], use_bias=False, dtype=self.dtype, name="out")(x)


class TextProjector(nn.Module):
    """ELM's text projector: Linear, BatchNorm, ReLU, Linear, BatchNorm without scale and bias.

    Attributes:
      sizes: (hidden, out).
      dtype: computed in.
    """

    sizes: tuple[int, int] = (1024, 256)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b e"]:
        """Projects sentence vectors; ``valid`` rows alone touch the batch statistics."""
        hidden, out = self.sizes
        x = Dense(hidden, dtype=self.dtype, name="hidden")(zero_padding(x, valid))
        x = nn.relu(BatchNorm(hidden, name="norm")(x, valid=valid, train=train))
        x = Dense(out, dtype=self.dtype, name="out")(x)
        return BatchNorm(out, affine=False, name="out_norm")(x, valid=valid, train=train)


class GeluProjector(nn.Module):
    """MERL's text projector: Linear, GELU, Linear (``hidden``, ``out``); one size: Linear alone.

    Attributes:
      sizes: (hidden, out), or (out,) for a single Linear without bias, as in CLIP.
      dtype: computed in.
    """

    sizes: tuple[int, ...] = (256, 256)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b e"]:
        """Projects vectors, row by row.

        Raises:
          ValueError: ``sizes`` has neither one nor two entries.
        """
        if len(self.sizes) not in (1, 2):
            raise ValueError(f"GeluProjector.sizes must be (hidden, out) or (out,): {self.sizes}")
        x = zero_padding(x, valid)
        if len(self.sizes) == 2:
            x = nn.gelu(Dense(self.sizes[0], dtype=self.dtype, name="hidden")(x), approximate=False)
        bias = len(self.sizes) == 2
        return Dense(self.sizes[-1], use_bias=bias, dtype=self.dtype, name="out")(x)


class Classifier(nn.Module):
    """ELM's classification head: Linear, BatchNorm, ReLU, Dropout (each layer), Linear.

    The last Linear has no bias, as published. Without hidden layers it is a linear classifier.

    Attributes:
      sizes: (hidden, ..., out).
      dropout: rate after each hidden layer while training.
      dtype: computed in.
    """

    sizes: tuple[int, ...]
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b k"]:
        """Logits; ``valid`` rows alone touch the batch statistics."""
        x = zero_padding(x, valid)
        for i, size in enumerate(self.sizes[:-1]):
            x = Dense(size, dtype=self.dtype, name=f"hidden_{i}")(x)
            x = nn.relu(BatchNorm(size, name=f"norm_{i}")(x, valid=valid, train=train))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return Dense(self.sizes[-1], use_bias=False, dtype=self.dtype, name="out")(x)


class PairHead(nn.Module):
    """Dropout and one linear layer, to the logit of "these two are near": ``out/{kernel, bias}``.

    Attributes:
      dropout: rate on what it takes while training.
      dtype: computed in.
    """

    dropout: float = 0.5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b 1"]:
        """Logits of the distances of two windows' vectors, entry by entry."""
        x = nn.Dropout(self.dropout, deterministic=not train)(zero_padding(x, valid))
        return Dense(1, dtype=self.dtype, name="out")(x)


class AttentionPooling(nn.Module):
    """DARE-EEG's: a weighted mean of vectors, the weights a softmax of one linear score each.

    Attributes:
      dtype: computed in.
    """

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b m d"]) -> Float[Array, "b d"]:
        """Pools over the middle axis; the softmax is at least float32."""
        score = Dense(1, dtype=self.dtype, name="attention")(x)
        weight = jax.nn.softmax(score.astype(statistics_dtype(score)), axis=1)
        return jnp.sum(x * weight.astype(x.dtype), axis=1)


def pool_tokens(
    tokens: Float[Array, "b n d"], pooling: str, *, where: str = "head"
) -> Float[Array, "b f"]:
    """One vector a row: all tokens side by side ("flatten"), their "mean" or their "max".

    Raises:
      ValueError: another pooling.
    """
    pools = {
        "flatten": lambda x: x.reshape(len(x), -1),
        "mean": lambda x: x.mean(axis=1),
        "max": lambda x: x.max(axis=1),
    }
    if pooling not in pools:
        raise ValueError(f"{where}: pooling is {pooling!r}; known: {list(pools)}")
    return pools[pooling](tokens)


class LinearHead(nn.Module):
    """Dropout and one linear layer on all tokens.

    EEGPT's head of TUAB and TUEV and DARE's ``MLPClassifierSmall`` (dropout 0.5 and 0.8, norm of
    each class's weights at most 1). Parameters: ``out/{kernel, bias}``.

    Attributes:
      outputs: logits.
      pooling: "flatten" (published), "mean" or "max" over time.
      dropout: rate on the tokens while training.
      max_norm: of each output's weights; None: no constraint.
      dtype: computed in.
    """

    reads_tokens: ClassVar[bool] = True
    outputs: int
    pooling: str = "flatten"
    dropout: float = 0.5
    max_norm: float | None = 1.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b n d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b k"]:
        """Logits."""
        x = pool_tokens(zero_padding(tokens, valid), self.pooling, where="head 'linear'")
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return constrained(self.outputs, self.max_norm, dtype=self.dtype, name="out")(x)


class TwoStageHead(nn.Module):
    """EEGPT's linear probe: a linear layer for every token, then one over all of them.

    As braindecode's ``_LinearConstraintProbe``; nothing bends in between, so it is a linear map of
    low rank. Parameters: ``probe1/{kernel, bias}``, ``probe2/{kernel, bias}``.

    Attributes:
      outputs: logits.
      hidden: numbers a token becomes.
      dropout: rate on the tokens while training.
      max_norm: of each output's weights, of the first and the second layer; None: no constraint.
      dtype: computed in.
    """

    reads_tokens: ClassVar[bool] = True
    outputs: int
    hidden: int = 16
    dropout: float = 0.5
    max_norm: tuple[float | None, float | None] = (1.0, 0.25)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b n d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b k"]:
        """Logits."""
        x = nn.Dropout(self.dropout, deterministic=not train)(zero_padding(tokens, valid))
        first, last = self.max_norm
        x = constrained(self.hidden, first, dtype=self.dtype, name="probe1")(x)
        x = x.reshape(len(x), -1)
        return constrained(self.outputs, last, dtype=self.dtype, name="probe2")(x)


class MlpHead(nn.Module):
    """DARE-EEG's classifiers: constrained linear layers with LayerNorm, GELU and dropout between.

    ``MLPClassifier`` pools, then maps (``per_token=False``); ``MLPClassifierV2``, which its TUAB
    and TUEV runs use, maps every token and then all of them at once (``per_token=True,
    hidden=(128, 16), dropout=(0.5, 0.3)``). Their pooling "mean" returns all tokens side by side,
    as their "cls" does: here "flatten"; their "max" fails by its own sizes, here it works.
    Parameters: ``hidden_0/{kernel, bias}``, ``norm_0/{scale, bias}``, ..., ``out/{kernel,
    bias}``, with attention pooling ``pool/attention/{kernel, bias}``.

    Attributes:
      outputs: logits.
      hidden: widths.
      dropout: rate after each hidden layer while training; one for all, or one each.
      pooling: "flatten", "mean" or "max" over time, or "attention" over all summary tokens of all
        times.
      per_token: the hidden layers map every token by itself, and no pooling is done.
      summary_tokens: how many lie side by side in a token, for attention pooling.
      max_norm: of each output's weights, of the hidden layers and of the last.
      dtype: computed in.
    """

    reads_tokens: ClassVar[bool] = True
    outputs: int
    hidden: Sequence[int] = (256, 128)
    dropout: float | Sequence[float] = 0.1
    pooling: str = "flatten"
    per_token: bool = False
    summary_tokens: int = 1
    max_norm: tuple[float | None, float | None] = (1.0, 0.25)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b n d"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b k"]:
        """Logits.

        Raises:
          ValueError: an unknown pooling, rates that do not go with the layers, or a width that is
            no multiple of the summary tokens.
        """
        x = zero_padding(tokens, valid)
        x = x if self.per_token else self._pooled(x)
        first, last = self.max_norm
        for i, (width, rate) in enumerate(zip(self.hidden, self._rates(), strict=True)):
            dense = constrained(width, first, dtype=self.dtype, name=f"hidden_{i}")
            norm = nn.LayerNorm(epsilon=LAYER_NORM_EPS, dtype=self.dtype, name=f"norm_{i}")
            x = nn.gelu(norm(dense(x)), approximate=False)
            x = nn.Dropout(rate, deterministic=not train)(x)
        x = x.reshape(len(x), -1)
        return constrained(self.outputs, last, dtype=self.dtype, name="out")(x)

    def _rates(self) -> tuple[float, ...]:
        if isinstance(self.dropout, int | float):
            return (self.dropout,) * len(self.hidden)
        if len(self.dropout) != len(self.hidden):
            raise ValueError(
                f"head 'mlp': dropout has {len(self.dropout)} rates for {len(self.hidden)} hidden "
                "layers; give one rate, or one each"
            )
        return tuple(self.dropout)

    def _pooled(self, x: Float[Array, "b n d"]) -> Float[Array, "b f"]:
        if self.pooling not in POOLINGS:
            raise ValueError(f"head 'mlp': pooling is {self.pooling!r}; known: {list(POOLINGS)}")
        if self.pooling != "attention":
            return pool_tokens(x, self.pooling)
        b, n, d = x.shape
        if d % self.summary_tokens:
            raise ValueError(
                f"head 'mlp': tokens {d} wide do not divide into {self.summary_tokens} summary "
                "tokens"
            )
        each = x.reshape(b, n * self.summary_tokens, d // self.summary_tokens)
        return AttentionPooling(dtype=self.dtype, name="pool")(each)
