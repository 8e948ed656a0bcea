"""One training step of encoder and projector: ours against a PyTorch twin with equal weights.

    python benchmarks/train_step.py [--batch 96] [--rounds 9] [--cores 2] [--huge_pages]

Forward in training mode (batch statistics, running statistics updated), the multiple-instance
loss against fixed text vectors, backward, and an SGD update with momentum. Both run in this
process on the same cores, in turn; the ratio is of medians, larger than 1 means that ours is
faster. The first losses and one updated weight are compared. Believe a run only
where other processes used about nothing.

What each step gave, as PyTorch's time over ours in the same run (batch 16, one core, smallest of
12 to 15 calls, on a machine shared with other work, so to about a tenth): XLA's convolutions 1.38;
one padding, cheaper ELU, pooling and BatchNorm backward 1.45; convolution by Fourier tiles 1.88.
At batch 96 on two cores a third of our time goes into clearing fresh pages (0.45 GB a step); huge
pages took 420 ms to 300 ms, PyTorch's 620 ms to 610-690 ms (four calls each). Tried without gain:
recomputing spectra in the backward pass, XLA's memory-optimised schedule.
"""

import argparse
import time

import figures
from versus_torch import (
    alternate,
    describe,
    make_models,
    ratio_of,
    signals,
    use_cores,
    use_huge_pages,
    versions,
)

LEARNING_RATE, MOMENTUM, TEMPERATURE = 0.02, 0.9, 0.3
CROPS_PER_BAG = 6


def torch_step(twin, x, text, bag, text_bag):
    """A closure that takes one step of the twin and gives the loss."""
    import torch
    from torch.nn.functional import log_softmax, normalize

    twin.train()
    optimizer = torch.optim.SGD(twin.parameters(), LEARNING_RATE, momentum=MOMENTUM)
    positive = (bag[:, None] == text_bag[None, :]).float()

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = normalize(twin(x)[1], dim=-1) @ normalize(text, dim=-1).T / TEMPERATURE
        by_text = -(positive * log_softmax(logits, 0)).sum(0) / positive.sum(0)
        by_signal = -(positive * log_softmax(logits, 1)).sum(1) / positive.sum(1)
        loss = (by_text.mean() + by_signal.mean()) / 2
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(encoder, projector, variables, x, text, bag, text_bag):
    """A closure that takes one step of ours and gives the loss; and the state it keeps."""
    import jax
    import optax

    from elm_jax import losses

    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)

    def loss_fn(params, stats, x):
        new = {}
        encoded, new["encoder"] = encoder.apply(
            {"params": params["encoder"], **stats["encoder"]},
            x,
            train=True,
            mutable=["batch_stats"],
        )
        proj, new["projector"] = projector.apply(
            {"params": params["projector"], **stats["projector"]},
            encoded.pooled,
            train=True,
            mutable=["batch_stats"],
        )
        rows = losses.multi_instance(
            proj, text, signal_bag=bag, text_bag=text_bag, temperature=TEMPERATURE
        )
        return losses.reduce_rows(rows), new

    def update(params, stats, opt_state, x):
        (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, stats, x)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), stats, opt_state, loss

    update = jax.jit(update, donate_argnums=(0, 1, 2))
    variables = jax.tree.map(jax.numpy.array, variables)
    params = {name: v["params"] for name, v in variables.items()}
    stats = {name: {"batch_stats": v["batch_stats"]} for name, v in variables.items()}
    state = [params, stats, optimizer.init(params)]

    def step():
        *state[:], loss = update(*state, x)
        return float(loss)

    return step, state


def main() -> None:
    """Prints one line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[96])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--huge_pages", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.huge_pages:
        use_huge_pages()
    cores = use_cores(args.cores)

    import jax
    import numpy as np
    import torch

    print(versions(cores))
    found = {}
    for batch in args.batch:
        twin, encoder, projector, variables = make_models()
        x = signals(batch)
        bag = np.arange(batch, dtype=np.int32) // CROPS_PER_BAG
        text_bag = np.arange(batch, dtype=np.int32) // CROPS_PER_BAG
        text = np.random.default_rng(1).normal(size=(batch, 256)).astype(np.float32)
        inputs = x, text, bag, text_bag
        theirs = torch_step(twin, *(torch.from_numpy(a) for a in inputs))
        ours, state = jax_step(encoder, projector, variables, *map(jax.numpy.asarray, inputs))
        start = time.perf_counter()
        loss = ours()
        print(f"compiled in {time.perf_counter() - start:.1f} s")
        np.testing.assert_allclose(loss, theirs(), rtol=1e-5)
        weight = state[0]["encoder"]["stem"]["branch_0"]["kernel"].transpose(2, 1, 0)
        expected = twin.conv1_layers[0][1].weight.detach()
        np.testing.assert_allclose(weight, expected, atol=1e-5)
        times = alternate(ours, theirs, rounds=args.rounds)
        print(describe("train step", batch, times), flush=True)
        found[f"ratio/{batch}"] = ratio_of(times)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
