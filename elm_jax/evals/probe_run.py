"""Fitting the folds of a probe, one input at a time; a fold that cannot be fitted is said."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.evals import probe_models
from elm_jax.evals.probe_data import Sample
from elm_jax.evals.probe_models import FoldError
from elm_jax.evals.probe_splits import Fold


@dataclasses.dataclass
class Fits:
    """What is told of every fit: rows of the table ``fits``, and folds that were left out."""

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def run_folds(
    sample: Sample,
    x: Float[np.ndarray, "n d"],
    repeats: Sequence[Sequence[Fold]],
    *,
    fixed: float | None,
    refit_people: int,
    fits: Fits,
    about: Mapping[str, Any],
) -> Float[np.ndarray, "n s k"]:
    """What probes said about every scored window in every repeat; NaN about the others.

    Args:
      sample: whose windows, and their truth.
      x: the windows' vectors.
      repeats: the folds of each.
      fixed: the strength; None: chosen in every fold.
      refit_people: with at least so many training people the validation people join them for the
        last fit.
      fits: gets a row a fit, and a note a fold that is left out.
      about: what stands at the beginning of each of these rows.
    """
    said = np.full((len(sample.recording), len(repeats), sample.target.outputs), np.nan)
    for repeat, made in enumerate(repeats):
        for fold in made:
            test = sample.rows(fold.test)
            if not len(test):
                continue
            try:
                fitted, how = _fit(sample, x, fold, fixed, refit_people)
            except FoldError as error:
                words = ", ".join(f"{k} {v}" for k, v in about.items())
                fits.notes.append(f"{words}: {fold.name} of repeat {repeat} is left out: {error}")
                continue
            said[test, repeat] = fitted.predict(x[test])
            where = {"repeat": repeat, "fold": fold.name}
            fits.rows.append({**about, **where, **how, "test_people": len(fold.test)})
    return said


def _fit(
    sample: Sample, x: np.ndarray, fold: Fold, fixed: float | None, refit_people: int
) -> tuple[probe_models.Fitted, dict[str, Any]]:
    target, truth = sample.target, sample.truth
    train, valid = sample.rows(fold.train), sample.rows(fold.valid)
    strength, score = fixed, None
    if fixed is None:
        strength, score = probe_models.choose_strength(
            target, (x[train], truth[train]), (x[valid], truth[valid])
        )
        if len(fold.train) >= refit_people:
            train = np.concatenate([train, valid])
    how = {
        "train_people": len(fold.train),
        "valid_people": len(fold.valid),
        "fitted_windows": len(train),
        "strength": strength,
        f"valid_{probe_models.CHOSEN_BY[target.kind]}": score,
    }
    return probe_models.fit(target, x[train], truth[train], strength), how
