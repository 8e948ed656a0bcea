"""What a small masked pretraining is worth on one person's imagined movements, and when damaged.

    python benchmarks/left_right.py --eegmmidb DIR --eegmat DIR [--epochs 40] [--workdir DIR]

DIR are the EDF files of PhysioNet's EEG Motor Movement/Imagery (one person, S001) and of its EEG
During Mental Arithmetic Tasks (with reports.jsonl). Pretrains EEGPT and DARE-EEG at their smallest
size, equally long, on 12 people's mental arithmetic and on those runs of S001 that are not probed
(two montages, in turn). Then learns left against right fist on two of the runs 4, 8 and 12 and
tests on the third, three ways round: by the linear probe and the conv-linear probe of both models,
of an encoder that learnt nothing, and by common spatial patterns with linear discriminants. Last,
a logistic regression on the frozen vectors (its clean score: ``MODEL/none/0/bacc``) and the vectors
themselves against missing channels and noise.

45 trials of one person: the scores show that it runs, hardly which is better. S001 was seen in
pretraining (without labels, other runs); DARE-EEG's claims are about far larger models.
"""

import argparse
import csv
import json
import pathlib
import tempfile
from collections.abc import Iterator

import figures
import numpy as np
from scores import MAIN, PREPARE, python, values

RUNS = ("04", "08", "12")
OTHER_RUNS = "1,2,3,5,6,7,9,10,11,13,14"
PROBES = {"linear": "configs/eegpt_probe.py", "conv": "configs/dare_conv_probe.py"}
MODELS = {"eegpt": "configs/eegpt_pretrain.py", "dare": "configs/dare_pretrain.py"}
TERMS = ("alignment", "reconstruction", "mask_alignment", "feature_std", "effective_rank")
BAND_HZ = (7.0, 30.0)


def prepare(folder: pathlib.Path, args: argparse.Namespace) -> None:
    """The directories of pretraining, and one for each run that is tested on."""
    log = folder / "prepare.log"
    movement = (*PREPARE, "eegmmidb", "--input", args.eegmmidb, "--split_by", "recording")
    everything = ("--split", "train=1")
    python(log, *movement, *everything, "--runs", OTHER_RUNS, "--out", folder / "movement")
    reports = ("--reports", args.eegmat / "reports.jsonl")
    arithmetic = (*PREPARE, "edf_folder", "--input", args.eegmat, "--signal", "eegpt", *reports)
    python(log, *arithmetic, *everything, "--out", folder / "arithmetic")
    events = ("--cut", "events", "--event_labels", "left,right", "--runs", "4,8,12")
    for run in RUNS:
        tested = ("--test_recordings", f"S001R{run}")
        python(log, *movement, *events, *tested, "--out", folder / f"left_right_{run}")


