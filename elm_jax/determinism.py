"""Bit-equal runs on GPUs: the switch for it, and a canary before it is trusted.

On CPUs and TPUs the same program gives the same bits. On GPUs sums by atomic additions do not;
XLA's ``--xla_gpu_deterministic_ops=true`` rewrites them, and has been wrong: ``.at[].set`` at index
0 wrote nothing (jax#27796, in jaxlib 0.5.3), and batched scatters mixed their batches (xla#34870).
So whoever asks for it has a few small operations computed at the start, compared with NumPy.

    python -m elm_jax.main --deterministic ...  # or XLA_FLAGS=--xla_gpu_deterministic_ops=true
"""

import logging
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np

log = logging.getLogger(__name__)

# Bits of two runs are the same only if both have the same kernels: none are chosen by timing.
XLA_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")
RELATIVE = 1e-3  # of the largest value: TF32 products pass, misplaced values do not


class WrongAnswer(ValueError):
    """An operation that deterministic kernels compute wrongly, or not deterministically."""


class Case(NamedTuple):
    """An operation and what it must give.

    Attributes:
      name: in words.
      compute: JAX arrays in, JAX array out.
      expect: the same with NumPy.
      arguments: of both.
    """

    name: str
    compute: Callable[..., Any]
    expect: Callable[..., np.ndarray]
    arguments: tuple[np.ndarray, ...]


def switch_on(environ: MutableMapping[str, str] = os.environ) -> None:
    """Asks XLA for deterministic kernels; before JAX has looked for devices."""
    words = environ.get("XLA_FLAGS", "").split()
    names = {word.partition("=")[0] for word in words}
    words += [flag for flag in XLA_FLAGS if flag.partition("=")[0] not in names]
    environ["XLA_FLAGS"] = " ".join(words)


