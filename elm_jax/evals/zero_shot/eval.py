"""Zero-shot classification of recordings by text prompts: cosines of projections.

As in ELM a question has classes of which one is the answer, and as in MERL a task has classes that
are each there or not; see :mod:`questions` and :mod:`tasks`.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.data.manifest import ManifestError, RecordingRow
from elm_jax.evals.band_power import learnt_scores, recording_band_power
from elm_jax.evals.base import EvalData, EvalResult, Predict, one_class
from elm_jax.evals.scores import roc_area, with_interval
from elm_jax.evals.zero_shot.answers import Answers, answers_of, class_vectors
from elm_jax.evals.zero_shot.calibration import AGGREGATES, one_hot, probabilities
from elm_jax.evals.zero_shot.prompt_files import load_questions
from elm_jax.evals.zero_shot.question_report import FITTED, QuestionReport, Settings
from elm_jax.evals.zero_shot.questions import Question
from elm_jax.evals.zero_shot.reliability import Bins
from elm_jax.evals.zero_shot.task_report import NO_CLASS, report_tasks, scored_truth
from elm_jax.evals.zero_shot.tasks import Task

MISSING_LABELS = ("note", "error")


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """AUROC, BACC and calibration of every question; AUROC of a task's classes, and their mean.

    A class's vector is the normalised mean of its prompts' projections. A window's probabilities
    are softmax(cosines / temperature). Of two classes a recording's score is the mean over its
    windows of cos(window, second class) - cos(window, first class) ("margin"), or of the second's
    probability ("probability"); yes/no findings have their positive class second.

    Attributes:
      split: whose recordings are scored.
      label: the question whose numbers are *the* zero-shot numbers, and which is drawn.
      prompts: question -> classes of prompts (see :mod:`elm_jax.evals.zero_shot.questions`, and
        :mod:`elm_jax.evals.zero_shot.tasks`).
      prompt_files: further ones: names of the sets that come with the package, paths, or
        ``TASK=PATH``.
      variants: of tasks whose classes have several kinds of texts: which ("short", "enriched").
      min_positives: so many recordings must have a task's class, and lack it, or it does not count
        in the task's mean.
      no_class: what recordings are that have none of a task's classes: "negative", or "left_out"
        as in the splits of MERL and of the benchmark on PTB-XL.
      aggregate: how windows become a recording: "margin" or "probability".
      calibration_split: whose labels choose the temperatures; "" leaves calibration out.
      calibration: which probabilities are given out: "temperature", or "temperature and bias",
        which also takes off what cosines lean to one class. Both are in the table.
      temperature: before calibration: that of the loss the model was trained with.
      bins: of calibration errors.
      bin_style: "equal_width" or "equal_mass".
      band_power_split: whose labels train band power, for comparison in the table; "": no such
        columns.
      missing_labels: "note" or "error", where some people of the split lack a question's label.
    """

    split: str
    label: str
    prompts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prompt_files: Sequence[str] = ()
    aggregate: str = "margin"
    calibration_split: str = "valid"
    calibration: str = "temperature"
    temperature: float = 0.3
    bins: int = 15
    bin_style: str = "equal_width"
    band_power_split: str = ""
    missing_labels: str = "note"
    variants: Sequence[str] = ("short",)
    min_positives: int = 5
    no_class: str = "negative"

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Whose people this scores."""
        return (self.split,)

    @functools.cached_property
    def _asked(self) -> dict[str, Question | Task]:
        return load_questions(self.prompts, self.prompt_files, variants=tuple(self.variants))

    @property
    def questions(self) -> dict[str, Question]:
        """Every question by name."""
        return {k: asked for k, asked in self._asked.items() if isinstance(asked, Question)}

    @property
    def tasks(self) -> dict[str, Task]:
        """Every task by name and variant."""
        return {k: asked for k, asked in self._asked.items() if isinstance(asked, Task)}

    def check(self, data: EvalData) -> None:
        """Raises where settings, prompts or labels cannot be used."""
        recordings = data.recordings(self.split)
        kinds = {
            "aggregate": AGGREGATES, "calibration": FITTED, "missing_labels": MISSING_LABELS,
            "no_class": NO_CLASS,
        }  # fmt: skip
        for name, known in kinds.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; known: {known}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}; expected a positive number")
        Bins(self.bins, self.bin_style).check()
        if self.min_positives < 1:
            raise ValueError(f"min_positives is {self.min_positives}; expected 1 or more")
        asked = self._asked.values()
        data.require_readable([t for q in asked for c in q.classes for t in c.prompts])
        for task in self.tasks.values():
            scored_truth(task, recordings, self.no_class)
        self._check_questions(data, recordings)

    def _check_questions(self, data: EvalData, recordings: Sequence[RecordingRow]) -> None:
        questions = self.questions.values()
        if questions and self.calibration_split == self.split:
            raise ValueError(
                f"calibration_split is {self.split!r}, whose people are scored: temperatures "
                "fitted on them would look better than they are; name another split, or '' to "
                "leave calibration out"
            )
        for question in questions:
            self._check_labels(question, recordings)
        for split in {self.calibration_split, self.band_power_split} - {""}:
            try:
                others = data.recordings(split)
            except ManifestError:  # there are none: said in a note, beside the scores
                continue
            for question in questions:
                question.answers(others)

    def _check_labels(self, question: Question, recordings: Sequence[RecordingRow]) -> None:
        truth = question.answers(recordings)
        lacking = sorted({recordings[i].person for i in np.flatnonzero(np.isnan(truth))})
        if self.missing_labels == "error" and lacking and np.isfinite(truth).any():
            raise ValueError(
                f"question {question.name!r}: {len(lacking)} people of split {self.split!r} have "
                f"recordings without a label {question.label!r}: {_some(lacking)}. Label them, or "
                "score the others: missing_labels=note"
            )

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Scalars of ``label``; tables ``findings``, ``calibration``, ``risk_coverage``; figures.

        Of tasks scalars ``TASK_macro_auroc``, tables ``tasks`` and ``classes``, a figure each.
        Scores need no labels: every recording has its row of them.
        """
        settings = dict(least=self.min_positives, no_class=self.no_class)
        parts = []
        if self.questions:
            parts.append(self._report_questions(predict, data))
        if self.tasks:
            parts.append(report_tasks(self.tasks, predict, data, self.split, **settings))
        return functools.reduce(_joined, parts)

    def _report_questions(self, predict: Predict, data: EvalData) -> EvalResult:
        vectors = class_vectors(self.questions, predict, data)
        answers = answers_of(self.questions, vectors, predict, data, self.split)
        fitting, notes = self._fitting(vectors, predict, data)
        bins = Bins(self.bins, self.bin_style)
        settings = Settings(self.aggregate, self.temperature, bins, self.calibration)
        reports = {
            name: QuestionReport(found, fitting.get(name), settings)
            for name, found in answers.items()
        }
        scored = {name: report for name, report in reports.items() if report.finding}
        chosen = scored.get(self.label)
        tables = {"findings": [report.finding for report in scored.values()]}
        notes = [*self._unscored(reports), *notes]
        notes += [note for report in scored.values() if (note := _lacking(report.answers))]
        if self.band_power_split and scored:
            notes += self._add_band_power(tables["findings"], answers, data)
        if fitting:  # otherwise there is nothing to compare with, and the chosen one's is enough
            tables["calibration"] = [row for r in scored.values() for row in r.calibration]
            notes += [note for report in scored.values() for note in report.remarks()]
        scores = _score_rows(reports)
        if chosen is None:
            return EvalResult(tables=tables, scores=scores, notes=tuple(notes))
        tables.setdefault("calibration", chosen.calibration)
        tables["risk_coverage"] = chosen.coverage_rows()
        notes += chosen.bias_notes()
        drawn = chosen.figures(simulated=data.simulated)
        return EvalResult(chosen.scalars(), tables, scores, drawn, tuple(notes))

    def _fitting(
        self, vectors: Mapping[str, np.ndarray], predict: Predict, data: EvalData
    ) -> tuple[dict[str, Answers], list[str]]:
        """The answers that temperatures are fitted on, and why there are none."""
        split, without = self.calibration_split, "probabilities are not calibrated: "
        if not split:
            return {}, []
        try:
            people = {row.person for row in data.recordings(split)}
        except ManifestError as error:
            return {}, [f"{without}{error}"]
        seen = [] if data.model.trained_on is None else data.model.trained_on.overlap(people)
        if seen:
            return {}, [
                f"{without}the model was trained on {len(seen)} of the {len(people)} people of "
                f"split {split!r}, and is more certain on them than on others"
            ]
        return answers_of(self.questions, vectors, predict, data, split), []

    def _unscored(self, reports: Mapping[str, QuestionReport]) -> list[str]:
        """Why questions have no scores, or no calibration."""
        without = [r.answers for r in reports.values() if not r.finding]
        unknown = [a for a in without if not a.labelled]
        yes_no = [a for a in without if a.question.yes_no or a in unknown]
        others = [a for a in without if a not in yes_no]
        notes = []
        if yes_no:
            truths = {a.question.label: a.truth for a in yes_no}
            notes.append(one_class(truths, self.split, yes_no[0].recordings))
        if others:
            told = "; ".join(f"{a.question.name}: {_counted(a)}" for a in others)
            notes.append(f"fewer than two classes occur in split {self.split!r}: {told}")
        one = [
            report.fitting
            for report in reports.values()
            if report.finding and report.fitting and not report.calibrated
        ]
        if one:
            told = "; ".join(f"{a.question.name}: {_counted(a)}" for a in one)
            notes.append(
                "probabilities of recordings are not calibrated, fewer than two classes occur in "
                f"split {self.calibration_split!r}: {told}"
            )
        if self.label not in reports and self.label not in {t.name for t in self.tasks.values()}:
            notes.append(
                f"nothing is drawn: label is {self.label!r}, which is no question asked here; "
                f"those are {', '.join(reports)}"
            )
        return notes

    def _add_band_power(
        self, findings: list[dict[str, Any]], answers: Mapping[str, Answers], data: EvalData
    ) -> list[str]:
        """Writes what band power, trained with labels, reaches into the rows; returns notes."""
        try:
            recordings = data.recordings(self.band_power_split)
        except ManifestError as error:
            return [f"band power is not compared: {error}"]
        train = recording_band_power(data, self.band_power_split)
        test = recording_band_power(data, self.split)
        unlearnt = []
        for row in findings:
            asked = answers[row["finding"]]
            truth = asked.question.answers(recordings)
            learnt = np.unique(truth[np.isfinite(truth)]).astype(int)
            columns = ("band_power", "band_power_low", "band_power_high")
            if len(learnt) < 2:
                unlearnt.append(row["finding"])
                row |= dict.fromkeys(columns, math.nan)
                continue
            score = learnt_scores(train, truth, test)
            target = asked.truth
            if len(asked.question.classes) > 2:
                score = _spread(score, learnt, len(asked.question.classes))
                target = one_hot(target, score.shape[1])
            found = with_interval(roc_area, asked.people, target, score)
            row |= dict(zip(columns, found, strict=True))
        if not unlearnt:
            return []
        where = f"split {self.band_power_split!r} has fewer than two classes of them"
        return [f"band power is not compared for {', '.join(unlearnt)}: {where}"]


def _joined(one: EvalResult, other: EvalResult) -> EvalResult:
    """Both; each has a row of scores of every recording."""
    scores = zip(one.scores, other.scores, strict=True)
    return EvalResult(
        one.scalars | other.scalars,
        one.tables | other.tables,
        tuple(a | b for a, b in scores),
        one.figures | other.figures,
        (*one.notes, *other.notes),
    )


def _spread(score: np.ndarray, learnt: np.ndarray, k: int) -> np.ndarray:
    """Probabilities of the classes that were learnt ``[n, l]`` (or a margin) as those of all."""
    if score.ndim == 1:
        score = np.stack([-score, score], axis=1)
    out = np.full((len(score), k), score.min() if np.isfinite(score).any() else 0.0)
    out[:, learnt] = score
    return out


def _counted(answers: Answers) -> str:
    return ", ".join(f"{name} {n}" for name, n in answers.counts().items())


def _lacking(answers: Answers) -> str:
    """Who has no answer, with some of their names; empty where nobody or everybody lacks it."""
    people, everybody = answers.unlabelled(), len(set(answers.people))
    if not people or np.isnan(answers.truth).all():
        return ""
    n = int(np.isnan(answers.truth).sum())
    return (
        f"{answers.question.name}: {len(people)} of the {everybody} people of split "
        f"{answers.split!r} have recordings without a label {answers.question.label!r} ({n} of "
        f"{len(answers.truth)} recordings) and are not scored: {_some(people)}"
    )


def _some(people: Sequence[str]) -> str:
    return ", ".join([*people[:5], *(["..."] if len(people) > 5 else [])])


def _score_rows(reports: Mapping[str, QuestionReport]) -> tuple[dict[str, Any], ...]:
    """A row a recording: how far it leans to a question's classes, and calibrated probabilities."""
    columns: dict[str, np.ndarray] = {}
    recordings = []
    for name, report in reports.items():
        answers, names = report.answers, report.answers.question.class_names
        recordings, cosine = answers.recordings, answers.mean_cosine()
        if len(names) == 2:
            columns[name] = cosine[:, 1] - cosine[:, 0]
        else:
            columns |= {f"{name}={c}": cosine[:, i] for i, c in enumerate(names)}
        if report.calibrated:
            rows = answers.level("recording", report.settings.aggregate).rows
            found = probabilities(rows, report.best("recording"))
            chosen = {f"{name}_probability": 1} if len(names) == 2 else {}
            chosen = chosen or {f"{name}={c}_probability": i for i, c in enumerate(names)}
            columns |= {column: found[:, i] for column, i in chosen.items()}
    return tuple(
        {"recording": row.recording, "person": row.person}
        | {column: round(float(values[i]), 6) for column, values in columns.items()}
        for i, row in enumerate(recordings)
    )
