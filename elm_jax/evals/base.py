"""What an eval gets and gives."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from elm_jax.axes import Batch
from elm_jax.data.label_values import LabelValueError, as_word, holds, is_list, is_missing, parse
from elm_jax.data.manifest import Manifest
from elm_jax.data.modality import simulated_word, word_of
from elm_jax.data.people import People
from elm_jax.data.pipeline import Windows, window_batches
from elm_jax.data.samplers import RowPlan, Sampler
from elm_jax.data.shards import RecordingRow, ShardReader
from elm_jax.data.targets import NEGATIVE, POSITIVE
from elm_jax.data.text import TextTable
from elm_jax.processes import own, shareable, this_process

# From this process's rows of a batch to what the model gives for the rows of all processes, in
# their order. Every process calls it equally often, with equally many rows; one alone has all.
Predict = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class EvalResult(NamedTuple):
    """Numbers, tables and figures; an eval writes nothing itself."""

    scalars: dict[str, float] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    scores: tuple[dict[str, Any], ...] = ()  # one row a recording: a file of its own
    figures: dict[str, Any] = {}  # matplotlib figures by file stem
    notes: tuple[str, ...] = ()  # what could not be computed, and why


class ModelInfo(NamedTuple):
    """The model under test, as far as it is known.

    Attributes:
      source: where it comes from.
      weights_sha256: digest of its weights.
      trained_on: people it was trained on; None: not told.
      selected_on: people a step or a rate was chosen on; None: not told.
      by_name: it reads channels by name: batches may bring fewer, with ``channel_id``.
    """

    source: str = ""
    weights_sha256: str = ""
    trained_on: People | None = None
    selected_on: People | None = None
    by_name: bool = False


NO_MODEL = ModelInfo()


class Encoded(NamedTuple):
    """What ``predict`` gave for all windows of a split.

    Shapes: features ``[n, d]``, projection ``[n, e]`` (or None), recording ``[n]``: rows of
    :meth:`EvalData.recordings`; logits ``[n, k]`` (or None).
    """

    features: np.ndarray
    projection: np.ndarray | None
    recording: np.ndarray
    logits: np.ndarray | None = None


class Rows(NamedTuple):
    """What ``predict`` gave for all rows (pairs, ...) of a run's own sampler in a split.

    Attributes:
      logits: ``[n, k]``, of each row.
      label: ``[n]``, what was to be told of it.
      window: ``[n, windows of a row]``, numbers of its windows in :meth:`EvalData.windows`.
      recording: ``[n, windows of a row]``, rows of :meth:`EvalData.recordings`.
    """

    logits: np.ndarray
    label: np.ndarray
    window: np.ndarray
    recording: np.ndarray


class EvalData:
    """Recordings, windows and texts for evals, by split; a split is encoded once for all evals.

    Args:
      manifest: of the shards; says how signals were stored and whether they are simulated.
      reader: gives a split's shards.
      windows: gives a split's windows.
      table: texts to what the model reads; None where it reads none.
      rows_per_batch: windows encoded at a time.
      segments: gives the text segments of each recording of a split.
      require_whole: raises where the text tower would cut a text.
      random_predict: makes the predict of the same network with fresh weights, from a seed.
      model: what is known of the model under test.
      by: how windows are read ahead (:func:`elm_jax.data.read_ahead.read_ahead`).
      sampled: the run's own sampler over a split, and its batches; None: there is no such run.
    """

    def __init__(
        self,
        manifest: Manifest,
        reader: Callable[[str], ShardReader],
        windows: Callable[[str], Windows],
        table: Callable[[Sequence[str]], TextTable] | None,
        *,
        rows_per_batch: int,
        segments: Callable[[str], list[tuple[str, ...]]] | None = None,
        require_whole: Callable[[Sequence[str]], None] | None = None,
        random_predict: Callable[[int], Predict] | None = None,
        model: ModelInfo = NO_MODEL,
        by: str = "tf_data",
        sampled: Callable[[str], tuple[Sampler, Any]] | None = None,
    ):
        self.manifest = manifest
        self._reader, self.windows, self._table = reader, windows, table
        self._rows_per_batch, self._segments = rows_per_batch, segments
        self._random_predict, self.model = random_predict, model
        self._require_whole, self._sampled, self._by = require_whole, sampled, by
        self._random: dict[int, Predict] = {}
        self._encoded: dict[tuple[Predict, str], Encoded] = {}

    @property
    def signal_word(self) -> str:
        """What signals are called: "EEG" or "ECG"."""
        return word_of(self.manifest.spec.modality)

    @property
    def simulated(self) -> str:
        """What is simulated, for titles: "EEG" or "ECG"; empty where signals are real."""
        return simulated_word(self.manifest.simulated, self.manifest.spec.modality)

    def recordings(self, split: str) -> list[RecordingRow]:
        """The recordings of a split, in order."""
        return self._reader(split).recordings

    def segments(self, split: str) -> list[tuple[str, ...]]:
        """The text segments of each recording of a split.

        Raises:
          ValueError: the model has no text side.
        """
        if self._segments is None:
            raise ValueError("these evals were given no reports")
        return self._segments(split)

    def random_predict(self, seed: int = 0) -> Predict:
        """The same network with fresh weights: a row to compare with.

        Raises:
          ValueError: not known here, before a model is built.
        """
        if self._random_predict is None:
            raise ValueError("there is no model yet whose network could get fresh weights")
        if seed not in self._random:
            self._random[seed] = self._random_predict(seed)
        return self._random[seed]

    def batches(self, split: str) -> Iterator[Batch]:
        """All windows of a split, this process's rows of each batch.

        Keys: ``signal``, ``signal_valid``, ``window``. What is padding comes after all windows.
        """
        windows = self.windows(split)
        rows = shareable(min(self._rows_per_batch, max(len(windows), 1)))
        return window_batches(
            self._reader(split), windows, rows_per_batch=rows, process=this_process(), by=self._by
        )

    def encoded(self, predict: Predict, split: str) -> Encoded:
        """All windows of a split through ``predict``; kept for the next eval that asks."""
        key = (predict, split)  # kept alive: the id of one that is gone may come again
        if key not in self._encoded:
            found: dict[str, list[np.ndarray]] = {}
            for batch in self.batches(split):
                out = predict({k: v for k, v in batch.items() if k != "window"})
                for name, rows in out.items():
                    found.setdefault(name, []).append(rows)
            windows = len(self.windows(split))
            whole = {name: np.concatenate(rows)[:windows] for name, rows in found.items()}
            self._encoded[key] = Encoded(
                whole["features"],
                whole.get("projection"),
                self.windows(split).recording,
                whole.get("logits"),
            )
        return self._encoded[key]

    def require_rows(self, split: str) -> Sampler:
        """The run's own sampler over a split, where it draws rows (pairs, ...) for a pretext task.

        Raises:
          ManifestError: no recordings in the split.
          ValueError: there is no such sampler, or it can draw nothing from the split.
        """
        if self._sampled is None:
            raise ValueError(
                "there is no config.sampler here, whose rows are to be told apart: run this eval "
                "in the recipe that trained the model (--config.mode=evaluate)"
            )
        sampler, _ = self._sampled(split)
        if not isinstance(sampler.plan(0), RowPlan):
            raise ValueError(
                f"the sampler of this run ({type(sampler).__name__}) draws no rows that are to be "
                "told apart; config.sampler.name='relative_position' does"
            )
        return sampler

    def rows(self, predict: Predict, split: str) -> Rows:
        """An epoch of the run's own sampler over a split, through ``predict``; padding left out.

        Of splits that are not trained on every epoch is the same, so every call gives the same.

        Raises:
          ManifestError, ValueError: see :meth:`require_rows`.
        """
        sampler, (_, batches) = self.require_rows(split), self._sampled(split)
        steps = sampler.steps_per_epoch(0)
        plans = [sampler.plan(step) for step in range(steps)]
        window, label = (np.concatenate(column) for column in zip(*plans, strict=True))
        logits = []
        with contextlib.closing(batches.dataset(0, steps, by=self._by)) as stream:
            for batch in stream:
                given = {k: v for k, v in batch.items() if k.startswith("signal")}
                logits.append(predict(given)["logits"])
        real = window[:, 0] >= 0
        window = window[real]
        recording = self.windows(split).recording[window]
        return Rows(np.concatenate(logits)[real], label[real], window, recording)

    def require_readable(self, texts: Sequence[str]) -> None:
        """Raises where the model reads no texts, or not all of one: for prompts and queries.

        Raises:
          ValueError: the model has no text side; a text is longer than its tower takes (names it).
        """
        self._require_text_side()
        if self._require_whole is not None:
            self._require_whole(texts)

    def _require_text_side(self) -> Callable[[Sequence[str]], TextTable]:
        if self._table is None:
            raise ValueError(
                f"{self.model.source or 'the model'} has no text tower, so it cannot read texts; "
                "fit one to your own reports with configs/elm_adapt.py"
            )
        return self._table

    def text_projection(self, predict: Predict, texts: Sequence[str]) -> np.ndarray:
        """Text projections ``[n, e]`` of texts, in order.

        Raises:
          ValueError: the model has no text side.
        """
        distinct = tuple(dict.fromkeys(texts))
        table = self._require_text_side()(distinct)
        # Batches of one size, the last padded: a corpus's reports may be a hundred thousand texts.
        n = len(distinct)
        size = shareable(min(self._rows_per_batch, n))
        rows = np.arange(-(-n // size) * size)
        rows[n:] = -1
        batches = (table.take(own(part)) for part in rows.reshape(-1, size))
        parts = [predict(batch)["text_projection"] for batch in batches]
        return np.concatenate(parts)[table.rows(texts)]


@runtime_checkable
class Eval(Protocol):
    """Gets predict() and data; returns numbers and figures."""

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Splits whose people get scores: none of them may have been trained on."""
        ...

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