def pretrain(folder: pathlib.Path, name: str, recipe: str, epochs: float) -> dict[str, float]:
    """One model; its loss terms early and late, and how long it took."""
    workdir, more = folder / name, folder / "arithmetic"
    flags = (
        f"--config.data.dir={folder / 'movement'}",
        f"--config.data.more=('{more}',)",
        f"--config.optimizer.schedule.total_epochs={epochs}",
        "--config.sampler.windows_per_batch=64",
        "--config.encoder.patch_norm=True",  # else so short a run never looks at the signal
        "--workdir",
        workdir,
    )
    seconds = python(folder / f"{name}.log", *MAIN, recipe, *flags)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    tenth = max(1, len(rows) // 10)
    out = {f"{name}/seconds": seconds, f"{name}/steps": float(rows[-1]["step"])}
    for term in ("loss", *TERMS):
        found = [row[term] for row in rows if term in row]
        if found:
            out[f"{name}/{term}/first"] = float(np.mean(found[:tenth]))
            out[f"{name}/{term}/last"] = float(np.mean(found[-tenth:]))
    return out


def probe(folder: pathlib.Path, model: str, kind: str, recipe: str) -> Iterator[tuple[str, float]]:
    """Balanced accuracy on each run that was left out, mean over three seeds."""
    for run in RUNS:
        workdir = folder / f"{model}_{kind}_{run}"
        flags = (
            f"--config.init_from={folder / model}",
            f"--config.data.dir={folder / f'left_right_{run}'}",
            "--config.labels.name=event",
            "--config.labels.kind=multiclass",
            "--config.labels.classes=('left', 'right')",
            "--config.seeds=(0, 1, 2)",
            "--config.sampler.windows_per_batch=32",
            "--config.validation.split=train",  # no run is left to choose an epoch by: the last
            "--config.validation.every_epochs=25.0",
            "--config.checkpoint.every_epochs=100.0",
            "--config.checkpoint.use=last",
            "--config.checkpoint.keep_best=0",
            "--config.evals.trained_on_people=mark",
            "--workdir",
            workdir,
        )
        python(folder / f"{model}_{kind}_{run}.log", *MAIN, recipe, *flags)
        yield run, score_of(workdir)


def score_of(workdir: pathlib.Path) -> float:
    """Mean balanced accuracy of the seeds of a run."""
    return values(workdir, "classification/bacc_mean")["classification/bacc_mean"]


def spatial_patterns(folder: pathlib.Path) -> Iterator[tuple[str, float]]:
    """Common spatial patterns (four, of 7-30 Hz, the whole trial) and LDA, as MNE's example."""
    import mne
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline

    with mne.utils.use_log_level("ERROR"):
        for run in RUNS:
            directory = folder / f"left_right_{run}"
            sides = {split: trials(directory, split) for split in ("train", "test")}
            patterns = mne.decoding.CSP(n_components=4, log=True)
            model = make_pipeline(patterns, LinearDiscriminantAnalysis()).fit(*sides["train"])
            x, truth = sides["test"]
            yield run, balanced_accuracy_score(truth, model.predict(x))


def trials(directory: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Filtered trials in microvolts ``[n, c, t]`` and their classes."""
    import mne

    from elm_jax.data.pipeline import Windows
    from elm_jax.data.shards import ShardReader
    from elm_jax.data.targets import Target

    reader = ShardReader(directory, split)
    spec = reader.manifest.spec
    windows = Windows.of(reader.recordings, spec.window_samples)
    x = windows.read(reader, np.arange(len(windows))) / reader.manifest.steps_per_unit
    labels = dict(name="event", kind="multiclass", classes=("left", "right"))
    truth = Target.from_dict(labels, where="labels").of_windows(reader.recordings, windows)
    return mne.filter.filter_data(x.astype(np.float64), spec.sfreq_hz, *BAND_HZ), truth[:, 0]


def robustness(folder: pathlib.Path, model: str) -> dict[str, float]:
    """Scores and similarities of a model by damage, mean over the three runs."""
    found: dict[str, list[float]] = {}
    for run in RUNS:
        workdir = folder / f"{model}_robust_{run}"
        flags = (
            f"--config.model={folder / model}",
            f"--config.data.dir={folder / f'left_right_{run}'}",
            "--config.evals.robustness.labels.name=event",
            "--config.evals.robustness.labels.kind=multiclass",
            "--config.evals.robustness.labels.classes=('left', 'right')",
            "--config.evals.trained_on_people=mark",
            "--workdir",
            workdir,
        )
        python(folder / f"{model}_robust.log", *MAIN, "configs/eegpt_robustness.py", *flags)
        for row in table(workdir):
            for score in ("bacc", "similarity", "similarity_centred"):
                name = f"{model}/{row['damage']}/{float(row['level']):g}/{score}"
                found.setdefault(name, []).append(float(row[score]))
    return {name: float(np.mean(each)) for name, each in found.items()}


def table(workdir: pathlib.Path) -> list[dict[str, str]]:
    """The table of damages that a run wrote."""
    with open(workdir / "tables" / "robustness_robustness.csv", newline="") as file:
        return list(csv.DictReader(file))


def study(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """Everything, in order; prints scores as they come."""
    prepare(folder, args)
    out: dict[str, float] = {}
    for name, recipe in MODELS.items():
        out |= pretrain(folder, name, f"{recipe}:{args.size}", args.epochs)
    pretrain(folder, "untrained", f"{MODELS['eegpt']}:{args.size}", 0.01)
    rows = {"csp_lda": dict(spatial_patterns(folder))}
    for model in (*MODELS, "untrained"):
        for kind, recipe in PROBES.items():
            rows[f"{model}_{kind}"] = dict(probe(folder, model, kind, recipe))
    print(f"\nbalanced accuracy, tested on run  {'   '.join(RUNS)}   mean")
    for name, scores in rows.items():
        mean = float(np.mean(list(scores.values())))
        shown = "  ".join(f"{scores[run]:.2f}" for run in RUNS)
        print(f"  {name:30s}  {shown}  {mean:.3f}", flush=True)
        out |= {f"left_right/{name}/{run}": score for run, score in scores.items()}
        out[f"left_right/{name}"] = mean
    for model in (*MODELS, "untrained"):
        out |= robustness(folder, model)
    return out


def main() -> None:
    """Runs the study and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eegmmidb", type=pathlib.Path, required=True, help="folder of S001's EDF")
    parser.add_argument("--eegmat", type=pathlib.Path, required=True, help="folder of EDF files")
    parser.add_argument("--epochs", type=float, default=40.0, help="of each pretraining")
    parser.add_argument("--size", default="nano", help="of the models")
    parser.add_argument("--workdir", type=pathlib.Path, help="keep what is made there")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.workdir:
        args.workdir.mkdir(parents=True)
        found = study(args.workdir, args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = study(pathlib.Path(folder), args)
    figures.show(found)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
