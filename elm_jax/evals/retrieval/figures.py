"""Figures of retrieval: recall over k and ranks, both beside chance; free texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words
from elm_jax.evals.retrieval import ranks

COLOURS = (BLUE, ORANGE)


def _named(figure: Figure, title: str, *, simulated: bool | str) -> None:
    figure.suptitle(title + simulated_words(simulated, " "), fontsize=11)


def recall_and_ranks(found: Mapping[str, ranks.Places], *, simulated: bool | str) -> Figure:
    """Left recall@k over k, right how the ranks are spread; one colour a way."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    first = next(iter(found.values()))
    n = int(first.candidates.max())
    _named(figure, f"Retrieval among {n} candidates", simulated=simulated)
    for (way, placed), colour in zip(found.items(), COLOURS, strict=True):
        k = np.unique(np.geomspace(1, n, 60).round().astype(int))
        curve = [ranks.recall_at(placed, int(each)).mean() for each in k]
        left.plot(k, curve, color=colour, lw=2, label=way)
    chance = [ranks.chance_recall_at(first, int(each)) for each in k]
    left.plot(k, chance, color=GREY, lw=1, ls=":", label="chance")
    left.set(xscale="log", xlabel="k", ylabel="recall@k", ylim=(0, 1.02), xlim=(1, n))
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if t <= n]
    left.set_xticks(ticks, [str(t) for t in ticks])
    left.minorticks_off()
    left.legend(loc="upper left", frameon=False)
    _rank_histogram(right, found, n)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _rank_histogram(axes: Any, found: Mapping[str, ranks.Places], n: int) -> None:
    """Shares of queries in twenty bins of ranks; chance is flat."""
    edges = np.linspace(0.5, n + 0.5, min(20, n) + 1)
    width = (edges[1] - edges[0]) / (len(found) + 0.4)
    for i, ((way, placed), colour) in enumerate(zip(found.items(), COLOURS, strict=True)):
        rank = ranks.ranks(placed)
        share = np.histogram(rank, edges)[0] / len(rank)
        median = np.median(rank)
        left = edges[:-1] + (i + 0.2) * width
        axes.bar(left, share, width, align="edge", color=colour, label=f"{way}: median {median:g}")
    level = 1 / (len(edges) - 1)
    chance = ranks.chance_median_rank(next(iter(found.values())))
    axes.axhline(level, color=GREY, lw=1, ls=":", label=f"chance: median {chance:g}")
    axes.set(xlabel="rank of the right one", ylabel="share of queries", xlim=(edges[0], edges[-1]))
    axes.legend(loc="upper right", frameon=False)


def text_queries(table: Sequence[Mapping[str, Any]], *, simulated: bool | str) -> Figure:
    """Average precision of each free text, its interval over people, and its chance."""
    rows = sorted(table, key=lambda row: row["ap"])
    figure = Figure(figsize=(7.5, 1.4 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    _named(figure, "Recordings found by free text", simulated=simulated)
    at = np.arange(len(rows))
    value = np.asarray([row["ap"] for row in rows])
    spread = [
        [row["ap"] - row["ap_low"] for row in rows],
        [row["ap_high"] - row["ap"] for row in rows],
    ]
    axes.barh(at, value, height=0.6, color=BLUE, label="average precision, 95 % over people")
    axes.errorbar(value, at, xerr=np.maximum(spread, 0), fmt="none", ecolor="#1c3f66", lw=1.2)
    chance = [row["ap_chance"] for row in rows]
    axes.plot(chance, at, "|", color=ORANGE, ms=15, mew=2.5, label="chance")
    names = [f"{row['query']} ({row['positives']})" for row in rows]
    axes.set_yticks(at, names)
    axes.set(xlabel="average precision (in brackets: recordings with the label)", xlim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1 - 0.6 / len(rows)), ncol=2
    )
    return figure
