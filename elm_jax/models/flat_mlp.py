"""A multilayer perceptron on a window's values as one vector: for windows that are features."""

from collections.abc import Sequence

import flax.linen as nn

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.models.activations import activation
from elm_jax.models.base import Encoded
from elm_jax.models.layers import BatchNorm, Dense, Dtype, zero_padding


class FlatMlp(nn.Module):
    """Dense layers on the flattened window, channel by channel.

    Attributes:
      in_channels: channels expected; None takes those of the first input.
      window_samples: samples of a window expected; None takes those of the first input.
      hidden: widths of the hidden layers: Dense, BatchNorm, activation, dropout each.
      outputs: width of a last Dense without any of that; None: the last hidden layer's values.
      batch_norm: BatchNorm in every hidden layer.
      dropout: rate after every hidden layer while training.
      activation: of the hidden layers (see models/activations).
      dtype: computed in; the output has this type too.
    """

    in_channels: int | None = None
    window_samples: int | None = None
    hidden: Sequence[int] = (64,)
    outputs: int | None = None
    batch_norm: bool = False
    dropout: float = 0.0
    activation: str = "relu"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        signal: Float[Array, "b c t"],
        *,
        channel_id: Int[Array, " c"] | Int[Array, "b c"] | None = None,
        keep: Int[Array, "v k"] | None = None,
        valid: Bool[Array, " b"] | None = None,
        train: bool,
    ) -> Encoded:
        """Encodes network values into one vector: ``pooled [b d]``, ``tokens [b 1 d]``.

        Args:
          signal: network values (see SignalSpec), channels in the order that was trained.
          channel_id: not used: a row's place in ``signal`` says which channel it is.
          keep: must be None: a vector has no tokens to leave out.
          valid: False for rows that are padding; they may hold anything.
          train: normalise by the batch and update ``batch_stats``; dropout.

        Raises:
          ValueError: other channels or windows than expected, an unknown activation, no layer.
        """
        del channel_id
        self._check(signal, keep)
        act = activation(self.activation)
        x = zero_padding(signal, valid).reshape(len(signal), -1)
        for i, width in enumerate(self.hidden):
            x = Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x)
            if self.batch_norm:
                x = BatchNorm(width, dtype=self.dtype, name=f"norm_{i}")(
                    x, valid=valid, train=train
                )
            x = nn.Dropout(self.dropout, deterministic=not train)(act(x))
        if self.outputs is not None:
            x = Dense(self.outputs, dtype=self.dtype, name="out")(x)
        return Encoded(x[:, None], x)

    def _check(self, signal: Array, keep: Array | None) -> None:
        if keep is not None:
            raise ValueError("FlatMlp cannot leave tokens out: keep must be None")
        if not self.hidden and self.outputs is None:
            raise ValueError("encoder.hidden is empty and encoder.outputs None: no layer is left")
        _, c, t = signal.shape
        for found, expected in ((c, self.in_channels), (t, self.window_samples)):
            if expected not in (None, found):
                raise ValueError(
                    f"the encoder reads windows of in_channels={self.in_channels} x "
                    f"window_samples={self.window_samples}, found {c} x {t} (layout b c t)"
                )
