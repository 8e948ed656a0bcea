"""What a probe of several findings answered, finding by finding: a table and a figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.evals import scores
from elm_jax.evals.figures_forest import INTERVALS, Mark, forest
from elm_jax.evals.probe import scoring
from elm_jax.evals.probe.data import Sample
from elm_jax.evals.probe.figures import HOLLOW, STYLES


def short_name(finding: str) -> str:
    """``NORM`` of ``superclass=NORM``; the first of several values; else the label's name."""
    return finding.partition("=")[2].split("|")[0] or finding


def classes_table(
    sample: Sample,
    said: Mapping[str, Float[np.ndarray, "n s k"]],
    *,
    least: int,
    resamples: int,
) -> list[dict[str, Any]]:
    """A row a finding and input: AUROC with its interval, how many have and lack it.

    Per recording, or per window where recordings have no one label.

    Args:
      sample: whose windows.
      said: by input, at one budget.
      least: so many recordings must have a finding, and lack it, or it is not in the mean.
      resamples: of people.
    """
    if sample.target.kind != "multilabel":
        return []
    rows = []
    for name, values in said.items():
        truth, answer, people, group = _scored(sample, values)
        keep = scores.enough_of_both(truth, least, group)
        for k, finding in enumerate(sample.target.classes):
            found = scores.with_interval(
                scores.mean_over_repeats(scores.roc_area),
                people, truth[:, k], answer[..., k], resamples=resamples,
            )  # fmt: skip
            rows.append(
                {"input": name, "class": short_name(finding)}
                | scoring.score_columns({"auroc": found})
                | {"chance": 0.5}
                | _counts(truth[:, k])
                | {"in_mean": bool(keep[k])}
            )
    return rows


def notes(sample: Sample, table: list[dict[str, Any]], train: np.ndarray) -> list[str]:
    """What is to be known of the mean over findings.

    Args:
      sample: whose windows.
      table: from :func:`classes_table`.
      train: the windows of those who train, or choose.
    """
    if not table:
        return []
    have = (sample.truth[train] == 1).any(axis=0)
    names = {short_name(f) for f, some in zip(sample.target.classes, have, strict=True) if not some}
    unlearnt = [r["class"] for r in table if r["class"] in names and r["in_mean"]]
    told = [INTERVALS]
    if unlearnt:
        listed = ", ".join(dict.fromkeys(unlearnt))
        told.append(f"no training person has {listed}: at chance, and counted in the mean")
    return told


def _counts(truth: np.ndarray) -> dict[str, int]:
    return {"positives": int((truth == 1).sum()), "negatives": int((truth == 0).sum())}


def _scored(sample: Sample, said: np.ndarray) -> tuple[np.ndarray, ...]:
    """Truth, answers, people and recording of the rows that are scored."""
    unit = "recording" if scoring.one_truth(sample) else "window"
    truth, answer, people, group = scoring.rows_of(sample, said, unit)
    use = scoring.complete(truth, answer)
    return truth[use], answer[use], people[use], group[use]


def figure(
    table: list[dict[str, Any]],
    scored: list[dict[str, Any]],
    *,
    what: str,
    budget: Any,
    least: int,
    simulated: bool | str,
    whose: str = "Probe",
) -> Any:
    """Findings with their intervals, the inputs side by side; None where no finding is scored.

    Args:
      table: from :func:`classes_table`.
      scored: table ``scores``, whose means stand below.
      what: the task.
      budget: which.
      least: see :func:`classes_table`.
      simulated: says so in the title.
      whose: findings these are.
    """
    kept = [row for row in table if row["in_mean"] and row["auroc"] is not None]
    if not kept:
        return None
    label = {row["input"]: row["input"] for row in kept}
    label |= {name: style[2] for name, style in STYLES.items()}
    marks = [
        Mark(r["class"], label[r["input"]], r["auroc"], r["auroc_low"], r["auroc_high"])
        for r in kept
    ]
    for name in dict.fromkeys(row["input"] for row in kept):
        own = [r for r in scored if (r["input"], r["budget"]) == (name, budget)]
        if own and own[-1]["auroc"] is not None:  # recordings come last
            last = own[-1]
            marks.append(
                Mark("mean", label[name], last["auroc"], last["auroc_low"], last["auroc_high"])
            )
    first = [row for row in table if row["input"] == table[0]["input"]]
    return forest(
        marks,
        {row["class"]: row["positives"] for row in first},
        title=f"{whose}: {what}, AUROC of each class",
        left_out=sum(not row["in_mean"] for row in first),
        least=least,
        simulated=simulated,
        colours={style[2]: style[0] for style in STYLES.values()},
        hollow=[STYLES[name][2] for name in HOLLOW],
    )