def asked_for(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether XLA was asked for deterministic kernels."""
    words = environ.get("XLA_FLAGS", "").split()
    return any(w.lower() in (XLA_FLAGS[0], "--xla_gpu_deterministic_ops") for w in words)


def check(cases: Sequence[Case] | None = None) -> None:
    """Computes small operations on the default device, twice, and compares them with NumPy.

    Args:
      cases: those of :func:`all_cases`, if None.

    Raises:
      WrongAnswer: names every operation that is wrong, or that differs from itself.
    """
    import jax

    wrong, cases = [], all_cases() if cases is None else cases
    for case in cases:
        compiled = jax.jit(case.compute)
        first, second = (np.asarray(compiled(*case.arguments)) for _ in range(2))
        expected = case.expect(*case.arguments)
        scale = np.abs(expected).max()
        if not np.allclose(first, expected, rtol=0, atol=RELATIVE * scale):
            worst = np.abs(first - expected).max()
            wrong.append(f"{case.name}: off by {worst:.4g}, values to {scale:.4g}")
        elif first.tobytes() != second.tobytes():
            wrong.append(f"{case.name}: not the same bits twice")
    if wrong:
        listing = "\n  ".join(wrong)
        raise WrongAnswer(
            f"{XLA_FLAGS[0]} gives wrong answers on {jax.devices()[0].device_kind} with jaxlib "
            f"{jax.lib.__version__}:\n  {listing}\nTrain without it (runs then differ in their "
            "last bits), or with another jaxlib."
        )
    log.info("devices  deterministic kernels agree with NumPy on %d operations", len(cases))


def all_cases() -> tuple[Case, ...]:
    """What this project's training does that deterministic kernels rewrite: scatters and sums."""
    return (*_set_cases(), *_add_cases(), *_convolution_cases())


def _set_cases() -> tuple[Case, ...]:
    rng = np.random.default_rng(0)
    rows, permuted = rng.normal(size=(64, 5)).astype(np.float32), rng.permutation(64)
    batched = np.argsort(rng.normal(size=(3, 64)), axis=1)

    def compute(index, values):
        import jax.numpy as jnp

        return jnp.zeros_like(values).at[index].set(values)

    def compute_batched(index, values):
        import jax

        return jax.vmap(compute)(index, values)

    def expect(index, values):
        out = np.zeros_like(values)
        out[index] = values
        return out

    def expect_batched(index, values):
        return np.stack([expect(i, v) for i, v in zip(index, values, strict=True)])

    whole = np.array([1, 2, 0, 0], np.int32)
    values = rng.normal(size=(3, 64)).astype(np.float32)
    return (
        Case(".at[].set of integers from index 0", compute, expect, (np.arange(4), whole)),
        Case(".at[].set of rows", compute, expect, (permuted, rows)),
        Case("batched .at[].set", compute_batched, expect_batched, (batched, values)),
    )


def _add_cases() -> tuple[Case, ...]:
    rng = np.random.default_rng(1)
    bag = rng.integers(0, 7, 500)
    values = rng.normal(size=(500, 3)).astype(np.float32)
    pairs = rng.integers(0, 7, (2, 4, 500))
    batched = rng.normal(size=(4, 500)).astype(np.float32)

    def compute(index, values):
        import jax.numpy as jnp

        return jnp.zeros((7, values.shape[1])).at[index].add(values)

    def expect(index, values):
        out = np.zeros((7, values.shape[1]))
        np.add.at(out, index, values)
        return out

    def segment_sum(index, values):
        import jax

        return jax.ops.segment_sum(values, index, num_segments=7)

    def gradient_of_lookup(index, values):
        import jax
        import jax.numpy as jnp

        return jax.grad(lambda table: jnp.sum(table[index] * values))(jnp.zeros((7, 3)))

    def batched_add(index, values):
        import jax
        import jax.numpy as jnp

        return jax.vmap(lambda i, v: jnp.zeros((7, 7)).at[i[0], i[1]].add(v), (1, 0))(index, values)

    def expect_batched(index, values):
        out = np.zeros((4, 7, 7))
        for k in range(4):
            np.add.at(out[k], tuple(index[:, k]), values[k])
        return out

    return (
        Case(".at[].add with repeated indices", compute, expect, (bag, values)),
        Case("segment_sum", segment_sum, expect, (bag, values)),
        Case("gradient of an embedding", gradient_of_lookup, expect, (bag, values)),
        Case("batched .at[].add in two dimensions", batched_add, expect_batched, (pairs, batched)),
    )


def _convolution_cases() -> tuple[Case, ...]:
    rng = np.random.default_rng(2)
    signal = rng.normal(size=(8, 6, 40)).astype(np.float32)  # b c t
    kernel = rng.normal(size=(5, 6, 4)).astype(np.float32)  # outputs c taps
    weight = rng.normal(size=(8, 5, 37)).astype(np.float32)  # of every output in the sum

    def total(signal, kernel, weight):
        import jax.numpy as jnp
        from jax import lax

        return jnp.sum(lax.conv_general_dilated(signal, kernel, (1,), "VALID") * weight)

    def to_kernel(*arguments):
        import jax

        return jax.grad(total, 1)(*arguments)

    def to_signal(*arguments):
        import jax

        return jax.grad(total, 0)(*arguments)

    def expect_kernel(signal, kernel, weight):
        seen = np.lib.stride_tricks.sliding_window_view(signal, kernel.shape[2], axis=2)
        return np.einsum("bctk,bot->ock", seen, weight)

    def expect_signal(signal, kernel, weight):
        out = np.zeros(signal.shape)
        for k in range(kernel.shape[2]):
            out[:, :, k : k + weight.shape[2]] += np.einsum("bot,oc->bct", weight, kernel[:, :, k])
        return out

    arguments = (signal, kernel, weight)
    return (
        Case("gradient of a convolution's kernel", to_kernel, expect_kernel, arguments),
        Case("gradient of a convolution's input", to_signal, expect_signal, arguments),
    )
