"""BERT (Devlin et al. 2019), the encoder of the reports: post-norm, absolute positions.

Weights come from any Hugging Face BERT directory through :mod:`elm_jax.convert.bert`. Parameters
of block i lie under ``layer_{i}``, so that freezing the first n blocks is a regex.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from etils import epath

from elm_jax import paths
from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.losses import l2_normalize
from elm_jax.models.activations import HF_ACTIVATIONS as ACTIVATIONS
from elm_jax.models.attention import MultiHeadAttention
from elm_jax.models.layers import Dtype, Mlp
from elm_jax.models.remat import run_block

# Our field -> Hugging Face's. Both are read, neither is guessed.
_HF_NAMES = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "n_token_types": "type_vocab_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_eps": "layer_norm_eps",
    "init_std": "initializer_range",
}
# What else changes the network, with the one value that is built here (also the default).
_BUILT = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


class BertConfigError(ValueError):
    """A configuration that lacks something, or asks for something that is not built."""


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes and rates; the defaults are those of BERT-base (MedCPT's encoders have them)."""

    vocab_size: int = 30522
    width: int = 768
    n_layers: int = 12
    n_heads: int = 12
    mlp_width: int = 3072
    max_positions: int = 512
    n_token_types: int = 2
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise BertConfigError(
                f"BERT activation {self.activation!r} is not built; known: {sorted(ACTIVATIONS)}"
            )
        if self.width % self.n_heads:
            raise BertConfigError(f"width {self.width} is no multiple of n_heads={self.n_heads}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "BERT config") -> "BertConfig":
        """Reads the fields of a Hugging Face ``config.json``.

        Raises:
          BertConfigError: a field is missing, or asks for another network than BERT.
        """
        for name, built in _BUILT.items():
            if values.get(name, built) != built:
                raise BertConfigError(
                    f"{source}: {name} is {values[name]!r}; only {built!r} is built"
                )
        missing = sorted(set(_HF_NAMES.values()) - set(values))
        if missing:
            raise BertConfigError(f"{source} lacks {missing}")
        return cls(**{ours: values[theirs] for ours, theirs in _HF_NAMES.items()})

    @classmethod
    def from_hf_dir(cls, directory: epath.PathLike) -> "BertConfig":
        """Reads ``config.json`` of a Hugging Face model directory.

        Raises:
          FileNotFoundError: there is none.
          BertConfigError: no JSON object, or see :meth:`from_dict`.
        """
        path = paths.of(directory) / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{directory} is no Hugging Face model directory: no {path}")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BertConfigError(f"{path}: no JSON: {error}") from error
        if not isinstance(values, dict):
            raise BertConfigError(f"{path}: expected an object, found {type(values).__name__}")
        return cls.from_dict(values, source=str(path))

    def to_hf_dict(self) -> dict[str, Any]:
        """The fields as ``transformers.BertConfig`` names them."""
        named = {theirs: getattr(self, ours) for ours, theirs in _HF_NAMES.items()}
        return {"model_type": "bert", "architectures": ["BertModel"], **named}


class Embeddings(nn.Module):
    """Word + position + token type, normalised; texts here are all of token type 0."""

    config: BertConfig
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, token_id: Int[Array, "b l"], *, train: bool) -> Float[Array, "b l d"]:
        """Vectors of the tokens."""
        c = self.config
        init = nn.initializers.normal(c.init_std)

        def table(name: str, rows: int) -> nn.Embed:
            # Looked up in float32, as stored: a word's gradient is the sum over all its places.
            return nn.Embed(rows, c.width, embedding_init=init, name=name)

        position = jnp.arange(token_id.shape[1])
        # An id beyond the vocabulary gives NaN (jnp.take's default), never another word's vector.
        x = table("word", c.vocab_size)(token_id)
        x = x + table("position", c.max_positions)(position)
        x = x + table("token_type", c.n_token_types)(jnp.zeros_like(position))
        x = _norm(c, self.dtype, "norm")(x)
        return nn.Dropout(c.dropout, deterministic=not train)(x)


def _norm(config: BertConfig, dtype: Dtype | None, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(config.norm_eps, dtype=dtype, use_fast_variance=False, name=name)


class Block(nn.Module):
    """Attention and MLP, each followed by a residual sum and LayerNorm."""

    config: BertConfig
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], token_valid: Bool[Array, "b l"], *, train: bool
    ) -> Float[Array, "b l d"]:
        """One block."""
        c = self.config
        options = dict(kernel_init=nn.initializers.normal(c.init_std), dtype=self.dtype)
        drop = nn.Dropout(c.dropout, deterministic=not train)
        attend = MultiHeadAttention(c.n_heads, c.attention_dropout, **options, name="attention")
        mixed = drop(attend(x, key_valid=token_valid, train=train))
        x = _norm(c, self.dtype, "attention_norm")(x + mixed)
        mlp = Mlp(c.mlp_width, ACTIVATIONS[c.activation], c.dropout, **options, name="mlp")
        return _norm(c, self.dtype, "mlp_norm")(x + mlp(x, train=train))


class Bert(nn.Module):
    """The encoder without pooler.

    Attributes:
      config: sizes and rates.
      dtype: computed in; LayerNorm's statistics and the softmax are at least float32.
      remat: what the backward pass computes again, layer by layer (see models/remat).
    """

    config: BertConfig
    dtype: Dtype | None = None
    remat: str = "none"

    @nn.compact
    def __call__(
        self, token_id: Int[Array, "b l"], token_valid: Bool[Array, "b l"], *, train: bool
    ) -> Float[Array, "b l d"]:
        """Hidden vectors of the last layer; those of invalid tokens are meaningless.

        Raises:
          ValueError: more tokens than there are positions.
        """
        length, most = token_id.shape[1], self.config.max_positions
        if length > most:
            raise ValueError(
                f"{length} tokens a text, but this BERT has {most} positions: lower max_tokens"
            )

        def run(block, x, token_valid):
            return block(x, token_valid, train=train)

        remat = self.remat if train else "none"
        x = Embeddings(self.config, self.dtype, name="embeddings")(token_id, train=train)
        for i in range(self.config.n_layers):
            block = Block(self.config, self.dtype, name=f"layer_{i}")
            x = run_block(remat, run, block, x, token_valid)
        return x


def pool_text(
    hidden: Float[Array, "b l d"], token_valid: Bool[Array, "b l"], how: str = "cls"
) -> Float[Array, "b d"]:
    """One vector a text.

    Args:
      hidden: the last layer's vectors.
      token_valid: False for padding.
      how: "cls": the first token's vector, as it is; "mean": the mean over valid tokens, scaled
        to length 1, as sentence-transformers does (zero for a text without valid tokens).

    Raises:
      ValueError: unknown ``how``.
    """
    if how == "cls":
        return hidden[:, 0]
    if how == "mean":
        wide = hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32))
        total = jnp.where(token_valid[:, :, None], wide, 0).sum(axis=1)
        count = token_valid.sum(axis=1, keepdims=True, dtype=wide.dtype)
        return l2_normalize(total / jnp.maximum(count, 1)).astype(hidden.dtype)
    raise ValueError(f"text pooling {how!r}; known: 'cls', 'mean'")
