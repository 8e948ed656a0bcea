"""The figure of a probe: a point with its interval for every input and label budget."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words

# The model under test in blue, what it is to be read against in other colours.
STYLES = {
    "features": (BLUE, "o", "encoder's features"),
    "projection": (BLUE, "s", "projection"),
    "band_power": (ORANGE, "D", "band power"),
    "band_power_gamma": (ORANGE, "^", "band power with gamma"),
    "amplitude": ("#3f8f4f", "v", "amplitude statistics"),
    "random_convolutions": ("#b0862b", "P", "random convolutions"),
    "report_words": ("#8a5fb0", "*", "the report's own words (read at test time)"),
    "random_features": (GREY, "o", "features, random weights"),
    "random_projection": (GREY, "s", "projection, random weights"),
}
# Drawn empty: of the same colour as the others of their kind.
HOLLOW = ("projection", "random_projection")
WORDS = {"auroc": "AUROC", "bacc": "balanced accuracy", "r2": "R²"}


def probe(
    rows: Sequence[Mapping[str, Any]], *, score: str, what: str, simulated: bool | str
) -> Figure:
    """Draws the rows of a probe's table ``scores``; the rows "chance" give dotted lines.

    Windows and recordings have a panel each.

    Args:
      rows: with ``input``, ``budget``, ``unit``, ``train_people``, and the score and its interval.
      score: which.
      what: the label.
      simulated: says so in the title.
    """
    units = list(dict.fromkeys(r["unit"] for r in rows))
    budgets = list(dict.fromkeys(r["budget"] for r in rows if r["input"] != "chance"))
    inputs = [name for name in STYLES if any(r["input"] == name for r in rows)]
    width = 2.2 + 2 * max(1.2, 0.16 * len(inputs) * len(budgets))
    figure = Figure(figsize=(max(width, 7.0), 4.6), layout="constrained")
    panels = figure.subplots(1, len(units), sharey=True, squeeze=False)[0]
    title = f"Linear probe: {what}" + simulated_words(simulated)
    figure.suptitle(title, fontsize=11)
    for axes, unit in zip(panels, units, strict=True):
        own = [r for r in rows if r["unit"] == unit]
        _panel(axes, own, inputs, budgets, score)
        axes.set_title(f"per {unit}", fontsize=10)
    panels[0].set_ylabel(f"{WORDS.get(score, score)}, 95 % interval over people")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _panel(axes: Any, rows: Sequence, inputs: Sequence[str], budgets: Sequence, score: str) -> None:
    for row in rows:
        if row["input"] == "chance" and row[score] is not None:
            axes.axhline(row[score], color=GREY, lw=1, ls=":", label="chance")
    for i, name in enumerate(inputs):
        own = {r["budget"]: r for r in rows if r["input"] == name and r[score] is not None}
        at = [x for x, budget in enumerate(budgets) if budget in own]
        drawn = [own[budgets[x]] for x in at]
        value = np.array([r[score] for r in drawn], float)
        low, high = (
            np.array([r[score] if r[e] is None else r[e] for r in drawn], float)
            for e in (f"{score}_low", f"{score}_high")
        )
        colour, marker, label = STYLES[name]
        x = np.array(at) + (i - (len(inputs) - 1) / 2) * 0.8 / max(len(inputs), 1)
        filled = name not in HOLLOW
        axes.errorbar(
            x, value, yerr=np.abs([value - low, high - value]), color=colour, marker=marker, ms=6,
            mfc=colour if filled else "white", lw=0, elinewidth=1.5, capsize=2.5, label=label,
        )  # fmt: skip
    people = {r["budget"]: r["train_people"] for r in rows if r["train_people"] is not None}
    axes.set_xticks(range(len(budgets)), [_budget_words(b, people.get(b)) for b in budgets])
    axes.set(xlabel="people with labels to train on", xlim=(-0.6, len(budgets) - 0.4))
    axes.spines[["top", "right"]].set_visible(False)


def _budget_words(budget: int | float, people: float | None) -> str:
    """Words under a tick, such as "10 %, 8 people"; a budget in people needs no share."""
    known = "no fit" if people is None else f"{people:g} people"
    return known if isinstance(budget, int) else f"{100 * budget:g} %\n{known}"
