"""What is told of one question: scores, calibration before and after, figures, notes."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import numpy as np

from elm_jax.evals import figures
from elm_jax.evals.scores import Auroc, Scored, balanced_accuracy, counted, roc_area, with_interval
from elm_jax.evals.zero_shot.answers import LEVELS, Answers, Judged, Level
from elm_jax.evals.zero_shot.calibration import Calibration, fit, nll, one_hot, probabilities
from elm_jax.evals.zero_shot.figures import (
    Curve,
    reliability_diagram,
    risk_coverage_curves,
    roc_by_class,
)
from elm_jax.evals.zero_shot.reliability import (
    Bins,
    RiskCoverage,
    calibrated_band,
    ece,
    reliability,
    risk_coverage,
)

# How probabilities are made of cosines, in the order of their rows in the table.
BEFORE, AFTER, WITH_BIAS = "none", "temperature", "temperature and bias"
FITTED = (AFTER, WITH_BIAS)
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


class Settings(NamedTuple):
    """Of :class:`elm_jax.evals.zero_shot.eval.ZeroShot`, where they are told."""

    aggregate: str
    temperature: float
    bins: Bins
    calibration: str = AFTER


@counted
def _mean(values: np.ndarray, *, times: np.ndarray) -> np.ndarray:
    return times @ values / times.sum(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class QuestionReport:
    """Everything about one question.

    Attributes:
      answers: of the people who are scored.
      fitting: of those whose labels choose the temperatures; None where nothing is calibrated.
      settings: of the eval.
    """

    answers: Answers
    fitting: Answers | None
    settings: Settings

    @property
    def name(self) -> str:
        """Of the question."""
        return self.answers.question.name

    @functools.cached_property
    def levels(self) -> dict[str, Level]:
        """Windows and recordings, where at least two classes occur."""
        found = {level: self.answers.level(level, self.settings.aggregate) for level in LEVELS}
        return {level: rows for level, rows in found.items() if rows.classes > 1}

    @functools.cached_property
    def _fits(self) -> dict[str, dict[str, tuple[Calibration, str]]]:
        before = {BEFORE: (Calibration(self.settings.temperature), "")}
        fits: dict[str, dict[str, tuple[Calibration, str]]] = {}
        for level in LEVELS:
            fits[level] = dict(before)
            rows = None if self.fitting is None else self._fitting_level(level)
            if rows is not None and rows.classes > 1:
                for kind in FITTED:
                    bias = kind == WITH_BIAS
                    fits[level][kind] = fit(rows.rows, rows.truth, rows.people, with_bias=bias)
        return fits

    def _fitting_level(self, level: str) -> Level:
        return self.fitting.level(level, self.settings.aggregate)

    def calibrations(self, level: str) -> dict[str, Calibration]:
        """By kind; only :data:`BEFORE` where nothing could be fitted."""
        return {kind: calibration for kind, (calibration, _) in self._fits[level].items()}

    def best(self, level: str) -> Calibration:
        """The one whose probabilities are given out: as the settings say, if it was fitted."""
        return self.calibrations(level)[self.best_kind(level)]

    def best_kind(self, level: str) -> str:
        """Its kind."""
        kind = self.settings.calibration
        return kind if kind in self.calibrations(level) else BEFORE

    @property
    def calibrated(self) -> bool:
        """Whether recordings' probabilities are calibrated."""
        return self.best_kind("recording") != BEFORE

    # -- scores -----------------------------------------------------------------------------------

    def auroc(self, level: str) -> Scored:
        """Area under the ROC curve; of more than two classes the mean of one against the rest."""
        if level not in self.levels:
            return Scored(math.nan, math.nan, math.nan)
        rows = self.levels[level]
        judged = rows.judged(self.best(level))
        if judged.probability.shape[1] > 2:
            target = one_hot(judged.truth.astype(float), judged.probability.shape[1])
            return with_interval(roc_area, judged.people, target, judged.probability)
        score = self._score(level, rows)
        return with_interval(roc_area, rows.people, rows.truth, score)

    def _score(self, level: str, rows: Level) -> np.ndarray:
        """Of two classes: how much speaks for the second."""
        if rows.rows.group is None:  # windows, or mean cosines: no rounding by a softmax
            return rows.rows.cosine[:, 1] - rows.rows.cosine[:, 0]
        return probabilities(rows.rows, self.best(level))[:, 1]

    def bacc(self, level: str) -> Scored:
        """Balanced accuracy of the most probable class."""
        if level not in self.levels:
            return Scored(math.nan, math.nan, math.nan)
        judged = self.levels[level].judged(self.best(level))
        said = judged.probability.argmax(axis=1)
        return with_interval(balanced_accuracy, judged.people, judged.truth, said)

    @functools.cached_property
    def finding(self) -> dict[str, Any] | None:
        """The question's row among the findings; None where there is nothing to score."""
        if not self.levels:
            return None
        row: dict[str, Any] = {"finding": self.name}
        row |= self.auroc("recording")._asdict()
        row |= _named("bacc", self.bacc("recording"))
        row |= _named("window_auroc", self.auroc("window"))
        counts = self.answers.counts()
        if len(counts) == 2:
            row |= dict(zip(("negatives", "positives"), counts.values(), strict=True))
        else:
            row["counts"] = ", ".join(f"{name} {n}" for name, n in counts.items())
        return row | {"unlabelled": int(np.isnan(self.answers.truth).sum())}

    # -- calibration ------------------------------------------------------------------------------

    @functools.cached_property
    def calibration(self) -> list[dict[str, Any]]:
        """A row a level and kind of calibration."""
        return [
            self._calibration_row(level, kind, calibration)
            for level in self.levels
            for kind, calibration in self.calibrations(level).items()
        ]

    def _calibration_row(self, level: str, kind: str, calibration: Calibration) -> dict[str, Any]:
        judged = self.levels[level].judged(calibration)
        bins, k = self.settings.bins, judged.probability.shape[1]
        row: dict[str, Any] = {"finding": self.name, "level": level, "calibration": kind}
        row |= {"temperature": calibration.temperature}
        bias = calibration.bias or (0.0,) * k
        row["bias"] = bias[1] - bias[0] if k == 2 else [round(b, 4) for b in bias]
        row["nll"] = nll(judged.probability, one_hot(judged.truth.astype(float), k))
        for name, of in (("", "winner"), ("class_", "classes")):
            row[f"{name}ece"] = ece(judged.probability, judged.truth, bins, of=of)
            band = calibrated_band(judged.probability, judged.people, bins, of=of)
            row |= dict(zip((f"{name}band_low", f"{name}band_high"), band, strict=True))
        row["risk_coverage_area"] = risk_coverage(judged.probability, judged.truth).area
        return row | {"rows": len(judged.truth), "people": len(set(judged.people))}

    def _row(self, level: str, kind: str) -> dict[str, Any]:
        return next(r for r in self.calibration if (r["level"], r["calibration"]) == (level, kind))

    def scalars(self) -> dict[str, float]:
        """The numbers of the question that is the eval's own; without those that are undefined."""
        out = _named("auroc", self.auroc("recording")) | _named("bacc", self.bacc("recording"))
        out |= _named("window_auroc", self.auroc("window"))
        for level in self.levels:
            kind = self.best_kind(level)
            last = self._row(level, kind)
            if kind != BEFORE:
                out[f"temperature_{level}s"] = last["temperature"]
                out[f"ece_{level}s_before"] = self._row(level, BEFORE)["ece"]
            out |= {f"ece_{level}s": last["ece"], f"class_ece_{level}s": last["class_ece"]}
            out |= {f"ece_{level}s_band_{e}": last[f"band_{e}"] for e in ("low", "high")}
            out[f"risk_coverage_area_{level}s"] = last["risk_coverage_area"]
        return {name: value for name, value in out.items() if math.isfinite(value)}

    def coverage_rows(self) -> list[dict[str, Any]]:
        """Error rates where only the most certain rows are answered."""
        curves = self._curves()
        return [
            {"coverage": share}
            | {f"risk_{level}s": curve.at(share)[0] for level, curve in curves.items()}
            | {f"least_confidence_{level}s": curve.at(share)[1] for level, curve in curves.items()}
            for share in COVERAGES
        ]

    def _curves(self) -> dict[str, RiskCoverage]:
        judged = {level: rows.judged(self.best(level)) for level, rows in self.levels.items()}
        return {level: risk_coverage(j.probability, j.truth) for level, j in judged.items()}

    # -- words and pictures -----------------------------------------------------------------------

    def remarks(self) -> list[str]:
        """Where a fit is not well founded, per level."""
        return [
            f"{self.name}, {level}s: {remark}"
            for level in self.levels
            for kind, (_, remark) in self._fits[level].items()
            if remark and kind == self.settings.calibration
        ]

    def bias_notes(self) -> list[str]:
        """Where one temperature cannot be enough: a bias would lower NLL on the people of the fit.

        Said where the 95 % interval, over people, of that gain lies above zero.
        """
        return [note for level in self.levels if (note := self._bias_note(level))]

    def _bias_note(self, level: str) -> str:
        known = self.calibrations(level)
        if WITH_BIAS not in known or self.settings.calibration == WITH_BIAS:
            return ""
        rows = self._fitting_level(level)
        one, two = (_losses(rows.judged(known[kind])) for kind in (AFTER, WITH_BIAS))
        gain = with_interval(_mean, rows.judged(known[AFTER]).people, one - two)
        if not gain.low > 0:
            return ""
        after, biased = self._row(level, AFTER), self._row(level, WITH_BIAS)
        names, bias = self.answers.question.class_names, known[WITH_BIAS].bias
        return (
            f"{self.name}, {level}s: one temperature is not enough. A bias beside it would lower "
            f"NLL on split {self.fitting.split!r} by {gain.value:.3f} [{gain.low:.3f}, "
            f"{gain.high:.3f}], and the classes' ECE here from {after['class_ece']:.3f} to "
            f"{biased['class_ece']:.3f}: cosines lean to {names[int(np.argmin(bias))]!r}, or the "
            f"classes are not equally frequent"
        )

    def figures(self, *, simulated: bool | str) -> dict[str, Any]:
        """ROC, reliability, risk and coverage."""
        drawn = {"zero_shot_roc": self._roc(simulated)} if "recording" in self.levels else {}
        panels = {f"{level}s": self._reliability(level) for level in self.levels}
        names = self.answers.question.class_names
        axis = f"probability of {names[1]!r}" if len(names) == 2 else "of the most probable class"
        drawn["zero_shot_reliability"] = reliability_diagram(
            panels, what=self.name, axis=axis, simulated=simulated
        )
        drawn["zero_shot_risk_coverage"] = risk_coverage_curves(
            {f"{level}s": curve for level, curve in self._curves().items()},
            what=self.name,
            simulated=simulated,
        )
        return drawn

    def _roc(self, simulated: bool | str) -> Any:
        rows, found = self.levels["recording"], self.auroc("recording")
        judged: Judged = rows.judged(self.best("recording"))
        names = self.answers.question.class_names
        if len(names) > 2:
            summary = f"mean AUROC {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
            return roc_by_class(
                judged.truth,
                judged.probability,
                names,
                what=self.name,
                summary=summary,
                simulated=simulated,
            )
        score = self._score("recording", rows)
        use = np.isfinite(rows.truth) & np.isfinite(score)
        truth = rows.truth[use]
        result = Auroc(*found, int((truth == 1).sum()), int((truth == 0).sum()))
        return figures.roc(truth, score[use], result, what=self.name, simulated=simulated)

    def _reliability(self, level: str) -> dict[str, Any]:
        """Bins and legend by kind of calibration."""
        words = {BEFORE: "before", AFTER: "one temperature", WITH_BIAS: "temperature and bias"}
        curves = {}
        for kind, calibration in self.calibrations(level).items():
            judged, row = self.levels[level].judged(calibration), self._row(level, kind)
            legend = (
                f"{words[kind]}: T {row['temperature']:.3g}, ECE {row['ece']:.3f} (if calibrated "
                f"{row['band_low']:.3f} to {row['band_high']:.3f}), classes' {row['class_ece']:.3f}"
            )
            given_out = kind == self.best_kind(level)
            curves[kind] = Curve(reliability(*judged, self.settings.bins), legend, given_out)
        return curves


def _named(name: str, found: Scored) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _losses(judged: Judged) -> np.ndarray:
    """Negative log-likelihood of every row."""
    rows = np.arange(len(judged.truth))
    return -np.log(np.maximum(judged.probability[rows, judged.truth], 1e-300))
