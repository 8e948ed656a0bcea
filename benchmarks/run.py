"""Every figure that the README quotes, in one table, with this machine's description.

    python benchmarks/run.py [--only NAME ...] [--json FILE] [--scores demo people ...]

Runs the other benchmarks one after the other, each in a process of its own, and puts what they
measured beside the goals. Ratios come from one run of one benchmark, both sides in turn; believe
them only where other processes used about nothing. A goal that is missed is shown as missed.
``--scores`` adds what models score (minutes to an hour; see benchmarks/scores.py).
"""

import argparse
import datetime
import json
import operator
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
COMPARE = {">=": operator.ge, "<=": operator.le}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "mne", "tensorflow-cpu")


class Figure(NamedTuple):
    """A number of a benchmark, and what it should be.

    Attributes:
      what: in words.
      name: under which the benchmark gives it.
      goal: ">= 2", "<= 0.25"; "" where there is none.
    """

    what: str
    name: str
    goal: str = ""

    def verdict(self, value: float) -> str:
        """Whether the goal is met or MISSED; nothing where there is none."""
        if not self.goal:
            return ""
        sign, number = self.goal.split()
        return "met" if COMPARE[sign](value, float(number)) else "MISSED"


# Script and arguments -> its figures.
BENCHMARKS: dict[str, tuple[Figure, ...]] = {
    "edf_to_features.py": (
        Figure("EDF to windows, mne's time over ours, one core", "processor_ratio/0_clip", ">= 5"),
        Figure("the same, three electrodes clip", "processor_ratio/3_clip", ">= 5"),
        Figure("peak memory over the float32 channels", "memory_ratio/0_clip", "<= 3"),
    ),
    "encoder_inference.py": (
        Figure("encoder, 64 windows, PyTorch's time over ours", "ratio/64", ">= 2"),
        Figure("encoder, 256 windows, PyTorch's time over ours", "ratio/256", ">= 2"),
    ),
    "train_step.py": (
        Figure("training step of the encoder, 96 windows, over ours", "ratio/96", ">= 1.5"),
    ),
    "mil_step.py": (
        Figure("whole MIL step with BERT-base, PyTorch's time over ours", "ratio", ">= 4"),
    ),
    "masked_step.py": (
        Figure(
            "EEGPT's training step, tiny1, 64 windows, PyTorch's time over ours",
            "ratio/tiny1",
            ">= 1",
        ),
        Figure("the same, base1", "ratio/base1", ">= 1"),
    ),
    "sleep_step.py": (
        Figure("relative positioning's step, 128 pairs, PyTorch's time over ours", "ratio", ">= 1"),
        Figure("its scratch memory, MB", "temp_mb"),
    ),
    "ring.py": (
        Figure("ring MIL loss, MB a device of 8, 65,536 crops", "multi_instance/ring_mb/65536"),
        Figure("dense, MB a device", "multi_instance/dense_mb/65536"),
        Figure("MB a device, most devices over 8, ring", "multi_instance/ring_growth", "<= 1.05"),
        Figure("step time, ring over dense, 4,096 crops", "multi_instance/time_ratio/4096"),
    ),
    "sleep_recipe.py": (
        Figure(
            "three nights prepared and pairs drawn, braindecode's time over ours",
            "ratio/prepare_and_sample",
            ">= 3",
        ),
        Figure("an epoch with validation, braindecode's time over ours", "ratio/epoch", ">= 1"),
        Figure(
            "25 epochs with compilation, braindecode's time over ours", "ratio/train_wall", ">= 1"
        ),
        Figure("peak memory of that recipe, MB", "memory_mb/ours", "<= 817"),
    ),
    "pair_sampling.py": (
        Figure("pairs of windows, draws a second over braindecode's", "ratio", ">= 200"),
    ),
    "ecg_byte.py": (
        Figure("ECG-Byte, 1,000 merges of 3 M symbols, processor s", "train_s", "<= 1"),
        Figure("a compiled recount's time over that", "train_ratio", ">= 12"),
        Figure("encoding, million symbols a second, one thread", "encode_m_per_s", ">= 5"),
        Figure("a trie of dicts' time over that", "encode_ratio"),
        Figure("training on 30 M symbols, bytes a symbol", "bytes_per_symbol/30m"),
    ),
    "ecg_step.py": (
        Figure(
            "MERL's step, 32 ECGs of 10 s at 100 Hz, PyTorch's time over ours",
            "ratio_32x1000",
            ">= 1",
        ),
        Figure("the same, 64 ECGs", "ratio_64x1000", ">= 1"),
        Figure("the same, 32 ECGs at 250 Hz", "ratio_32x2500", ">= 1"),
    ),
    "ecg_images.py": (
        Figure("printing an ECG of 224 pixels, ViT-S/16's time over ours", "tower/paper/224"),
        Figure("the same, matplotlib's time over ours", "matplotlib/paper/224"),
    ),
    "input.py": (
        Figure("input, bags of 120 crops, GB/s", "bags_gb_per_s", ">= 0.5"),
        Figure("input over what the training step takes, bags", "bags_over_step", ">= 5"),
        Figure("the same, single crops at random", "pairs_over_step", ">= 5"),
        Figure("memory over the pipeline's bound", "bags_memory", "<= 1"),
        Figure("first batch of step 1,000,000, s", "restart_s"),
    ),
    "cold_embed.py": (Figure("cold process, 20 min EDF to vectors, s", "seconds", "<= 10"),),
    "edf_to_vectors.py": (
        Figure("20 min EDF to vectors, share of mne + PyTorch's time", "share_of_time", "<= 0.5"),
    ),
    "memory.py --microbatches 1 16 --remat none --dtype float32": (
        Figure("published 5 s step on 8 devices, MB of scratch on each", "temp_mb/float32/1/none"),
        Figure("the same, 16 microbatches", "temp_mb/float32/16/none"),
    ),
    "query.py": (
        Figure("a query over 1,000,000 x 256, s", "seconds/1_queries", "<= 0.25"),
        Figure("a hundred queries, s", "seconds/100_queries", "<= 3"),
    ),
}


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    import importlib.metadata

    cpu = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    asked = "import jax; print(*{d.device_kind for d in jax.devices()}, jax.device_count())"
    devices = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    here = dict(cwd=HERE, capture_output=True, text=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], **here)
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.platform(),
        "devices": devices.stdout.split("\n")[0] or "none that JAX finds",
        "python": platform.python_version(),
        "packages": versions,
        "commit": commit.stdout.strip() or None,
        "date": datetime.date.today().isoformat(),
        "load_before": os.getloadavg()[0],
    }


