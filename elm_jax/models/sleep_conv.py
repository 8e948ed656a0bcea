"""A small convolutional encoder of long windows: a spatial filter, then two temporal ones.

Chambon et al. 2018 (IEEE TNSRE 26:758), as braindecode's ``SleepStagerChambon2018`` has it: linear
combinations of the channels, then twice a temporal convolution, activation and max-pooling that
every combination passes through alike, then one linear layer.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.models.activations import RISING, activation
from elm_jax.models.base import Encoded
from elm_jax.models.conv_eeg import ConvParams
from elm_jax.models.convolution import conv1d, is_for_cpu, max_pool
from elm_jax.models.layers import BatchNorm, Dense, Dtype, zero_padding
from elm_jax.models.pooled_conv import conv_max_pool
from elm_jax.models.remat import run_block

LAYERS = 2


class SleepConv(nn.Module):
    """Chambon et al.'s encoder of a window of several channels.

    Durations become samples by rounding up, as in braindecode.

    Attributes:
      sfreq_hz: sampling rate of the windows.
      in_channels: channels expected; None takes those of the first input.
      window_samples: samples of a window expected; None takes those of the first input.
      filters: temporal filters of both convolutions (paper: 8; Banville et al. 2021: 16).
      kernel_s: their duration.
      pool_s: of which the largest value stays, after both.
      pad_s: of zeros, on both sides, before both.
      outputs: width of the linear layer at the end; None: no such layer, the features themselves.
      dropout: rate on the features before that layer while training.
      batch_norm: BatchNorm after both convolutions (the paper: none; Banville et al.: yes).
      activation: after both convolutions (see models/activations).
      method: "direct": XLA's convolutions; "cpu": convolved and pooled in one go, by tiles (see
        models/pooled_conv); "auto": "cpu" where the program is traced for one CPU device and
        computes in float32 or wider. All give the same to rounding. Activations that fall
        somewhere ("gelu", "silu") are always "direct".
      remat: what the backward pass computes again (see models/remat).
      dtype: computed in; the output has this type too.
    """

    sfreq_hz: float
    in_channels: int | None = None
    window_samples: int | None = None
    filters: int = 8
    kernel_s: float = 0.5
    pool_s: float = 0.125
    pad_s: float = 0.25
    outputs: int | None = None
    dropout: float = 0.25
    batch_norm: bool = False
    activation: str = "relu"
    method: str = "auto"
    remat: str = "none"
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
        """Encodes network values into features along time and one vector.

        Args:
          signal: network values (see SignalSpec), channels in the order that was trained.
          channel_id: not used: a row's place in ``signal`` says which channel it is.
          keep: must be None: a convolution has no tokens to leave out.
          valid: False for rows that are padding; they may hold anything.
          train: normalise by the batch and update ``batch_stats``; dropout.

        Returns:
          ``tokens [b n f*c]``: the features at each of ``n`` pooled times; ``pooled [b outputs]``,
          or the features flattened in braindecode's order, filter by filter, ``[b f*c*n]``.

        Raises:
          ValueError: wrong channels or window, a window too short, an unknown activation.
        """
        del channel_id
        self._check(signal, keep)
        x = zero_padding(signal, valid)
        if x.shape[1] > 1:
            # Banville et al.'s "spatial convolution": as many combinations as there are channels.
            x = Dense(x.shape[1], dtype=self.dtype, name="spatial")(x.swapaxes(1, 2)).swapaxes(1, 2)
        x = x[..., None]
        for i in range(LAYERS):
            x = self._filter_pool(i, x, valid, train)
        b, c, n, f = x.shape
        tokens = x.transpose(0, 2, 3, 1).reshape(b, n, f * c)
        features = x.transpose(0, 3, 1, 2).reshape(b, f * c * n)
        if self.outputs is None:
            return Encoded(tokens, features)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return Encoded(tokens, Dense(self.outputs, dtype=self.dtype, name="out")(features))

    def _filter_pool(self, i: int, x: Array, valid: Array | None, train: bool) -> Array:
        """Convolution ``i`` and all up to its pooling: ``[b c t f]`` to ``[b c n filters]``."""
        # What is pooled before the activation must keep its order under it.
        fused = is_for_cpu(self.method, x.dtype, self.dtype) and self.activation in RISING

        def run(encoder, x, valid):
            conv = ConvParams(self._sizes[0], x.shape[-1], encoder.filters, name=f"conv_{i}")
            norm = BatchNorm(encoder.filters, dtype=encoder.dtype, name=f"norm_{i}")
            layer = encoder._fused if fused else encoder._direct
            return layer(conv, norm if encoder.batch_norm else None, x, valid, train)

        return run_block(self.remat if train and not fused else "none", run, self, x, valid)

    def _direct(self, conv, norm, x, valid, train) -> Array:
        """Convolution by XLA, BatchNorm, activation, pooling, one after the other."""
        b, c, t, f = x.shape
        _, pool, pad = self._sizes
        x, kernel = nn.dtypes.promote_dtype(x, conv.kernel, dtype=self.dtype)
        x = jnp.pad(x.reshape(b * c, t, f), ((0, 0), (pad, pad), (0, 0)))
        y = conv1d(x, kernel).reshape(b, c, -1, self.filters)
        if norm is None:
            y = y + conv.bias.astype(y.dtype)
        else:
            y = norm(y, offset=conv.bias, valid=valid, train=train)
        y = activation(self.activation)(y).reshape(b * c, -1, self.filters)
        return max_pool(y, pool).reshape(b, c, -1, self.filters)

    def _fused(self, conv, norm, x, valid, train) -> Array:
        """Pooled as it is convolved; what keeps the order comes after.

        Where BatchNorm's scale is negative, the largest of its outputs is the smallest of its
        inputs: then the kernel's sign is turned, and turned back.
        """
        b, c, t, f = x.shape
        _, pool, pad = self._sizes
        kernel, bias, signs = jnp.asarray(conv.kernel), jnp.asarray(conv.bias), 1.0
        if norm is not None and train:
            signs = norm.signs()
        elif norm is not None:
            signs, shift = norm.running_affine()
            bias = bias * signs + shift
        x, kernel = nn.dtypes.promote_dtype(x, kernel * signs, dtype=self.dtype)
        rows = None if valid is None else jnp.repeat(valid, c)
        y, mean, *rest = conv_max_pool(
            x.reshape(b * c, t, f), kernel, pool=pool, pad=pad, valid=rows
        )
        y = y.reshape(b, c, -1, self.filters)
        if norm is not None and train:
            y = norm(y * signs, offset=bias, moments=(mean * signs, *rest), train=True)
        else:
            y = y + bias
        return activation(self.activation)(y)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Samples of the kernel, of the pooling and of the padding."""
        kernel, pool, pad = (
            math.ceil(seconds * self.sfreq_hz)
            for seconds in (self.kernel_s, self.pool_s, self.pad_s)
        )
        return kernel, pool, pad

    def _check(self, signal: Array, keep: Array | None) -> None:
        if keep is not None:
            raise ValueError("SleepConv cannot leave tokens out: keep must be None")
        _, c, t = signal.shape
        if self.in_channels is not None and c != self.in_channels:
            raise ValueError(
                f"the encoder has in_channels={self.in_channels}, the signal has {c} channels "
                f"(shape {signal.shape}, layout b c t)"
            )
        if self.outputs is not None and self.window_samples not in (None, t):
            raise ValueError(
                f"the encoder's output layer is made for windows of {self.window_samples} samples "
                f"(window_s x sfreq_hz), found {t}; with encoder.outputs=None any length would do"
            )
        kernel, pool, pad = self._sizes
        if min(kernel, pool) < 1 or pad < 0:
            raise ValueError(
                f"encoder.kernel_s={self.kernel_s} and pool_s={self.pool_s} must be positive and "
                f"pad_s={self.pad_s} not negative"
            )
        u = t
        for _ in range(LAYERS):
            u = (u + 2 * pad - kernel + 1) // pool
        if u < 1:
            raise ValueError(
                f"a window of {t} samples leaves none after two convolutions of {kernel} taps "
                f"(padded by {pad}) and two poolings by {pool}: use a longer window_s, or a "
                "smaller encoder.kernel_s or encoder.pool_s"
            )
