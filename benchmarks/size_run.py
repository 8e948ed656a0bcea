"""How large a run is, before it is paid for: bytes, shards, operations, memory, hours.

    python benchmarks/size_run.py [--config elm_5s] [--hours 27000] [--recordings 27000] [--here]

A step of the recipe is compiled for two numbers of crops, in bfloat16, so that everything runs
XLA's own convolutions, as on accelerators; the compiler counts its operations, the bytes that it
moves, and its memory, and what a crop more costs is the difference. Nothing is run but with
``--here``, which times the step on this machine. Taken as given, and to be changed by flags:

* ``--efficiency 0.5``: an accelerator does half of what the slower of its arithmetic and its memory
  allows (the roofline). For a contrastive encoder in JAX on H100, H200 or TPU no use of the
  arithmetic has been published. The bytes are those of the program for CPUs; accelerators fuse
  more, so they err towards more hours.
* ``--host_gb_per_s 0.5``: what a host reads, decodes and hands over (benchmarks/input.py).
* Recordings of equal length; the text tower is frozen and its vectors are there.
"""

import argparse
import importlib
import math
import time
from typing import Any, NamedTuple

import figures
import numpy as np

GB, TERA = 1e9, 1e12
SENTENCES = 20  # of a report
TEXT_WIDTH = 768  # of a sentence's vector, float32
CROPS_PER_SENTENCE = 5


class Machine(NamedTuple):
    """Devices of one kind on hosts."""

    name: str
    kind: str
    devices: int
    hosts: int


MACHINES = (
    Machine("v5p-256", "TPU v5p", 128, 32),
    Machine("8 x H200", "NVIDIA H200", 8, 1),
    Machine("1 x H200", "NVIDIA H200", 1, 1),
)


class StepCost(NamedTuple):
    """What a training step costs: fixed, and for each crop."""

    flops: tuple[float, float]
    bytes_moved: tuple[float, float]
    memory_bytes: tuple[float, float]
    state_bytes: int
    checkpoint_bytes: int
    crops_per_s_here: float


