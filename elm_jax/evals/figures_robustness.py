"""The figure of damaged windows: scores and similarities against missing channels and noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from elm_jax.evals.figures import BLUE, GREY, ORANGE, simulated_words

WORDS = {"auroc": "AUROC", "bacc": "balanced accuracy"}


def curves(
    rows: Sequence[Mapping[str, Any]], *, score: str, what: str, simulated: bool | str
) -> Figure:
    """Draws the rows of a table ``robustness``: a panel a kind of damage, with what there is.

    Args:
      rows: with ``damage``, ``level``, the score, ``similarity_centred`` and their deviations.
      score: which score.
      what: the label that a probe predicts.
      simulated: says so in the title.
    """
    kinds = [k for k in ("missing", "noise") if any(r["damage"] == k for r in rows)]
    figure = Figure(figsize=(max(3.8 * len(kinds), 4.5), 4.2), layout="constrained")
    title = f"Damaged windows: a probe of {what}" + simulated_words(simulated)
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(1, max(len(kinds), 1), sharey=True, squeeze=False)[0]
    clean = next(r for r in rows if r["damage"] == "none")
    for axes, kind in zip(panels, kinds, strict=False):
        _panel(axes, clean, [r for r in rows if r["damage"] == kind], kind, score)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _panel(axes: Any, clean: Mapping, rows: Sequence[Mapping], kind: str, score: str) -> None:
    missing = kind == "missing"
    shown = [clean, *rows] if missing else list(rows)
    x = np.asarray([100 * r["level"] if missing else r["level"] for r in shown])
    named = ((score, BLUE, WORDS.get(score, score)), ("similarity_centred", ORANGE, "similarity"))
    for name, colour, label in named:
        y = np.asarray([r[name] for r in shown])
        spread = np.asarray([r[f"{name}_sd"] or 0.0 for r in shown])
        axes.errorbar(x, y, yerr=spread, color=colour, marker="o", ms=4, capsize=2.5, label=label)
        axes.axhline(clean[name], color=colour, lw=0.8, ls=":")
    axes.axhline(0.5, color=GREY, lw=0.8) if score == "auroc" else None
    axes.set_xlabel("missing channels, %" if missing else "signal to noise, dB")
    if not missing:
        axes.invert_xaxis()
    axes.spines[["top", "right"]].set_visible(False)
