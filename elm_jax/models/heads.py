"""Small networks behind an encoder: from its vectors into the space shared with the text."""

import flax.linen as nn

from elm_jax.axes import Array, Bool, Float
from elm_jax.models.layers import BatchNorm, Dense, Dtype, elu, zero_padding


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
