"""The linear probe: what a linear model reads from vectors, beside baselines on the same people.

Every input (the model's features and projection, band power, the same network with random weights)
is fitted and scored on the same folds and label budgets, so that its rows can be compared.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.data.manifest import ManifestError
from elm_jax.data.targets import Target
from elm_jax.evals.band_power import WITH_GAMMA_HZ, window_band_power
from elm_jax.evals.base import EvalData, EvalResult, Predict
from elm_jax.evals.probe import by_class, figures, scoring
from elm_jax.evals.probe.data import Sample, cells, classes_of_people, gather, joined
from elm_jax.evals.probe.run import Fits, run_folds
from elm_jax.evals.probe.splits import Fold, folds, limited

log = logging.getLogger(__name__)

INPUTS = (
    "features",
    "projection",
    "band_power",
    "band_power_gamma",
    "random_features",
    "random_projection",
)
OUTER = ("prepared", "folds", "leave_one_person_out")


@dataclasses.dataclass(frozen=True)
class Probe:
    """Linear probes of a label from several inputs.

    Attributes:
      labels: what is predicted: ``name``, ``kind`` and ``classes`` of a
        :class:`~elm_jax.data.targets.Target`.
      inputs: of ``INPUTS``; one row of every table each.
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
      alpha: fixed strength of ridge regression; None: chosen from the grid.
      refit_people: with at least so many training people the last fit is on training and
        validation people together. ELM's paper does so above a cutoff that it does not state.
      random_networks: how many seeds of random weights; scores are the mean over them.
      also: of "train" and "valid", whose people are answered about beside those of the test, in
        table ``splits``; with outer "prepared" alone. Where "valid" is one of them and the strength
        is fixed, its people do not train.
      hypnograms: how many scored recordings are drawn over time, where windows have classes of
        their own.
      resamples: of people, for intervals.
      seed: of everything random here.
    """

    labels: Mapping[str, Any]
    inputs: Sequence[str] = INPUTS
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
    refit_people: int = 50
    random_networks: int = 3
    also: Sequence[str] = ()
    hypnograms: int = 0
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
        self._plan(gather(data, self.splits, self.target))

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Tables ``scores`` and ``fits``, per-recording answers, figure ``probe``.

        Of classes also the tables ``confusion`` and ``classes`` and the figure
        ``probe_confusion``, of the first input at the largest budget, by the mean probability over
        repeats; table ``splits``, see ``also``; figures ``hypnogram_RECORDING``.

        Scalars: the first score of the label's kind, per recording (per window where recordings
        have no one label), of the first input at the largest budget.
        """
        sample = gather(data, self.splits, self.target)
        plan, fits = self._plan(sample), Fits()
        of_part = self._said(predict, data, sample, plan, fits)
        said = of_part["test"]
        rows = scoring.table(sample, said, fits.rows, resamples=self.resamples)
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
        report = self._by_class(data, sample, at_most["test"])
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
            notes=(*filter(None, [sample.note()]), *lacking, *fits.notes()),
        )

    def _splits(
        self, sample: Sample, said: Mapping[str, Mapping[str, np.ndarray]], fold: Fold
    ) -> list[dict[str, Any]]:
        """Table ``splits``: everybody who was asked about, side by side."""
        refit = len(fold.train) >= self.refit_people
        chosen = "fitted on" if refit else "chosen on"
        saw = {"train": "fitted on", "valid": chosen, "test": "unseen"}
        if self._fixed(sample.target):
            saw["valid"] = "unseen"
        return scoring.by_split(sample, said, saw)

    def _by_class(
        self, data: EvalData, sample: Sample, said: Mapping[str, np.ndarray]
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
                        fixed=self._fixed(sample.target),
                        refit_people=self.refit_people,
                        fits=fits,
                        about={"input": name, "network": network, "budget": budget},
                        parts=tuple(said),
                    )
                    for part, own in said.items():
                        # Other networks count as further repeats.
                        before = [own[name, budget]] if network else []
                        own[name, budget] = np.concatenate([*before, found[part]], axis=1)
            log.info("probe    %s: %.1f s", name, time.monotonic() - began)
        return said

    def _fixed(self, target: Target) -> float | None:
        """The strength that is not chosen, if it is not."""
        return self.alpha if target.kind == "regression" else self.c

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
                valid_share=0.0 if self._fixed(sample.target) else self.valid_share,
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


def vectors(
    name: str, predict: Predict, data: EvalData, splits: Sequence[str], *, seed: int
) -> np.ndarray | None:
    """An input's vectors ``[n, d]`` of all windows of the splits; None: the model lacks it.

    ``seed`` is that of random weights.
    """
    if name == "band_power":
        return np.concatenate([window_band_power(data, s) for s in splits])
    if name == "band_power_gamma":
        settings = dict(bands_hz=WITH_GAMMA_HZ, segment_s=4.0)
        return np.concatenate([window_band_power(data, s, **settings) for s in splits])
    kind = name.removeprefix("random_")
    use = predict if kind == name else data.random_predict(seed)
    found = [getattr(data.encoded(use, split), kind) for split in splits]
    return None if any(x is None for x in found) else np.concatenate(found)
