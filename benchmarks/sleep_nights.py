"""Relative positioning on simulated nights: pretext accuracy and sleep staging of unseen people.

    python benchmarks/sleep_nights.py --hypnograms DIR [--seeds 3] [--nights_seed 1]
                                      [--epochs 25] [--workdir DIR]

DIR are Sleep-EDF's hypnograms; 20 of them give the stages of 20 SIMULATED nights of 10 people, of
whom 6 train, 2 choose the epoch and 2 are scored. The recipe is ``configs/relpos_sleep.py`` with
other seeds, all on the same people. Beside each score stands that of random weights, and what the
stages alone would allow: how well near is told from far by who knows the stage of both windows of
a pair and nothing else (the more frequent answer for each two stages, counted over training pairs
of this project's sampler, scored on test pairs).

Signals are a simulation; two people are scored: the figures say that the program learns. It was
adjusted with the nights of ``--nights_seed 0`` in view; other seeds have other people and signals.
"""

import argparse
import json
import pathlib
import tempfile
from collections import Counter

import figures
import numpy as np
from scores import MAIN, PREPARE, python

from configs import relpos_sleep
from elm_jax.data.manifest import Manifest
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.window_pairs import window_pairs

SPLIT = ("--split", "train=0.6,valid=0.2,test=0.2")


def pairs_of_stages(data: pathlib.Path, split: str, epochs: int) -> Counter:
    """How many pairs there are of (stage, stage, near), as the recipe draws them."""
    spec = Manifest.load(str(data)).spec
    recordings = ShardReader(str(data), split).recordings
    windows = Windows.of(recordings, spec.window_samples)
    stage = {p.index: p.labels["event_class"] for row in recordings for p in row.pieces}
    of_window = np.asarray([stage[i] for i in windows.piece.tolist()])
    settings = {k: v for k, v in relpos_sleep.pairs(tau_max_s=None).items() if k != "name"}
    sampler = window_pairs(windows, recordings, spec.sfreq_hz, split="train", **settings)
    found: Counter = Counter()
    for step in range(sampler.steps_per_epoch(0) * epochs):
        plan = sampler.plan(step)
        real = plan.window[:, 0] >= 0
        stages = np.sort(of_window[plan.window[real]], axis=1)
        found.update(zip(*stages.T.tolist(), plan.label[real].tolist(), strict=True))
    return found


def by_stages(data: pathlib.Path, epochs: int = 20) -> float:
    """Accuracy of the best answer by stages: of training pairs, on test pairs."""
    train, test = (pairs_of_stages(data, split, epochs) for split in ("train", "test"))
    right = sum(
        n for (a, b, near), n in test.items() if near == (train[a, b, True] > train[a, b, False])
    )
    return right / test.total()


def scores_of(workdir: pathlib.Path) -> dict[str, float]:
    """What a finished run says of itself."""
    summary = json.loads((workdir / "summary.json").read_text())
    staging = {row["input"]: row["bacc"] for row in summary["staging"]["scores"]}
    found = {
        "pretext": summary["pretext"]["accuracy"],
        "staging": staging["features"],
        "random": staging["random_features"],
    }
    return found | {"gain": found["staging"] - found["random"]}


def main() -> None:
    """Runs the study and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hypnograms", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nights_seed", type=int, default=1, help="of people and signals")
    parser.add_argument("--epochs", type=float, default=25)
    parser.add_argument("--workdir", type=pathlib.Path, help="keep what is made there")
    parser.add_argument("--more", nargs="*", default=(), help="further flags of the training")
    figures.add_json(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data, log = folder / "nights", folder / "log"
        words = ("simulated_nights", "--hypnograms", args.hypnograms.resolve(), *SPLIT)
        words += ("--demo_seed", args.nights_seed)
        seconds = python(log, *PREPARE, *words, "--out", data)
        out = {"prepare_s": seconds, "pretext/by_stages": by_stages(data)}
        print(f"near or far by the stages alone: {out['pretext/by_stages']:.3f}", flush=True)
        flags = (
            f"--config.data.dir={data}",
            f"--config.optimizer.schedule.total_epochs={args.epochs}",
            "--config.evals.embedding_map=None",
            *args.more,
        )
        for seed in range(args.seeds):
            run = folder / f"seed_{seed}"
            own = (f"--config.seed={seed}", "--workdir", run)
            python(log, *MAIN, "configs/relpos_sleep.py", *flags, *own)
            found = scores_of(run)
            print("  ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)
            out |= {f"{name}/{seed}": value for name, value in found.items()}
        for name in scores_of(folder / "seed_0"):
            some = [out[f"{name}/{seed}"] for seed in range(args.seeds)]
            out |= {name: float(np.mean(some)), f"{name}/least": min(some)}
            print(f"{name:8s} mean {np.mean(some):.3f}, {min(some):.3f} to {max(some):.3f}")
    figures.write(args.json, out)


if __name__ == "__main__":
    main()
