"""How well a model solves the task that it was trained on: rows of its own sampler, told apart."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.evals import figures_classification, scores
from elm_jax.evals.base import EvalData, EvalResult, Predict, Rows
from elm_jax.evals.class_report import confusion_counts, confusion_table, per_class


@dataclasses.dataclass(frozen=True)
class Pretext:
    """Accuracy on a presampled epoch of the run's sampler, such as pairs of windows near and far.

    Attributes:
      split: whose recordings the rows are drawn from.
      classes: names of the answers, 0 first.
      unit: what a row of the sampler is called.
      resamples: of people, for the interval; of rows, where there is one person.
    """

    split: str = "test"
    classes: Sequence[str] = ("far", "near")
    unit: str = "pair"
    resamples: int = 1000

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Splits whose people are scored."""
        return (self.split,)

    def check(self, data: EvalData) -> None:
        """Raises where there is no such split or sampler.

        Raises:
          ManifestError: no recordings in the split.
          ValueError: the run's sampler draws no rows that are to be told apart.
        """
        data.recordings(self.split)
        data.require_rows(self.split)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Accuracy with its interval, tables ``scores``, ``confusion`` and ``classes``, a figure.

        A row counts for the person of its first window. ``chance`` is the share of the commoner
        answer. One row a recording: how many of the rows that begin in it were answered right.

        Raises:
          ValueError: the sampler's labels are others than ``classes``.
        """
        rows = data.rows(predict, self.split)
        label, answer = self._label(rows), _answers(rows.logits)
        recordings = data.recordings(self.split)
        person = np.asarray([row.person for row in recordings])[rows.recording[:, 0]]
        people = len(set(person.tolist()))
        unit = np.arange(len(person)) if people == 1 else person
        found = scores.with_interval(scores.accuracy, unit, label, answer, resamples=self.resamples)
        counts = confusion_counts(label, answer, len(self.classes))
        share = round(float(counts.sum(axis=1).max() / counts.sum()), 4)
        about = {"chance": share, f"{self.unit}s": len(label), "people": people}
        return EvalResult(
            scalars={k: v for k, v in _columns(found).items() if v is not None} | about,
            tables={
                "scores": self._table(found, share, len(label), people),
                "confusion": confusion_table(counts, self.classes),
                "classes": per_class(counts, self.classes),
            },
            scores=_by_recording(recordings, rows, label == answer, f"{self.unit}s"),
            figures={"pretext_confusion": self._figure(counts, data.simulated)},
            notes=(ONE_PERSON.format(unit=self.unit),) if people == 1 else (),
        )

    def _table(
        self, found: scores.Scored, chance: float, n: int, people: int
    ) -> list[dict[str, Any]]:
        """The model's row and that of chance, as a probe's table ``scores`` has them."""
        about = {"unit": self.unit, "people": people, "n": n}
        none = scores.Scored(chance, np.nan, np.nan)
        return [
            {"input": name} | about | _columns(value)
            for name, value in (("model", found), ("chance", none))
        ]

    def _figure(self, counts: np.ndarray, simulated: bool | str) -> Any:
        return figures_classification.confusion(
            counts,
            self.classes,
            what=" or ".join(self.classes),
            unit=self.unit,
            simulated=simulated,
            whose="Pretext task",
        )

    def _label(self, rows: Rows) -> np.ndarray:
        """Numbers of classes."""
        label = rows.label.astype(float)
        known = np.arange(len(self.classes))
        if not np.isin(label, known).all() or rows.logits.shape[1] not in (1, len(known)):
            raise ValueError(
                f"the run's sampler has the labels {np.unique(label).tolist()} and its model "
                f"{rows.logits.shape[1]} outputs; classes names {len(known)}: {list(self.classes)}"
            )
        return label


ONE_PERSON = (
    "the interval is over the {unit}s of one person; those of a recording are alike, so it is too "
    "narrow even for this one"
)


def _answers(logits: np.ndarray) -> np.ndarray:
    """The class of each row: of one output yes above 0, of more the largest."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).astype(float)
    return logits.argmax(axis=1).astype(float)


def _columns(found: scores.Scored) -> dict[str, float | None]:
    names = ("accuracy", "accuracy_low", "accuracy_high")
    return {k: None if np.isnan(v) else round(v, 4) for k, v in zip(names, found, strict=True)}


def _by_recording(
    recordings: Sequence[Any], rows: Rows, right: np.ndarray, counted: str
) -> tuple[dict[str, Any], ...]:
    first = rows.recording[:, 0]
    n = np.bincount(first, minlength=len(recordings))
    hits = np.bincount(first, weights=right, minlength=len(recordings))
    return tuple(
        {
            "recording": row.recording,
            "person": row.person,
            counted: int(n[i]),
            "accuracy": round(float(hits[i] / n[i]), 4),
        }
        for i, row in enumerate(recordings)
        if n[i]
    )
