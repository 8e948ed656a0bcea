"""Adapters: from a recording's channels and sampling rate to those that an encoder was trained on.

    config.objective.adapter = dict(name="conv", channels=TEN_TWENTY, max_norm=1.0)

An adapter stands before the encoder and learns with the head, also where the encoder is frozen.
Its outputs have the *names* in ``channels``: an encoder that reads channels by name takes them for
these electrodes. It reads the rows of a signal by their order, so a model with one takes no other
channels than those it was fitted to.

    name        what it is                                                      published in
    conv        1x1 convolution, filters of norm at most ``max_norm``           EEGPT, braindecode
    linear      the same without the constraint                                 braindecode
    conv_stack  1x1 convolutions one after another, then one along time         DARE-EEG, EEGPT
    none        channels as they are; for ``samples`` alone

Each takes ``samples``: the window is first stretched or squeezed to that many time samples, which
is how the published probes meet another sampling rate.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float
from elm_jax.models.heads import constrained
from elm_jax.models.layers import (
    BatchNorm,
    Dtype,
    max_norm,
    torch_uniform,
    zero_padding,
)

#: The electrodes of the 10-20 system, which the published probes map every recording to.
TEN_TWENTY = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split())
INTERPOLATIONS = ("nearest", "linear")
# The published stack doubles the channels up to here.
MOST_CHANNELS = 256


def stretch(
    signal: Float[Array, "b c t"], samples: int, interpolation: str = "nearest"
) -> Float[Array, "b c u"]:
    """A window as ``samples`` time samples; as ``torch.nn.functional.interpolate`` has it.

    Args:
      signal: windows.
      samples: wanted; 0 leaves the signal alone.
      interpolation: "nearest" (published: sample ``floor(i * t / samples)``) or "linear" (between
        sample centres, the ends repeated). Neither filters: squeezing folds what lies above the new
        Nyquist frequency. Prepare the recordings at the model's rate where that matters.

    Raises:
      ValueError: an unknown interpolation, a negative number.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"adapter: interpolation is {interpolation!r}; known: {list(INTERPOLATIONS)}"
        )
    if samples < 0:
        raise ValueError(f"adapter: samples is {samples}; expected a number of samples, or 0")
    t = signal.shape[-1]
    if samples in (0, t):
        return signal
    if interpolation == "nearest":
        return signal[..., jnp.arange(samples) * t // samples]
    at = jnp.clip((jnp.arange(samples) + 0.5) * (t / samples) - 0.5, 0, t - 1)
    low = jnp.floor(at).astype(int)
    share = (at - low).astype(signal.dtype)
    high = jnp.minimum(low + 1, t - 1)
    return signal[..., low] * (1 - share) + signal[..., high] * share


class ChannelProjection(nn.Module):
    """Every output channel is a weighted sum of the input channels, and a bias.

    As braindecode's ``_ChannelProjection`` ("conv1d_constraint", "linear"). Parameters:
    ``proj/kernel [c, c_out]``, ``proj/bias``.

    Attributes:
      channels: names of the outputs.
      max_norm: of each output's weights; None: no constraint.
      samples: see :func:`stretch`.
      interpolation: see :func:`stretch`.
      dtype: computed in.
    """

    channels: Sequence[str]
    max_norm: float | None = 1.0
    samples: int = 0
    interpolation: str = "nearest"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, signal: Float[Array, "b c t"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b e u"]:
        """Mixes channels, sample by sample."""
        x = stretch(zero_padding(signal, valid), self.samples, self.interpolation)
        mix = constrained(len(self.channels), self.max_norm, dtype=self.dtype, name="proj")
        return jnp.moveaxis(mix(jnp.moveaxis(x, 1, -1)), -1, 1)


class ConvStack(nn.Module):
    """DARE-EEG's ConvHead: 1x1 convolutions, a convolution of each channel along time, dropout.

    Three published stacks are settings of this one:

    * DARE's probe of BCIC-2B: ``layers=1, dropout=0.0``; of others ``layers=3, dropout=0.2``. Its
      code for the time axis is commented out, its anti-aliasing filter is never called.
    * DARE on TUAB and TUEV: ``layers=2, norm=True, bias=False, temporal_kernel=15, dropout=0.1,
      drop_channels=True``.
    * EEGPT on TUAB: ``norm=True, temporal_kernel=15, temporal_bias=True, temporal_max_norm=None,
      dropout=0.25``; on TUEV ``temporal_kernel=55, temporal_padding="same",
      temporal_activation=False, dropout=0.8``.

    Channels double from layer to layer up to 256; the last layer has those of ``channels``.

    Attributes:
      channels: names of the outputs.
      layers: 1x1 convolutions.
      bias: whether these have one.
      norm: BatchNorm and GELU after each of them.
      temporal_kernel: samples that a channel's own filter spans; 0: there is none.
      temporal_bias: whether that filter has one.
      temporal_max_norm: of that filter; None: no constraint.
      temporal_padding: "valid" (the window gets shorter by the kernel less one) or "same".
      temporal_activation: GELU after that filter's BatchNorm.
      dropout: rate at the end while training.
      drop_channels: whole channels are dropped, not single values.
      max_norm: of each filter of the 1x1 convolutions.
      samples: see :func:`stretch`.
      interpolation: see :func:`stretch`.
      dtype: computed in.
    """

    channels: Sequence[str]
    layers: int = 1
    bias: bool = True
    norm: bool = False
    temporal_kernel: int = 0
    temporal_bias: bool = False
    temporal_max_norm: float | None = 1.0
    temporal_padding: str = "valid"
    temporal_activation: bool = True
    dropout: float = 0.2
    drop_channels: bool = False
    max_norm: float | None = 1.0
    samples: int = 0
    interpolation: str = "nearest"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, signal: Float[Array, "b c t"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b e u"]:
        """Mixes channels, then filters each; ``valid`` rows alone touch batch statistics.

        Raises:
          ValueError: no layers, or a window shorter than the filter.
        """
        if self.layers < 1:
            raise ValueError(f"adapter 'conv_stack': layers is {self.layers}; expected 1 or more")
        x = stretch(zero_padding(signal, valid), self.samples, self.interpolation)
        x = jnp.moveaxis(x, 1, -1)
        for i in range(self.layers):
            last = i == self.layers - 1
            width = len(self.channels) if last else min(2 * x.shape[-1], MOST_CHANNELS)
            options = dict(use_bias=self.bias, dtype=self.dtype)
            x = constrained(width, self.max_norm, **options, name=f"mix_{i}")(x)
            if self.norm:
                x = BatchNorm(width, name=f"norm_{i}")(x, valid=valid, train=train)
                x = nn.gelu(x, approximate=False)
        if self.temporal_kernel:
            x = self._filtered(x, valid, train)
        spread = (1,) if self.drop_channels else ()
        x = nn.Dropout(self.dropout, broadcast_dims=spread, deterministic=not train)(x)
        return jnp.moveaxis(x, -1, 1)

    def _filtered(self, x: Float[Array, "b t e"], valid, train: bool) -> Float[Array, "b u e"]:
        """Every channel through a filter of its own, then BatchNorm."""
        x = ChannelFilter(
            self.temporal_kernel,
            use_bias=self.temporal_bias,
            max_norm=self.temporal_max_norm,
            padding=self.temporal_padding,
            dtype=self.dtype,
            name="filter",
        )(x)
        x = BatchNorm(x.shape[-1], name="filter_norm")(x, valid=valid, train=train)
        return nn.gelu(x, approximate=False) if self.temporal_activation else x


class ChannelFilter(nn.Module):
    """A depthwise convolution along time: ``kernel [k, e]``, and a bias.

    Attributes:
      size: samples that a filter spans.
      use_bias: whether there is a bias.
      max_norm: of each filter; None: no constraint.
      padding: "valid" or "same" (zeros; the longer half after, as in PyTorch).
      dtype: computed in.
    """

    size: int
    use_bias: bool = False
    max_norm: float | None = None
    padding: str = "valid"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t e"]) -> Float[Array, "b u e"]:
        """Filters every channel.

        Raises:
          ValueError: an unknown padding, or fewer samples than the filter spans.
        """
        if self.padding not in ("valid", "same"):
            raise ValueError(f"temporal_padding is {self.padding!r}; known: 'valid', 'same'")
        if self.padding == "valid" and x.shape[1] < self.size:
            raise ValueError(
                f"adapter: a window of {x.shape[1]} samples is shorter than "
                f"temporal_kernel={self.size}"
            )
        init, width = torch_uniform(self.size), x.shape[-1]
        kernel = self.param("kernel", init, (self.size, width), jnp.float32)
        if self.max_norm is not None:
            kernel = max_norm(kernel, self.max_norm)
        bias = self.param("bias", init, (width,), jnp.float32) if self.use_bias else None
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        before = (self.size - 1) // 2 if self.padding == "same" else 0
        after = self.size - 1 - before if self.padding == "same" else 0
        y = jax.lax.conv_general_dilated(
            x,
            kernel[:, None, :],
            window_strides=(1,),
            padding=[(before, after)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=width,
        )
        return y if bias is None else y + bias.astype(y.dtype)


class Stretch(nn.Module):
    """No mixing of channels: another number of samples alone.

    Attributes:
      samples: see :func:`stretch`.
      interpolation: see :func:`stretch`.
    """

    samples: int = 0
    interpolation: str = "nearest"

    @nn.compact
    def __call__(
        self, signal: Float[Array, "b c t"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b c u"]:
        """The window with ``samples`` samples."""
        return stretch(zero_padding(signal, valid), self.samples, self.interpolation)
