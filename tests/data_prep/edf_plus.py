"""EDF+ files with annotations, by ``edfio``; imported by the tests here."""

import edfio
import numpy as np


def write_edf_plus(path, signals, annotations=(), **header):
    """Writes signals ``{label: (values in uV, rate in Hz)}`` and (onset, duration, text) to a file.

    Without any signal it is a file of annotations alone, as hypnograms are. ``header`` is edfio's,
    such as ``patient``.
    """
    channels = [
        edfio.EdfSignal(
            np.asarray(x, np.float64), hz, label=label, physical_dimension="uV",
            physical_range=(-3276.8, 3276.7),
        )
        for label, (x, hz) in signals.items()
    ]  # fmt: skip
    marks = [edfio.EdfAnnotation(*annotation) for annotation in annotations]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(channels, annotations=marks, **header).write(path)


def noise(n, seed=0):
    """EEG-like noise of ``n`` samples that ends near 0."""
    x = np.random.default_rng(seed).normal(size=n).cumsum()
    return x - np.linspace(0, 1, n) * x[-1]
