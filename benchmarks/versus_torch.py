"""What the comparisons with PyTorch share: cores, models with equal weights, alternating timing."""

import os
import pathlib
import platform
import statistics
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def use_cores(n: int) -> list[int]:
    """Binds this process to ``n`` cores; before JAX and PyTorch are imported, so both obey.

    Raises:
      SystemExit: there are fewer cores.
    """
    free = sorted(os.sched_getaffinity(0))
    if len(free) < n:
        raise SystemExit(f"{n} cores asked for, {len(free)} available")
    os.sched_setaffinity(0, free[:n])
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["OMP_NUM_THREADS"] = str(n)
    return free[:n]


def make_models(seed: int = 0):
    """The 5 s architecture in both frameworks with the same random weights.

    Returns:
      (PyTorch module, ConvEeg, SignalProjector, their variables).
    """
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    import torch
    from torch_elm import Elm

    from elm_jax.convert import elm
    from elm_jax.models.conv_eeg import ConvEeg
    from elm_jax.models.heads import SignalProjector

    torch.manual_seed(seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    twin = Elm()
    state = {name: value.numpy().copy() for name, value in twin.state_dict().items()}
    encoder_kwargs, projector_kwargs = dict(in_channels=20), dict(sizes=(512, 256))
    encoder, projector, _ = elm.from_released(state, encoder_kwargs, projector_kwargs, 500)
    return (
        twin,
        ConvEeg(**encoder_kwargs),
        SignalProjector(**projector_kwargs),
        {"encoder": encoder, "projector": projector},
    )


def signals(batch: int, seed: int = 0) -> np.ndarray:
    """Network values ``[batch, 20, 500]`` with a plausible spread."""
    return np.random.default_rng(seed).normal(0, 3, (batch, 20, 500)).astype(np.float32)


def alternate(ours, theirs, *, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each call of the two functions, run in turn; the first of each is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, theirs):
        function()
    for _ in range(rounds):
        for function, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return times


def describe(name: str, batch: int, ours: list[float], theirs: list[float]) -> str:
    """One line: medians, their ratio, and the spread of the ratios of neighbouring calls."""
    ratio = statistics.median(theirs) / statistics.median(ours)
    pairs = sorted(t / o for o, t in zip(ours, theirs, strict=True))
    low, high = pairs[len(pairs) // 10], pairs[-1 - len(pairs) // 10]
    return (
        f"{name:10s} [{batch}, 20, 500]  elm_jax {1e3 * statistics.median(ours):7.1f} ms  "
        f"PyTorch {1e3 * statistics.median(theirs):7.1f} ms  ratio {ratio:5.2f} "
        f"(single pairs {low:.2f} to {high:.2f})"
    )


def versions(cores: list[int]) -> str:
    """The machine and the packages, for the record."""
    import jax
    import jaxlib
    import torch

    cpu = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return (
        f"{cpu}, {len(cores)} cores; jax {jax.__version__}, jaxlib {jaxlib.__version__}, "
        f"torch {torch.__version__} ({torch.get_num_threads()} threads, eager), float32"
    )
