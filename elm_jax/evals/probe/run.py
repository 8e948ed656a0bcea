"""Fitting the folds of a probe, one input at a time; a fold that cannot be fitted is said."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.evals.probe import models
from elm_jax.evals.probe.data import Sample
from elm_jax.evals.probe.models import LINEAR, STRENGTHS, FoldError, Readout
from elm_jax.evals.probe.splits import Fold


@dataclasses.dataclass
class Fits:
    """What is told of every fit: a row each, of those done and of those that could not be.

    Attributes:
      rows: table ``fits``: who trained and chose, the strength, its score on validation people.
      left_out: table ``left_out``: which fold of which input, and why.
    """

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    left_out: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """Which folds were left out: a line a budget and reason."""
        groups: dict[tuple[Any, str], list[dict[str, Any]]] = {}
        for row in self.left_out:
            groups.setdefault((row["budget"], row["why"]), []).append(row)
        lines = []
        for (budget, why), rows in groups.items():
            inputs = ", ".join(dict.fromkeys(r["input"] for r in rows))
            named = list(dict.fromkeys(f"{r['fold']} (repeat {r['repeat']})" for r in rows))
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            lines.append(
                f"budget {budget} of {inputs}: left out {', '.join(named[:3])}{more}: {why}. Their "
                "people are not scored"
            )
        return tuple(lines)


def run_folds(
    sample: Sample,
    x: models.Vectors,
    repeats: Sequence[Sequence[Fold]],
    *,
    fixed: float | None,
    refit_people: int,
    fits: Fits,
    about: Mapping[str, Any],
    parts: Sequence[str] = ("test",),
    readout: Readout = LINEAR,
    strengths: np.ndarray = STRENGTHS,
) -> dict[str, Float[np.ndarray, "n s k"]]:
    """What probes said about the windows of each part in every repeat; NaN about the others.

    Args:
      sample: whose windows, and their truth.
      x: the windows' vectors ``[n, d]``; words in a sparse array.
      repeats: the folds of each.
      fixed: the strength; None: chosen in every fold.
      refit_people: with at least so many training people the validation people join them for the
        last fit.
      fits: gets a row a fit.
      about: what stands at the beginning of each of these rows.
      parts: of a :class:`Fold`, who is asked about.
      readout: what reads the vectors.
      strengths: those to choose from.
    """
    shape = (len(sample.recording), len(repeats), sample.target.outputs)
    said = {part: np.full(shape, np.nan) for part in parts}
    settings = dict(fixed=fixed, refit_people=refit_people, readout=readout, strengths=strengths)
    for repeat, made in enumerate(repeats):
        for fold in made:
            where = {"repeat": repeat, "fold": fold.name}
            if not len(sample.rows(fold.test)):
                continue
            try:
                fitted, how = _fit(sample, x, fold, **settings)
            except FoldError as error:
                fits.left_out.append({**about, **where, "why": str(error)})
                continue
            for part, own in said.items():
                rows = sample.rows(getattr(fold, part))
                if len(rows):
                    own[rows, repeat] = fitted.predict(x[rows])
            fits.rows.append({**about, **where, **how, "test_people": len(fold.test)})
    return said


def _fit(
    sample: Sample,
    x: models.Vectors,
    fold: Fold,
    *,
    fixed: float | None,
    refit_people: int,
    readout: Readout,
    strengths: np.ndarray,
) -> tuple[models.Fitted, dict[str, Any]]:
    target, truth = sample.target, sample.truth
    train, valid = sample.rows(fold.train), sample.rows(fold.valid)
    strength, score = fixed, None
    if fixed is None:
        strength, score = models.choose_strength(
            target,
            (x[train], truth[train]),
            (x[valid], truth[valid]),
            readout=readout,
            strengths=strengths,
        )
        if len(fold.train) >= refit_people:
            train = np.concatenate([train, valid])
    how = {
        "train_people": len(fold.train),
        "valid_people": len(fold.valid),
        "fitted_windows": len(train),
        "strength": strength,
        f"valid_{models.CHOSEN_BY[target.kind]}": score,
    }
    return models.fit(target, x[train], truth[train], strength, readout), how
