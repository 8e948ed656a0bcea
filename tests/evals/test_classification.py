"""Classifiers on people kept apart: recordings by the mean of their windows' probabilities."""

import numpy as np
import pytest
from tiny_shards import write_tiny_shards

from elm_jax.data.manifest import Manifest
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.targets import Target
from elm_jax.evals.base import EvalData
from elm_jax.evals.classification import Classification, probabilities

LABELS = dict(name="abnormal", kind="binary")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("classification") / "shards"
    write_tiny_shards(directory, people=2, test_people=6, seconds=20.0)
    manifest = Manifest.load(directory)
    readers = {s: ShardReader(directory, s) for s in ("train", "test")}

    def windows(split):
        return Windows.of(readers[split].recordings, manifest.spec.window_samples)

    return EvalData(manifest, readers.__getitem__, windows, None, rows_per_batch=8)


def slow(batch):
    """Logit of "abnormal": more power below 5 Hz than above."""
    power = np.abs(np.fft.rfft(batch["signal"].astype(float))) ** 2
    margin = np.log(power[..., 5:25].sum((1, 2)) / (power[..., 25:100].sum((1, 2)) + 1e-9) + 1e-9)
    return {"features": margin[:, None], "logits": margin[:, None].astype(np.float32)}


def test_a_classifier_that_is_right_scores_one_and_answers_for_every_recording(data):
    evaluation = Classification(LABELS)
    evaluation.check(data)
    result = evaluation(slow, data)
    rows = {row["unit"]: row for row in result.tables["scores"] if row["input"] == "classifier"}
    assert rows["recording"]["auroc"] == rows["recording"]["bacc"] == 1.0
    assert rows["window"]["n"] > rows["recording"]["n"] == rows["recording"]["people"] == 6
    assert result.scalars["auroc"] == 1.0
    assert len(result.scores) == 6 and set(result.figures) == {"classification_confusion"}
    assert [row["support"] for row in result.tables["classes"][:2]] == [3, 3]
    assert result.tables["confusion"][0] == {
        "label": "not abnormal", "said_not abnormal": 3, "said_abnormal": 0
    }  # fmt: skip
    assert evaluation.scored_splits == ("test",)


def test_a_model_without_a_classifier_is_told_what_to_do(data):
    with pytest.raises(ValueError, match="no classifier: train one with configs/elm_supervised"):
        Classification(LABELS)(lambda batch: {"features": np.zeros((8, 2))}, data)


def test_several_classes_have_kappa_and_weighted_f1_beside(data):
    labels = dict(name="abnormal", kind="multiclass", classes=("0", "1"))

    def both(batch):
        logit = slow(batch)["logits"]
        return {"features": logit, "logits": np.concatenate([-logit, logit], axis=1)}

    row = Classification(labels)(both, data).tables["scores"][-2]
    assert {"bacc", "auroc", "auprc", "kappa", "weighted_f1"} <= set(row)


def test_several_findings_have_a_row_each_and_those_of_few_are_not_in_the_mean(data):
    labels = dict(name="both", kind="multilabel", classes=("abnormal", "abnormal=0"))

    def both(batch):
        logit = slow(batch)["logits"]
        return {"features": logit, "logits": np.concatenate([logit, logit], axis=1)}

    result = Classification(labels)(both, data)
    found = {row["class"]: row for row in result.tables["classes"]}
    assert (found["abnormal"]["auroc"], found["0"]["auroc"]) == (1.0, 0.0)
    assert result.scalars["auroc"] == 0.5 and "classification_classes" in result.figures
    none = Classification(labels, min_positives=4)(both, data)
    assert not none.scalars and not none.figures


def test_probabilities_follow_the_kind():
    logits = np.array([[0.0, 0.0]])
    assert probabilities(Target("x", "multilabel", ("a", "b")), logits).tolist() == [[0.5, 0.5]]
    assert probabilities(Target("x", "multiclass", ("a", "b")), logits).tolist() == [[0.5, 0.5]]
    ages = np.array([[41.5]])
    assert probabilities(Target("x", "regression"), ages).tolist() == [[41.5]]
