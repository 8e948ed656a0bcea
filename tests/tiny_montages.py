"""Prepared directories of referential montages, and a masked model of a few hundred parameters."""

import numpy as np

from configs import common, elm_supervised
from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.spec import SignalSpec

SIX = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
NINE = ("F3", "Fz", "F4", "T3", "Cz", "T4", "P3", "Pz", "P4")
SFREQ_HZ, WINDOW_S, PATCH = 32.0, 2.0, 16
ENCODER = dict(
    name="eeg_transformer", width=8, depth=1, heads=2, summary_tokens=1, patch_size=PATCH
)


def spec_of(channels, **changes):
    """Electrodes against their mean at 32 Hz, in windows of four patches."""
    return SignalSpec(
        modality="eeg", channels=channels, montage="average", sfreq_hz=SFREQ_HZ, window_s=WINDOW_S,
        highpass_hz=0.1, lowpass_hz=15.0, resample="mne_fft", unit="uV", clip=800.0, scale=0.01,
    ).replace(**changes)  # fmt: skip


def write_montage(
    directory, channels, *, people=(4, 1, 1), seconds=13.0, seed=0, name="", order=None, **spec
):
    """So many people in train, valid, test, one recording of one piece each, or of two.

    ``order`` permutes the channels, names and signals alike.
    """
    order = np.arange(len(channels)) if order is None else order
    rng, found = np.random.default_rng(seed), spec_of(tuple(channels[i] for i in order), **spec)
    splits = [s for s, n in zip(("train", "valid", "test"), people, strict=True) for _ in range(n)]
    name = name or f"of{len(channels)}"
    recordings = []
    for i, split in enumerate(splits):
        lengths = (seconds, seconds / 2) if i % 3 == 0 else (seconds,)
        pieces = tuple(
            _signal(rng, channels, round(s * found.sfreq_hz), slow=bool(i % 2))[order]
            for s in lengths
        )
        recordings.append(
            InMemory(
                recording=f"{name}{i:02d}",
                person=f"{name}:p{i:02d}",
                split=split,
                pieces=pieces,
                labels={"slow": int(i % 2)},
            )
        )
    write_dataset(directory, recordings, found, corpus=name, simulated=True)
    return directory


def _signal(rng, channels, samples, *, slow):
    """A rhythm of each electrode's phase, and noise; microvolts."""
    phase = np.arange(len(channels))[:, None]
    wave = 40 * np.sin(2 * np.pi * (2 if slow else 9) * np.arange(samples) / SFREQ_HZ + phase)
    return (wave + rng.normal(0, 20, wave.shape)).astype(np.float32)


def recipe(directories, **changes):
    """Masked pretraining on these directories: 8 windows a batch, no evals."""
    config = elm_supervised.get_config("smoke").unlock()
    config.text, config.labels, config.validation = None, None, None
    config.data.dir, config.data.more = str(directories[0]), tuple(map(str, directories[1:]))
    config.data.normalisation = "none"
    signal = spec_of(SIX).to_dict()
    config.signal = {k: v for k, v in signal.items() if k not in ("mean", "std")} | {"channels": ()}
    config.sampler = dict(name="mixture", windows_per_batch=8, windows_per_recording=0, shift=True)
    config.encoder = dict(ENCODER)
    config.objective = dict(
        name="masked_dual", predictor=dict(depth=1), reconstructor=dict(depth=1), total_steps=None
    )
    config.optimizer = dict(
        name="adamw",
        rate=1e-3,
        weight_decay=0.0,
        schedule=common.schedule(warmup_steps=1, total_steps=10, per="step"),
        rules=((".*", "train"),),
    )
    config.log_every_steps, config.checkpoint.use = 1, "last"
    config.evals = dict(rows_per_batch=8, trained_on_people="mark")
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    return config.lock()
