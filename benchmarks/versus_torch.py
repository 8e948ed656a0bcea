"""What the comparisons with PyTorch share: cores, models with equal weights, alternating timing."""

import os
import pathlib
import platform
import statistics
import sys
import time
from typing import NamedTuple

import numpy as np


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


def use_huge_pages() -> None:
    """Starts this script again with large allocations backed by huge pages (glibc's tunable).

    XLA takes its scratch memory from malloc anew at each call; hundreds of megabytes of small
    pages are then cleared one fault at a time. Both frameworks run with it.
    """
    tunable = "glibc.malloc.hugetlb=1"
    if tunable not in os.environ.get("GLIBC_TUNABLES", ""):
        os.environ["GLIBC_TUNABLES"] = tunable
        os.execv(sys.executable, [sys.executable, *sys.argv])


def make_models(seed: int = 0):
    """The 5 s architecture in both frameworks with the same random weights.

    Returns:
      (PyTorch module, ConvEeg, SignalProjector, their variables).
    """
    import torch

    from elm_jax.convert import elm
    from elm_jax.convert.standalone.elm_torch import Elm
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


class Times(NamedTuple):
    """Seconds of each call, and how much of the machine other processes used meanwhile."""

    ours: list[float]
    theirs: list[float]
    others: float


def _busy_seconds() -> tuple[float, float]:
    """Processor seconds that the whole machine and this process have used so far."""
    user, nice, system = map(int, pathlib.Path("/proc/stat").read_text().split()[1:4])
    own = os.times()
    return (user + nice + system) / os.sysconf("SC_CLK_TCK"), own.user + own.system


def alternate(ours, theirs, *, rounds: int) -> Times:
    """Times the two functions in turn; the first call of each is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, theirs):
        function()
    busy, begin = _busy_seconds(), time.perf_counter()
    for _ in range(rounds):
        for function, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    machine, own = (b - a for a, b in zip(busy, _busy_seconds(), strict=True))
    wall = (time.perf_counter() - begin) * (os.cpu_count() or 1)
    return Times(*times, others=max(0.0, machine - own) / wall)


def ratio_of(times: Times) -> float:
    """PyTorch's median over ours: larger than 1 means that ours is faster."""
    return statistics.median(times.theirs) / statistics.median(times.ours)


def describe(name: str, batch: int, times: Times) -> str:
    """One line: medians, their ratio, the spread of the ratios of neighbouring calls, others."""
    ours, theirs, others = times
    ratio = ratio_of(times)
    pairs = sorted(t / o for o, t in zip(ours, theirs, strict=True))
    low, high = pairs[len(pairs) // 10], pairs[-1 - len(pairs) // 10]
    return (
        f"{name:10s} [{batch}, 20, 500]  elm_jax {1e3 * statistics.median(ours):7.1f} ms  "
        f"PyTorch {1e3 * statistics.median(theirs):7.1f} ms  ratio {ratio:5.2f} "
        f"(single pairs {low:.2f} to {high:.2f}; "
        f"other processes used {others:.0%} of the machine)"
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
        f"torch {torch.__version__} ({torch.get_num_threads()} threads, eager), float32; "
        f"GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')!r}"
    )
