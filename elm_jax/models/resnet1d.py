"""A residual network over time, the encoder of MERL: 18, 34, 50 or 101 layers.

He et al. 2016 with one axis instead of two, as Liu et al. ("Zero-Shot ECG Classification with
Multimodal Learning and Test-time Clinical Knowledge Enhancement", ICML 2024) have it: a stem of 7
taps and stride 2 without the max-pooling behind it, four stages that double the width and (but for
the first) halve the time, no classifier. A token is what one of the last stage's times holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.models.base import Encoded
from elm_jax.models.convolution import conv1d
from elm_jax.models.layers import BatchNorm, Dtype, torch_uniform, zero_padding
from elm_jax.models.remat import run_block


class Depth(NamedTuple):
    """How many blocks each stage has, and whether they are bottlenecks."""

    blocks: tuple[int, ...]
    bottleneck: bool


DEPTHS = {
    18: Depth((2, 2, 2, 2), False),
    34: Depth((3, 4, 6, 3), False),
    50: Depth((3, 4, 6, 3), True),
    101: Depth((3, 4, 23, 3), True),
}
EXPANSION = 4  # of a bottleneck's width, at its end
STEM_TAPS = 7


class ConvNorm1d(nn.Module):
    """A convolution without bias, padded by zeros so that stride 1 keeps the length; BatchNorm.

    In evaluation the BatchNorm is folded into the kernel: one pass over the output less.
    Parameters: ``kernel [k, c, f]`` and ``norm/{scale, bias}``.

    Attributes:
      features: channels of the output.
      taps: of the kernel, an odd number.
      stride: samples from one output to the next.
      dtype: computed in.
    """

    features: int
    taps: int = 3
    stride: int = 1
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b u f"]:
        """Convolves and normalises."""
        shape = (self.taps, x.shape[-1], self.features)
        init = torch_uniform(self.taps * x.shape[-1])
        kernel = jnp.asarray(self.param("kernel", init, shape, jnp.float32))
        norm = BatchNorm(self.features, dtype=self.dtype, name="norm")
        shift = None
        if not train:
            factor, shift = norm.running_affine()
            kernel = kernel * factor
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = conv1d(x, kernel, stride=self.stride, pad=self.taps // 2)
        if shift is None:
            return norm(y, valid=valid, train=True)
        return y + shift.astype(y.dtype)


class ResidualBlock1d(nn.Module):
    """Two convolutions of 3 taps, or a bottleneck of 1, 3 and 1, beside a skip connection.

    The skip is a convolution of 1 tap where width or stride change. A bottleneck strides in its
    middle.

    Attributes:
      features: of the inner convolutions.
      stride: of the block.
      bottleneck: three convolutions, the last one EXPANSION times as wide.
      dtype: computed in.
    """

    features: int
    stride: int = 1
    bottleneck: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b u f"]:
        """One block."""

        def conv(name: str, inputs: Array, features: int, taps: int, stride: int = 1) -> Array:
            module = ConvNorm1d(features, taps, stride, self.dtype, name=name)
            return module(inputs, valid=valid, train=train)

        if self.bottleneck:
            out = EXPANSION * self.features
            y = nn.relu(conv("conv1", x, self.features, 1))
            y = nn.relu(conv("conv2", y, self.features, 3, self.stride))
            y = conv("conv3", y, out, 1)
        else:
            out = self.features
            y = nn.relu(conv("conv1", x, out, 3, self.stride))
            y = conv("conv2", y, out, 3)
        if self.stride != 1 or x.shape[-1] != out:
            x = conv("skip", x, out, 1, self.stride)
        return nn.relu(y + x)


class ResNet1d(nn.Module):
    """The encoder; see the module.

    Attributes:
      depth: 18, 34, 50 or 101 layers: how many blocks and of which kind.
      in_channels: channels expected; None takes those of the first input.
      blocks: how many blocks each stage has, instead of ``depth``'s own.
      width: of the stem and the first stage.
      remat: what the backward pass computes again, block by block (see models/remat).
      dtype: computed in; the output has this type too.
    """

    depth: int = 18
    in_channels: int | None = None
    blocks: Sequence[int] | None = None
    width: int = 64
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
        """Encodes network values into features along time and their mean.

        Args:
          signal: network values (see SignalSpec), leads in the order that was trained.
          channel_id: not used: a row's place in ``signal`` says which lead it is.
          keep: must be None: a convolution has no tokens to leave out.
          valid: False for rows that are padding; they may hold anything.
          train: normalise by the batch and update ``batch_stats``.

        Returns:
          ``tokens [b n d]``: the last stage's features at each of ``n`` times, ``d`` eight widths
          (bottlenecks: 32); ``pooled [b d]``: their mean, which is what the published network
          gives to linear probes.

        Raises:
          ValueError: wrong channels, an unknown depth.
        """
        del channel_id
        self._check(signal, keep)
        blocks, bottleneck = DEPTHS[self.depth]
        remat = self.remat if train else "none"

        def run(block, x, valid):
            return block(x, valid=valid, train=train)

        def run_stem(stem, x, valid):
            return nn.relu(run(stem, x, valid))

        x = zero_padding(jnp.swapaxes(signal, 1, 2), valid)
        stem = ConvNorm1d(self.width, STEM_TAPS, 2, self.dtype, name="stem")
        x = run_block(remat, run_stem, stem, x, valid)
        for stage, count in enumerate(self.blocks or blocks, start=1):
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                block = ResidualBlock1d(
                    self.width << (stage - 1), stride, bottleneck, self.dtype,
                    name=f"block_{stage}_{i}",
                )  # fmt: skip
                x = run_block(remat, run, block, x, valid)
        return Encoded(tokens=x, pooled=x.mean(axis=1))

    def _check(self, signal: Array, keep: Array | None) -> None:
        if keep is not None:
            raise ValueError("ResNet1d cannot leave tokens out: keep must be None")
        if self.depth not in DEPTHS:
            raise ValueError(f"encoder.depth is {self.depth}; known: {sorted(DEPTHS)}")
        if self.blocks is not None and (not self.blocks or min(self.blocks) < 1):
            raise ValueError(
                f"encoder.blocks is {tuple(self.blocks)}: expected one count of at least 1 for "
                "each stage; None takes those of encoder.depth"
            )
        c = signal.shape[1]
        if self.in_channels is not None and c != self.in_channels:
            raise ValueError(
                f"the encoder has in_channels={self.in_channels}, the signal has {c} channels "
                f"(shape {signal.shape}, layout b c t)"
            )