def measure(command: str) -> tuple[dict[str, float], str]:
    """Runs a benchmark; gives its figures, and what went wrong ("" if nothing)."""
    script, *arguments = command.split()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "figures.json"
        whole = [sys.executable, str(HERE / script), *arguments, "--json", str(path)]
        print(f"\n$ python benchmarks/{command}", flush=True)
        code = subprocess.run(whole).returncode
        if code:
            return {}, f"exit code {code}"
        return json.loads(path.read_text()), ""


def table(results: dict[str, dict]) -> str:
    """One line a figure."""
    rows = [("figure", "measured", "goal", "", "command")]
    for command, result in results.items():
        quoted = {figure.name: figure for figure in BENCHMARKS.get(command, ())}
        if result["failed"]:
            rows.append((f"({result['failed']})", "", "", "FAILED", command))
        else:
            for name in quoted.keys() - result["figures"].keys():
                rows.append((quoted[name].what, "not given", quoted[name].goal, "FAILED", command))
        for name, value in result["figures"].items():
            figure = quoted.get(name)
            if figure is None and quoted:
                continue  # what the README does not quote is in the JSON
            what, goal, verdict = name, "", ""
            if figure:
                what, goal, verdict = figure.what, figure.goal, figure.verdict(value)
            rows.append((what, f"{value:.4g}", goal, verdict, command))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def main() -> None:
    """Runs them, prints the table, writes JSON where asked to; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [command.split()[0].removesuffix(".py") for command in BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--json", type=pathlib.Path, help="figures and the machine's description")
    parser.add_argument(
        "--scores",
        nargs=argparse.REMAINDER,
        help="arguments of benchmarks/scores.py, which runs last; must come last",
    )
    args = parser.parse_args()
    chosen = [c for c, name in zip(BENCHMARKS, names, strict=True) if name in (args.only or names)]
    if args.scores is not None:
        chosen.append(" ".join(["scores.py", *args.scores]))
    described, results = machine(), {}
    for command in chosen:
        began = time.monotonic()
        found, failed = measure(command)
        seconds = round(time.monotonic() - began, 1)
        results[command] = {"figures": found, "failed": failed, "seconds": seconds}
        if args.json:  # after each: an hour's figures must not hang on the last one
            content = {"machine": described, "benchmarks": results}
            args.json.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\n{json.dumps(described, indent=1)}\n\n{table(results)}")
    if args.json:
        print(f"\nwritten  {args.json}")
    sys.exit(any(result["failed"] for result in results.values()))


if __name__ == "__main__":
    main()
