"""Memory of the published 5 s step: microbatches, recomputation and bfloat16, alone and together.

    python benchmarks/memory.py [--devices 8] [--microbatches 1 4 16] [--remat none dots full]
                                [--dtype float32 bfloat16] [--rounds 5] [--json FILE]

The first table is of the recipe configs/elm_5s.py (80 bags of 120 crops and 24 sentences, whose
vectors come with the batch) on devices that the processor plays. The step is compiled from shapes
alone, so nothing large is allocated:

    temp      MB of scratch on one device as compiled here (``memory_analysis``). A processor has no
              bfloat16 convolutions and computes them in float32, so its scratch hardly falls.
    kept      MB on one device that the backward pass of one microbatch reads, as the program is
              traced, before any compiler: what an accelerator's scratch goes by.

The second is the time of a step of 2 bags on one device, in float32: the median over that of the
plain step, from calls in turn. More than 1 is the price of the memory.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

import figures

MB = 1e6
TEXT_WIDTH = 768


def play_devices(n: int) -> None:
    """Starts this script again with devices that the processor plays."""
    flag = f"--xla_force_host_platform_device_count={n}"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def recipe(remat: str, dtype: str):
    """The published recipe's objective, optimiser settings and signal description."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))  # recipes are no package's part
    from configs import common, elm_5s
    from elm_jax import build
    from elm_jax.data.spec import SignalSpec

    config = elm_5s.get_config()
    with config.unlocked():
        config.remat, config.dtype = remat, dtype
        config.encoder.method = "direct"  # the convolutions that accelerators run
    spec = SignalSpec.from_dict(common.elm_signal(5.0) | {"mean": 0.0, "std": 1.0})
    return config, spec, build.build_objective(config, spec, None)


def batch_shapes(bags: int, config, spec) -> dict:
    """Shapes of a batch as it is stored."""
    import jax
    import jax.numpy as jnp

    b, m = bags * config.sampler.crops_per_bag, bags * config.sampler.segments_per_bag
    shape = jax.ShapeDtypeStruct
    return {
        "signal": shape((b, len(spec.channels), spec.window_samples), jnp.int16),
        "signal_valid": shape((b,), bool),
        "signal_bag": shape((b,), jnp.int32),
        "text_emb": shape((m, TEXT_WIDTH), jnp.float32),
        "text_valid": shape((m,), bool),
        "text_bag": shape((m,), jnp.int32),
    }


def step_and_shapes(bags: int, microbatches: int, remat: str, dtype: str):
    """The jitted step, the shapes of its state and batch, and what its parts need."""
    import jax
    import jax.numpy as jnp

    from elm_jax.data.pipeline import to_network
    from elm_jax.optim import make_optimizer
    from elm_jax.schedules import RunLength
    from elm_jax.state import TrainState
    from elm_jax.step import make_step

    config, spec, objective = recipe(remat, dtype)
    prepare, batch = to_network(spec, 32.0), batch_shapes(bags, config, spec)
    key = jax.random.key(0)
    params, model_state = jax.eval_shape(objective.init, key, jax.eval_shape(prepare, batch))
    optimizer = make_optimizer(config.optimizer.to_dict(), params, RunLength(100, 100, 9600))

    def new_state(params, model_state):
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, params, model_state, optimizer.tx.init(params))

    state = jax.eval_shape(new_state, params, model_state)
    step = make_step(objective, optimizer, prepare, 0, microbatches=microbatches, remat=remat)
    return step, state, batch, objective, prepare


def kept_bytes(objective, prepare, state, batch, microbatches: int) -> int:
    """Bytes that the backward pass through the models reads, of one microbatch on all devices."""
    import jax
    import numpy as np

    part = {
        k: jax.ShapeDtypeStruct((v.shape[0] // microbatches, *v.shape[1:]), v.dtype)
        for k, v in batch.items()
    }

    def pull(params, model_state, part):
        def embed(params):
            key = jax.random.key(0)
            return objective.embed(params, model_state, prepare(part), key, train=True)

        return jax.vjp(embed, params, has_aux=True)[1]

    kept = jax.eval_shape(pull, state.params, state.model_state, part)
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(kept))


def memory(microbatches: int, remat: str, dtype: str, devices: int) -> tuple[float, float]:
    """MB on one device of the published step: scratch, and what is kept for the backward pass."""
    import jax

    from elm_jax.sharding import batch_sharding, make_mesh, replicated

    mesh = make_mesh({"data": devices, "fsdp": 1})
    step, state, batch, objective, prepare = step_and_shapes(80, microbatches, remat, dtype)

    def placed(tree, sharding):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    with jax.set_mesh(mesh):
        shapes = placed(state, replicated(mesh)), placed(batch, batch_sharding(mesh))
        used = step.lower(*shapes).compile().memory_analysis()
    kept = kept_bytes(objective, prepare, state, batch, microbatches)
    return used.temp_size_in_bytes / MB, kept / devices / MB


def step_times(settings: list[tuple[int, str]], rounds: int) -> list[float]:
    """Median seconds of a step of 2 bags in float32 for each (microbatches, remat), in turn."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    runs = []
    for microbatches, remat in settings:
        step, state, batch, *_ = step_and_shapes(2, microbatches, remat, "float32")
        state = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), state)
        batch = {k: jnp.ones(v.shape, v.dtype) for k, v in batch.items()}
        shape = batch["signal"].shape
        batch["signal"] = jnp.asarray(rng.integers(-3000, 3000, shape), jnp.int16)
        runs.append([step, state, batch])
    taken: list[list[float]] = [[] for _ in runs]
    for round_ in range(rounds + 1):  # the first compiles
        for run, seconds in zip(runs, taken, strict=True):
            step, state, batch = run
            start = time.perf_counter()
            run[1], measures = step(state, batch)
            measures["loss"].block_until_ready()
            if round_:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in taken]


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--microbatches", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--remat", nargs="+", default=["none", "dots", "full"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5, help="timed calls; 0: none")
    figures.add_json(parser)
    args = parser.parse_args()
    play_devices(args.devices)
    found: dict[str, float] = {}
    print(f"published 5 s step, 9600 crops on {args.devices} devices: MB a device")
    print(f"{'dtype':10}{'microbatches':>14}{'remat':>8}{'temp':>10}{'kept':>10}")
    for dtype in args.dtype:
        for n in args.microbatches:
            for remat in args.remat:
                temp, kept = memory(n, remat, dtype, args.devices)
                name = f"{dtype}/{n}/{remat}"
                found |= {f"temp_mb/{name}": temp, f"kept_mb/{name}": kept}
                print(f"{dtype:10}{n:14d}{remat:>8}{temp:10.0f}{kept:10.0f}", flush=True)
    if args.rounds:
        settings = [(1, "none"), (1, "dots"), (1, "full"), (4, "none"), (4, "full")]
        seconds = step_times(settings, args.rounds)
        print(f"\nstep of 2 bags, one device, float32 (plain: {seconds[0]:.2f} s)")
        for (n, remat), taken in zip(settings, seconds, strict=True):
            found[f"time_ratio/{n}/{remat}"] = taken / seconds[0]
            print(f"{n:3d} microbatches, remat {remat:5}{taken / seconds[0]:8.2f} x")
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
