"""The pre-norm transformer (EEGPT, DARE-EEG, ViT): drop-path, block, stack, initial values."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Float
from elm_jax.models.attention import MultiHeadAttention
from elm_jax.models.layers import Dtype, Initializer, Mlp
from elm_jax.models.remat import run_block

exact_gelu = functools.partial(nn.gelu, approximate=False)


def truncated_normal(std: float, divided_by: float = 1.0) -> Initializer:
    """PyTorch's ``trunc_normal_(std=std)``: cut at ±2 *absolute*, so at 100 deviations of 0.02.

    Args:
      std: standard deviation before the cut.
      divided_by: what the drawn values are divided by.
    """

    def init(key: Array, shape: Any, dtype: Dtype = jnp.float32) -> Array:
        drawn = jax.random.truncated_normal(key, -2 / std, 2 / std, shape, dtype)
        return drawn * (std / divided_by)

    return init


class DropPath(nn.Module):
    """Leaves a residual branch out, row by row, while training (stochastic depth).

    Kept branches are divided by the share that is kept.

    Attributes:
      rate: share of rows that go without.
    """

    rate: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b *rest"], *, train: bool) -> Float[Array, "b *rest"]:
        """``x``, or zero, a row."""
        if not train or not self.rate:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), 0)


class Block(nn.Module):
    """Norm, attention, norm, MLP, each added to what came in.

    Attributes:
      heads: attention heads.
      mlp_ratio: the MLP's hidden width over the tokens'.
      mlp_width: that hidden width itself; None: by ``mlp_ratio``.
      activation: of the MLP.
      dropout: rate behind attention and inside and behind the MLP.
      attention_dropout: rate on the attention weights.
      drop_path: share of rows that go without each branch.
      out_divisor: what the initial kernels that end a branch are divided by.
      init_std: deviation of the initial kernels.
      qkv_bias: whether query, key and value have a bias.
      norm_eps: added to the variance.
      norm_layer: makes the norms, called with ``name``; None: layer norm.
      dtype: computed in; the norms' statistics and the softmax are at least float32.
      head_width: see MultiHeadAttention.
      kernel_init: initial kernels, of all layers, in place of ``init_std`` and ``out_divisor``.
      qkv_init: the same of query, key and value alone; None: as the others.
    """

    heads: int
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    out_divisor: float = 1.0
    init_std: float = 0.02
    qkv_bias: bool = True
    norm_eps: float = 1e-6
    norm_layer: Callable[..., nn.Module] | None = None
    mlp_width: int | None = None
    activation: Callable[[Array], Array] = exact_gelu
    dtype: Dtype | None = None
    head_width: int | None = None
    kernel_init: Initializer | None = None
    qkv_init: Initializer | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        angle: Float[Array, "n r"] | None = None,
        *,
        last: int | None = None,
        train: bool,
    ) -> Float[Array, "b m d"]:
        """One block.

        Args:
          x: tokens.
          angle: of each token, where positions count.
          last: only so many tokens are wanted, the last ones: the others are attended to and then
            left out. None: all.
          train: with dropout and drop-path.
        """
        init = self.kernel_init or truncated_normal(self.init_std)
        out_init = self.kernel_init or truncated_normal(self.init_std, self.out_divisor)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        path = DropPath(self.drop_path)
        attend = MultiHeadAttention(
            self.heads, self.attention_dropout, self.qkv_bias, True, self.qkv_init or init,
            out_init, self.dtype, self.head_width, name="attention",
        )  # fmt: skip
        normed = norm(self, "attention_norm")(x)
        asking = normed if last is None else normed[:, -last:]
        mixed = attend(asking, normed, angle=angle, train=train)
        x = x if last is None else x[:, -last:]
        x = x + path(drop(mixed), train=train)
        mlp = Mlp(
            self.mlp_width or int(x.shape[-1] * self.mlp_ratio), self.activation,
            self.dropout, self.dropout, init, out_init, self.dtype, name="mlp",
        )  # fmt: skip
        y = norm(self, "mlp_norm")(x)
        return x + path(mlp(y, train=train), train=train)


def norm(of: nn.Module, name: str) -> nn.Module:
    """The norm that a module asks for with ``norm_layer``, ``norm_eps`` and ``dtype``."""
    if of.norm_layer is not None:
        return of.norm_layer(name=name)
    return nn.LayerNorm(of.norm_eps, dtype=of.dtype, use_fast_variance=False, name=name)


def run_blocks(
    make: Callable[[float, float, str], nn.Module],
    depth: int,
    drop_path: float,
    x: Float[Array, "b n d"],
    angle: Float[Array, "n r"] | None = None,
    *,
    remat: str,
    last: int | None = None,
    train: bool,
) -> Float[Array, "b m d"]:
    """Blocks ``layer_0`` ... one after another, inside a compact ``__call__``.

    Args:
      make: from (drop-path rate, divisor of the initial out kernels, name) to a Block.
      depth: how many.
      drop_path: the last block's rate; those before it grow linearly from 0.
      x: tokens.
      angle: of each token, where positions count.
      remat: what the backward pass computes again (see models/remat).
      last: how many tokens, from the end, the last block gives (None: all).
      train: with dropout and drop-path.
    """
    for i in range(depth):
        rate = drop_path * i / max(depth - 1, 1)
        block = make(rate, (2.0 * (i + 1)) ** 0.5, f"layer_{i}")
        wanted = last if i + 1 == depth else None
        x = run_block(
            remat if train else "none", functools.partial(_run, train, wanted), block, x, angle
        )
    return x


def _run(train: bool, last: int | None, block: Block, x: Array, angle: Array | None) -> Array:
    return block(x, angle, last=last, train=train)
