"""Prepared sleep of three people, two channels at 20 Hz: small enough for a whole recipe."""

import numpy as np
from tiny_shards import tiny_spec

from data_prep.write_shards import InMemory, write_dataset

STAGES = {"W": 8.0, "N1": 6.0, "N2": 4.0, "N3": 1.0, "R": 5.0}  # a rhythm each, in hertz
WINDOWS, WINDOW_S, SFREQ_HZ = 8, 30.0, 20.0


def write_tiny_nights(directory):
    """One person a split; of every stage a recording of four minutes."""
    rng = np.random.default_rng(0)
    spec = tiny_spec(WINDOW_S).replace(
        channels=("Fpz-Cz", "Pz-Oz"), montage="derivations", sfreq_hz=SFREQ_HZ, lowpass_hz=9.0
    )
    time_s = np.arange(int(WINDOWS * WINDOW_S * SFREQ_HZ)) / SFREQ_HZ
    recordings = [
        InMemory(
            recording=f"{split}_{stage}",
            person=f"test:{split}",
            split=split,
            pieces=(
                np.float32(
                    30 * np.sin(2 * np.pi * rate_hz * time_s) + rng.normal(0, 9, (2, len(time_s)))
                ),
            ),
            labels={"event": stage, "age": 30 + i, "sex": "FMF"[i]},
        )
        for i, split in enumerate(("train", "valid", "test"))
        for stage, rate_hz in STAGES.items()
    ]
    write_dataset(directory, recordings, spec, corpus="tiny_nights", simulated=True)
    return directory
