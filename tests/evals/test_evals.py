"""Evals: scores that equal the textbook's, and a word where there is none."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tiny_shards import write_tiny_shards

from elm_jax.data.manifest import ManifestError, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.text import TextTable
from elm_jax.evals.band_power import BANDS_HZ, BandPower, band_power
from elm_jax.evals.base import EvalData, binary_labels, mean_by
from elm_jax.evals.embedding_map import EmbeddingMap
from elm_jax.evals.scores import auroc
from elm_jax.evals.zero_shot.eval import ZeroShot

PROMPTS = {"abnormal": {"positive": ("slow", "slower"), "negative": ("alpha",)}}


@pytest.mark.parametrize("seed", range(5))
def test_auroc_equals_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 40).astype(float)
    score = np.round(rng.normal(size=40) + label, 0)
    found = auroc(label, score, [str(i) for i in range(40)])
    assert found.value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert found.low <= found.value <= found.high
    assert (found.positives, found.negatives) == (label.sum(), 40 - label.sum())


def test_the_interval_resamples_people_not_recordings():
    rng = np.random.default_rng(0)
    label = np.tile([0.0, 1.0], 10)
    score = rng.normal(size=20) + label
    many = np.repeat(np.arange(20), 10)  # ten copies of each recording, of one person
    alone = auroc(label, score, [str(i) for i in range(20)])
    copied = auroc(label[many], score[many], [str(i) for i in many])
    strangers = auroc(label[many], score[many], [str(i) for i in range(200)])
    assert copied.value == pytest.approx(alone.value)
    width = lambda a: a.high - a.low  # noqa: E731
    assert width(copied) == pytest.approx(width(alone), abs=0.02)
    assert width(strangers) < width(alone) / 2


def test_recordings_without_label_or_score_do_not_count():
    label = np.array([0, 1, np.nan, 1, 0.0])
    score = np.array([0.1, 0.9, 0.5, np.nan, 0.2])
    found = auroc(label, score, list("abcde"))
    assert (found.value, found.positives, found.negatives) == (1.0, 1, 2)
    assert auroc(label[:1], score[:1], ["a"]) is None


@pytest.mark.parametrize(("rate_hz", "band"), [(2.0, "delta"), (6.0, "theta"), (10.0, "alpha")])
def test_band_power_tells_rhythms_apart(rate_hz, band):
    time_s = np.arange(500) / 100
    noise = np.random.default_rng(0).normal(0, 1, (1, 2, 500))
    signal = 40 * np.sin(2 * np.pi * rate_hz * time_s)[None, None] + noise
    power = band_power(signal, 100.0).reshape(len(BANDS_HZ), 2)
    assert list(BANDS_HZ)[int(power[:, 0].argmax())] == band
    assert (np.sort(power[:, 0])[-1] - np.sort(power[:, 0])[-2]) > 0.5


def rows(*values):
    return [
        RecordingRow(f"r{i}", f"p{i}", "test", (), (), {} if v is Ellipsis else {"x": v})
        for i, v in enumerate(values)
    ]


def test_labels_are_read_in_the_usual_spellings():
    values = [1, "0", 1.0, "Abnormal", " normal", True, "no", ..., None, ""]
    expected = [1, 0, 1, 1, 0, 1, 0, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(binary_labels(rows(*values), "x"), expected)


@pytest.mark.parametrize("value", [2, "maybe", 0.5, -1])
def test_a_label_that_is_neither_is_named(value):
    with pytest.raises(ValueError, match=r"label 'x' of recording 'r1' is .*yes/no"):
        binary_labels(rows(1, value), "x")


def test_means_of_groups_without_rows_are_not_numbers():
    found = mean_by(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(found, [[2.0], [np.nan], [5.0]])


# -- on tiny shards, with a model that sees how slow a window is -------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(tmp_path_factory.mktemp("evals") / "shards", seconds=10.0)


def eval_data(directory):
    readers = {s: ShardReader(directory, s) for s in ("train", "test")}

    def reader(split):
        return readers[split] if split in readers else ShardReader(directory, split)

    def table(texts):
        sides = [[1.0, 0.0] if "slow" in t else [0.0, 1.0] for t in texts]
        return TextTable(tuple(texts), {"text_emb": np.asarray(sides, np.float32)})

    return EvalData(
        readers["test"].manifest,
        reader,
        lambda split: Windows.of(reader(split).recordings, 500),
        table,
        rows_per_batch=3,
    )


def model(factor=1.0):
    def predict(batch):
        if "text_emb" in batch:
            return {"text_projection": batch["text_emb"] * factor}
        power = band_power(batch["signal"] / 32.0, 100.0).reshape(len(batch["signal"]), 4, -1)
        delta, alpha = power[:, 0].mean(-1), power[:, 2].mean(-1)
        vectors = np.stack([delta, alpha], axis=1).astype(np.float32)
        return {"features": vectors, "projection": vectors * factor}

    return predict


def test_zero_shot_finds_what_the_prompts_say_and_lengths_do_not_matter(shards):
    evaluate = ZeroShot("test", "abnormal", PROMPTS)
    data = eval_data(shards)
    result = evaluate(model(), data)
    assert result.scalars["auroc"] == 1.0
    assert [row["finding"] for row in result.tables["findings"]] == ["abnormal"]
    assert set(result.figures) == {
        "zero_shot_roc", "zero_shot_reliability", "zero_shot_risk_coverage",
    }  # fmt: skip
    assert [row["recording"] for row in result.scores] == ["rec08", "rec09", "rec10", "rec11"]
    slow, alpha = result.scores[1]["abnormal"], result.scores[0]["abnormal"]
    assert slow > alpha
    short, long = (evaluate(model(f), eval_data(shards)).scores for f in (1e-3, 1e3))
    for a, b in zip(short, long, strict=True):
        assert a["abnormal"] == pytest.approx(b["abnormal"], abs=1e-6)


def test_a_finding_that_all_or_no_recordings_have_gives_a_note(shards, tmp_path):
    prompts = PROMPTS | {"seizure": PROMPTS["abnormal"]}
    result = ZeroShot("test", "seizure", prompts)(model(), eval_data(shards))
    assert "auroc" not in result.scalars and "zero_shot_roc" not in result.figures
    assert [row["finding"] for row in result.tables["findings"]] == ["abnormal"]
    note, calibration = result.notes
    assert "not calibrated" in calibration and "'valid' holds no recordings" in calibration
    assert "no such label: seizure (labels: abnormal)" in note
    one_sided = write_tiny_shards(tmp_path / "one", people=2, test_people=1, seconds=10.0)
    note, _ = ZeroShot("test", "abnormal", PROMPTS)(model(), eval_data(one_sided)).notes
    assert "abnormal: 0 with, 1 without" in note
    (note,) = BandPower("train", "test", "abnormal")(model(), eval_data(one_sided)).notes
    assert "split 'test'" in note
    (note,) = EmbeddingMap("test", "abnormal")(model(), eval_data(one_sided)).notes
    assert "PCA needs 3 points, found 1" in note


def test_band_power_learns_from_train_and_scores_test(shards):
    result = BandPower("train", "test", "abnormal")(model(), eval_data(shards))
    assert result.scalars["auroc"] == 1.0


def test_the_map_shows_every_recording(shards):
    result = EmbeddingMap("test", "abnormal")(model(), eval_data(shards))
    (axes,) = result.figures["embedding_pca"].axes
    assert sum(len(points.get_offsets()) for points in axes.collections) == 4
    assert "simulated" in axes.get_title()


def test_what_would_stop_an_eval_is_said_before_training(shards):
    data = eval_data(shards)
    for evaluation in (ZeroShot("valid", "abnormal", PROMPTS), EmbeddingMap("valid", "abnormal")):
        with pytest.raises(ManifestError, match="split 'valid' holds no recordings"):
            evaluation.check(data)
    half = {"abnormal": {"positive": ("slow",)}}
    with pytest.raises(ValueError, match="'positive' and 'negative', found {'positive': 1}"):
        ZeroShot("test", "abnormal", half).check(data)
    for row in data.recordings("test"):
        row.labels["abnormal"] = "perhaps"
    with pytest.raises(ValueError, match="'perhaps'"):
        BandPower("train", "test", "abnormal").check(data)
    for row in data.recordings("test"):
        row.labels["abnormal"] = 1


def test_one_value_of_a_label_in_words_can_be_asked_for():
    rows = [
        RecordingRow(f"r{i}", f"p{i}", "test", (), (), labels)
        for i, labels in enumerate(({"task": "Arithmetic"}, {"task": "rest"}, {}))
    ]
    np.testing.assert_array_equal(binary_labels(rows, "task=arithmetic"), [1.0, 0.0, np.nan])
    with pytest.raises(ValueError, match="For one value against the others write 'task=Arith"):
        binary_labels(rows, "task")
