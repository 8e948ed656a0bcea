"""Memory and time of the contrastive losses: the ring of tiles against the dense form.

    python benchmarks/ring.py [--crops 256 ... 65536] [--timed 1024 4096] [--rounds 7] [--json FILE]

Value and gradient of a loss over a global batch on 8 devices: those of the machine, or 8 that the
processor plays, which the script asks for itself. Five crops to a sentence, embeddings of 256
numbers in float32, as published; the paired losses have as many sentences as crops.

Memory is that of the compiled function on one device (``memory_analysis``: arguments, results and
scratch). It is compiled from shapes alone, so nothing large is allocated. The embeddings and their
gradients grow with the batch in any form; "beyond" is what comes on top of them. The second table
keeps the batch of a device and adds devices, as a pod does.

Times are medians of calls in turn; a ratio below 1 means that the ring is faster. Devices played
by one processor share its cores, so the ratio is one of work, not of communication.

Memory as compiled for CPU is the same in every run (jax 0.10.2), at 65,536 crops: multi_instance
50 MB against 1.3 GB, of which 20 MB are embeddings; soft_target_contrast 156 MB against 15 GB;
paired_contrast 85 MB against 17 GB (there XLA gives every device the whole matrix).

In the JSON, "ring_growth" is the ring's memory on the most devices over that on the fewest (but
one alone), "memory_ratio" is dense over ring, "time_ratio" ring over dense.
"""

import argparse
import functools
import os
import statistics
import sys

import figures
from versus_torch import alternate

DEVICES, PLAYED = 8, 256
WIDTH, CROPS_PER_SENTENCE, CROPS_PER_BAG = 256, 5, 10
CROPS = [256, 1024, 4096, 16384, 65536]
KINDS = ("multi_instance", "soft_target_contrast", "paired_contrast")
FORMS = ("ring", "dense")
MB = 1e6


def play_devices() -> None:
    """Starts this script again with devices that the processor plays, if it has no accelerator."""
    flag = f"--xla_force_host_platform_device_count={PLAYED}"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        import jax

        if jax.default_backend() == "cpu":
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
            os.execv(sys.executable, [sys.executable, *sys.argv])


def mesh_of(devices: int):
    """A mesh of the first devices, all along "data"."""
    import jax
    from jax.sharding import AxisType

    return jax.make_mesh((devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices])


def loss_fn(kind: str, form: str, signal, text, bags):
    """The loss of one kind; ``bags`` of the crops and of the sentences."""
    from elm_jax import losses

    settings = dict(similarity=form, temperature=0.3)
    if kind == "multi_instance":
        settings |= dict(signal_bag=bags[0], text_bag=bags[1])
    return losses.reduce_rows(getattr(losses, kind)(signal, text, **settings))


