"""What MERL puts on an encoder: a vector in the space shared with texts, and two views of it.

Liu et al. ("Zero-Shot ECG Classification with Multimodal Learning and Test-time Clinical Knowledge
Enhancement", ICML 2024): the vector is contrasted with the report's; the two views, which differ
by their linear maps and by what dropout leaves of them, with each other.
"""

from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.models.attention import MultiHeadAttention
from elm_jax.models.base import Encoded
from elm_jax.models.layers import BatchNorm, Dense, Dtype, Initializer, torch_uniform, zero_padding

POOLINGS = ("attention", "mlp")


class MerlOut(NamedTuple):
    """A row's vectors; none is normalised.

    Attributes:
      projection: in the space shared with texts.
      first: one view of the signal.
      second: another one.
    """

    projection: Float[Array, "b e"]
    first: Float[Array, "b e"]
    second: Float[Array, "b e"]


def uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""

    def init(key: Array, shape: Any, dtype: Dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class TokenAttention(nn.Module):
    """One learnt token attends to itself and to all others, each with a learnt position.

    CLIP's attention pooling with a learnt token where CLIP takes the mean. The learnt token is
    given its position twice, as published. Initial values are PyTorch's ``MultiheadAttention``'s.
    Parameters: ``class_token [d]``, ``position [n + 1, d]``, ``attention/{query, key, value,
    out}``, ``out``.

    Attributes:
      heads: of the attention; the width must be a multiple.
      dtype: computed in.
    """

    heads: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        """Pools over ``n``.

        Raises:
          ValueError: the positions were learnt for another number of tokens.
        """
        b, n, d = tokens.shape
        self._require_learnt_for(n)
        start = nn.initializers.normal(1.0)
        token = self.param("class_token", start, (d,), jnp.float32)
        position = self.param("position", nn.initializers.normal(1 / d), (n + 1, d), jnp.float32)
        tokens, token, position = nn.dtypes.promote_dtype(tokens, token, position, dtype=self.dtype)
        first = jnp.broadcast_to(token + position[0], (b, 1, d))
        x = jnp.concatenate([first, tokens], axis=1) + position
        attend = MultiHeadAttention(
            self.heads, kernel_init=uniform((6 / (4 * d)) ** 0.5), out_init=torch_uniform(d),
            dtype=self.dtype, name="attention",
        )  # fmt: skip
        pooled = attend(x[:, :1], x, train=False)[:, 0]
        return Dense(d, dtype=self.dtype, name="out")(pooled)

    def _require_learnt_for(self, n: int) -> None:
        if not self.has_variable("params", "position"):
            return
        learnt = len(self.get_variable("params", "position")) - 1
        if learnt != n:
            raise ValueError(
                f"MERL's attention pooling learnt the positions of {learnt} tokens, the encoder "
                f"gives {n}: use windows (window_s x sfreq_hz) as long as those it was trained on, "
                "or the head with pooling='mlp', which takes any"
            )


class MerlHead(nn.Module):
    """MERL's projector and its two views.

    "attention" is for convolutional encoders: every token is mapped to ``width`` (``down``), the
    projection is TokenAttention over them (``pool``), the views (``first``, ``second``) are linear
    maps of their mean. "mlp" is for transformers: Linear, BatchNorm, ReLU, Linear, BatchNorm on the
    pooled vector (``hidden``, ``norm``, ``out``, ``out_norm``); the views are linear maps of it.

    Attributes:
      width: of all three vectors.
      heads: of the attention.
      dropout: rate on each view while training, each with its own draw.
      pooling: "attention" or "mlp".
      hidden: width inside "mlp".
      dtype: computed in.
    """

    width: int = 256
    heads: int = 4
    dropout: float = 0.1
    pooling: str = "attention"
    hidden: int = 256
    dtype: Dtype | None = None
    reads_encoded: ClassVar[bool] = True

    @nn.compact
    def __call__(
        self, encoded: Encoded, *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> MerlOut:
        """The three vectors of each row.

        Args:
          encoded: what an encoder gives.
          valid: False for rows of padding: they touch no batch statistics.
          train: dropout (``dropout`` keys); "mlp" normalises by the batch and updates
            ``batch_stats``.

        Raises:
          ValueError: an unknown pooling, or a number of tokens other than the learnt one.
        """
        if self.pooling not in POOLINGS:
            raise ValueError(f"MerlHead: pooling is {self.pooling!r}; known: {list(POOLINGS)}")
        if self.pooling == "attention":
            tokens = self._dense("down", zero_padding(encoded.tokens, valid))
            projection = TokenAttention(self.heads, self.dtype, name="pool")(tokens)
            seen = tokens.mean(axis=1)
        else:
            seen = zero_padding(encoded.pooled, valid)
            projection = self._mlp(seen, valid, train)
        return MerlOut(
            projection, self._view("first", seen, train), self._view("second", seen, train)
        )

    def _dense(self, name: str, x: Array, width: int | None = None, bias: bool = True) -> Array:
        return Dense(width or self.width, use_bias=bias, dtype=self.dtype, name=name)(x)

    def _view(self, name: str, x: Array, train: bool) -> Float[Array, "b e"]:
        view = self._dense(name, x, bias=False)
        return nn.Dropout(self.dropout, deterministic=not train)(view)

    def _mlp(self, x: Array, valid: Array | None, train: bool) -> Float[Array, "b e"]:
        x = self._dense("hidden", x, self.hidden)
        x = nn.relu(BatchNorm(self.hidden, name="norm")(x, valid=valid, train=train))
        x = self._dense("out", x)
        return BatchNorm(self.width, name="out_norm")(x, valid=valid, train=train)
