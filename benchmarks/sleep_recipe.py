"""Relative positioning of three nights and sleep staging, whole: ours against braindecode.

    python benchmarks/sleep_recipe.py [--files DIR] [--epochs 25] [--cores 2] [--json FILE]

DIR has a night of each of three people in the layout of the Sleep-EDF cassette study; without it,
simulated ones are written. On each side one person trains, one validates, one is tested (which is
not the same on both). Each side's stages run in processes of their own, on the same cores:

* preparation and sampling: files to windows, and the pairs of all epochs; imports are not counted
  (both import for seconds). Ours checks the files, splits by person and writes shards, the other
  keeps windows in memory.
* training: equally many epochs of 250 pairs with validation after each, no early stopping. Ours
  once with all that a run does beside (checkpoints, compilation), as ``train_wall``, and by the
  median epoch, as ``epoch``: 250 pairs forwards and backwards, 250 validated.
* peak memory: of the largest process of the side.

``ratio/*`` is braindecode's time over ours. With ``--json`` all figures.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import figures

HERE = pathlib.Path(__file__).resolve().parent
PEOPLE = ("SC4001", "SC4011", "SC4021")  # the first nights of three people


def run(log: pathlib.Path, *words: str | pathlib.Path) -> tuple[float, float]:
    """Runs a command of this Python: seconds of wall time, peak memory in MB.

    Raises:
      SystemExit: it failed; shows the end of what it said.
    """
    command = [sys.executable, *map(str, words)]
    print("+ python", *command[1:], flush=True)
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    began = time.perf_counter()
    with log.open("w") as file:
        child = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | {"PYTHONPATH": paths}
        )
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"exit code {child.returncode}:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def simulated(folder: pathlib.Path) -> pathlib.Path:
    """A night of each of three people, simulated."""
    from data_prep.corpora.nights.write import Settings, write_nights

    everything, chosen = folder / "nights", folder / "files"
    write_nights(everything, Settings(nights=6))
    chosen.mkdir()
    for path in everything.glob("SC4*.edf"):
        if path.name.startswith(PEOPLE):
            path.rename(chosen / path.name)
    return chosen


def prepare_and_sample(files: pathlib.Path, out: pathlib.Path, epochs: int) -> dict[str, float]:
    """Our preparation, and the pairs of all epochs; in this process, after all imports."""
    import resource

    import scipy.fft  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    import data_prep.prepare
    from configs import relpos_sleep
    from elm_jax.batches import build_batches
    from elm_jax.data.corpus import Corpus

    split = ("--split", "train=0.34,valid=0.33,test=0.33")
    began = time.perf_counter()
    words = ["sleep_physionet", "--input", files, "--out", out, *split]
    if code := data_prep.prepare.main([str(word) for word in words]):
        raise SystemExit(code)
    marks = [time.perf_counter()]
    config = relpos_sleep.get_config()
    config.data.dir = str(out)
    corpus = Corpus.open(config)
    for name, times in (("train", epochs), ("valid", 1), ("test", 1)):
        sampler, _ = build_batches(config, corpus, None, name)
        for step in range(times * sampler.steps_per_epoch(0)):
            sampler.plan(step)
    marks.append(time.perf_counter())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"prepare_s": marks[0] - began, "sample_s": marks[1] - marks[0], "peak_mb": peak_mb}


def ours(folder: pathlib.Path, files: pathlib.Path, epochs: int) -> dict[str, float]:
    """Our preparation and our recipe."""
    shards, workdir, part = folder / "shards", folder / "run", folder / "prepare.json"
    script = (pathlib.Path(__file__).resolve(), "--files", files, "--epochs", epochs)
    _, peak_mb = run(folder / "prepare.log", *script, "--prepare_only", shards, "--json", part)
    out = json.loads(part.read_text())
    flags = (
        f"--config.data.dir={shards}",
        f"--config.optimizer.schedule.total_epochs={epochs}.",
        f"--config.validation.patience_epochs={epochs}.",
        "--workdir",
        workdir,
    )
    log = folder / "main.log"
    recipe = HERE.parent / "configs" / "relpos_sleep.py"
    out["whole_s"], train_mb = run(log, "-m", "elm_jax.main", "--config", recipe, *flags)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    seconds = [row["interval_s"] for row in rows if "interval_s" in row]
    out["epoch_s"], out["train_wall_s"] = statistics.median(seconds[1:]), sum(seconds)
    summary = json.loads((workdir / "summary.json").read_text())
    out["pretext_accuracy"] = summary["pretext"]["accuracy"]
    out["staging_balanced_accuracy"] = summary["staging"]["bacc"]
    return out | {"prepare_mb": peak_mb, "train_mb": train_mb, "peak_mb": max(peak_mb, train_mb)}


def compare(theirs: dict[str, float], own: dict[str, float]) -> dict[str, float]:
    """The ratios, and everything that either side measured."""
    before = (sum(side[f"{stage}_s"] for stage in ("prepare", "sample")) for side in (theirs, own))
    first, second = before
    out = {
        "ratio/prepare_and_sample": first / second,
        "ratio/epoch": theirs["epoch_s"] / own["epoch_s"],
        "ratio/train_wall": theirs["train_s"] / own["train_wall_s"],
        "memory_mb/ours": own["peak_mb"],
        "memory_mb/braindecode": theirs["peak_mb"],
    }
    sides = (("braindecode", theirs), ("ours", own))
    return out | {f"{side}/{name}": v for side, found in sides for name, v in found.items()}


def main() -> None:
    """Runs both sides and prints what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=pathlib.Path, help="default: simulated nights")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--prepare_only", type=pathlib.Path, help=argparse.SUPPRESS)
    figures.add_json(parser)
    args = parser.parse_args()
    if args.prepare_only:
        found = prepare_and_sample(args.files, args.prepare_only, args.epochs)
        figures.write(args.json, found)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(args.cores)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        files = args.files or simulated(folder)
        part = folder / "braindecode.json"
        script = (HERE / "sleep_braindecode.py", "--files", files, "--epochs", args.epochs)
        run(folder / "braindecode.log", *script, "--json", part)
        found = compare(json.loads(part.read_text()), ours(folder, files, args.epochs))
    print("(simulated nights)" if args.files is None else f"nights of {args.files}")
    figures.show(found)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
