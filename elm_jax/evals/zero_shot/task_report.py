"""What is told of tasks: AUROC of every class, their mean, and one figure a task."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Bool, Float
from elm_jax.data.shards import RecordingRow
from elm_jax.evals.base import EvalData, EvalResult, Predict, mean_by, unit_rows
from elm_jax.evals.figures_forest import INTERVALS, Mark, forest
from elm_jax.evals.scores import Scored, enough_of_both, roc_area, with_interval
from elm_jax.evals.zero_shot.answers import class_vectors
from elm_jax.evals.zero_shot.tasks import Task, has_label

CHANCE = 0.5
NO_CLASS = ("negative", "left_out")


@dataclasses.dataclass(frozen=True, eq=False)
class TaskReport:
    """One task put to the recordings of one split.

    Attributes:
      task: what was asked.
      recordings: of the split.
      cosine: of every recording (the mean over its windows) with every class, ``[n, k]``.
      truth: 1, 0, or NaN where it is not known or not scored.
      least: so many recordings must have a class, and lack it, or it is not in the mean.
    """

    task: Task
    recordings: Sequence[RecordingRow]
    cosine: Float[np.ndarray, "n k"]
    truth: Float[np.ndarray, "n k"]
    least: int

    @functools.cached_property
    def used(self) -> Bool[np.ndarray, " n"]:
        """Recordings that are scored: they have the label, and a window."""
        return np.isfinite(self.truth).all(axis=1) & np.isfinite(self.cosine).all(axis=1)

    @functools.cached_property
    def in_mean(self) -> Bool[np.ndarray, " k"]:
        """Which classes are in the mean."""
        return enough_of_both(self.truth[self.used], self.least)

    @property
    def people(self) -> np.ndarray:
        """Whose each recording is."""
        return np.asarray([row.person for row in self.recordings])

    @functools.cached_property
    def macro(self) -> Scored:
        """Mean AUROC of those classes, with its interval over people.

        People are drawn once for all classes; of a draw in which a class has lost all that have it
        (or all that lack it), the mean is over the others.
        """
        use, keep = self.used, self.in_mean
        if not keep.any():
            return Scored(math.nan, math.nan, math.nan)
        arrays = self.truth[use][:, keep], self.cosine[use][:, keep]
        return with_interval(roc_area, self.people[use], *arrays)

    @property
    def row(self) -> dict[str, Any]:
        """The task's row in table ``tasks``."""
        use = self.used
        return {
            "task": self.task.name,
            "prompts": self.task.variant,
            **_interval("macro_auroc", self.macro),
            "chance": CHANCE,
            "classes": int(self.in_mean.sum()),
            "of": len(self.task.classes),
            "recordings": int(use.sum()),
            "people": len(set(self.people[use])),
            "not_scored": int((~use).sum()),
        }

    @functools.cached_property
    def class_rows(self) -> list[dict[str, Any]]:
        """A row a class in table ``classes``, in the task's order."""
        use = self.used
        rows = []
        for i, name in enumerate(self.task.class_names):
            truth = self.truth[use, i]
            found = with_interval(roc_area, self.people[use], truth, self.cosine[use, i])
            rows.append(
                {
                    "task": self.task.name,
                    "prompts": self.task.variant,
                    "class": name,
                    **_interval("auroc", found),
                    "chance": CHANCE,
                    "positives": int((truth == 1).sum()),
                    "negatives": int((truth == 0).sum()),
                    "in_mean": bool(self.in_mean[i]),
                }
            )
        return rows

    def scalars(self) -> dict[str, float]:
        """``TASK_VARIANT_macro_auroc`` with its interval; nothing where it is not defined."""
        found = _interval(f"{self.task.key}_macro_auroc", self.macro)
        return {name: value for name, value in found.items() if value is not None}

    def note(self, split: str) -> str:
        """Why there is no mean; empty where there is one."""
        if not has_label(self.task, self.recordings):
            known = sorted({name for row in self.recordings for name in row.labels})
            return (
                f"{self.task.name}: no recording of split {split!r} has a label "
                f"{self.task.label!r} (labels: {', '.join(known) or 'none'})"
            )
        if not self.in_mean.any():
            counts = ", ".join(f"{r['class']} {r['positives']}" for r in self.class_rows)
            return (
                f"{self.task.name}: no class has {self.least} recordings of split {split!r} with "
                f"it, and as many without: {counts}"
            )
        return ""


