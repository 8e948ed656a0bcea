"""What probes read: the model's vectors, and what there is without it.

features, projection           the model's
random_features, ..._projection    the same network's, with random weights
band_power, band_power_gamma   log power of EEG's bands
amplitude                      five numbers a channel on its size
random_convolutions            random kernels, read by ridge regression (ROCKET)
report_words                   the words of the recording's own report: what a text that is not
                               there when an ECG is to be read would say; an upper reference
"""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from elm_jax.evals import random_convolutions, window_features
from elm_jax.evals.band_power import WITH_GAMMA_HZ, window_band_power
from elm_jax.evals.base import EvalData, Predict
from elm_jax.evals.probe.models import Readout, Vectors
from elm_jax.evals.probe.readouts import READOUTS

MODEL_INPUTS = ("features", "projection")
RANDOM_INPUTS = ("random_features", "random_projection")
#: Those that a probe has where none are named.
USUAL = ("features", "projection", "band_power", "band_power_gamma", *RANDOM_INPUTS)
INPUTS = (*USUAL, "amplitude", "random_convolutions", "report_words")

_KNOWN: weakref.WeakKeyDictionary[EvalData, dict[Any, np.ndarray]] = weakref.WeakKeyDictionary()
_READOUT = {"random_convolutions": "ridge", "report_words": "words"}


def readout_of(name: str) -> Readout:
    """What reads an input."""
    return READOUTS[_READOUT.get(name, "linear")]


def vectors(
    name: str, predict: Predict, data: EvalData, splits: Sequence[str], *, seed: int
) -> Vectors | None:
    """An input's vectors ``[n, d]`` of all windows of the splits; None: the model lacks it.

    ``seed`` is that of random weights and kernels. Words are counts, in a sparse array.

    Raises:
      ValueError: no recording has a report.
    """
    if name == "report_words":
        return _word_counts(data, splits)
    if name not in (*MODEL_INPUTS, *RANDOM_INPUTS):
        return np.concatenate([_of_signals(name, data, split, seed) for split in splits])
    kind = name.removeprefix("random_")
    use = predict if kind == name else data.random_predict(seed)
    found = [getattr(data.encoded(use, split), kind) for split in splits]
    return None if any(x is None for x in found) else np.concatenate(found)


def _of_signals(name: str, data: EvalData, split: str, seed: int) -> np.ndarray:
    """Computed once for all probes of the same data."""
    known = _KNOWN.setdefault(data, {})
    if (name, split, seed) not in known:
        known[name, split, seed] = _computed(name, data, split, seed)
    return known[name, split, seed]


def _computed(name: str, data: EvalData, split: str, seed: int) -> np.ndarray:
    if name == "band_power":
        return window_band_power(data, split)
    if name == "band_power_gamma":
        return window_band_power(data, split, bands_hz=WITH_GAMMA_HZ, segment_s=4.0)
    if name == "amplitude":
        return window_features.of_windows(data, split, window_features.amplitude)
    spec = data.manifest.spec
    kernels = random_convolutions.draw(len(spec.channels), spec.window_samples, seed=seed)
    # By the training data's own deviation, whatever a model's input is normalised by.
    scale = spec.scale / float(np.mean(data.manifest.statistics["std"]))
    return window_features.of_windows(
        data, split, lambda signal: random_convolutions.features(signal * scale, kernels)
    )


def require_reports(data: EvalData, splits: Sequence[str]) -> None:
    """Raises where there are no words to read.

    Raises:
      ValueError: no recording of the splits has a report.
    """
    if not any(row.reports for split in splits for row in data.recordings(split)):
        raise ValueError(
            f"inputs: 'report_words' needs reports, and no recording of {list(splits)} has one; "
            "leave it out, or prepare the recordings with their texts"
        )


def _word_counts(data: EvalData, splits: Sequence[str]) -> Vectors:
    """How often each word of any report occurs in a window's own; what weighs is fitted later.

    Raises:
      ValueError: no recording has a report.
    """
    require_reports(data, splits)
    texts = [" ".join(row.reports) for split in splits for row in data.recordings(split)]
    counts = CountVectorizer(dtype=np.float64).fit_transform(texts)
    rows, first = [], 0
    for split in splits:
        rows.append(data.windows(split).recording + first)
        first += len(data.recordings(split))
    return counts[np.concatenate(rows)]
