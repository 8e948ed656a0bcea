"""Relative positioning on real nights of sleep as features, then sleep staging of another person.

    python benchmarks/sleep_features.py --features DIR [--seeds 5] [--choose] [--workdir DIR]

DIR holds SC4001E0.npz, SC4002E0.npz and SC4012E0.npz: 72 features of every 30 s of three nights of
Sleep-EDF (``X [n, 72]``, ``y [n]`` stages). Wakefulness is cropped to half an hour around sleep and
each feature z-scored over its night, as in ``configs/relpos_sleep.py``, whose pairs (60 s, 15 min),
loss and probe (class-balanced logistic regression, C = 1) are used. The encoder is an MLP.

Trained on the two nights of one person (SC400) and scored on a night of another one (SC4012), which
nothing is chosen by: width, dropout and number of epochs were chosen by what training adds to
staging over random weights of the same MLP, from one night of SC400 to the other, both ways round;
``--choose`` shows that table (8 epochs tie with 20). Beside it stand the same regression on the 72
features themselves and on the same MLP with random weights. (An MLP of 100 random outputs keeps
nearly all that 72 features say; with 16 outputs something has to be learnt.)

One person trains and one is scored: the spread over seeds says nothing about other people.
"""

import argparse
import logging
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import figures
import numpy as np
from etils import epath
from ml_collections import ConfigDict
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from configs import relpos_sleep
from data_prep.prepare import main as prepare
from elm_jax import evaluate, train
from elm_jax.data.corpus import Corpus
from elm_jax.data.pipeline import window_batches
from elm_jax.pretrained import Pretrained, load_pretrained

TRAIN, TEST = ("SC4001E0", "SC4002E0"), "SC4012E0"
CHOSEN = dict(hidden=(64,), outputs=16, dropout=0.0, rate=1e-3, epochs=20.0)
CANDIDATES = (
    CHOSEN,
    CHOSEN | dict(dropout=0.5),
    CHOSEN | dict(hidden=(128,), outputs=100, dropout=0.5),
    CHOSEN | dict(epochs=8.0),
    CHOSEN | dict(hidden=()),
)
PAIRS = 2000  # a night and epoch, as in the paper


def prepared(features: pathlib.Path, out: pathlib.Path, *more: str) -> pathlib.Path:
    """The nights as a prepared directory.

    Raises:
      SystemExit: preparation failed, and has said why.
    """
    words = ["feature_arrays", "--input", str(features), "--out", str(out), "--workers", "0"]
    words += ["--class_names", ",".join(relpos_sleep.STAGES), "--person_pattern", r"SC4\d\d"]
    if prepare([*words, *more]):
        raise SystemExit(1)
    return out


def fit(data: pathlib.Path, workdir: pathlib.Path, settings: Mapping[str, Any], seed: int):
    """The trained model, and the config that it was trained by."""
    config = relpos_sleep.get_config()
    encoder = {k: settings[k] for k in ("hidden", "outputs", "dropout")}
    with config.unlocked(), config.ignore_type():
        config.encoder = ConfigDict(dict(name="mlp", **encoder))
        config.evals = ConfigDict(dict(rows_per_batch=128, trained_on_people="mark"))
        config.validation = None  # nobody is left to choose an epoch by: the last
    config.data.dir, config.seed = str(data), seed
    config.sampler.pairs_per_recording = PAIRS
    config.optimizer.rate = settings["rate"]
    config.optimizer.schedule.total_epochs = settings["epochs"]
    config.checkpoint.update(keep_best=0, use="last")
    train.train(config, epath.Path(workdir))
    return load_pretrained(workdir), config


def pretext(model: Pretrained, config: ConfigDict, split: str) -> float:
    """Accuracy on presampled pairs of a split."""
    with config.unlocked(), config.ignore_type():
        config.evals.pretext = ConfigDict(dict(name="pretext", split=split))
    return evaluate.run(config, corpus_of(model, config.data.dir), model)["pretext"].scalars[
        "accuracy"
    ]


def corpus_of(model: Pretrained, data: str) -> Corpus:
    """The data, normalised as the model's."""
    return Corpus.fitting(data, model.spec, hint="").with_normalisation(model.spec)