def report_tasks(
    tasks: Mapping[str, Task],
    predict: Predict,
    data: EvalData,
    split: str,
    *,
    least: int,
    no_class: str,
) -> EvalResult:
    """Tables ``tasks`` and ``classes``, scalars, a figure a task, a score a recording and class.

    Args:
      tasks: by key.
      predict: of the model.
      data: its windows, recordings and texts.
      split: whose recordings.
      least: see :class:`TaskReport`.
      no_class: "negative" or "left_out": what becomes of recordings with none of the classes.

    Raises:
      ValueError: the model has no projection to compare with texts.
    """
    encoded, recordings = data.encoded(predict, split), data.recordings(split)
    if encoded.projection is None:
        raise ValueError("zero-shot needs a model with a projection into the space of its texts")
    windows = unit_rows(encoded.projection.astype(np.float64))
    vectors = class_vectors(tasks, predict, data)
    reports = [
        TaskReport(
            task,
            recordings,
            mean_by(windows @ vectors[key].T, encoded.recording, len(recordings)),
            scored_truth(task, recordings, no_class),
            least,
        )
        for key, task in tasks.items()
    ]
    told = [report for report in reports if has_label(report.task, recordings)]
    tables = {
        "tasks": [report.row for report in told],
        "classes": [row for report in told for row in report.class_rows],
    }
    scalars = {name: value for report in told for name, value in report.scalars().items()}
    notes = dict.fromkeys(note for report in reports if (note := report.note(split)))
    notes |= {INTERVALS: None} if scalars else {}
    figures = _figures(told, simulated=data.simulated)
    return EvalResult(scalars, tables, _scores(reports), figures, tuple(notes))


def scored_truth(
    task: Task, recordings: Sequence[RecordingRow], no_class: str
) -> Float[np.ndarray, "n k"]:
    """The truth of a task; NaN, too, of recordings with none of its classes if they are left out.

    Raises:
      ValueError: a value that is no label; names the recording.
    """
    truth = task.truth(recordings)
    if no_class == "left_out":
        truth[~(truth == 1).any(axis=1)] = np.nan
    return truth


def _figures(reports: Sequence[TaskReport], *, simulated: bool | str) -> dict[str, Any]:
    """A figure a task, its variants side by side."""
    figures = {}
    for name in dict.fromkeys(report.task.name for report in reports):
        own = [r for r in reports if r.task.name == name and r.in_mean.any()]
        if not own:
            continue
        marks = [
            Mark(row["class"], r.task.variant, row["auroc"], row["auroc_low"], row["auroc_high"])
            for r in own
            for row in r.class_rows
            if row["in_mean"]
        ]
        marks += [Mark("mean", r.task.variant, *r.macro) for r in own]
        counts = {row["class"]: row["positives"] for row in own[0].class_rows}
        figures[f"zero_shot_{name}"] = forest(
            marks,
            counts,
            title=f"Zero-shot: {name}, AUROC per recording",
            left_out=len(counts) - int(own[0].in_mean.sum()),
            least=own[0].least,
            simulated=simulated,
        )
    return figures


def _scores(reports: Sequence[TaskReport]) -> tuple[dict[str, Any], ...]:
    """A row a recording: its cosine to every class of every task."""
    if not reports:
        return ()
    columns = {
        f"{report.task.key}={name}": report.cosine[:, i]
        for report in reports
        for i, name in enumerate(report.task.class_names)
    }
    return tuple(
        {"recording": row.recording, "person": row.person}
        | {name: round(float(values[i]), 6) for name, values in columns.items()}
        for i, row in enumerate(reports[0].recordings)
    )


def _interval(name: str, found: Scored) -> dict[str, float | None]:
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {key: None if math.isnan(v) else round(v, 4) for key, v in values.items()}
