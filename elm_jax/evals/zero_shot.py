"""Zero-shot classification of recordings by text prompts: cosines of projections, as in ELM."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.evals import figures, figures_calibration
from elm_jax.evals.answers import LEVELS, Answers, Judged, answers_of, class_vectors
from elm_jax.evals.band_power import learnt_scores, recording_band_power
from elm_jax.evals.base import EvalData, EvalResult, Predict, one_class
from elm_jax.evals.calibration import AGGREGATES, Calibration, fit, nll, one_hot
from elm_jax.evals.prompt_files import load_questions
from elm_jax.evals.questions import Question
from elm_jax.evals.reliability import Bins, calibrated_band, ece, reliability, risk_coverage
from elm_jax.evals.scores import Auroc, balanced_accuracy, roc_area, with_interval
from elm_jax.data.manifest import ManifestError

# How probabilities are made of cosines, in the order of their rows in the table "calibration".
BEFORE, AFTER, WITH_BIAS = "none", "temperature", "temperature and bias"
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """AUROC, BACC and calibration of every question that has prompts and labels.

    A class's vector is the normalised mean of its prompts' projections. A window's probabilities
    are softmax(cosines / temperature). Of two classes a recording's score is the mean over its
    windows of cos(window, second class) - cos(window, first class) ("margin"), or of the second's
    probability ("probability"); yes/no findings have their positive class second.

    Attributes:
      split: whose recordings are scored.
      label: the question whose figures are *the* zero-shot figures, and are drawn.
      prompts: question -> classes of prompts (see :mod:`elm_jax.evals.questions`).
      prompt_files: further questions: names of the sets that come with the package, or paths.
      aggregate: how windows become a recording: "margin" or "probability".
      calibration_split: whose labels choose the temperatures; "" leaves calibration out.
      temperature: before calibration: that of the loss the model was trained with.
      bins: of calibration errors.
      bin_style: "equal_width" or "equal_mass".
      band_power_split: whose labels train band power, for comparison in the table; "": no such
        columns.
      missing_labels: "note" or "error", where some people of a split lack a question's label.
    """

    split: str
    label: str
    prompts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prompt_files: Sequence[str] = ()
    aggregate: str = "margin"
    calibration_split: str = "valid"
    temperature: float = 0.3
    bins: int = 15
    bin_style: str = "equal_width"
    band_power_split: str = ""
    missing_labels: str = "note"

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Whose people this scores."""
        return (self.split,)

    @functools.cached_property
    def questions(self) -> dict[str, Question]:
        """Every question by name."""
        return load_questions(self.prompts, self.prompt_files)

    def check(self, data: EvalData) -> None:
        """Raises where settings, prompts or labels cannot be used."""
        for name, known in (("aggregate", AGGREGATES), ("missing_labels", ("note", "error"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; known: {known}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}; expected a positive number")
        Bins(self.bins, self.bin_style).check()
        questions = self.questions
        data.require_readable([t for q in questions.values() for c in q.classes for t in c.prompts])
        for question in questions.values():
            truth = question.answers(data.recordings(self.split))
            missing = [r.person for r, t in zip(data.recordings(self.split), truth, strict=True)
                       if math.isnan(t)]  # fmt: skip
            if self.missing_labels == "error" and 0 < len(missing) < len(truth):
                raise ValueError(
                    f"{_who_lacks(question, self.split, missing, len(truth))}; give them one, or "
                    "leave their recordings out of the scores with missing_labels=note"
                )

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Scalars of ``label``; tables ``findings`` and ``calibration``; scores; figures.

        Scores need no labels: every recording has its row of them.
        """
        vectors = class_vectors(self.questions, predict, data)
        answers = answers_of(self.questions, vectors, predict, data, self.split)
        fitting, notes = self._calibration_answers(vectors, predict, data)
        reports = {
            name: self._report(found, fitting.get(name)) for name, found in answers.items()
        }
        notes += _left_out(answers.values())
        notes += [note for report in reports.values() for note in report.notes]
        findings = [report.finding for report in reports.values() if report.finding]
        if self.band_power_split and findings:
            notes += self._add_band_power(findings, answers, data)
        tables = {"findings": findings}
        if rows := [row for report in reports.values() for row in report.calibration]:
            tables["calibration"] = rows
        scores = _score_rows(answers, reports)
        chosen = reports.get(self.label)
        if chosen is None or not chosen.finding:
            return EvalResult({}, tables, scores, {}, tuple(notes))
        if coverage := chosen.coverage_rows():
            tables["risk_coverage"] = coverage
        drawn = chosen.figures(simulated=data.manifest.simulated)
        return EvalResult(chosen.scalars(), tables, scores, drawn, tuple(notes))
