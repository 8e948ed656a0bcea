"""Shards of a few electrodes and a finished model that reads them by name, both tiny."""

import jax
import numpy as np
from ml_collections import ConfigDict

from data_prep.write_shards import InMemory, write_dataset
from elm_jax import build
from elm_jax.convert.parts import ModelParts
from elm_jax.data.people import People
from elm_jax.pretrained import Pretrained
from elm_jax.signals.profiles import EEGPT_SPEC

ELECTRODES = ("Fp1", "C3", "Cz", "C4", "O1")
SPEC = EEGPT_SPEC.replace(channels=ELECTRODES, window_s=1.0)
RECIPE = dict(
    dtype="float32",
    encoder=dict(
        name="eeg_transformer", width=8, depth=1, heads=2, summary_tokens=2, patch_size=64
    ),
    objective=dict(name="two_tower", signal_projection=None, text_projection=None),
    text=None,
)


def write_shards_by_name(directory, *, people=(4, 2, 2), seconds=8, spec=SPEC):
    """Alpha, or delta in those labelled abnormal."""
    rng = np.random.default_rng(0)
    splits = np.repeat(("train", "valid", "test"), people)
    time_s = np.arange(int(seconds * spec.sfreq_hz)) / spec.sfreq_hz
    recordings = []
    for i, split in enumerate(splits):
        wave = 40 * np.sin(2 * np.pi * (2.5 if i % 2 else 10.0) * time_s)
        noise = rng.normal(0, 5, (len(spec.channels), len(time_s)))
        recordings.append(
            InMemory(
                recording=f"rec{i}",
                person=f"test:p{i}",
                split=str(split),
                pieces=((wave + noise).astype(np.float32),),
                labels={"abnormal": i % 2},
            )
        )
    write_dataset(directory, recordings, spec, corpus="tiny", simulated=True)
    return directory


def pretrained_by_name(*, seed=0, spec=SPEC):
    """Random weights."""
    objective = build.build_objective(ConfigDict(RECIPE), spec, None)
    batch = {"signal": np.zeros((1, len(spec.channels), spec.window_samples), np.float32)}
    shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)
    rng = np.random.default_rng(seed)
    draw = lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32)  # noqa: E731
    params, model_state = jax.tree.map(draw, shapes)
    return Pretrained(
        spec=spec,
        recipe=RECIPE,
        objective=objective,
        params=params,
        model_state=model_state,
        texts=None,
        trained_on=People(),
        source="tiny",
        parts=ModelParts(spec, RECIPE, params, model_state),
    )