def main() -> None:
    """Prints a table for a recipe, a corpus, and each machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="elm_5s", help="a recipe of bags (%(default)s)")
    parser.add_argument("--hours", type=float, default=27_000, help="of EEG (%(default)s)")
    parser.add_argument("--recordings", type=int, default=27_000, help="(%(default)s)")
    parser.add_argument("--shard_mb", type=float, default=128, help="(%(default)s)")
    parser.add_argument("--shards_per_host", type=int, default=4, help="at least (%(default)s)")
    parser.add_argument("--efficiency", type=float, default=0.5, help="(%(default)s)")
    parser.add_argument("--host_gb_per_s", type=float, default=0.5, help="(%(default)s)")
    parser.add_argument("--here", action="store_true", help="times the step on this machine, too")
    figures.add_json(parser)
    args = parser.parse_args()
    config = importlib.import_module(f"configs.{args.config}").get_config().unlock()
    cost = measure(config, here=args.here)
    numbers = describe_corpus(config, args, cost)
    for machine in MACHINES:
        numbers |= describe_machine(machine, config, args, cost)
    if args.here:
        hours = numbers["crops_per_epoch"] * epochs_of(config) / cost.crops_per_s_here / 3600
        numbers |= {"here_crops_per_s": cost.crops_per_s_here, "here_hours": hours}
        title(f"this machine: {cost.crops_per_s_here:.3g} crops/s, {hours:,.0f} h")
    figures.write(args.json, numbers)


def title(text: str) -> None:
    """A line above others."""
    print(f"\n{text}")


def row(name: str, value: str) -> None:
    """A line of the table."""
    print(f"  {name:<36}{value}")


def epochs_of(config: Any) -> float:
    """Epochs of the recipe."""
    return config.optimizer.schedule.total_epochs


# -- a step ----------------------------------------------------------------------------------------


def measure(config: Any, *, here: bool) -> StepCost:
    """Compiles the step for a few crops and for twice as many."""
    import jax

    few = max(1, round(160 / config.signal.window_s))
    found = [compiled(config, crops, "bfloat16")[0] for crops in (few, 2 * few)]
    flops, moved, memory = (
        (2 * a - b, (b - a) / few)
        for a, b in zip(*((c.flops, c.bytes_moved, c.memory_bytes) for c in found), strict=True)
    )
    state = found[0].state
    size = sum(x.nbytes for x in jax.tree.leaves(state))
    stored = sum(x.nbytes for x in jax.tree.leaves((state.params, state.opt_state)))
    rate = crops_per_s(config, few * 2) if here else math.nan
    return StepCost(flops, moved, memory, size, stored, rate)


class Compiled(NamedTuple):
    """A compiled step as the compiler describes it."""

    flops: float
    bytes_moved: float
    memory_bytes: float
    state: Any


def compiled(config: Any, crops: int, dtype: str) -> tuple[Compiled, Any, dict[str, np.ndarray]]:
    """The step for so many crops of one bag: its costs, itself, and a batch for it."""
    import jax

    from elm_jax import build
    from elm_jax.data.corpus import expected_spec
    from elm_jax.data.pipeline import to_network
    from elm_jax.optim import make_optimizer
    from elm_jax.schedules import RunLength
    from elm_jax.sharding import make_mesh
    from elm_jax.state import init_state
    from elm_jax.step import make_step

    config = config.copy_and_resolve_references()
    config.dtype = dtype
    spec, mesh = expected_spec(config), make_mesh(config.mesh.to_dict())
    objective = build.build_objective(config, spec, None)
    texts = max(1, crops // CROPS_PER_SENTENCE)
    rng = np.random.default_rng(0)
    batch = {
        "signal": rng.integers(-999, 999, (crops, len(spec.channels), spec.window_samples), "i2"),
        "signal_valid": np.ones(crops, bool),
        "signal_bag": np.arange(crops, dtype=np.int32) * 2 // crops,
        "text_emb": rng.normal(size=(texts, TEXT_WIDTH)).astype(np.float32),
        "text_valid": np.ones(texts, bool),
        "text_bag": np.arange(texts, dtype=np.int32) * 2 // texts,
    }
    prepare = to_network(spec, 32.0)
    jax.set_mesh(mesh)
    state, optimizer = init_state(
        objective,
        jax.eval_shape(prepare, batch),
        make_tx=lambda p: make_optimizer(config.optimizer.to_dict(), p, RunLength(9, 9, 9)),
        overlay=lambda p: p,
        seed=0,
        mesh=mesh,
        rules=config.sharding,
    )
    step = make_step(objective, optimizer, prepare, 0).lower(state, batch).compile()
    counted = step.cost_analysis()
    costs = Compiled(
        counted["flops"],
        counted["bytes accessed"],
        step.memory_analysis().temp_size_in_bytes,
        state,
    )
    return costs, step, batch


def crops_per_s(config: Any, crops: int, rounds: int = 5) -> float:
    """Of the step on this machine, in the recipe's own dtype: the median of some rounds."""
    import jax

    costs, step, batch = compiled(config, crops, config.dtype)
    state, times = costs.state, []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        state, measures = step(state, batch)
        jax.block_until_ready(measures)
        times.append(time.perf_counter() - began)
    return crops / float(np.median(times[1:]))


# -- a corpus and a machine ------------------------------------------------------------------------


def crop_bytes(config: Any) -> float:
    """Stored integers of a crop."""
    signal = config.signal
    return signal.window_s * signal.sfreq_hz * len(signal.channels) * 2


