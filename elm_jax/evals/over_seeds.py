"""The same run from several seeds: its scores a seed, their mean and how far they spread.

The spread over seeds says how much of a score is luck of initial weights and of the order of
batches. It says nothing about other people: for that every seed's own scores have an interval.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from elm_jax.evals.base import EvalResult
from elm_jax.evals.figures import BLUE, GREY, simulated_words
from elm_jax.tables import name_of

CHANCE = "chance"
_KEYS = ("input", "budget", "unit")


def aggregated(
    name: str, of_seed: Mapping[int, Mapping[str, Any]], *, simulated: bool | str
) -> EvalResult | None:
    """What summaries of several seeds say of one eval; None where it has no table of scores.

    Table ``per_seed``: a row for every row of scores and seed. Table ``over_seeds``: a row for
    every score, with mean, sample standard deviation, lowest and highest value, and chance.

    Args:
      name: of the eval.
      of_seed: its part of each run's ``summary.json``.
      simulated: says so in the figure.
    """
    rows = {seed: out.get("scores") or [] for seed, out in of_seed.items()}
    scored = [c for own in rows.values() for row in own for c in row if f"{c}_low" in row]
    scored = list(dict.fromkeys(scored))
    if not scored:
        return None
    columns = (*_KEYS, "n", "people")
    per_seed = [
        {"seed": seed} | {c: row[c] for c in columns if c in row} | {c: row.get(c) for c in scored}
        for seed, own in rows.items()
        for row in own
        if row.get("input") != CHANCE
    ]
    chances = {
        row.get("unit"): row for own in rows.values() for row in own if row.get("input") == CHANCE
    }
    over = [_over(group, c, chances) for group in _groups(per_seed) for c in scored]
    over = [row for row in over if row]
    first = over[0] if over else {}
    # The first score of the last unit: recordings, where they have one label.
    shown = [r for r in over if r["score"] == first.get("score")][-1:]
    scalars = {f"{r['score']}_mean": r["mean"] for r in shown}
    scalars |= {f"{r['score']}_sd": r["sd"] for r in shown if r["sd"] is not None}
    return EvalResult(
        scalars=scalars,
        tables={"over_seeds": over, "per_seed": per_seed},
        figures={f"{name}_seeds": figure(per_seed, over, simulated=simulated)} if over else {},
        notes=() if over else ("no score is defined for any seed",),
    )


def _groups(per_seed: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    found: dict[tuple, list] = {}
    for row in per_seed:
        found.setdefault(tuple(row.get(k) for k in _KEYS), []).append(row)
    return list(found.values())


def _over(
    rows: Sequence[Mapping[str, Any]], score: str, chances: Mapping[Any, Mapping[str, Any]]
) -> dict[str, Any]:
    """One score over the seeds that have it; empty where none has."""
    values = [row[score] for row in rows if row.get(score) is not None]
    if not values:
        return {}
    unit = rows[0].get("unit")
    return {k: rows[0][k] for k in _KEYS if k in rows[0]} | {
        "score": score,
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "lowest": min(values),
        "highest": max(values),
        "seeds": len(values),
        CHANCE: chances.get(unit, {}).get(score),
    }


def figure(
    per_seed: Sequence[Mapping[str, Any]],
    over: Sequence[Mapping[str, Any]],
    *,
    simulated: bool | str,
) -> Figure:
    """A point a seed for every score; the bar is the mean, its whisker the standard deviation."""
    units = list(dict.fromkeys(row.get("unit") for row in over))
    names = list(dict.fromkeys(row["score"] for row in over))
    inputs = list(dict.fromkeys((row.get("input"), row.get("budget")) for row in over))
    drawn = Figure(
        figsize=(1.5 + len(units) * max(3.0, 0.9 * len(names)), 4.2), layout="constrained"
    )
    seeds = len({row["seed"] for row in per_seed})
    drawn.suptitle(
        f"{seeds} seeds: mean and standard deviation" + simulated_words(simulated),
        fontsize=11,
    )
    panels = drawn.subplots(1, len(units), sharey=True, squeeze=False)[0]
    for axes, unit in zip(panels, units, strict=True):
        for i, which in enumerate(inputs):
            own = [
                r
                for r in over
                if r.get("unit") == unit and (r.get("input"), r.get("budget")) == which
            ]
            shift = 0.8 * ((i + 0.5) / len(inputs) - 0.5)
            for row in own:
                at = names.index(row["score"]) + shift
                _one(axes, at, row, [r for r in per_seed if _same(r, row)], 0.7 / len(inputs))
        axes.set_xticks(range(len(names)), [name_of(n) for n in names], rotation=30, ha="right")
        axes.set_title(f"per {unit}" if unit else "", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(row.get(k) == other.get(k) for k in _KEYS)


def _one(axes: Any, at: float, row: Mapping[str, Any], seeds: Sequence, width: float) -> None:
    axes.bar(at, row["mean"], width=width, color=BLUE, alpha=0.25, yerr=row["sd"], capsize=3)
    values = [r[row["score"]] for r in seeds if r.get(row["score"]) is not None]
    axes.plot([at] * len(values), values, "o", color=BLUE, ms=4, alpha=0.8)
    if row[CHANCE] is not None:
        ends = (at - width / 2, at + width / 2)
        axes.plot(ends, [row[CHANCE]] * 2, color=GREY, lw=1.5, ls=":")
