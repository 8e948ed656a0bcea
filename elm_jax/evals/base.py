"""What an eval gets and gives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from elm_jax.axes import Batch
from elm_jax.data.manifest import Manifest
from elm_jax.data.pipeline import Windows, window_batches
from elm_jax.data.shards import RecordingRow, ShardReader
from elm_jax.data.text import TextTable

Predict = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class EvalResult(NamedTuple):
    """Numbers, tables and figures; an eval writes nothing itself."""

    scalars: dict[str, float] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    scores: tuple[dict[str, Any], ...] = ()  # one row a recording: a file of its own
    figures: dict[str, Any] = {}  # matplotlib figures by file stem
    notes: tuple[str, ...] = ()  # what could not be computed, and why


class Encoded(NamedTuple):
    """What ``predict`` gave for all windows of a split.

    Shapes: features ``[n, d]``, projection ``[n, e]`` (or None), recording ``[n]``: rows of
    :meth:`EvalData.recordings`.
    """

    features: np.ndarray
    projection: np.ndarray | None
    recording: np.ndarray


class EvalData:
    """Recordings, windows and texts for evals, by split; a split is encoded once for all evals.

    Args:
      manifest: of the shards; says how signals were stored and whether they are simulated.
      reader: gives a split's shards.
      windows: gives a split's windows.
      table: texts to what the model reads.
      rows_per_batch: windows encoded at a time.
    """

    def __init__(
        self,
        manifest: Manifest,
        reader: Callable[[str], ShardReader],
        windows: Callable[[str], Windows],
        table: Callable[[Sequence[str]], TextTable],
        *,
        rows_per_batch: int,
    ):
        self.manifest = manifest
        self._reader, self.windows, self._table = reader, windows, table
        self._rows_per_batch = rows_per_batch
        self._encoded: dict[tuple[int, str], Encoded] = {}

    def recordings(self, split: str) -> list[RecordingRow]:
        """The recordings of a split, in order."""
        return self._reader(split).recordings

    def batches(self, split: str) -> Iterator[Batch]:
        """All windows of a split: ``signal``, ``signal_valid``, ``window``."""
        windows = self.windows(split)
        rows = min(self._rows_per_batch, max(len(windows), 1))
        return window_batches(self._reader(split), windows, rows_per_batch=rows)

    def encoded(self, predict: Predict, split: str) -> Encoded:
        """All windows of a split through ``predict``; kept for the next eval that asks."""
        key = (id(predict), split)
        if key not in self._encoded:
            features, projections = [], []
            for batch in self.batches(split):
                valid = batch["signal_valid"]
                out = predict({k: batch[k] for k in ("signal", "signal_valid")})
                features.append(out["features"][valid])
                projections.append(out["projection"][valid] if "projection" in out else None)
            has_projection = all(p is not None for p in projections)
            self._encoded[key] = Encoded(
                np.concatenate(features),
                np.concatenate(projections) if has_projection else None,
                self.windows(split).recording,
            )
        return self._encoded[key]

    def text_projection(self, predict: Predict, texts: Sequence[str]) -> np.ndarray:
        """Text projections ``[n, e]`` of texts, in order."""
        distinct = tuple(dict.fromkeys(texts))
        table = self._table(distinct)
        # Batches of one size, the last padded: a corpus's reports may be a hundred thousand texts.
        n = len(distinct)
        size = min(self._rows_per_batch, n)
        rows = np.arange(-(-n // size) * size)
        rows[n:] = -1
        batches = (table.take(part) for part in rows.reshape(-1, size))
        parts = [predict(batch)["text_projection"] for batch in batches]
        return np.concatenate(parts)[table.rows(texts)]


@runtime_checkable
class Eval(Protocol):
    """Gets predict() and data; returns numbers and figures."""

    def check(self, data: EvalData) -> None:
        """Raises, before any training, what would otherwise stop the run after it.

        Raises:
          ManifestError: no recordings in a split: this eval is left out.
          ValueError: a label that is no label, broken settings.
        """
        ...

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Runs the eval."""
        ...


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length one."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def mean_by(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Mean of ``values`` ``[n, ...]`` over each group; NaN for groups without rows."""
    total = np.zeros((groups, *values.shape[1:]))
    np.add.at(total, group, values)
    count = np.bincount(group, minlength=groups).astype(float)
    count[count == 0] = np.nan
    return total / count.reshape(-1, *[1] * (values.ndim - 1))


POSITIVE = {"1", "true", "yes", "abnormal", "pathological", "positive"}
NEGATIVE = {"0", "false", "no", "normal", "healthy", "negative"}


def binary_labels(recordings: Sequence[RecordingRow], label: str) -> np.ndarray:
    """1.0, 0.0, or NaN where a recording has no such label.

    ``label`` names a yes/no label, or one value of a label in words: ``task=arithmetic``.

    Raises:
      ValueError: a value that is neither yes nor no; names the recording and the value.
    """
    name, equals, wanted = label.partition("=")
    out = np.full(len(recordings), np.nan)
    for i, row in enumerate(recordings):
        value = row.labels.get(name)
        if value is None or value == "":
            continue
        text = str(value).strip().lower().removesuffix(".0")
        if equals:
            out[i] = float(text == wanted.strip().lower())
            continue
        if text not in POSITIVE | NEGATIVE:
            raise ValueError(
                f"label {name!r} of recording {row.recording!r} is {value!r}; a yes/no label is "
                f"one of {sorted(POSITIVE)} or {sorted(NEGATIVE)}. For one value against the "
                f"others write '{name}={value}'"
            )
        out[i] = float(text in POSITIVE)
    return out