def describe_corpus(config: Any, args: argparse.Namespace, cost: StepCost) -> dict[str, float]:
    """What does not depend on the machine."""
    per_crop = crop_bytes(config)
    crops = args.hours * 3600 / config.signal.window_s
    size = crops * per_crop
    shards = math.ceil(size / (args.shard_mb * 2**20))
    texts = args.recordings * SENTENCES * TEXT_WIDTH * 4
    title(f"{args.config}: {args.hours:,.0f} h in {args.recordings:,} recordings")
    row("stored", f"{size / GB:,.0f} GB in {shards:,} shards of {args.shard_mb:g} MiB")
    row("crops an epoch", f"{crops:,.0f}, {per_crop / 1e3:g} kB each; {epochs_of(config):g} epochs")
    row("operations a crop, forward and back", f"{cost.flops[1] / 1e9:.3g} GFLOP")
    moved, used = cost.bytes_moved[1], cost.memory_bytes[1]
    row("moved a crop; held a crop", f"{moved / 1e6:.3g} MB; {used / 1e6:.3g} MB")
    row("a checkpoint", f"{cost.checkpoint_bytes / 1e6:.3g} MB")
    row("vectors of sentences", f"{texts / GB:.3g} GB ({SENTENCES} a report)")
    return {
        "stored_gb": size / GB,
        "shards": shards,
        "crops_per_epoch": crops,
        "gflop_per_crop": cost.flops[1] / 1e9,
        "mb_moved_per_crop": moved / 1e6,
        "mb_held_per_crop": used / 1e6,
        "checkpoint_mb": cost.checkpoint_bytes / 1e6,
    }


def describe_machine(
    machine: Machine, config: Any, args: argparse.Namespace, cost: StepCost
) -> dict[str, float]:
    """Batch, memory, appetite and hours on a machine."""
    from elm_jax.devices import peaks

    peak, sampler = peaks(machine.kind), config.sampler
    shares = math.lcm(machine.hosts, machine.devices // math.gcd(
        machine.devices, math.gcd(sampler.crops_per_bag, sampler.segments_per_bag)
    ))  # fmt: skip
    bags = math.ceil(sampler.bags_per_batch / shares) * shares
    batch = bags * sampler.crops_per_bag
    each = batch / machine.devices
    arithmetic = (cost.flops[0] + cost.flops[1] * each) / peak.half
    memory = (cost.bytes_moved[0] + cost.bytes_moved[1] * each) / peak.bandwidth
    step_s = max(arithmetic, memory) / args.efficiency
    device_rate = batch / step_s
    input_rate = machine.hosts * args.host_gb_per_s * GB / crop_bytes(config)
    rate = min(device_rate, input_rate)
    crops = args.hours * 3600 / config.signal.window_s * epochs_of(config)
    held = cost.state_bytes + cost.memory_bytes[0] + cost.memory_bytes[1] * each
    mfu = arithmetic / step_s
    title(f"{machine.name}: {machine.devices} {machine.kind}, {machine.hosts} hosts")
    row("batch", f"{bags} bags, {batch:,} crops, {each:g} a device")
    row("memory a device", f"{held / GB:.3g} of {peak.memory_bytes / GB:.3g} GB")
    texts = bags * sampler.segments_per_bag
    ring, dense = (x * 4 / 1e6 for x in (each * texts / machine.devices, batch * texts))
    row("similarities", f"{ring:.3g} MB a device on the ring; {dense:.3g} MB whole")
    limit = "arithmetic" if arithmetic > memory else "memory"
    row("a step", f"{step_s * 1e3:.3g} ms (limit: {limit}; {mfu:.1%} of the peak)")
    appetite = device_rate * crop_bytes(config) / machine.hosts / GB
    row("input for that", f"{appetite:.3g} GB/s a host; {args.host_gb_per_s:g} taken as given")
    row("shards at least", f"{machine.hosts * args.shards_per_host}")
    bound = "devices" if device_rate < input_rate else "input"
    hours = {"run": crops / rate / 3600, "devices": crops / device_rate / 3600}
    row("hours", f"{hours['run']:.3g} ({bound}-bound; the devices alone {hours['devices']:.3g})")
    name = machine.name.replace(" ", "_")
    return {
        f"{name}_hours": hours["run"],
        f"{name}_device_hours": hours["devices"],
        f"{name}_input_gb_per_s": appetite,
        f"{name}_memory_gb": held / GB,
    }


if __name__ == "__main__":
    main()
