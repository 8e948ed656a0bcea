"""A whole training step of MERL with its ResNet-1D-18: ours against a PyTorch twin.

    python benchmarks/ecg_step.py [--batch 32 64 32] [--samples 1000 1000 2500] [--rounds 9]
                                  [--cores 2] [--huge_pages] [--json FILE]

Windows of 12 leads: 10 s at 100 Hz and at 250 Hz. The twin is MERL's network with its attention
pooling, its two views and its text projector; texts come as vectors of 768 numbers, as a frozen
tower gives them. Forward, MERL's loss (cross-modal + uni-modal, without dropout, so that losses
compare), backward, AdamW. Both start from the same weights, and the losses of the first steps must
agree. Ours is the jitted step of the training loop.

A fifth of our time goes into clearing fresh pages, of which XLA takes some hundred megabytes a
step; with huge pages (both sides have them) nearly none.

``ratio`` is PyTorch's time over ours (medians of alternating calls), ``temp_mb`` what our step
takes besides state and batch.
"""

import argparse
import pathlib
import statistics
import sys

import figures
import numpy as np
from versus_torch import alternate, ratio_of, use_cores, use_huge_pages, versions

LEADS, TEXT_WIDTH, WIDTH, RATE, CHECKED_STEPS = 12, 768, 256, 1e-3, 3


def torch_step(twin, batch):
    """A closure that takes one step and gives the loss."""
    import torch

    signal, text = (torch.from_numpy(batch[k]) for k in ("signal", "text_emb"))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=RATE, weight_decay=0.0)

    def step():
        optimizer.zero_grad()
        loss = twin(signal, text)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(twin, batch):
    """A closure that takes one step of ours from the twin's weights; and its scratch memory."""
    import jax
    import jax.numpy as jnp

    from elm_jax import optim
    from elm_jax.convert import ecg_file, network
    from elm_jax.state import TrainState
    from elm_jax.step import make_step

    settings = dict(n_times=batch["signal"].shape[-1])
    parts = ecg_file.from_state(twin.published(), settings, source="the twin")
    parts.recipe["objective"]["signal_head"]["dropout"] = 0.0
    objective = network.build_network(parts.recipe, parts.spec)
    params, model_state = jax.tree.map(jnp.array, (parts.params, parts.model_state))
    tx = optim.adamw(RATE, weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-8)
    optimizer = optim.Optimizer(tx, lambda _: RATE, jax.tree.map(lambda _: True, params))
    run = make_step(objective, optimizer, lambda b: b, seed=0)
    batch = jax.tree.map(jnp.asarray, batch)
    kept = [TrainState(jnp.int32(0), params, model_state, tx.init(params))]
    memory = run.lower(kept[0], batch).compile().memory_analysis()

    def step():
        kept[0], measures = run(kept[0], batch)
        return float(measures["loss"])

    return step, memory.temp_size_in_bytes / 1e6


def random_batch(rows: int, samples: int) -> dict[str, np.ndarray]:
    """Normally distributed windows and texts, each pair by itself."""
    rng = np.random.default_rng(0)
    valid, own = np.ones(rows, bool), np.arange(rows, dtype=np.int32)
    return dict(
        signal=rng.normal(size=(rows, LEADS, samples)).astype(np.float32),
        text_emb=rng.normal(size=(rows, TEXT_WIDTH)).astype(np.float32),
        signal_valid=valid, text_valid=valid, signal_bag=own, text_bag=own,
    )  # fmt: skip


def measure(rows: int, samples: int, args: argparse.Namespace) -> dict[str, float]:
    """Both times of one size, printed."""
    from merl_twin import Merl

    twin = Merl(LEADS, samples, width=WIDTH, text_width=TEXT_WIDTH)
    batch = random_batch(rows, samples)
    ours, temp_mb = jax_step(twin, batch)
    theirs = torch_step(twin, batch)
    losses = [(ours(), theirs()) for _ in range(CHECKED_STEPS)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=2e-3)
    times = alternate(ours, theirs, rounds=args.rounds)
    step, published = statistics.median(times.ours), statistics.median(times.theirs)
    print(
        f"{rows} windows of {LEADS} x {samples}: elm_jax {1e3 * step:.0f} ms, PyTorch "
        f"{1e3 * published:.0f} ms, ratio {ratio_of(times):.2f}; {temp_mb:.0f} MB of scratch; "
        "losses "
        + " ".join(f"{a:.4f}/{b:.4f}" for a, b in losses)
        + f"; other processes used {times.others:.0%} of the machine"
    )
    return {"ratio": ratio_of(times), "temp_mb": temp_mb}


def main() -> None:
    """Prints both times, their ratio and our scratch memory, of each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 64, 32])
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 1000, 2500])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--huge_pages", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.huge_pages:
        use_huge_pages()
    cores = use_cores(args.cores)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
    import torch

    torch.set_num_threads(args.cores)
    torch.manual_seed(0)
    print(versions(cores))
    found = {}
    for rows, samples in zip(args.batch, args.samples, strict=True):
        own = measure(rows, samples, args)
        found |= {f"{name}_{rows}x{samples}": value for name, value in own.items()}
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
