"""From what probes said about windows to scores of windows and of recordings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Bool, Float
from elm_jax.data.targets import Target
from elm_jax.evals import scores
from elm_jax.evals.base import mean_by
from elm_jax.evals.probe.data import Sample, class_count

UNITS = ("window", "recording")

# Score -> its statistic, and whether it takes the probability or what it decides for.
SCORES: dict[str, dict[str, tuple[Any, str]]] = {
    "binary": {
        "auroc": (scores.roc_area, "said"),
        "auprc": (scores.average_precision, "said"),
        "bacc": (scores.balanced_accuracy, "decided"),
        "kappa": (scores.cohen_kappa, "decided"),
        "weighted_f1": (scores.weighted_f1, "decided"),
    },
    "multiclass": {
        "bacc": (scores.balanced_accuracy, "decided"),
        "auroc": (scores.roc_area, "said"),  # mean over one class against the others
        "auprc": (scores.average_precision, "said"),
        "kappa": (scores.cohen_kappa, "decided"),
        "weighted_f1": (scores.weighted_f1, "decided"),
    },
    "multilabel": {
        "auroc": (scores.roc_area, "said"),  # means over findings that some have and some lack
        "auprc": (scores.average_precision, "said"),
        "hamming": (scores.hamming_loss, "decided"),
    },
    "regression": {
        "r2": (scores.r2, "said"),
        "mae": (scores.mean_absolute_error, "said"),
    },
}


def headline(target: Target) -> str:
    """The score that is drawn."""
    return next(iter(SCORES[target.kind]))


def per_recording(
    sample: Sample, said: Float[np.ndarray, "n s k"]
) -> tuple[np.ndarray, np.ndarray]:
    """Truth ``[r, k']`` and mean probability ``[r, s, k]`` of recordings over their windows.

    NaN where windows of a recording have different labels, as those of events have: there is no
    one truth then.
    """
    use = sample.labelled
    group, n = sample.recording[use], len(sample.recordings)
    truth = mean_by(sample.truth[use], group, n)
    differs = (mean_by(np.abs(sample.truth[use] - truth[group]), group, n) > 1e-9).any(axis=1)
    truth[differs] = np.nan
    return truth, mean_by(said[use], group, n)


def one_truth(sample: Sample) -> bool:
    """Whether all windows of every recording have the same label, so that recordings can be scored.

    A few that do, among others whose windows have labels of their own, would not stand for all.
    """
    use = sample.labelled
    whose, truth = sample.recording[use], sample.truth[use]
    mean = mean_by(truth, whose, len(sample.recordings))
    return not (np.abs(truth - mean[whose]) > 1e-9).any()


def decide(target: Target, said: Float[np.ndarray, "n s k"]) -> np.ndarray:
    """What probabilities decide for: classes ``[n, s]``, findings ``[n, s, k]``; NaN stays."""
    missing = np.isnan(said)
    if target.kind == "multiclass":
        best = np.where(missing, -1.0, said).argmax(-1).astype(float)
        best[missing.any(-1)] = np.nan
        return best
    decided = np.where(missing, np.nan, said > 0.5)
    return decided[..., 0] if target.kind == "binary" else decided


def score_rows(
    target: Target,
    truth: Float[np.ndarray, "n k"],
    said: Float[np.ndarray, "n s c"],
    people: np.ndarray,
    *,
    resamples: int,
    keep: Bool[np.ndarray, " k"] | None = None,
) -> dict[str, scores.Scored]:
    """Every score of a kind, the mean over repeats, with its interval over people.

    Rows without a truth, or that any repeat said nothing about, do not count; of several findings
    the areas are means over those to ``keep``.
    """
    single = target.kind in ("binary", "regression")
    plain = truth[:, 0] if target.kind != "multilabel" else truth
    one_hot = plain
    if target.kind == "multiclass":
        codes = np.arange(class_count(target))
        one_hot = np.where(np.isnan(truth), np.nan, truth == codes)
    arrays = {
        "said": (one_hot, said[..., 0] if single else said),
        "decided": (plain, decide(target, said)),
    }
    if keep is not None:
        arrays["said"] = (truth[:, keep], said[..., keep])
    found = {}
    for name, (statistic, takes) in SCORES[target.kind].items():
        if takes == "said" and keep is not None and not keep.any():
            found[name] = scores.Scored(np.nan, np.nan, np.nan)
            continue
        found[name] = scores.with_interval(
            scores.mean_over_repeats(statistic), people, *arrays[takes], resamples=resamples
        )
    return found


def chance(
    target: Target, truth: Float[np.ndarray, "n k"], keep: Bool[np.ndarray, " k"] | None = None
) -> dict[str, float]:
    """What each score is for a guess that looks at nothing.

    AUPRC: how common a class is (of several findings the mean over those to ``keep``); Hamming:
    always the commoner answer of each finding; MAE: always the median; weighted F1: always the
    commonest class.
    """
    truth = truth[np.isfinite(truth).all(axis=1)]
    if not len(truth):
        return dict.fromkeys(SCORES[target.kind], float("nan"))
    if target.kind == "regression":
        return {"r2": 0.0, "mae": float(np.abs(truth - np.median(truth)).mean())}
    columns = truth == np.arange(class_count(target)) if target.kind == "multiclass" else truth
    share = columns.mean(0)
    ranked = share if keep is None else share[keep]
    mixed = ranked[(ranked > 0) & (ranked < 1)]
    found = {"auroc": 0.5, "auprc": float(mixed.mean()) if len(mixed) else float("nan")}
    if target.kind == "multilabel":
        return found | {"hamming": float(np.minimum(share, 1 - share).mean())}
    if target.kind == "binary":
        share = np.append(share, 1 - share)
    most = share.max()
    guess = {
        "bacc": 1 / (share > 0).sum(),
        "kappa": 0.0,
        "weighted_f1": most * 2 * most / (1 + most),
    }
    return found | {name: float(value) for name, value in guess.items()}


def table(
    sample: Sample,
    said: Mapping[tuple[str, Any], Float[np.ndarray, "n s k"]],
    fits: Sequence[Mapping[str, Any]],
    *,
    resamples: int,
    least: int = 1,
) -> list[dict[str, Any]]:
    """A row for every (input, budget) and unit, and a row "chance" for every unit.

    Columns: how many people trained (mean over folds), how many rows and people are scored, and
    every score with its interval; None where a score is not defined. Of several findings areas are
    means over those that at least ``least`` of the recordings scored have, and lack; column
    ``classes`` says how many these are.
    """
    rows, guesses = [], {}
    for unit in UNITS:
        for (name, budget), values in said.items():
            whole = rows_of(sample, values, unit)
            use = complete(*whole[:2])
            if unit == "recording" and not (one_truth(sample) and use.any()):
                continue
            truth, answer, whose, group = (part[use] for part in whole)
            keep = None
            if sample.target.kind == "multilabel":
                keep = scores.enough_of_both(truth, least, group)
            own = [f["train_people"] for f in fits if (f["input"], f["budget"]) == (name, budget)]
            row = {
                "input": name,
                "budget": budget,
                "unit": unit,
                "train_people": round(float(np.mean(own)), 1) if own else None,
                "people": len(set(whose)),
                "n": int(use.sum()),
            }
            row |= {} if keep is None else {"classes": int(keep.sum())}
            settings = dict(resamples=resamples, keep=keep)
            found = score_rows(sample.target, truth, answer, whose, **settings)
            rows.append(row | score_columns(found))
            if row["n"] >= guesses.get(unit, row)["n"]:
                guess = _guess(sample, truth, keep)
                guesses[unit] = row | {"input": "chance", "budget": None} | guess
    return rows + list(guesses.values())


def rows_of(
    sample: Sample, said: Float[np.ndarray, "n s k"], unit: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, answers, person and recording's number of all windows, or of all recordings."""
    person = np.asarray(sample.people)[sample.person]
    if unit == "window":
        return sample.truth, said, person[sample.recording], sample.recording
    return *per_recording(sample, said), person, np.arange(len(sample.recordings))


def complete(
    truth: Float[np.ndarray, "n k"], said: Float[np.ndarray, "n s c"]
) -> Bool[np.ndarray, " n"]:
    """Which rows have a truth and an answer in every repeat."""
    return np.isfinite(truth).all(axis=1) & np.isfinite(said).all(axis=(1, 2))


def score_columns(found: Mapping[str, scores.Scored]) -> dict[str, float | None]:
    """Values and their intervals as columns of a table; None where one is not defined."""
    columns = {}
    for name, scored in found.items():
        columns |= {name: scored.value, f"{name}_low": scored.low, f"{name}_high": scored.high}
    return {k: None if np.isnan(v) else round(v, 4) for k, v in columns.items()}


def _guess(sample: Sample, truth: np.ndarray, keep: np.ndarray | None) -> dict[str, float | None]:
    found = chance(sample.target, truth, keep)
    none = {"train_people": None}
    return none | score_columns({n: scores.Scored(v, np.nan, np.nan) for n, v in found.items()})


def networks(
    sample: Sample, said: Mapping[tuple[str, Any], Float[np.ndarray, "n s k"]], count: int
) -> dict[str, list[dict[str, Any]]]:
    """Table ``random_networks``: every random network's own headline score, per window.

    One network is one draw; how far they spread says how much of a row is luck.
    """
    score, rows = headline(sample.target), []
    for (name, budget), values in said.items():
        if not name.startswith("random_") or count == 1:
            continue
        for network, own in enumerate(np.split(values, count, axis=1)):
            use = sample.labelled & np.isfinite(own).all(axis=(1, 2))
            nobody = np.zeros(int(use.sum()), int)  # one person: a value, no interval
            found = score_rows(sample.target, sample.truth[use], own[use], nobody, resamples=1)
            value = score_columns({score: found[score]})[score]
            rows.append({"input": name, "budget": budget, "network": network, score: value})
    return {"random_networks": rows} if rows else {}


def by_split(
    sample: Sample,
    said: Mapping[str, Mapping[str, Float[np.ndarray, "n s k"]]],
    saw: Mapping[str, str],
    *,
    least: int = 1,
) -> list[dict[str, Any]]:
    """Table ``splits``: a row for every input, unit and part of the fold, without intervals.

    Args:
      sample: whose windows.
      said: by part ("train", "valid", "test") and input.
      saw: what the probe had seen of each part.
      least: see :func:`table`.
    """
    rows = []
    names = list(dict.fromkeys(name for own in said.values() for name in own))
    for name, unit in ((n, u) for n in names for u in UNITS):
        for part, own in said.items():
            whole = rows_of(sample, own[name], unit)
            use = complete(*whole[:2])
            if not use.any() or (unit == "recording" and not one_truth(sample)):
                continue
            truth, answer, whose, group = (column[use] for column in whole)
            keep = None
            if sample.target.kind == "multilabel":
                keep = scores.enough_of_both(truth, least, group)
            nobody = np.zeros(int(use.sum()), int)  # one person: a value, no interval
            found = score_rows(sample.target, truth, answer, nobody, resamples=1, keep=keep)
            about = {"input": name, "unit": unit, "split": part, "probe": saw[part]}
            about |= {"people": len(set(whose)), "n": int(use.sum())}
            values = score_columns(found)
            rows.append(about | {score: values[score] for score in found})
    return rows


def split_scalars(rows: Sequence[Mapping[str, Any]], target: Target) -> dict[str, float]:
    """The headline score of the first input on other splits than the test, of the last unit."""
    score = headline(target)
    own = [r for r in rows if r["input"] == rows[0]["input"] and r["split"] != "test"]
    found = {r["split"]: r[score] for r in own}  # the last unit wins
    return {f"{split}_{score}": value for split, value in found.items() if value is not None}


def scalars(
    rows: Sequence[Mapping[str, Any]], target: Target, *, budget: int | float
) -> dict[str, float]:
    """The headline score of the first input at a budget, of the last unit in the table."""
    score = headline(target)
    own = [r for r in rows if r["budget"] == budget and r["input"] == rows[0]["input"]]
    if not own or own[-1][score] is None:
        return {}
    names = (score, f"{score}_low", f"{score}_high")
    return {name: own[-1][name] for name in names if own[-1][name] is not None}


def answers(
    sample: Sample, said: dict[str, Float[np.ndarray, "n s k"]]
) -> tuple[dict[str, Any], ...]:
    """One row a recording: its truth, and what each input said, the mean over repeats."""
    target = sample.target
    names = target.classes if target.outputs > 1 else ("",)
    averaged = {name: per_recording(sample, values) for name, values in said.items()}
    out = []
    for i, row in enumerate(sample.recordings):
        answer: dict[str, Any] = {"recording": row.recording, "person": row.person}
        for name, (truth, mean) in averaged.items():
            answer |= _truth_columns(target, truth[i])
            values = mean[i].mean(axis=0)
            answer |= {
                f"{name}.{c}" if c else name: None if np.isnan(v) else round(float(v), 6)
                for c, v in zip(names, values, strict=True)
            }
        if any(
            answer.get(f"{name}.{c}" if c else name) is not None for name in said for c in names
        ):
            out.append(answer)
    return tuple(out)


def _truth_columns(target: Target, truth: np.ndarray) -> dict[str, Any]:
    if target.kind == "multilabel":
        return {c: _plain(v) for c, v in zip(target.classes, truth, strict=True)}
    if target.kind == "multiclass" and np.isfinite(truth[0]):
        return {target.name: target.classes[int(truth[0])]}
    return {target.name: _plain(truth[0])}


def _plain(value: float) -> float | int | None:
    """JSON has no NaN; whole numbers without a point."""
    if np.isnan(value):
        return None
    return int(value) if float(value).is_integer() else float(value)
