"""The README's scores: trains and evaluates by its own commands, and reads their summaries.

    python benchmarks/scores.py demo [people] [adapt] [eegmat]

demo: the two-minute demo with three seeds. people: 600 simulated people, 200 of them kept apart.
adapt: the released encoder fitted to 200 simulated people (needs --weights, a folder with the
authors' released 5 s file). eegmat: linear probes on 12 real people (needs --weights and --eegmat,
the folder of EDF files with its reports.jsonl). All simulated EEG is called so in what is written.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import figures

PREPARE = ("-m", "data_prep.prepare")
MAIN = ("-m", "elm_jax.main", "--config")


def python(log: pathlib.Path, *arguments: str | pathlib.Path) -> float:
    """Runs a command of the README; gives its wall time in seconds.

    Raises:
      SystemExit: it failed; shows the end of what it said.
    """
    command = [sys.executable, *map(str, arguments)]
    print("+ python", *command[1:], flush=True)
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log.write_text(done.stdout)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}:\n{done.stdout[-2000:]}")
    return time.monotonic() - began


def values(workdir: pathlib.Path, *paths: str) -> dict[str, float]:
    """Numbers out of a run's summary.json: ``zero_shot/auroc``, ..."""
    content = json.loads((workdir / "summary.json").read_text())
    found = {}
    for path in paths:
        value = content
        for key in path.split("/"):
            value = value[key]
        found[path] = value
    return found


def demo(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """Zero-shot AUROC of the demo for three seeds, and the time of the first (with preparation)."""
    out = {}
    for seed in range(3):
        workdir = folder / f"demo_{seed}"
        more = (f"--config.seed={seed}", "--workdir", workdir)
        seconds = python(folder / "demo.log", *MAIN, args.recipe, *more)
        found = values(workdir, "zero_shot/auroc", "band_power/auroc")
        out |= {f"demo/{seed}/{k}": v for k, v in found.items()}
        out |= {} if seed else {"demo/seconds": seconds}
    return out


def people(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """Zero-shot, calibration and retrieval on 200 simulated people kept apart."""
    data, model, log = folder / "people", folder / "people_model", folder / "people.log"
    split = ("--split", "train=0.8,valid=0.2,test=0")
    python(log, *PREPARE, "demo", "--demo_people", "600", *split, "--out", data)
    epochs = "--config.optimizer.schedule.total_epochs=12"
    own = (f"--config.data.dir={data}", "--workdir")
    python(log, *MAIN, "configs/elm_5s.py:demo", epochs, *own, model)
    out = {}
    wanted = {
        "elm_zero_shot.py": ("zero_shot", "auroc", "bacc", "window_auroc", "ece_windows_before",
                             "ece_windows", "class_ece_windows", "ece_recordings_before",
                             "ece_recordings"),
        "elm_retrieval.py:demo": ("retrieval", "eeg_to_report_recall@10",
                                  "report_to_eeg_recall@10", "eeg_to_report_median_rank",
                                  "report_to_eeg_median_rank"),
    }  # fmt: skip
    for recipe, (section, *names) in wanted.items():
        python(log, *MAIN, f"configs/{recipe}", f"--config.model={model}", *own, folder / section)
        found = values(folder / section, *(f"{section}/{name}" for name in names))
        out |= {f"people/{name}": value for name, value in found.items()}
    return out


def adapt(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """The released encoder adapted to 200 simulated people, beside the small model from scratch."""
    data, log = folder / "adapt_data", folder / "adapt.log"
    python(log, *PREPARE, "demo", "--demo_people", "300", "--out", data)
    own = (f"--config.data.dir={data}", "--workdir")
    recipes = {
        "adapted": ("configs/elm_adapt.py:demo", f"--config.init_from={args.weights}"),
        "scratch": ("configs/elm_5s.py:demo", "--config.optimizer.schedule.total_epochs=12"),
    }
    out = {}
    for name, recipe in recipes.items():
        model, found = folder / name, folder / f"{name}_retrieval"
        seconds = python(log, *MAIN, *recipe, *own, model)
        asked = (f"--config.model={model}", "--config.evals.retrieval.pool_size=100")
        python(log, *MAIN, "configs/elm_retrieval.py:demo", *asked, *own, found)
        scores = values(model, "zero_shot/auroc")
        sides = ("eeg_to_report", "report_to_eeg")
        scores |= values(found, *(f"retrieval/{side}_recall@10" for side in sides))
        out |= {f"adapt/{name}/{k}": v for k, v in scores.items()}
        out[f"adapt/{name}/seconds"] = seconds
    return out


def eegmat(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """Probes of rest against arithmetic: AUROC over the windows of 12 real people."""
    data, log, workdir = folder / "eegmat", folder / "eegmat.log", folder / "eegmat_probe"
    whole = ("--drop_start_s", "0", "--cut_multiple_s", "0")
    python(log, *PREPARE, "edf_folder", "--input", args.eegmat, *whole, "--out", data)
    settings = {
        "labels.name": "task=arithmetic",
        "outer": "leave_one_person_out",
        "c": "0.01",
        "random_networks": "5",
    }
    flags = [f"--config.evals.probe.{key}={value}" for key, value in settings.items()]
    where = (f"--config.model={args.weights}", f"--config.data.dir={data}", "--workdir", workdir)
    python(log, *MAIN, "configs/elm_probe.py", *flags, *where)
    content = json.loads((workdir / "summary.json").read_text())["probe"]
    return {f"eegmat/{k}": v for k, v in content.items() if isinstance(v, float)}


PARTS = {"demo": demo, "people": people, "adapt": adapt, "eegmat": eegmat}
NEEDS = {"adapt": ("weights",), "eegmat": ("weights", "eegmat")}


def main() -> None:
    """Runs the parts asked for and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["demo"], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--weights", type=pathlib.Path)
    parser.add_argument("--eegmat", type=pathlib.Path)
    parser.add_argument("--recipe", default="configs/elm_5s.py", help="of the demo")
    figures.add_json(parser)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}; known: {sorted(PARTS)}")
    for part in args.parts:
        if missing := [f"--{need}" for need in NEEDS.get(part, ()) if not getattr(args, need)]:
            parser.error(f"{part} needs {', '.join(missing)}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts:
            found |= PARTS[part](pathlib.Path(folder), args)
    figures.show(found)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
