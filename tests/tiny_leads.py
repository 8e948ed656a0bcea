"""Twelve-lead ECGs small enough for unit tests: a signal, a prepared directory, an encoder."""

import numpy as np

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.ecg.leads import WANTED_ORDER

RATE_HZ, WINDOW_S = 50.0, 4.0
SPEC = SignalSpec(
    modality="ecg", channels=WANTED_ORDER, montage="leads", sfreq_hz=RATE_HZ, window_s=WINDOW_S,
    highpass_hz=0.0, lowpass_hz=25.0, resample="polyphase", unit="mV", clip=10.0, scale=1.0,
)  # fmt: skip
# So that a vocabulary learnt from the reports has every letter.
NEGATED = "No conduction disturbance, no hypertrophy; ST/T change equivocal, QRS axis vague, jerks."
TOWER = dict(name="vit", width=16, depth=1, heads=2, mlp_width=24, patch_size=16)


def encoder_settings(**changes):
    """``config.encoder`` of a tiny image encoder; ``tower`` is merged."""
    tower = TOWER | changes.pop("tower", {})
    return dict(name="ecg_image", image="paper", image_size=48, tower=tower) | changes


def beats(rng, seconds, *, period_s=0.7, height_mv=1.0):
    """Gaussian beats on twelve leads, with noise, in millivolts."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = (time_s + rng.uniform(0, period_s)) % period_s
    wave = height_mv * np.exp(-(((phase - 0.3) / 0.03) ** 2))
    gains = np.linspace(-0.5, 1.5, 12)[:, None]
    return (gains * wave + rng.normal(0, 0.02, (12, len(time_s)))).astype(np.float32)


def write_tiny_leads(directory, *, people=6, valid_people=2, test_people=2, spec=SPEC, seed=0):
    """A recording of one window each, with a report and PTB-XL's kind of labels."""
    rng = np.random.default_rng(seed)
    splits = ("train",) * people + ("valid",) * valid_people + ("test",) * test_people
    recordings = []
    for i, split in enumerate(splits):
        kind = ("NORM", "MI")[i % 2]
        signal = beats(rng, WINDOW_S, height_mv=(1.0, 2.5)[i % 2])
        finding = ("Normal ECG", "Myocardial infarction")[i % 2]
        text = f"Sinus rhythm number {i}. {finding}. {NEGATED}"
        labels = {"superclass": [kind], "abnormal": i % 2}
        recordings.append(InMemory(f"rec{i:02d}", f"test:p{i}", split, (signal,), (text,), labels))
    write_dataset(directory, recordings, spec, corpus="tiny_leads", simulated=True)
    return directory
