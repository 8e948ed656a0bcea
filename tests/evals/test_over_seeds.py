"""Scores over seeds: means and spreads of what each run's own table says."""

import statistics

import pytest

from elm_jax.evals.over_seeds import aggregated


def row(unit, bacc, auroc, name="classifier"):
    scores = {"bacc": bacc, "auroc": auroc}
    bounds = {f"{k}_{end}": v for k, v in scores.items() for end in ("low", "high")}
    budget = None if name == "chance" else 1.0
    return {"input": name, "budget": budget, "unit": unit, "n": 9, "people": 3} | scores | bounds


def of_seeds(*values):
    return {
        seed: {
            "scores": [
                row("window", value, 0.7),
                row("recording", value + 0.1, None),
                row("window", 0.25, 0.5, "chance"),
            ]
        }
        for seed, value in enumerate(values)
    }


def test_mean_and_spread_are_those_of_the_seeds():
    values = (0.5, 0.6, 0.9)
    found = aggregated("classification", of_seeds(*values), simulated=False)
    over = {(r["unit"], r["score"]): r for r in found.tables["over_seeds"]}
    windows = over["window", "bacc"]
    assert windows["mean"] == pytest.approx(statistics.fmean(values), abs=1e-4)
    assert windows["sd"] == pytest.approx(statistics.stdev(values), abs=1e-4)
    assert (windows["lowest"], windows["highest"], windows["seeds"]) == (0.5, 0.9, 3)
    assert windows["chance"] == 0.25 and over["window", "auroc"]["sd"] == 0
    assert over["recording", "bacc"]["chance"] is None
    assert ("recording", "auroc") not in over  # not defined for any seed
    assert found.scalars["bacc_mean"] == over["recording", "bacc"]["mean"]
    assert set(found.figures) == {"classification_seeds"}


def test_a_row_a_seed_and_unit_and_none_of_chance():
    rows = aggregated("x", of_seeds(0.5, 0.6), simulated=True).tables["per_seed"]
    assert [(r["seed"], r["unit"]) for r in rows] == [
        (0, "window"), (0, "recording"), (1, "window"), (1, "recording"),
    ]  # fmt: skip
    assert {r["input"] for r in rows} == {"classifier"}


def test_one_seed_has_a_mean_and_no_spread():
    found = aggregated("x", of_seeds(0.5), simulated=False)
    assert all(r["sd"] is None for r in found.tables["over_seeds"])
    assert "bacc_sd" not in found.scalars


def test_an_eval_without_scores_is_left_out():
    assert aggregated("x", {0: {"scores": []}, 1: {}}, simulated=False) is None
