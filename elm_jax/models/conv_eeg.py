"""ELM's encoder: a residual 1-D CNN whose layers each run three kernel sizes side by side.

Gijsen & Ritter, ICML 2025. Its parameters convert from the released state dicts by
:mod:`elm_jax.convert.elm`.
"""

import bisect
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.models.base import Encoded
from elm_jax.models.convolution import conv1d_branches, is_for_cpu, max_pool
from elm_jax.models.layers import BatchNorm, Dtype, elu, torch_uniform, zero_padding
from elm_jax.models.remat import run_block

Branches = Sequence[Sequence[int]]  # (kernel size, width, stride) each

ELM_BRANCHES = ((4, 32, 1), (8, 32, 1), (16, 32, 1))
# Rows x time that evaluation takes at once on a CPU: 16 windows of 5 s at 100 Hz. Then what a layer
# writes is still in the caches when the next one reads. 64 windows on two cores: 58 ms; 65 ms by
# eights, 87 ms by 32, 94 ms all at once.
CPU_SAMPLES_AT_ONCE = 8000


class ConvParams(nn.Module):
    """The parameters of one convolution, as PyTorch starts them: kernel ``[k, c, f]`` and bias."""

    size: int
    in_features: int
    features: int

    def setup(self):
        """Kernel and bias."""
        init = torch_uniform(self.size * self.in_features)
        shape = (self.size, self.in_features, self.features)
        self.kernel = self.param("kernel", init, shape, jnp.float32)
        self.bias = self.param("bias", init, (self.features,), jnp.float32)


class ConvNorm(nn.Module):
    """Convolutions side by side over one input, their outputs joined, then BatchNorm.

    In evaluation the BatchNorm is folded into the kernels: one pass over the output less.

    Attributes:
      branches: (kernel size, width, stride) of each convolution.
      in_features: channels of the input.
      tiled: see conv1d_branches.
      dtype: computed in.
    """

    branches: Branches
    in_features: int
    tiled: bool = False
    dtype: Dtype | None = None

    def setup(self):
        """Kernels and BatchNorm."""
        self.branch = [
            ConvParams(size, self.in_features, width) for size, width, _ in self.branches
        ]
        self.norm = BatchNorm(sum(width for _, width, _ in self.branches), dtype=self.dtype)

    def __call__(
        self, x: Float[Array, "b t c"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b u f"]:
        """Reflection-pads by (k // 2, (k - 1) // 2), convolves and normalises."""
        kernels = [jnp.asarray(branch.kernel) for branch in self.branch]
        bias = jnp.concatenate([branch.bias for branch in self.branch])
        if not train:
            factor, shift = self.norm.running_affine()
            kernels, bias = self._scaled(kernels, factor), bias * factor + shift
        x, *kernels = nn.dtypes.promote_dtype(x, *kernels, dtype=self.dtype)
        y = conv1d_branches(x, kernels, stride=self.branches[0][2], tiled=self.tiled)
        if train:
            return self.norm(y, offset=bias, valid=valid, train=True)
        return y + bias.astype(y.dtype)

    def _scaled(self, kernels: list[Array], factor: Array) -> list[Array]:
        edges = [0]
        for _, width, _ in self.branches:
            edges.append(edges[-1] + width)
        return [k * factor[edges[i] : edges[i + 1]] for i, k in enumerate(kernels)]


class ResidualBlock(nn.Module):
    """Two ConvNorms with an ELU between, plus a 1x1 skip, then max-pooling.

    Attributes:
      branches: (kernel size, width, stride) of each convolution; the second ones do not stride.
      pool_size: max-pooling; 0 for none.
      dropout: rate on the output while training.
      tiled: see conv1d_branches.
      dtype: computed in.
    """

    branches: Branches
    pool_size: int
    dropout: float = 0.0
    tiled: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], *, valid: Bool[Array, " b"] | None = None, train: bool
    ) -> Float[Array, "b u f"]:
        """One block."""
        second = [(size, w, 1) for size, w, _ in self.branches]
        skip = [(1, w, stride) for _, w, stride in self.branches]

        def conv_norm(name, branches, inputs):
            module = ConvNorm(branches, inputs.shape[-1], self.tiled, self.dtype, name=name)
            return module(inputs, valid=valid, train=train)

        y = elu(conv_norm("conv1", self.branches, x))
        y = conv_norm("conv2", second, y) + conv_norm("skip", skip, x)
        if self.pool_size > 0:
            y = max_pool(y, self.pool_size)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


def minimum_window(kernels: Branches, block_kernels: Branches, pool_sizes: Sequence[int]) -> int:
    """Fewest samples for which no reflection padding is longer than what it mirrors.

    Also leaves at least one sample after the last pooling. The released 5 s encoder (pooling 3,
    2, 2) needs 9 samples before its last block, hence 108.
    """

    def runs(t: int) -> bool:
        t = _strided(t, kernels)
        for pool in pool_sizes:
            t = _strided(t, block_kernels)
            t = _strided(t, [(size, w, 1) for size, w, _ in block_kernels])
            t = t // pool if pool > 0 else t
        return t >= 1

    # Longer windows run where a shorter one does.
    return 1 + bisect.bisect_left(range(1, 1 << 24), True, key=runs)


def _strided(t: int, branches: Branches) -> int:
    """Samples after a convolution of ``t`` samples; 0 where the padding has too few to mirror."""
    if t <= max(size for size, _, _ in branches) // 2:
        return 0
    return (t - 1) // branches[0][2] + 1


