"""The linear probe: what a linear model reads from vectors, beside baselines on the same people.

Every input (the model's features and projection, band power, the same network with random weights,
and others, see :mod:`elm_jax.evals.probe.inputs`) is fitted and scored on the same folds and label
budgets, so that its rows can be compared.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.data.manifest import ManifestError
from elm_jax.data.targets import Target
from elm_jax.evals.base import EvalData, EvalResult, Predict
from elm_jax.evals.probe import by_class, by_finding, figures, scoring
from elm_jax.evals.probe.data import NO_CLASS, Sample, cells, classes_of_people, gather, joined
from elm_jax.evals.probe.inputs import INPUTS, USUAL, readout_of, require_reports, vectors
from elm_jax.evals.probe.models import STRENGTHS
from elm_jax.evals.probe.run import Fits, run_folds
from elm_jax.evals.probe.splits import Fold, folds, limited

log = logging.getLogger(__name__)

OUTER = ("prepared", "folds", "leave_one_person_out")


@dataclasses.dataclass(frozen=True)
class Probe:
    """Linear probes of a label from several inputs.

    Attributes:
      labels: what is predicted: ``name``, ``kind`` and ``classes`` of a
        :class:`~elm_jax.data.targets.Target`.
      inputs: of :data:`~elm_jax.evals.probe.inputs.INPUTS`; one row of every table each.
      splits: of the prepared directory, whose people take part.
      outer: who is scored: "prepared" trains on the splits train and valid and scores test;
        "folds" and "leave_one_person_out" score everybody of ``splits`` once a repeat.
      folds: of "folds".
      repeats: seeded repetitions of folds, validation people and budgets.
      budgets: training people: a share (float, 1.0 is all) or a count (int).
      stratify: labels that every split and budget is alike in, besides the predicted one.
      bins: quantiles that numbers (age) are stratified by.
      valid_share: of the training people, to choose the strength on where no split valid does.
      c: fixed strength of logistic regression; None: chosen from the grid.
      alpha: fixed strength of ridge regression (of numbers, and of random convolutions); None:
        chosen from the grid.
      strengths: how many the grid has, 1e-6 to 1e5.
      refit_people: with at least so many training people the last fit is on training and
        validation people together. ELM's paper does so above a cutoff that it does not state.
      random_networks: how many seeds of random weights, or kernels; scores are the mean over them.
      also: of "train" and "valid", whose people are answered about beside those of the test, in
        table ``splits``; with outer "prepared" alone. Where "valid" is one of them and the strength
        is fixed, its people do not train.
      hypnograms: how many scored recordings are drawn over time, where windows have classes of
        their own.
      min_positives: of several findings, so many recordings must have one, and lack it, or it is
        not in the mean.
      no_class: what recordings are that have none of several findings: "negative", or "left_out"
        as in the splits of MERL and of the benchmark on PTB-XL.
      resamples: of people, for intervals.
      seed: of everything random here.
    """

    labels: Mapping[str, Any]
    inputs: Sequence[str] = USUAL
    splits: Sequence[str] = ("train", "valid", "test")
    outer: str = "prepared"
    folds: int = 5
    repeats: int = 1
    budgets: Sequence[int | float] = (1.0,)
    stratify: Sequence[str] = ()
    bins: int = 3
    valid_share: float = 0.2
    c: float | None = None
    alpha: float | None = None
    strengths: int = len(STRENGTHS)
    refit_people: int = 50
    random_networks: int = 3
    also: Sequence[str] = ()
    hypnograms: int = 0
    min_positives: int = 1
    no_class: str = "negative"
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self):
        if unknown := sorted(set(self.inputs) - set(INPUTS)):
            raise ValueError(f"inputs {unknown} are unknown; known: {list(INPUTS)}")
        if self.outer not in OUTER:
            raise ValueError(f"outer is {self.outer!r}; known: {list(OUTER)}")
        for name in ("inputs", "budgets", "splits"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        counts = dict(folds=2, repeats=1, bins=1, random_networks=1, resamples=1)
        counts |= dict(strengths=2, min_positives=1)
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {least} or more")
        for name in ("c", "alpha"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"{name} is {value}; expected a positive number, or None to choose"
                )
        if set(self.also) - {"train", "valid"} or (self.also and self.outer != "prepared"):
            raise ValueError(
                f"also is {list(self.also)} with outer={self.outer!r}; expected some of 'train' "
                "and 'valid', with outer='prepared'"
            )
        if self.no_class not in NO_CLASS:
            raise ValueError(f"no_class is {self.no_class!r}; known: {list(NO_CLASS)}")
        fixed = {name: self._fixed(self.target, name) for name in self.inputs}
        if len({value is None for value in fixed.values()}) > 1:
            raise ValueError(
                f"c is {self.c} and alpha is {self.alpha}: some inputs would choose their "
                f"strength on people that others train on ({fixed}); fix both, or neither"
            )
        if not 0 < self.valid_share < 1:
            raise ValueError(f"valid_share is {self.valid_share}; expected a share between 0 and 1")

    @property
    def target(self) -> Target:
        """What is predicted; classes may still have to be read from the data."""
        return Target.from_dict(self.labels, where="labels")

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Splits whose people are scored."""
        return ("test",) if self.outer == "prepared" else tuple(self.splits)

    def check(self, data: EvalData) -> None:
        """Raises where labels, splits or settings cannot be used.

        Raises:
          ManifestError: no recordings in the splits.
          ValueError: a label that is no label; too few people for the folds or a budget.
        """
        self._plan(self._sample(data))
        if "report_words" in self.inputs:
            require_reports(data, [s for s in self.splits if data.manifest.people.get(s)])

    def _sample(self, data: EvalData) -> Sample:
        return gather(data, self.splits, self.target, no_class=self.no_class)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Tables ``scores`` and ``fits``, per-recording answers, figure ``probe``.

        Of several findings also the table ``classes``, a row each at the largest budget, and the
        figure ``probe_classes``.

        Of classes also the tables ``confusion`` and ``classes`` and the figure
        ``probe_confusion``, of the first input at the largest budget, by the mean probability over
        repeats; table ``splits``, see ``also``; figures ``hypnogram_RECORDING``.

        Scalars: the first score of the label's kind, per recording (per window where recordings
        have no one label), of the first input at the largest budget.
        """
        sample = self._sample(data)
        plan, fits = self._plan(sample), Fits()
        of_part = self._said(predict, data, sample, plan, fits)
        said = of_part["test"]
        settings = dict(resamples=self.resamples, least=self.min_positives)
        rows = scoring.table(sample, said, fits.rows, **settings)
        most = max(plan, key=lambda budget: len(plan[budget][0][0].train))
        simulated = data.simulated
        figure = figures.probe(
            rows,
            score=scoring.headline(sample.target),
            what=sample.target.name,
            simulated=simulated,
        )
        at_most = {
            part: {name: values for (name, budget), values in found.items() if budget == most}
            for part, found in of_part.items()
        }
        splits = self._splits(sample, at_most, plan[most][0][0]) if self.also else []
        of_test = at_most["test"]
        if sample.target.kind == "multilabel" and of_test:
            report = self._by_finding(data, sample, of_test, rows, plan[most][0][0], most)
        else:
            report = self._by_class(data, sample, of_test)
        tables = {"scores": rows, "splits": splits, **report.tables}
        tables |= {"fits": fits.rows, "left_out": fits.left_out}
        lacking = [
            f"{name}: left out, this model has no projection"
            for name in self.inputs
            if not any(name == found for found, _ in said)
        ]
        return EvalResult(
            scalars=scoring.scalars(rows, sample.target, budget=most)
            | scoring.split_scalars(splits, sample.target),
            tables={name: table for name, table in tables.items() if table}
            | scoring.networks(sample, said, self.random_networks),
            scores=scoring.answers(sample, at_most["test"]),
            figures=({"probe": figure} if len(rows) else {}) | report.figures,
            notes=(*filter(None, [sample.note()]), *lacking, *fits.notes(), *report.notes),
        )

    def _splits(
        self, sample: Sample, said: Mapping[str, Mapping[str, np.ndarray]], fold: Fold
    ) -> list[dict[str, Any]]:
        """Table ``splits``: everybody who was asked about, side by side."""
        refit = len(fold.train) >= self.refit_people
        chosen = "fitted on" if refit else "chosen on"
        saw = {"train": "fitted on", "valid": chosen, "test": "unseen"}
        if self._chooses_nothing(sample.target):
            saw["valid"] = "unseen"
        return scoring.by_split(sample, said, saw, least=self.min_positives)

    def _by_finding(
        self,
        data: EvalData,
        sample: Sample,
        said: Mapping[str, np.ndarray],
        scored: Sequence[Mapping[str, Any]],
        fold: Fold,
        budget: Any,
    ) -> EvalResult:
        """The table and figure of several findings, of every input."""
        settings = dict(resamples=self.resamples, least=self.min_positives)
        table = by_finding.classes_table(sample, said, **settings)
        drawn = by_finding.figure(
            table,
            scored,
            what=sample.target.name,
            budget=budget,
            least=self.min_positives,
            simulated=data.simulated,
        )
        everybody = self.outer != "prepared"  # trains in some fold
        trained = sample.rows(np.arange(len(sample.people)) if everybody else _of(fold))
        return EvalResult(
            tables={"classes": table},
            figures={} if drawn is None else {"probe_classes": drawn},
            notes=tuple(by_finding.notes(sample, table, trained)),
        )

    def _by_class(
        self,
        data: EvalData,
        sample: Sample,
        said: Mapping[str, np.ndarray],
    ) -> EvalResult:
        """Tables and figures of the first input's classes."""
        found = by_class.answers(sample, next(iter(said.values()))) if said else None
        if found is None:
            return EvalResult()
        simulated = data.simulated
        drawn = found.figure("Probe", simulated=simulated)
        drawings = {} if drawn is None else {"probe_confusion": drawn}
        if self.hypnograms and found.unit == "window":
            spec = data.manifest.spec
            drawings |= by_class.hypnograms(
                *joined(data, sample.splits),
                found,
                sfreq_hz=spec.sfreq_hz,
                window_s=spec.window_s,
                most=self.hypnograms,
                simulated=simulated,
            )
        return EvalResult(tables=found.tables(), figures=drawings)

    def _said(
        self,
        predict: Predict,
        data: EvalData,
        sample: Sample,
        plan: Mapping[Any, list[list[Fold]]],
        fits: Fits,
    ) -> dict[str, dict[tuple[str, Any], np.ndarray]]:
        """What probes of every input and budget said about every window, ``[n, repeats, k]``.

        By the part of the folds that was asked about.
        """
        said: dict[str, dict[tuple[str, Any], np.ndarray]] = {p: {} for p in (*self.also, "test")}
        for name in self.inputs:
            began = time.monotonic()
            for network in range(self.random_networks if name.startswith("random_") else 1):
                x = vectors(name, predict, data, sample.splits, seed=self.seed + network)
                if x is None:
                    break
                for budget, repeats in plan.items():
                    found = run_folds(
                        sample,
                        x,
                        repeats,
                        fixed=self._fixed(sample.target, name),
                        refit_people=self.refit_people,
                        fits=fits,
                        about={"input": name, "network": network, "budget": budget},
                        parts=tuple(said),
                        readout=readout_of(name),
                        strengths=np.logspace(-6, 5, self.strengths),
                    )
                    for part, own in said.items():
                        # Other networks count as further repeats.
                        before = [own[name, budget]] if network else []
                        own[name, budget] = np.concatenate([*before, found[part]], axis=1)
            log.info("probe    %s: %.1f s", name, time.monotonic() - began)
        return said

    def _fixed(self, target: Target, name: str) -> float | None:
        """The strength of an input's model that is not chosen, if it is not."""
        return self.alpha if readout_of(name).is_alpha(target) else self.c

    def _chooses_nothing(self, target: Target) -> bool:
        """Whether all strengths are fixed; all are, or none."""
        return self._fixed(target, self.inputs[0]) is not None

    def _plan(self, sample: Sample) -> dict[Any, list[list[Fold]]]:
        """The folds of every repeat, by budget; the same for all inputs.

        Raises:
          ManifestError: outer is "prepared", and train or test holds nobody with the label.
          ValueError: fewer people than folds, or a budget of more people than there are.
        """
        known = {split: sample.people_of(split) for split in sample.splits}
        self._require_people(known, sample.target.name)
        alike, classes = cells(sample, self.stratify, bins=self.bins), classes_of_people(sample)
        plan: dict[Any, list[list[Fold]]] = {budget: [] for budget in self.budgets}
        for repeat in range(self.repeats):
            made = folds(
                alike,
                classes,
                outer=self.outer,
                prepared=known,
                count=self.folds,
                valid_share=0.0 if self._chooses_nothing(sample.target) else self.valid_share,
                seed=self.seed + repeat,
                names=sample.people,
                apart="valid" in self.also,
            )
            for i, fold in enumerate(made):
                for budget in self.budgets:
                    own = limited(fold, alike, classes, budget, (self.seed + repeat, 2, i))
                    plan[budget] += [[]] if i == 0 else []
                    plan[budget][repeat].append(own)
        return plan

    def _require_people(self, known: Mapping[str, np.ndarray], label: str) -> None:
        counts = {split: len(people) for split, people in known.items()}
        if self.outer == "prepared" and not (counts.get("train") and counts.get("test")):
            raise ManifestError(
                f"people with a label {label!r} by split: {counts}; outer='prepared' needs some in "
                "train and in test. Score everybody instead: outer='folds' or "
                "'leave_one_person_out'"
            )
        least = self.folds if self.outer == "folds" else 2
        if sum(counts.values()) < least:
            raise ValueError(
                f"people with a label {label!r} by split: {counts}; outer={self.outer!r} needs "
                f"{least} or more"
            )


def _of(fold: Fold) -> np.ndarray:
    """Those of a fold who train, or choose."""
    return np.concatenate([fold.train, fold.valid])
