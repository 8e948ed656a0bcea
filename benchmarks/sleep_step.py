"""A whole step of relative positioning: ours against braindecode's network in PyTorch.

    python benchmarks/sleep_step.py [--batch 128] [--rounds 9] [--cores 2]
                                    [--method auto] [--json FILE]

Pairs of windows of 2 channels and 30 s at 100 Hz; the encoder has 16 filters, BatchNorm and 100
outputs. The twin is braindecode's ``SleepStagerChambon2018`` in the siamese network of its example:
both windows through the encoder one after the other, their absolute difference, dropout (none here,
so that losses compare), a linear layer, the binary cross-entropy, the backward pass and Adam. Both
start from the same weights, and the losses of the first steps must agree. Ours is the jitted step
of the training loop.

``ratio`` is PyTorch's time over ours, ``temp_mb`` what our step takes besides state and batch.
"""

import argparse
import pathlib
import statistics
import sys

import figures
import numpy as np
from versus_torch import alternate, ratio_of, use_cores, versions

CHANNELS, SAMPLES, SFREQ_HZ, FILTERS, OUTPUTS = 2, 3000, 100.0, 16, 100
RATE, CHECKED_STEPS = 5e-3, 3


def make_twin():
    """The encoder of braindecode in the example's siamese network, without dropout."""
    from braindecode_reference import import_braindecode
    from siamese_twin import Siamese

    encoder = import_braindecode("models.sleep_stager_chambon_2018").SleepStagerChambon2018(
        CHANNELS, SFREQ_HZ, n_conv_chs=FILTERS, n_times=SAMPLES, n_outputs=OUTPUTS,
        drop_prob=0.0, apply_batch_norm=True,
    )  # fmt: skip
    return Siamese(encoder, OUTPUTS)


def torch_step(twin, batch):
    """A closure that takes one step and gives the loss."""
    import torch

    a, b = (torch.from_numpy(batch[side]) for side in ("signal_a", "signal_b"))
    near = torch.from_numpy(batch["near"].astype(np.float32))
    optimizer = torch.optim.Adam(twin.parameters(), lr=RATE)
    criterion = torch.nn.BCEWithLogitsLoss()

    def step():
        optimizer.zero_grad()
        loss = criterion(twin(a, b), near)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(twin, batch, method: str):
    """A closure that takes one step of ours from the twin's weights; and its scratch memory."""
    import jax
    import jax.numpy as jnp
    from parity.sleep_variables import linear, variables_of

    from elm_jax import optim
    from elm_jax.models.heads import PairHead
    from elm_jax.models.sleep_conv import SleepConv
    from elm_jax.objectives.relative_position import RelativePosition
    from elm_jax.state import TrainState
    from elm_jax.step import make_step

    encoder = SleepConv(
        SFREQ_HZ, filters=FILTERS, outputs=OUTPUTS, dropout=0.0, batch_norm=True, method=method
    )
    objective = RelativePosition(encoder=encoder, classifier=PairHead(dropout=0.0))
    made, _ = jax.eval_shape(objective.init, jax.random.key(0), batch)
    params, stats = variables_of(twin.emb.state_dict())
    params = {"encoder": params, "classifier": {"out": linear(twin.clf[1].state_dict())}}
    params, stats = jax.tree.map(jnp.array, (params, {"encoder": stats}))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, made)
    tx = optim.adam(RATE, weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-8)
    optimizer = optim.Optimizer(tx, lambda _: RATE, jax.tree.map(lambda _: True, params))
    run = make_step(objective, optimizer, lambda b: b, seed=0)
    batch = jax.tree.map(jnp.asarray, batch)
    kept = [TrainState(jnp.int32(0), params, {"batch_stats": stats}, tx.init(params))]
    memory = run.lower(kept[0], batch).compile().memory_analysis()

    def step():
        kept[0], measures = run(kept[0], batch)
        return float(measures["loss"])

    return step, memory.temp_size_in_bytes / 1e6


def random_batch(pairs: int) -> dict[str, np.ndarray]:
    """Normally distributed windows; near and far by turns."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, pairs, CHANNELS, SAMPLES)).astype(np.float32)
    valid = np.ones(pairs, bool)
    return dict(signal_a=a, signal_b=b, signal_valid=valid, near=np.arange(pairs) % 2 == 0)


def main() -> None:
    """Prints both times, their ratio and our scratch memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--method", default="auto")
    figures.add_json(parser)
    args = parser.parse_args()
    cores = use_cores(args.cores)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
    import torch

    torch.set_num_threads(args.cores)
    torch.manual_seed(0)
    print(versions(cores))
    twin, batch = make_twin(), random_batch(args.batch)
    ours, temp_mb = jax_step(twin, batch, args.method)
    theirs = torch_step(twin, batch)
    losses = [(ours(), theirs()) for _ in range(CHECKED_STEPS)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-3)
    times = alternate(ours, theirs, rounds=args.rounds)
    step, published = statistics.median(times.ours), statistics.median(times.theirs)
    print(
        f"{args.batch} pairs: elm_jax {1e3 * step:.0f} ms, PyTorch {1e3 * published:.0f} ms, "
        f"ratio {ratio_of(times):.2f}; {temp_mb:.0f} MB of scratch; losses "
        + " ".join(f"{a:.5f}/{b:.5f}" for a, b in losses)
        + f"; other processes used {times.others:.0%} of the machine"
    )
    figures.write(args.json, {"ratio": ratio_of(times), "temp_mb": temp_mb})


if __name__ == "__main__":
    main()