def binary_labels(recordings: Sequence[RecordingRow], label: str) -> np.ndarray:
    """1.0, 0.0, or NaN where a recording has no such label.

    ``label`` names a yes/no label, or one value of a label: ``task=arithmetic``; of a label that is
    a list of values, whether the list holds it: ``superclass=MI``.

    Raises:
      ValueError: a value that is neither yes nor no; names the recording and the value.
    """
    name, wanted = parse(label)
    return np.asarray([_yes_or_no(row, name, wanted) for row in recordings], float)


def _yes_or_no(row: RecordingRow, name: str, wanted: str | None) -> float:
    value = row.labels.get(name)
    if is_missing(value):
        return np.nan
    whose = f"label {name!r} of recording {row.recording!r}"
    if wanted is not None:
        try:
            return holds(value, wanted)
        except LabelValueError as error:
            raise ValueError(f"{whose}: {error}") from error
    text = as_word(value)
    if is_list(value) or text not in POSITIVE | NEGATIVE:
        shown = f"{value!r}, a list of values" if is_list(value) else f"{value!r}"
        raise ValueError(
            f"{whose} is {shown}; a yes/no label is one of {sorted(POSITIVE)} or "
            f"{sorted(NEGATIVE)}. For one value against the others write '{name}={_one(value)}'"
        )
    return float(text in POSITIVE)


def _one(value: Any) -> Any:
    """A value to name in an example."""
    return next(iter(value), "VALUE") if is_list(value) else value


def one_class(
    labels: Mapping[str, np.ndarray], split: str, recordings: Sequence[RecordingRow]
) -> str:
    """Why findings have no AUROC: how many recordings have and lack each, or no such label."""
    known = sorted({key for row in recordings for key in row.labels})
    absent = [finding for finding in labels if finding.partition("=")[0] not in known]
    lines = [
        f"{finding}: {int((label == 1).sum())} with, {int((label == 0).sum())} without"
        for finding, label in labels.items()
        if finding not in absent
    ]
    if absent:
        lines.append(f"no such label: {', '.join(absent)} (labels: {', '.join(known) or 'none'})")
    return (
        f"an AUROC needs recordings with and without a finding; among the {len(recordings)} of "
        f"split {split!r}: {'; '.join(lines)}"
    )
