"""A whole step of EEGPT's pretraining: ours against a PyTorch twin that computes what it published.

    python benchmarks/masked_step.py [--sizes tiny1 base1] [--batch 64] [--rounds 5] [--cores 2]
                                     [--microbatches 4] [--huge_pages] [--json FILE]

Windows have 58 electrodes and 4 s at 256 Hz; 8 of 16 time patches are seen through 12 electrodes
each, 538 patches are reconstructed. Both sides start from the same random weights and take the
momentum encoder over everything, encoder, predictor, reconstructor, both losses, the backward pass,
AdamW and the momentum update. Ours draws its masks in the step; the twin is given the same. The
twin's attention is PyTorch's ``scaled_dot_product_attention``, flash attention on CPUs as well.
Ours is the jitted step of the training loop, which takes a batch in four parts
(``config.microbatches``): the memory of 16 windows is used four times over, which saves a
quarter of the processor's time. The losses of the first steps must agree.

``ratio/SIZE`` is PyTorch's time over ours.
"""

import argparse
import pathlib
import statistics
import sys

import figures
import numpy as np
from versus_torch import alternate, ratio_of, use_cores, use_huge_pages, versions

ROWS, SAMPLES, PATCH = 58, 1024, 64
RATE, WEIGHT_DECAY, MOMENTUM = 5e-4, 1e-6, 0.996
SEED, CHECKED_STEPS = 0, 2


def masks_of(steps: int) -> list:
    """The masks of the first steps, as ours draws them."""
    import jax

    from elm_jax import masking
    from elm_jax.objectives.masked_dual import batch_key

    sizes = masking.mask_sizes(SAMPLES // PATCH, ROWS)
    keys = (jax.random.fold_in(jax.random.key(SEED), step) for step in range(steps))
    return [masking.draw_masks(batch_key({}, key), sizes) for key in keys]


def torch_step(twin, signal, masks):
    """A closure that takes one step, with the next of the masks, and gives the loss."""
    import torch

    x, ids = torch.from_numpy(signal), torch.arange(ROWS)
    left = [[torch.from_numpy(np.array(m)).long() for m in mask] for mask in masks]
    learnt = [p for p in twin.parameters() if p.requires_grad]
    groups = [
        dict(params=[p for p in learnt if p.ndim > 1], weight_decay=WEIGHT_DECAY),
        dict(params=[p for p in learnt if p.ndim <= 1], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)

    def step():
        keep, asked = left.pop(0)
        optimizer.zero_grad()
        alignment, reconstruction = twin(x, ids, keep, asked)
        loss = alignment + reconstruction
        loss.backward()
        optimizer.step()
        twin.follow(MOMENTUM)
        return loss.item()

    return step


def jax_step(twin, size, signal, microbatches: int):
    """A closure that takes one step of ours from the twin's weights and gives the loss."""
    import jax
    import jax.numpy as jnp
    from parity.torch_masked import params_of

    from elm_jax import optim
    from elm_jax.channels import DICTIONARY
    from elm_jax.models.eeg_transformer import EegTransformer
    from elm_jax.models.masked_heads import Predictor, Reconstructor
    from elm_jax.objectives.masked_dual import MaskedDual
    from elm_jax.state import TrainState
    from elm_jax.step import make_step

    sizes = dict(heads=size.heads, summary_tokens=size.summary_tokens)
    encoder = EegTransformer(DICTIONARY[:ROWS], width=size.width, depth=size.depth[0], **sizes)
    objective = MaskedDual(
        encoder=encoder,
        predictor=Predictor(depth=size.depth[1], **sizes),
        reconstructor=Reconstructor(depth=size.depth[2], **sizes),
        momentum=(MOMENTUM, MOMENTUM),
        total_steps=1000,
    )
    parts = dict(encoder=twin.encoder, predictor=twin.predictor, reconstructor=twin.reconstructor)
    params = {name: jax.tree.map(jnp.array, params_of(part)) for name, part in parts.items()}
    target = {"encoder": jax.tree.map(jnp.copy, params["encoder"])}
    tx = optim.adamw(RATE, weight_decay=WEIGHT_DECAY, b1=0.9, b2=0.999, eps=1e-8)
    optimizer = optim.Optimizer(tx, lambda _: RATE, jax.tree.map(lambda _: True, params))
    run = make_step(objective, optimizer, lambda b: b, seed=SEED, microbatches=microbatches)
    batch = {
        "signal": jnp.asarray(signal),
        "signal_valid": jnp.ones(len(signal), bool),
        "channel_id": jnp.broadcast_to(jnp.arange(ROWS, dtype=jnp.int32), (len(signal), ROWS)),
    }
    state = {"batch_stats": {}, "target": target}
    kept = [TrainState(jnp.int32(0), params, state, tx.init(params))]

    def step():
        kept[0], measures = run(kept[0], batch)
        return float(measures["loss"])

    return step


def compare(name: str, batch: int, rounds: int, microbatches: int) -> float:
    """Prints the times of one size; gives PyTorch's over ours."""
    import torch
    from parity.torch_masked import Masked

    from elm_jax.models.eeg_sizes import size as size_of

    size = size_of(name)
    torch.manual_seed(0)
    twin = Masked(size.width, size.depth, size.heads, size.summary_tokens, PATCH)
    twin.target.load_state_dict(twin.encoder.state_dict())
    signal = np.random.default_rng(0).normal(size=(batch, ROWS, SAMPLES)).astype(np.float32)
    ours = jax_step(twin, size, signal, microbatches)
    theirs = torch_step(twin, signal, masks_of(CHECKED_STEPS + rounds + 1))
    losses = [(ours(), theirs()) for _ in range(CHECKED_STEPS)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-3)
    times = alternate(ours, theirs, rounds=rounds)
    step, published = statistics.median(times.ours), statistics.median(times.theirs)
    print(
        f"{name}, {batch} windows: elm_jax {1e3 * step:.0f} ms, PyTorch {1e3 * published:.0f} ms, "
        f"ratio {ratio_of(times):.2f}; losses "
        + " ".join(f"{a:.5f}/{b:.5f}" for a, b in losses)
        + f"; other processes used {times.others:.0%} of the machine",
        flush=True,
    )
    return ratio_of(times)


def main() -> None:
    """Prints both times and their ratio for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["tiny1", "base1"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--microbatches", type=int, default=4)
    parser.add_argument("--huge_pages", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.huge_pages:
        use_huge_pages()
    cores = use_cores(args.cores)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
    import torch

    torch.set_num_threads(args.cores)
    print(versions(cores))
    found = {
        f"ratio/{name}": compare(name, args.batch, args.rounds, args.microbatches)
        for name in args.sizes
    }
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
