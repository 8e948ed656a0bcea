"""Figures of calibration: what is written in them can be read."""

import numpy as np
import pytest

from elm_jax.evals.zero_shot.figures import (
    Curve,
    reliability_diagram,
    risk_coverage_curves,
    roc_by_class,
)
from elm_jax.evals.zero_shot.reliability import Bins, reliability, risk_coverage


def judged(seed, k=2):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([0.5] * k, 120)
    truth = np.array([rng.choice(k, p=p) for p in probability])
    return probability, truth, np.arange(120)


def texts_inside(figure):
    figure.draw_without_rendering()
    frame = figure.bbox.padded(1)
    legends = [a.get_legend() for a in figure.axes if a.get_legend()]
    shown = [*legends, *(a.title for a in figure.axes if a.get_title())]
    boxes = [item.get_window_extent() for item in shown]
    return legends and all(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        for box in boxes
    )


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize("panels", [1, 2])
def test_every_curve_of_a_reliability_diagram_is_named_inside_it(kinds, panels):
    legend = "temperature and bias: T 0.273, ECE 0.033 (if calibrated 0.012 to 0.050), classes' 0.1"
    curves = {
        str(i): Curve(reliability(*judged(i), Bins()), f"{i}{legend}", i == kinds - 1)
        for i in range(kinds)
    }
    figure = reliability_diagram(
        {f"level {i}": curves for i in range(panels)}, what="x", axis="p", simulated=True
    )
    assert texts_inside(figure) and "(simulated EEG)" in figure.get_suptitle()
    lines = [a.get_legend().get_texts() for a in figure.axes if a.get_legend()]
    assert [len(texts) for texts in lines] == [kinds + 1] * panels


def test_roc_and_risk_are_named_inside_and_classes_without_people_have_no_curve():
    probability, truth, _ = judged(0, k=4)
    truth = np.where(truth == 3, 2, truth)
    names = ["awake", "drowsy", "asleep", "none"]
    roc = roc_by_class(truth, probability, names, what="state", summary="mean", simulated=True)
    curves = {level: risk_coverage(probability, truth) for level in ("windows", "recordings")}
    risk = risk_coverage_curves(curves, what="state", simulated=True)
    for figure in (roc, risk):
        assert texts_inside(figure) and "simulated" in figure.axes[0].get_title()
    told = [text.get_text().split()[0] for text in roc.axes[0].get_legend().get_texts()]
    assert told == ["chance", "awake", "drowsy", "asleep"]
