"""Drawing pairs of windows: pairs a second of processor time, beside braindecode's sampler.

    python benchmarks/pair_sampling.py [--nights 20] [--windows 1000] [--steps 400]

The same windows, the example's tau (60 s and 900 s), batches of 128 with the plan of each; both
sides in turn, the median of their rounds decides (goal: 200 times braindecode's).
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import figures
import numpy as np

from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.window_pairs import window_pairs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

WINDOW_S, SFREQ_HZ = 30.0, 100.0
THEIRS = 512  # pairs of braindecode's a round


def nights(count: int, windows: int) -> tuple[list[RecordingRow], Windows]:
    """Recordings of so many consecutive windows each."""
    samples = round(WINDOW_S * SFREQ_HZ)
    pieces = [(PieceRow(i, 0.0, windows * samples),) for i in range(count)]
    rows = [RecordingRow(f"night{i}", f"p{i}", "train", own) for i, own in enumerate(pieces)]
    return rows, Windows.of(rows, samples)


def theirs(windows: Windows) -> Callable[[], int]:
    """Draws a round of braindecode's pairs; says how many."""
    import pandas
    from braindecode_reference import import_braindecode

    columns = {"subject": windows.recording, "i_start_in_trial": windows.start}
    sampler = import_braindecode("samplers").RelativePositioningSampler(
        pandas.DataFrame(columns),
        tau_pos=60 * SFREQ_HZ,
        tau_neg=900 * SFREQ_HZ,
        n_examples=THEIRS,
        random_state=0,
    )
    return lambda: len(list(sampler))


def ours(rows: list[RecordingRow], windows: Windows, steps: int) -> Callable[[], int]:
    """Plans a round of batches, epoch after epoch; says of how many pairs."""
    sampler = window_pairs(windows, rows, SFREQ_HZ, split="train")
    begin = 0

    def draw() -> int:
        nonlocal begin
        plans = [sampler.plan(step) for step in range(begin, begin + steps)]
        begin += steps
        return sum(int(np.count_nonzero(plan.window[:, 0] >= 0)) for plan in plans)

    return draw


def rate(draw: Callable[[], int]) -> float:
    """Pairs a second of processor time."""
    began = time.process_time()
    pairs = draw()
    return pairs / (time.process_time() - began)


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--windows", type=int, default=1000, help="of 30 s, of each night")
    parser.add_argument("--steps", type=int, default=400, help="batches of ours a round")
    parser.add_argument("--rounds", type=int, default=5)
    figures.add_json(parser)
    args = parser.parse_args()
    rows, windows = nights(args.nights, args.windows)
    sides = {"braindecode": theirs(windows), "elm_jax": ours(rows, windows, args.steps)}
    for draw in sides.values():
        draw()
    rates = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, draw in sides.items():
            rates[name].append(rate(draw))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    ratio = middle["elm_jax"] / middle["braindecode"]
    for name, pairs_per_s in middle.items():
        print(f"{name:12} {pairs_per_s:12,.0f} pairs a second of processor time")
    print(f"ratio {ratio:.0f}")
    figures.write(args.json, {"ratio": ratio, **{f"pairs_per_s/{k}": v for k, v in middle.items()}})


if __name__ == "__main__":
    main()
