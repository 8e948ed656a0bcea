"""Reports class by class equal the textbook's, and say where there is nothing to say."""

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix

from elm_jax.evals import figures_classification
from elm_jax.evals.class_report import confusion_counts, confusion_table, per_class

STAGES = ("W", "N1", "N2", "N3", "R")


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_report_equal_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.r_[np.arange(5), rng.integers(0, 5, 95)]).astype(float)
    answer = np.where(rng.random(100) < 0.6, truth, rng.integers(0, 5, 100))
    counts = confusion_counts(truth, answer, 5)
    np.testing.assert_array_equal(counts, confusion_matrix(truth, answer))
    textbook = classification_report(truth, answer, target_names=STAGES, output_dict=True)
    names = {"mean of classes": "macro avg", "mean by support": "weighted avg"}
    report = per_class(counts, STAGES)
    assert [r["class"] for r in report] == [*STAGES, *names]
    for row in report:
        theirs = textbook[names.get(row["class"], row["class"])]
        for ours, key in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score")):
            assert row[ours] == pytest.approx(theirs[key], abs=1e-4)
        assert row["support"] == theirs["support"]
    assert confusion_table(counts, STAGES)[1]["said_N2"] == counts[1, 2]


def test_a_class_without_rows_or_answers_is_none_and_not_in_the_means():
    truth = np.array([0, 0, 1, 1, np.nan, 2])
    answer = np.array([0, 0, 0, 3, 1, np.nan])  # class 1 is never answered, 3 never the truth
    rows = {r["class"]: r for r in per_class(confusion_counts(truth, answer, 4), "abcd")}
    assert (rows["b"]["precision"], rows["b"]["recall"], rows["b"]["f1"]) == (None, 0.0, 0.0)
    assert (rows["c"]["recall"], rows["c"]["f1"], rows["c"]["support"]) == (None, None, 0)
    assert (rows["d"]["recall"], rows["d"]["precision"], rows["d"]["f1"]) == (None, 0.0, 0.0)
    assert rows["mean of classes"]["recall"] == 0.5  # of a and b: balanced accuracy
    assert rows["mean of classes"]["support"] == 4


def test_nothing_at_all_has_no_means_and_can_be_drawn():
    counts = confusion_counts(np.array([np.nan]), np.array([0.0]), 2)
    assert [r["class"] for r in per_class(counts, "ab")] == ["a", "b"]
    drawn = figures_classification.confusion(counts, "ab", what="x", unit="row", simulated=False)
    assert len(drawn.axes) == 1
