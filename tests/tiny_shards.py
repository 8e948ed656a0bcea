"""A prepared directory small enough for unit tests, written through the project's own writer."""

import numpy as np

from configs import common
from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.spec import SignalSpec


def tiny_spec(window_s: float = 5.0) -> SignalSpec:
    return SignalSpec.from_dict(common.elm_signal(window_s) | {"mean": 0.0, "std": 1.0})


def make_signal(rng: np.random.Generator, seconds: float, *, abnormal: bool) -> np.ndarray:
    """Alpha, or delta where abnormal; microvolts."""
    time_s = np.arange(int(seconds * 100)) / 100
    rate_hz = 2.5 if abnormal else 10.0
    phase = rng.uniform(0, 6, (20, 1))
    wave = 40 * np.sin(2 * np.pi * rate_hz * time_s + phase)
    return (wave + rng.normal(0, 5, (20, len(time_s)))).astype(np.float32)


def make_report(*, abnormal: bool) -> str:
    finding = "Diffuse slowing is present." if abnormal else "Alpha rhythm is present."
    opinion = "Abnormal EEG." if abnormal else "Normal EEG."
    return f"DESCRIPTION OF THE RECORD: {finding}\n\nIMPRESSION: {opinion}\n"


def write_tiny_shards(
    directory,
    *,
    people=8,
    test_people=4,
    valid_people=0,
    seconds=30.0,
    seed=0,
    window_s=5.0,
    labels=True,
    reports=True,
    institution="test",
):
    rng = np.random.default_rng(seed)
    spec = tiny_spec(window_s)
    recordings = []
    splits = ("train",) * people + ("valid",) * valid_people + ("test",) * test_people
    for i, split in enumerate(splits):
        abnormal = bool(i % 2)
        lengths = (seconds, seconds / 2) if i % 3 == 0 else (seconds,)
        recordings.append(
            InMemory(
                recording=f"rec{i:02d}",
                person=f"{institution}:p{i:02d}",
                split=split,
                pieces=tuple(make_signal(rng, s, abnormal=abnormal) for s in lengths),
                reports=(make_report(abnormal=abnormal),) if reports else (),
                labels={"abnormal": int(abnormal)} if labels else {},
            )
        )
    write_dataset(directory, recordings, spec, corpus="tiny", simulated=True)
    return directory
