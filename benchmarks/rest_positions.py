"""Relative positioning on minutes of real EEG at rest: is near told from far in people not seen?

    python benchmarks/rest_positions.py --eegmat DIR [--folds 4] [--epochs 25] [--json FILE]

DIR are the EDF files of PhysioNet's EEG During Mental Arithmetic Tasks; the recordings at rest
(``*_1.edf``, three minutes each) are used. The recipe of sleep with its times scaled: windows of
5 s, near within 10 s, far beyond 60 s, ELM's 20 derivations in place of two. Each person is tested
once, by a model that others trained and validated; the interval is over people.
"""

import argparse
import csv
import pathlib
import tempfile

import figures
import numpy as np
from scores import MAIN, PREPARE, python

SHORT = ("--window_s", "5", "--drop_start_s", "0", "--cut_multiple_s", "0")
RESAMPLES = 1000


def fold(folder: pathlib.Path, tested: list[str], args: argparse.Namespace) -> dict[str, float]:
    """Accuracy by person of those who are tested, by a model of the others."""
    data, run = folder / f"data_{tested[0]}", folder / f"run_{tested[0]}"
    split = ("--test_people", ",".join(tested), "--split", "train=0.78,valid=0.22,test=0")
    words = ("edf_folder", "--input", folder / "rest", *SHORT, *split, "--out", data)
    python(folder / "prepare.log", *PREPARE, *words)
    flags = (
        f"--config.data.dir={data}",
        "--config.sampler.tau_pos_s=10.",
        "--config.sampler.tau_neg_s=60.",
        f"--config.optimizer.schedule.total_epochs={args.epochs}.",
        "--config.evals.staging=None",
        "--config.evals.embedding_map=None",
        *args.more,
    )
    python(folder / "train.log", *MAIN, "configs/relpos_sleep.py", *flags, "--workdir", run)
    with (run / "scores" / "pretext.csv").open() as file:
        return {row["person"]: float(row["accuracy"]) for row in csv.DictReader(file)}


def main() -> None:
    """Runs all folds and prints the mean over people with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eegmat", type=pathlib.Path, required=True)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=25)
    parser.add_argument("--more", nargs="*", default=(), help="further flags of the training")
    figures.add_json(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "rest").mkdir()
        files = sorted(args.eegmat.resolve().glob("*_1.edf"))
        for path in files:
            (folder / "rest" / path.name).symlink_to(path)
        people = [path.stem for path in files]
        found: dict[str, float] = {}
        for i in range(args.folds):
            found |= fold(folder, people[i :: args.folds], args)
    values = np.asarray(list(found.values()))
    rng = np.random.default_rng(0)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    for person, value in sorted(found.items()):
        print(f"{person:24s} {value:.3f}")
    print(f"accuracy {values.mean():.3f} [{low:.3f}, {high:.3f}] over {len(values)} people")
    out = {"accuracy": values.mean(), "accuracy/low": low, "accuracy/high": high}
    figures.write(args.json, out | {f"accuracy/{k}": v for k, v in found.items()})


if __name__ == "__main__":
    main()
