"""Made-up people with vectors instead of signals: what a probe reads, without a network."""

import types

import numpy as np
from tiny_shards import tiny_spec

from elm_jax.data.manifest import ManifestError, PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.evals.base import Encoded, EvalData

WINDOW = 100


def person(name, split="train", *, recordings=1, windows=4, pieces=None, **labels):
    """Recordings of one person; ``pieces``: labels of each window of a recording of events."""
    rows = []
    for i in range(recordings):
        if pieces is None:
            own = (PieceRow(0, 0.0, WINDOW * windows),)
        else:
            own = tuple(PieceRow(k, 0.0, WINDOW, labels) for k, labels in enumerate(pieces))
        rows.append(RecordingRow(f"{name}_{i}", f"x:{name}", split, own, (), dict(labels)))
    return rows


def model(batch):
    raise AssertionError("vectors come from PeopleData.encoded")


class PeopleData(EvalData):
    """EvalData of recordings whose vectors are ``vector(row, rng)``, one a window."""

    def __init__(self, rows, vector, *, projection=True, seed=0, split_by="person"):
        self.rows = [r for own in rows for r in own]
        people = {
            s: tuple(sorted({r.person for r in self.rows if r.split == s}))
            for s in ("train", "valid", "test")
        }
        self.manifest = types.SimpleNamespace(
            people=people, simulated=True, split_by=split_by, spec=tiny_spec()
        )
        self._vector, self._projection, self._seed = vector, projection, seed

    def recordings(self, split):
        found = [r for r in self.rows if r.split == split]
        if not found:
            raise ManifestError(f"split {split!r} holds no recordings")
        return found

    def windows(self, split):
        return Windows.of(self.recordings(split), WINDOW)

    def encoded(self, predict, split):
        rng = np.random.default_rng([self._seed, len(split)])
        rows, windows = self.recordings(split), self.windows(split)
        if predict is model:
            x = np.stack([self._vector(rows[r], rng) for r in windows.recording])
        else:
            x = np.random.default_rng(predict.seed).normal(size=(len(windows.recording), 6))
        return Encoded(x, x[:, ::-1] if self._projection else None, windows.recording)

    def random_predict(self, seed=0):
        def predict(batch):
            raise AssertionError("vectors come from PeopleData.encoded")

        predict.seed = seed
        return predict


def leaning(label, strength=2.0, width=6):
    """Vectors whose first column leans with a number of the recording's."""

    def vector(row, rng):
        x = rng.normal(size=width)
        x[0] += strength * float(row.labels.get(label, 0))
        return x

    return vector
