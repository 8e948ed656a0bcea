"""What a model with a classifier says about recordings: scores, a confusion matrix, answers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from elm_jax.axes import Float
from elm_jax.data.targets import Target
from elm_jax.evals import figures_classification
from elm_jax.evals.base import EvalData, EvalResult, Predict
from elm_jax.evals.probe import by_class, by_finding, scoring
from elm_jax.evals.probe.data import Sample, gather

NAME = ("classifier", 1.0)  # one input, one label budget: that of the run


def probabilities(target: Target, logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Of classes or findings; a regression's values as they are."""
    wide = logits.astype(np.float64)
    if target.kind == "regression":
        return wide
    return softmax(wide, axis=1) if target.kind == "multiclass" else expit(wide)


@dataclasses.dataclass(frozen=True)
class Classification:
    """Scores of the classifier that a run fitted, on people it never saw.

    A recording's probability is the mean over its windows, as in ELM's evaluation. Where windows of
    a recording have labels of their own that differ (events), all are scored by window alone.

    Attributes:
      labels: see :class:`elm_jax.data.targets.Target`; the run's own, which ``build`` fills in.
      split: whose recordings are scored.
      min_positives: of several findings, so many recordings must have one, and lack it, or it is
        not in the mean.
      resamples: of people, for the intervals.
    """

    labels: Mapping[str, Any]
    split: str = "test"
    min_positives: int = 1
    resamples: int = 1000

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Splits whose people are scored."""
        return (self.split,)

    @property
    def target(self) -> Target:
        """What the classifier predicts."""
        return Target.from_dict(self.labels, where="labels")

    def check(self, data: EvalData) -> None:
        """Raises where the split or its labels cannot be used.

        Raises:
          ManifestError: no recordings in the split.
          LabelError, TargetError: no such label, or values of another kind.
        """
        data.recordings(self.split)
        gather(data, (self.split,), self.target)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Table ``scores`` by unit with chance beside, a figure, one answer a recording.

        Of classes also the tables ``confusion`` and ``classes``, of several findings ``classes``.

        Scalars: the first score of the label's kind, per recording where that is defined.

        Raises:
          ValueError: the model has no classifier.
        """
        sample = gather(data, (self.split,), self.target)
        logits = data.encoded(predict, self.split).logits
        if logits is None:
            raise ValueError(
                "the model has no classifier: train one with configs/elm_supervised.py or "
                "configs/elm_finetune.py, or use the eval 'probe'"
            )
        said = {NAME: probabilities(self.target, logits)[:, None]}
        settings = dict(resamples=self.resamples, least=self.min_positives)
        rows = scoring.table(sample, said, (), **settings)
        answered = by_class.answers(sample, said[NAME])
        tables = {} if answered is None else answered.tables()
        if classes := by_finding.classes_table(sample, {NAME[0]: said[NAME]}, **settings):
            tables["classes"] = classes
        note = sample.note()
        return EvalResult(
            scalars=scoring.scalars(rows, self.target, budget=NAME[1]),
            tables={"scores": rows} | tables,
            scores=scoring.answers(sample, {NAME[0]: said[NAME]}),
            figures=self._figures(sample, said[NAME], answered, data)
            | self._of_findings(rows, classes, data),
            notes=(note,) if note else (),
        )

    def _of_findings(
        self, rows: list[dict[str, Any]], classes: list[dict[str, Any]], data: EvalData
    ) -> dict[str, Any]:
        """Every finding with its interval; nothing of other labels."""
        drawn = by_finding.figure(
            classes,
            rows,
            what=self.target.name,
            budget=NAME[1],
            least=self.min_positives,
            simulated=data.simulated,
            whose="Classifier",
        )
        return {} if drawn is None else {"classification_classes": drawn}

    def _figures(
        self,
        sample: Sample,
        said: Float[np.ndarray, "n 1 k"],
        answered: by_class.Answers | None,
        data: EvalData,
    ) -> dict[str, Any]:
        """The confusion matrix; a scatter of a regression; nothing of several findings."""
        simulated = data.simulated
        if answered is not None:
            drawn = answered.figure("Classifier", simulated=simulated)
            return {} if drawn is None else {"classification_confusion": drawn}
        if self.target.kind != "regression":
            return {}
        truth, mean = scoring.per_recording(sample, said)
        unit = "recording"
        if not scoring.one_truth(sample) or not np.isfinite(truth).any():
            unit, truth, mean = "window", sample.truth, said
        whole = np.isfinite(truth[:, 0]) & np.isfinite(mean[:, 0, 0])
        if not whole.any():
            return {}
        options = dict(what=self.target.name, unit=unit, simulated=simulated)
        drawn = figures_classification.scatter(truth[whole, 0], mean[whole, 0, 0], **options)
        return {"classification_scatter": drawn}