def vectors(model: Pretrained, data: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Embedding ``[n, d]`` and stage ``[n]`` of every window."""
    corpus = corpus_of(model, data)
    predict, found = model.predictor(corpus.manifest.steps_per_unit, corpus.spec), []
    windows, reader = corpus.windows(split), corpus.reader(split)
    for batch in window_batches(reader, windows, rows_per_batch=128):
        found.append(predict({k: v for k, v in batch.items() if k != "window"})["features"])
    stage = {p.index: p.labels["event_class"] for row in reader.recordings for p in row.pieces}
    return np.concatenate(found)[: len(windows)], np.asarray([stage[i] for i in windows.piece])


def staging(train_xy: tuple, test_xy: tuple) -> dict[str, float]:
    """Scores of the regression on one that on the other was fitted."""
    regression = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    model = make_pipeline(StandardScaler(), regression).fit(*train_xy)
    said, truth = model.predict(test_xy[0]), test_xy[1]
    return {
        "bacc": balanced_accuracy_score(truth, said),
        "kappa": cohen_kappa_score(truth, said),
    }


def night(features: pathlib.Path, name: str, margin: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The features themselves, cropped and z-scored as the encoder's input is."""
    with np.load(features / f"{name}.npz") as file:
        x, y = file["X"], file["y"]
    asleep = np.flatnonzero(y > 0)
    kept = slice(max(asleep[0] - margin, 0), asleep[-1] + margin + 1)
    x, y = x[kept], y[kept]
    return (x - x.mean(0)) / x.std(0), y


def choose(features: pathlib.Path, folder: pathlib.Path) -> None:
    """Shows how each candidate stages one night of the training person from the other."""
    for number, settings in enumerate(CANDIDATES):
        rows = []
        for held in TRAIN:
            data = folder / f"without_{held}"
            if not data.exists():
                own = folder / "own_nights"
                own.mkdir(exist_ok=True)
                for name in TRAIN:
                    (own / f"{name}.npz").write_bytes((features / f"{name}.npz").read_bytes())
                prepared(own, data, "--split_by", "recording", "--valid_recordings", held)
            model, config = fit(data, folder / f"{number}_{held}", settings, seed=0)
            scores = [pretext(model, config, "valid")]
            for one in (model, *map(model.randomised, range(100, 103))):
                ends = [vectors(one, str(data), split) for split in ("train", "valid")]
                scores.append(staging(*ends)["bacc"])
            rows.append([*scores[:2], np.mean(scores[2:])])
        told = "pretext {:.3f}, staging {:.3f}, random weights {:.3f}".format(
            *np.mean(rows, axis=0)
        )
        print(f"choose   {settings}: {told}", flush=True)


def study(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, float]:
    """Scores on the other person's night, by seed; and those of what stands beside."""
    data = prepared(
        args.features, folder / "nights", "--test_people", "SC401", "--split", "train=1"
    )
    ends = [night(args.features, name) for name in (*TRAIN, TEST)]
    joined = tuple(np.concatenate(column) for column in zip(*ends[:-1], strict=True))
    out = {f"features/{k}": v for k, v in staging(joined, ends[-1]).items()}
    rows: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        model, config = fit(data, folder / f"seed_{seed}", CHOSEN, seed)
        found = {"pretext": pretext(model, config, "test")}
        for name, one in (("staging", model), ("random", model.randomised(100 + seed))):
            scores = staging(*(vectors(one, str(data), split) for split in ("train", "test")))
            found |= {f"{name}/{k}": v for k, v in scores.items()}
        print(f"seed {seed}   " + "  ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        out |= {name: float(np.mean(values)), f"{name}/low": min(values)}
        out[f"{name}/high"] = max(values)
    return out


def main() -> None:
    """Runs the study and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=pathlib.Path, required=True, help="folder of .npz files")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", action="store_true", help="show what settings are chosen by")
    parser.add_argument("--workdir", type=pathlib.Path, help="keep what is made there")
    figures.add_json(parser)
    args = parser.parse_args()
    logging.getLogger("elm_jax").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if args.choose:
            choose(args.features, folder)
        found = study(args, folder)
    figures.show(found)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
