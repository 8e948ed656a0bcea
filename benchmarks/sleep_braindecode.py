"""Relative positioning with braindecode, as its example has it, on given files; times each stage.

    python benchmarks/sleep_braindecode.py --files DIR [--epochs 25] [--pairs 250] --json FILE

A part of benchmarks/sleep_recipe.py, in a process of its own so that its memory can be told. DIR is
in the layout of the Sleep-EDF cassette study. The first person trains, the second validates, the
third is tested. No early stopping: both sides train equally many epochs. Written after the example
"Self-supervised learning on EEG with relative positioning" of braindecode 1.8.
"""

import argparse
import pathlib
import resource
import time
import warnings

import figures

SFREQ_HZ, WINDOW_S, TAU_POS_S, TAU_NEG_S = 100, 30, 60, 900
STAGES = {f"Sleep stage {k}": v for k, v in dict(W=0, R=4, **{"1": 1, "2": 2, "3": 3}).items()}
STAGES |= {"Sleep stage 4": 3}
SPLITS = ("train", "valid", "test")
OUTPUTS, FILTERS, BATCH, RATE, SEED = 100, 16, 128, 5e-3, 87


def prepared(folder: pathlib.Path):
    """Windows of every person, z-scored."""
    import mne
    import numpy as np
    from braindecode.datasets import BaseConcatDataset, RawDataset
    from braindecode.datasets.sleep_physionet import SleepPhysionet
    from braindecode.preprocessing import Preprocessor, create_windows_from_events, preprocess
    from sklearn.preprocessing import scale

    mne.set_log_level("ERROR")
    nights = []
    for psg in sorted(folder.glob("SC4*-PSG.edf")):
        hypnogram = next(folder.glob(f"{psg.name[:6]}*-Hypnogram.edf"))
        # What the class does with each file that it has downloaded.
        raw, about = SleepPhysionet._load_raw(
            psg, hypnogram, preload=False, load_eeg_only=True, crop_wake_mins=30
        )
        nights.append(RawDataset(raw, about))
    dataset = BaseConcatDataset(nights)
    steps = [
        Preprocessor(lambda data: np.multiply(data, 1e6)),
        Preprocessor("filter", l_freq=None, h_freq=30, n_jobs=1),
    ]
    preprocess(dataset, steps)
    length = WINDOW_S * SFREQ_HZ
    windows = create_windows_from_events(
        dataset,
        trial_start_offset_samples=0,
        trial_stop_offset_samples=0,
        window_size_samples=length,
        window_stride_samples=length,
        preload=True,
        mapping=STAGES,
    )
    preprocess(windows, [Preprocessor(scale, channel_wise=True)])
    return windows


def by_person(windows):
    """The windows of each split, which can give pairs or single ones."""
    from braindecode.datasets import BaseConcatDataset

    class Pairs(BaseConcatDataset):
        paired = True

        def __getitem__(self, index):
            if not self.paired:
                return super().__getitem__(index)
            first, second, near = index
            return (super().__getitem__(first)[0], super().__getitem__(second)[0]), near

    people = sorted(set(windows.description["subject"]))
    if len(people) != len(SPLITS):
        raise SystemExit(f"expected the nights of {len(SPLITS)} people, found {len(people)}")
    return {
        split: Pairs([ds for ds in windows.datasets if ds.description["subject"] == person])
        for split, person in zip(SPLITS, people, strict=True)
    }


def sampler_of(split, pairs: int):
    """The sampler of braindecode for a split."""
    from braindecode.samplers import RelativePositioningSampler

    return RelativePositioningSampler(
        split.get_metadata(),
        tau_pos=TAU_POS_S * SFREQ_HZ,
        tau_neg=TAU_NEG_S * SFREQ_HZ,
        n_examples=pairs * len(split.datasets),
        same_rec_neg=True,
        random_state=SEED,
    )


