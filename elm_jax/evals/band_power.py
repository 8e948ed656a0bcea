"""The baseline that every zero-shot figure is read against: band power, trained *with* labels."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from elm_jax.axes import Float
from elm_jax.evals.base import EvalData, EvalResult, Predict, binary_labels, mean_by, one_class
from elm_jax.evals.scores import auroc
from elm_jax.evals.window_features import of_windows

BANDS_HZ = {"delta": (0.5, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30)}
WITH_GAMMA_HZ = BANDS_HZ | {"gamma": (30, 45)}


@dataclasses.dataclass(frozen=True)
class BandPower:
    """Logistic regression on log band power per channel: trained on labels, scored on ``split``.

    Attributes:
      train_split: whose labels train it.
      split: whose recordings are scored.
      label: the finding.
      c: inverse strength of the penalty.
    """

    train_split: str
    split: str
    label: str
    c: float = 0.01

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """None: nobody is scored by the model under test."""
        return ()

    def check(self, data: EvalData) -> None:
        """Raises where labels cannot be used."""
        for split in (self.train_split, self.split):
            binary_labels(data.recordings(split), self.label)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Scalar ``auroc`` with its interval; the model under test plays no part."""
        del predict
        labels = {}
        for split in (self.train_split, self.split):
            labels[split] = binary_labels(data.recordings(split), self.label)
            counted = labels[split][np.isfinite(labels[split])]
            if len(set(counted)) < 2:
                note = one_class({self.label: labels[split]}, split, data.recordings(split))
                return EvalResult(notes=(note,))
        power = {split: recording_band_power(data, split) for split in labels}
        train, test = self.train_split, self.split
        score = learnt_scores(power[train], labels[train], power[test], c=self.c)
        people = [r.person for r in data.recordings(self.split)]
        result = auroc(labels[self.split], score, people)
        scalars = {"auroc": result.value, "auroc_low": result.low, "auroc_high": result.high}
        return EvalResult(scalars)


def learnt_scores(
    train: Float[np.ndarray, "m d"],
    truth: Float[np.ndarray, " m"],
    features: Float[np.ndarray, "n d"],
    *,
    c: float = 0.01,
) -> Float[np.ndarray, "n ..."]:
    """Scores ``[n]`` of the second of two classes, or probabilities ``[n, k]`` of those in truth.

    Logistic regression on scaled ``train``, whose rows without a truth (or features) do not count;
    rows of ``features`` that are not finite get NaN.
    """
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
    )
    use = np.isfinite(truth) & np.isfinite(train).all(axis=1)
    model.fit(train[use], truth[use])
    score = model.decision_function if len(model.classes_) == 2 else model.predict_proba
    usable = np.isfinite(features).all(axis=1)
    found = score(features[usable])
    out = np.full((len(features), *found.shape[1:]), np.nan)
    out[usable] = found
    return out


def band_power(
    signal: np.ndarray,
    sfreq_hz: float,
    *,
    bands_hz: Mapping[str, tuple[float, float]] = BANDS_HZ,
    segment_s: float = 2.0,
) -> np.ndarray:
    """log10 power of windows ``[n, c, t]`` in bands: ``[n, bands * c]``, by Welch's method."""
    samples = min(signal.shape[-1], int(segment_s * sfreq_hz))
    freq_hz, density = welch(signal, fs=sfreq_hz, nperseg=samples)
    powers = [
        density[..., (freq_hz >= low) & (freq_hz < high)].mean(-1)
        for low, high in bands_hz.values()
    ]
    return np.log10(np.concatenate(powers, axis=-1) + 1e-6)


def window_band_power(data: EvalData, split: str, **settings: Any) -> np.ndarray:
    """Log band power of every window of a split; settings are those of :func:`band_power`."""
    sfreq_hz = data.manifest.spec.sfreq_hz
    return of_windows(data, split, lambda signal: band_power(signal, sfreq_hz, **settings))


def recording_band_power(data: EvalData, split: str) -> np.ndarray:
    """Mean log band power of each recording's windows: ``[recordings, 4 * c]``."""
    rows = window_band_power(data, split)
    return mean_by(rows, data.windows(split).recording, len(data.recordings(split)))
