"""Figures of a vocabulary of ECG-Byte: how long its tokens are, and which are used."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from elm_jax.axes import Float
from elm_jax.data.ecg_byte.symbols import SYMBOLS
from elm_jax.data.ecg_byte.usage import Usage
from elm_jax.evals.figures import BLUE, GREY, ORANGE

_BINS = 30


def usage_figures(usage: Usage, *, what: str, simulated: bool) -> dict[str, Figure]:
    """Lengths of tokens, their frequencies, and lengths of texts.

    Args:
      usage: of a file of tokens.
      what: names the tokenizer and the records, for the titles.
      simulated: says so in the titles.
    """
    what += "\n(simulated ECG)" if simulated else ""
    return {
        "token_lengths": _lengths(usage, what),
        "token_usage": _frequencies(usage, what),
        "tokens_per_record": _texts(usage, what),
    }


def _figure(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _lengths(usage: Usage, what: str) -> Figure:
    figure, axes = _figure(f"Length of tokens: {what}")
    edges = np.geomspace(1, max(usage.length.max(), 2) + 1, _BINS)
    edges = np.unique(np.round(edges)) - 0.5  # whole numbers within
    sides = (
        (np.ones(len(usage.length)), GREY, "in the vocabulary"),
        (usage.count, BLUE, "in the texts"),
        (usage.count * usage.length, ORANGE, "in the texts, by symbols covered"),
    )
    for weight, colour, label in sides:
        share, _ = np.histogram(usage.length, edges, weights=weight / weight.sum())
        axes.stairs(100 * share, edges, color=colour, lw=1.8, label=label)
    axes.set(xscale="log", xlabel="symbols in a token", ylabel="% of tokens (orange: of symbols)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, fontsize=9)
    return figure


def _frequencies(usage: Usage, what: str) -> Figure:
    figure, axes = _figure(f"Use of tokens: {what}")
    order = np.argsort(-usage.count, kind="stable")
    order = order[usage.count[order] > 0]
    rank = np.arange(1, len(order) + 1)
    single = order < SYMBOLS
    style = dict(ls="none", marker="o", mew=0)
    axes.plot(
        rank[~single], usage.count[order][~single], ms=2.5, color=BLUE, label="merged", **style
    )
    axes.plot(rank[single], usage.count[order][single], ms=5, color=ORANGE, label="levels", **style)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="occurrences")
    unused, shadowed = int((usage.count == 0).sum()), int(usage.shadowed.sum())
    note = f"{len(order)} of {len(usage.count)} used, {unused} never"
    note += f" ({shadowed} shadowed)" if shadowed else ""
    axes.legend(frameon=False, fontsize=9, title=note, loc="lower left")
    return figure


def _texts(usage: Usage, what: str) -> Figure:
    figure, axes = _figure(f"Tokens of a record: {what}")
    median = float(np.median(usage.per_record))
    axes.hist(usage.per_record, bins=_BINS, color=BLUE)
    symbols = usage.symbols / len(usage.per_record)
    label = f"median {median:g}; {symbols:,.0f} symbols, {usage.symbols / usage.tokens:.1f} a token"
    axes.axvline(median, ymax=0.88, color=ORANGE, lw=1.5, label=label)
    axes.set(xlabel="tokens", ylabel="records", ylim=(0, 1.15 * axes.get_ylim()[1]))
    axes.legend(frameon=False, fontsize=9)
    return figure


def vector_map(
    points: Float[np.ndarray, "n 2"],
    level: Float[np.ndarray, " n"],
    length: Float[np.ndarray, " n"],
    *,
    what: str,
    simulated: bool,
) -> Figure:
    """Vectors of tokens on a plane; colour is a token's mean level, area grows with its length."""
    figure, axes = _figure(f"Signal2Vec: {what}" + ("\n(simulated ECG)" if simulated else ""))
    area = 4 + 30 * np.log2(length + 1) / np.log2(length.max() + 1)
    shown = axes.scatter(*points.T, c=level, s=area, cmap="viridis", lw=0, alpha=0.7)
    bar = figure.colorbar(shown, ax=axes, label="mean level of the token (0 to 25)")
    bar.solids.set_alpha(1)
    axes.set(xlabel="first principal component", ylabel="second")
    return figure