def network(channels: int, samples: int):
    """The embedder, and it in both branches ahead of a linear classifier."""
    import torch
    from braindecode.models import SleepStagerChambon2018

    from tests.siamese_twin import Siamese

    embedder = SleepStagerChambon2018(
        channels,
        SFREQ_HZ,
        n_outputs=OUTPUTS,
        n_conv_chs=FILTERS,
        n_times=samples,
        drop_prob=0.0,
        apply_batch_norm=True,
    )

    class OfPair(torch.nn.Module):
        """As skorch calls it: with one argument, the pair."""

        def __init__(self):
            super().__init__()
            self.siamese = Siamese(embedder, OUTPUTS, dropout=0.5)

        def forward(self, pair):
            return self.siamese(*pair)

    return embedder, OfPair()


def fitted(model, splits, samplers, epochs: int):
    """The classifier after so many epochs, reloaded at its best, with its history."""
    import tempfile

    import torch
    from braindecode import EEGClassifier
    from skorch.callbacks import Checkpoint, EpochScoring
    from skorch.helper import predefined_split

    with tempfile.TemporaryDirectory() as folder:
        best = Checkpoint(dirname=folder, f_criterion=None, f_optimizer=None, f_history=None)
        accuracy = EpochScoring("accuracy", on_train=True, name="train_acc", lower_is_better=False)
        classifier = EEGClassifier(
            model,
            criterion=torch.nn.BCEWithLogitsLoss,
            optimizer=torch.optim.Adam,
            max_epochs=epochs,
            iterator_train__shuffle=False,
            iterator_train__sampler=samplers["train"],
            iterator_valid__sampler=samplers["valid"],
            train_split=predefined_split(splits["valid"]),
            optimizer__lr=RATE,
            batch_size=BATCH,
            callbacks=[("best", best), ("train_acc", accuracy)],
            classes=list(range(5)),
            verbose=0,
        )
        classifier.fit(splits["train"], y=None)
        classifier.load_params(checkpoint=best)
    return classifier


def staging(embedder, splits) -> float:
    """Balanced accuracy of the tested person's stages, by logistic regression on the vectors."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = {}
    for name, split in splits.items():
        split.paired = False
        loader = torch.utils.data.DataLoader(split, batch_size=BATCH)
        embedder.eval()
        with torch.no_grad():
            vectors = np.concatenate([embedder(batch[0]).numpy() for batch in loader])
        found[name] = vectors, split.get_metadata()["target"].to_numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    probe.fit(*found["train"])
    return balanced_accuracy_score(found["test"][1], probe.predict(found["test"][0]))


def main() -> None:
    """Runs the stages one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--pairs", type=int, default=250, help="of each recording an epoch")
    figures.add_json(parser)
    args = parser.parse_args()
    from tests.braindecode_reference import mend_torchaudio

    mend_torchaudio()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    import braindecode.datasets.sleep_physionet
    import braindecode.models  # noqa: F401
    import numpy as np
    import torch

    torch.manual_seed(SEED)
    out, marks = {}, [time.perf_counter()]
    out["import_s"] = marks[0] - began

    def mark(stage: str) -> None:
        marks.append(time.perf_counter())
        out[f"{stage}_s"] = marks[-1] - marks[-2]

    windows = prepared(args.files)
    splits = by_person(windows)
    mark("prepare")
    samplers = {name: sampler_of(split, args.pairs) for name, split in splits.items()}
    samplers["valid"].presample()
    samplers["test"].presample()
    # The training pairs of all epochs, which it draws while it trains: timed here, by themselves.
    for _ in range(args.epochs):
        list(samplers["train"])
    mark("sample")
    samplers["train"].presample()
    marks.append(time.perf_counter())
    embedder, model = network(*windows[0][0].shape)
    classifier = fitted(model, splits, samplers, args.epochs)
    mark("train")
    classifier.iterator_valid__sampler = samplers["test"]
    said = np.asarray(classifier.forward(splits["test"], training=False).numpy()) > 0
    near = np.asarray([pair[2] for pair in samplers["test"].examples]) > 0.5
    out["pretext_accuracy"] = float((said == near).mean())
    out["staging_balanced_accuracy"] = staging(embedder, splits)
    mark("evaluate")
    seconds = [row["dur"] for row in classifier.history]
    out["epoch_s"] = float(np.median(seconds))
    out["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, value in out.items():
        print(f"braindecode  {name:28s} {value:10.3f}")
    figures.write(args.json, out)


if __name__ == "__main__":
    main()
