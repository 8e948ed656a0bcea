"""A prepared directory of simulated ECGs, small enough for unit tests."""

import numpy as np

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.spec import SignalSpec

LEADS = ("I", "II", "V1")
RATE_HZ, WINDOW_S = 50.0, 2.0
SPEC = SignalSpec(
    modality="ecg", channels=LEADS, montage="leads", sfreq_hz=RATE_HZ, window_s=WINDOW_S,
    highpass_hz=0.0, lowpass_hz=25.0, resample="polyphase", unit="mV", clip=10.0, scale=1.0,
)  # fmt: skip


def beats(rng, seconds, *, period_s=0.7, height=1.0):
    """Gaussian beats on every lead, with noise, in millivolts."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = (time_s + rng.uniform(0, period_s)) % period_s
    wave = height * np.exp(-(((phase - 0.3) / 0.03) ** 2)) + 0.2 * np.exp(
        -(((phase - 0.5) / 0.08) ** 2)
    )
    gains = np.asarray([1.0, 1.4, -0.8])[: len(LEADS), None]
    return (gains * wave + rng.normal(0, 0.02, (len(LEADS), len(time_s)))).astype(np.float32)


def write_tiny_ecg(directory, *, people=6, test_people=2, flat=0, spec=SPEC, seed=0):
    """Each recording 5 s (two windows and a rest); every second one fast and tall; some flat."""
    rng = np.random.default_rng(seed)
    recordings = []
    for i, split in enumerate(("train",) * people + ("test",) * test_people):
        odd = dict(period_s=0.4, height=3.0) if i % 2 else {}
        signal = beats(rng, 5.0, **odd)
        if i < flat:
            signal = np.full_like(signal, 0.25)
        labels = {"fold": i}
        recordings.append(InMemory(f"rec {i:02d}", f"test:p{i}", split, (signal,), (), labels))
    write_dataset(directory, recordings, spec, corpus="tiny_ecg", simulated=True)
    return directory