class ConvEeg(nn.Module):
    """ELM's convolutional encoder of multichannel windows.

    Attributes:
      in_channels: channels expected; None takes those of the first input.
      kernels: (kernel size, width, stride) of each convolution of the stem.
      block_kernels: the same for the blocks; None repeats ``kernels``.
      n_blocks: residual blocks.
      pool_sizes: max-pooling of each block (5 s model: 3, 2, 2, 2; 60 s model: 4, 4, 4, 4).
      dropout: rate on the pooled vector while training.
      res_dropout: rate on each block's output while training.
      method: "direct": XLA's convolutions over the whole batch; "cpu": by tiles, and evaluation
        takes a few rows at a time, which stay in the processor's caches; "auto": "cpu" where the
        program is traced for one CPU device and computes in float32 or wider. All give the same
        to rounding.
      remat: what the backward pass computes again, block by block (see models/remat).
      dtype: computed in; the output has this type too.
    """

    in_channels: int | None = None
    kernels: Branches = ELM_BRANCHES
    block_kernels: Branches | None = None
    n_blocks: int = 4
    pool_sizes: Sequence[int] = (3, 2, 2, 2)
    dropout: float = 0.0
    res_dropout: float = 0.0
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
        """Encodes network values into tokens ``b n d`` and their mean over time ``b d``.

        Args:
          signal: network values (see SignalSpec), channels in the order that was trained.
          channel_id: not used: a row's place in ``signal`` says which channel it is.
          keep: must be None: a convolution has no tokens to leave out.
          valid: False for rows that are padding; they may hold anything.
          train: normalise by the batch and update ``batch_stats``; dropout.

        Raises:
          ValueError: wrong channels, a window too short, branches or pool sizes that do not fit.
        """
        del channel_id
        self._check(signal, keep)
        x = zero_padding(jnp.swapaxes(signal, 1, 2), valid)
        for_cpu = is_for_cpu(self.method, x.dtype, self.dtype)
        rows = max(1, CPU_SAMPLES_AT_ONCE // x.shape[1])
        if for_cpu and not train and x.shape[0] > rows and not self.is_initializing():
            x = self._in_chunks(x, rows)
        else:
            x = self._trunk(x, valid, tiled=for_cpu, train=train)
        pooled = nn.Dropout(self.dropout, deterministic=not train)(x.mean(axis=1))
        return Encoded(tokens=x, pooled=pooled)

    @property
    def _block_kernels(self) -> Branches:
        return self.kernels if self.block_kernels is None else self.block_kernels

    def _trunk(self, x: Array, valid: Array | None, *, tiled: bool, train: bool) -> Array:
        """Stem and blocks, channels last."""
        remat = self.remat if train else "none"

        def run(block, x, valid):
            return block(x, valid=valid, train=train)

        def run_stem(block, x, valid):
            return elu(run(block, x, valid))

        stem = ConvNorm(self.kernels, x.shape[-1], tiled, self.dtype, name="stem")
        x = run_block(remat, run_stem, stem, x, valid)
        for i, pool_size in enumerate(self.pool_sizes):
            options = (self._block_kernels, pool_size, self.res_dropout, tiled, self.dtype)
            block = ResidualBlock(*options, name=f"block_{i}")
            x = run_block(remat, run, block, x, valid)
        return x

    def _in_chunks(self, x: Array, rows: int) -> Array:
        """The trunk in evaluation, over chunks of at most ``rows`` rows one after another."""
        b, t, c = x.shape
        n_chunks = -(-b // rows)
        rows = -(-b // n_chunks)
        x = jnp.pad(x, ((0, n_chunks * rows - b), (0, 0), (0, 0))).reshape(n_chunks, rows, t, c)

        def one(encoder, carry, chunk):
            return carry, encoder._trunk(chunk, None, tiled=True, train=False)

        shared = ["params", "batch_stats"]
        _, y = nn.scan(one, variable_broadcast=shared, split_rngs={"params": False})(self, None, x)
        return y.reshape(n_chunks * rows, *y.shape[2:])[:b]

    def _check(self, signal: Array, keep: Array | None) -> None:
        blocks = self._block_kernels
        if keep is not None:
            raise ValueError("ConvEeg cannot leave tokens out: keep must be None")
        if len(self.pool_sizes) != self.n_blocks:
            raise ValueError(
                f"encoder.pool_sizes {tuple(self.pool_sizes)} must have one entry for each of "
                f"encoder.n_blocks={self.n_blocks}"
            )
        for name, branches in (("kernels", self.kernels), ("block_kernels", blocks)):
            if len({stride for _, _, stride in branches}) != 1:
                raise ValueError(f"encoder.{name}: all strides must be equal: {branches}")
        if sum(w for _, w, _ in self.kernels) != sum(w for _, w, _ in blocks):
            raise ValueError(f"stem and blocks differ in width: {self.kernels}, {blocks}")
        _, c, t = signal.shape
        if self.in_channels is not None and c != self.in_channels:
            raise ValueError(
                f"the encoder has in_channels={self.in_channels}, the signal has {c} channels "
                f"(shape {signal.shape}, layout b c t)"
            )
        shortest = minimum_window(self.kernels, blocks, self.pool_sizes)
        if t < shortest:
            raise ValueError(
                f"a window of {t} samples is too short for the reflection padding of these "
                f"kernels after pooling {tuple(self.pool_sizes)}: at least {shortest} samples; "
                "use a longer window_s or smaller pool_sizes"
            )