def compiled(kind: str, form: str, crops: int, mesh):
    """Value and gradient of a loss for a global batch, compiled from shapes; and those shapes."""
    import jax
    import jax.numpy as jnp

    from elm_jax.sharding import batch_sharding

    # As many sentences as the devices can share evenly.
    sentences = -(-crops // CROPS_PER_SENTENCE // mesh.size) * mesh.size
    rows = crops, sentences if kind == "multi_instance" else crops
    shape = functools.partial(jax.ShapeDtypeStruct, sharding=batch_sharding(mesh))
    embeddings = [shape((n, WIDTH), jnp.float32) for n in rows]
    shapes = (*embeddings, tuple(shape((n,), jnp.int32) for n in rows))
    fn = jax.value_and_grad(functools.partial(loss_fn, kind, form), argnums=(0, 1))
    with jax.set_mesh(mesh):
        return jax.jit(fn).lower(*shapes).compile(), shapes


def memory_mb(kind: str, form: str, crops: int, mesh) -> tuple[float, float]:
    """Megabytes on one device: of everything, and of the embeddings and their gradients."""
    program, shapes = compiled(kind, form, crops, mesh)
    used = program.memory_analysis()
    total = used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes
    embeddings = 2 * sum(x.size * x.dtype.itemsize for x in shapes[:2]) / mesh.size
    return (total - used.alias_size_in_bytes) / MB, embeddings / MB


def step_times(kind: str, crops: int, mesh, rounds: int) -> tuple[float, float]:
    """Median seconds of the ring and of the dense form, called in turn on the same batch."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    calls = []
    for form in FORMS:
        program, shapes = compiled(kind, form, crops, mesh)
        made = [rng.normal(size=x.shape).astype(np.float32) for x in shapes[:2]]
        bags = tuple(
            np.arange(len(x), dtype=np.int32) * crops // (len(x) * CROPS_PER_BAG) for x in made
        )
        inputs = jax.device_put((*made, bags), jax.tree.map(lambda x: x.sharding, shapes))
        calls.append(lambda program=program, inputs=inputs: jax.block_until_ready(program(*inputs)))
    times = alternate(*calls, rounds=rounds)
    return statistics.median(times.ours), statistics.median(times.theirs)


def by_batch(kind: str, sizes: list[int]) -> dict[str, float]:
    """Prints one line a global batch; gives the figures."""
    found = {}
    mesh = mesh_of(DEVICES)
    print(f"\n{kind}, {DEVICES} devices: MB on each")
    print(
        f"{'crops':>8}{'embeddings':>12}{'ring':>12}{'dense':>12}{'beyond: ring':>16}{'dense':>12}"
    )
    for crops in sizes:
        (ring, own), (dense, _) = (memory_mb(kind, form, crops, mesh) for form in FORMS)
        beyond = f"{ring - own:16.2f}{dense - own:12.2f}"
        print(f"{crops:8d}{own:12.2f}{ring:12.2f}{dense:12.2f}{beyond}", flush=True)
        found |= {f"{kind}/ring_mb/{crops}": ring, f"{kind}/dense_mb/{crops}": dense}
        found[f"{kind}/memory_ratio/{crops}"] = dense / ring
    return found


def by_devices(kind: str, per_device: int, counts: list[int]) -> dict[str, float]:
    """Prints one line a number of devices, each with the same share; gives the figures."""
    found = {}
    print(f"\n{kind}, {per_device} crops a device: MB on each")
    print(f"{'devices':>8}{'ring':>12}{'dense':>12}")
    for devices in counts:
        mesh = mesh_of(devices)
        ring, dense = (memory_mb(kind, form, per_device * devices, mesh)[0] for form in FORMS)
        print(f"{devices:8d}{ring:12.2f}{dense:12.2f}", flush=True)
        name = f"{kind}/{{}}_mb/{per_device}_crops_a_device/{devices}_devices"
        found |= {name.format("ring"): ring, name.format("dense"): dense}
    shared = [found[key] for key in found if "/ring_mb/" in key and "/1_devices" not in key]
    return found | ({f"{kind}/ring_growth": shared[-1] / shared[0]} if shared else {})


def by_time(kind: str, sizes: list[int], rounds: int) -> dict[str, float]:
    """Prints one line a global batch; gives the ratios of step times."""
    found = {}
    for crops in sizes:
        ring, dense = step_times(kind, crops, mesh_of(DEVICES), rounds)
        print(
            f"{kind:22s}{crops:6d} crops: ring {1e3 * ring:8.1f} ms, dense {1e3 * dense:8.1f} ms, "
            f"ring / dense {ring / dense:.2f}",
            flush=True,
        )
        found[f"{kind}/time_ratio/{crops}"] = ring / dense
    return found


def main() -> None:
    """Prints the tables; writes the figures as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, nargs="*", default=CROPS)
    parser.add_argument("--timed", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument(
        "--pod", type=int, nargs="*", default=[1, 8, 256], help="numbers of devices"
    )
    parser.add_argument("--per_device", type=int, default=1024, help="crops, in the pod's table")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    figures.add_json(parser)
    args = parser.parse_args()
    play_devices()

    import jax

    if jax.device_count() < DEVICES:
        raise SystemExit(f"{jax.device_count()} devices; {DEVICES} are needed")
    first = jax.devices()[0]
    print(f"{first.device_kind}, {os.cpu_count()} cores; jax {jax.__version__}")
    found = {}
    for kind in args.kinds:
        found |= by_batch(kind, args.crops)
        pod = [n for n in args.pod if n <= jax.device_count()]
        found |= by_devices(kind, args.per_device, pod)
    print(f"\nvalue and gradient, {DEVICES} devices, medians of {args.rounds} calls in turn")
    for kind in args.kinds:
        found |= by_time(kind, args.timed, args.rounds)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
