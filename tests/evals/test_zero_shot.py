"""The zero-shot eval on people whose windows are known: classes, levels, calibration, mistakes."""

import dataclasses
import math
import types

import numpy as np
import pytest
from etils import epath
from sklearn.metrics import roc_auc_score
from tiny_shards import tiny_spec

from elm_jax.data.manifest import ManifestError, PieceRow, RecordingRow
from elm_jax.data.people import People
from elm_jax.data.pipeline import Windows
from elm_jax.data.text import TextTable
from elm_jax.evals.base import Encoded, EvalData, ModelInfo, mean_by
from elm_jax.evals.zero_shot.eval import ZeroShot
from elm_jax.text_source import scratch_bert

PROMPTS = {"slow": {"positive": ["slow", "slower"], "negative": ["fast"]}}
STATES = {"state": {"awake": ["awake"], "drowsy": ["drowsy"], "asleep": ["asleep"]}}
SIDES = ("fast", "slow", "awake", "drowsy", "asleep")
N_WINDOWS = 6


class KnownData(EvalData):
    """Recordings whose windows' projections are drawn around the directions of their labels."""

    def __init__(self, splits, *, spread=0.6, lean=0.0, whole=None, model=None):
        self.rows, self.spread, self.lean = splits, spread, lean
        self.manifest = types.SimpleNamespace(simulated=True, spec=tiny_spec())
        self.model = model or ModelInfo()
        self.windows = lambda split: Windows.of(self.recordings(split), 500)
        self._table, self._require_whole, self._rows_per_batch = self.table, whole, 4

    def recordings(self, split):
        if not self.rows.get(split):
            raise ManifestError(f"split {split!r} holds no recordings")
        return self.rows[split]

    def table(self, texts):
        emb = [[float(text.startswith(side)) for side in SIDES] for text in texts]
        return TextTable(tuple(texts), {"text_emb": np.asarray(emb, np.float32)})

    def encoded(self, predict, split):
        rng = np.random.default_rng(len(split))
        recordings, windows = self.recordings(split), self.windows(split)
        projection = rng.normal(0, self.spread, (len(windows), len(SIDES)))
        for i, r in enumerate(windows.recording):
            labels = recordings[r].labels
            projection[i, int(bool(labels.get("truth", labels.get("slow", 0))))] += 1
            projection[i, 0] += self.lean
            if labels.get("state") in SIDES:
                projection[i, SIDES.index(labels["state"])] += 1
        return Encoded(projection, projection.astype(np.float32), windows.recording)


def predict(batch):
    return {"text_projection": batch["text_emb"]}


def people(split, n, labels, *, recordings=1):
    """``n`` people with the labels that ``labels(i)`` gives."""
    out = []
    for i in range(n):
        for session in range(recordings):
            index = i * recordings + session
            out.append(
                RecordingRow(
                    f"{split}{i}_{session}", f"x:{split}{i}", split,
                    (PieceRow(index, 0.0, N_WINDOWS * 500),), (), labels(i),
                )
            )  # fmt: skip
    return out


def slow(i):
    return {"slow": i % 2}


def data(valid=30, test=40, labels=slow, **kwargs):
    splits = {"valid": people("valid", valid, labels), "test": people("test", test, labels)}
    return KnownData(splits, **kwargs)


def table(result, **wanted):
    rows = [
        row
        for row in result.tables["calibration"]
        if all(row[key] == value for key, value in wanted.items())
    ]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("aggregate", ["margin", "probability"])
def test_scores_are_those_of_the_recordings_mean_cosines_or_probabilities(aggregate):
    known = data(spread=1.5)
    result = ZeroShot("test", "slow", PROMPTS, aggregate=aggregate)(predict, known)
    encoded = known.encoded(predict, "test")
    windows = encoded.projection / np.linalg.norm(encoded.projection, axis=1, keepdims=True)
    truth = [r.labels["slow"] for r in known.recordings("test")]
    margin = windows[:, 1] - windows[:, 0]
    if aggregate == "probability":
        margin = 1 / (1 + np.exp(-margin / result.scalars["temperature_recordings"]))
    score = mean_by(margin, encoded.recording, len(truth))
    assert result.scalars["auroc"] == pytest.approx(roc_auc_score(truth, score))
    column = "slow" if aggregate == "margin" else "slow_probability"
    np.testing.assert_allclose([row[column] for row in result.scores], score, atol=2e-6)
    (row,) = result.tables["findings"]
    assert (row["positives"], row["negatives"], row["unlabelled"]) == (20, 20, 0)
    assert row["window_auroc"] == pytest.approx(
        roc_auc_score(np.repeat(truth, N_WINDOWS), windows[:, 1] - windows[:, 0])
    )


def test_one_temperature_a_level_is_fitted_on_the_validation_people_and_helps_the_others():
    result = ZeroShot("test", "slow", PROMPTS, temperature=0.05)(predict, data(80, 100, spread=1.2))
    for level in ("window", "recording"):
        before = table(result, level=level, calibration="none")
        after = table(result, level=level, calibration="temperature")
        assert before["temperature"] == 0.05 and after["nll"] < before["nll"]
        assert after["people"] == 100 and after["rows"] == (600 if level == "window" else 100)
        assert result.scalars[f"ece_{level}s"] == after["ece"]
        assert result.scalars[f"ece_{level}s_before"] == before["ece"]
        assert after["band_low"] < after["band_high"]
    assert result.scalars["ece_windows"] < 0.05 < result.scalars["ece_windows_before"]
    assert result.scalars["temperature_windows"] != result.scalars["temperature_recordings"]
    probability = [row["slow_probability"] for row in result.scores]
    assert 0 < min(probability) and max(probability) < 1


def test_a_bias_is_asked_for_where_cosines_lean_to_one_class_and_only_there():
    for lean, told in ((0.0, False), (0.7, True)):
        result = ZeroShot("test", "slow", PROMPTS)(predict, data(80, 80, spread=0.8, lean=lean))
        notes = [note for note in result.notes if "one temperature is not enough" in note]
        assert bool(notes) == told
    assert "cosines lean to 'negative'" in notes[0]
    chosen = ZeroShot("test", "slow", PROMPTS, calibration="temperature and bias")
    biased = chosen(predict, data(80, 80, spread=0.8, lean=0.7))
    assert not [note for note in biased.notes if "not enough" in note]
    assert biased.scalars["class_ece_windows"] < result.scalars["class_ece_windows"] / 1.5
    assert biased.scalars["bacc"] > result.scalars["bacc"]


def test_three_classes_are_scored_one_against_the_rest():
    def state(i):
        return {"state": SIDES[2 + i % 3]}

    known = data(60, 60, labels=state)
    result = ZeroShot("test", "state", STATES)(predict, known)
    truth = np.array([i % 3 for i in range(60)])
    scores = np.array([[row[f"state={c}_probability"] for c in SIDES[2:]] for row in result.scores])
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    expected = roc_auc_score(truth, scores / scores.sum(axis=1, keepdims=True), multi_class="ovr")
    assert result.scalars["auroc"] == pytest.approx(expected, abs=1e-4)
    recall = np.mean([(scores.argmax(axis=1) == truth)[truth == c].mean() for c in range(3)])
    assert result.scalars["bacc"] == pytest.approx(recall)
    (row,) = result.tables["findings"]
    assert row["counts"] == "awake 20, drowsy 20, asleep 20" and "positives" not in row
    assert {"zero_shot_roc", "zero_shot_reliability"} <= set(result.figures)
    assert "simulated" in result.figures["zero_shot_roc"].axes[0].get_title()


@pytest.mark.parametrize(
    ("splits", "settings", "told"),
    [
        ({"valid": []}, {}, "not calibrated: split 'valid' holds no recordings"),
        ({}, {"calibration_split": ""}, ""),
        ({"valid": people("valid", 6, lambda i: {"slow": 1})}, {}, "negative 0, positive 6"),
        ({"valid": people("valid", 6, lambda i: {})}, {}, "negative 0, positive 0"),
    ],
)
def test_without_usable_validation_people_there_is_no_calibration(splits, settings, told):
    known = KnownData(
        {"valid": people("valid", 6, slow), "test": people("test", 10, slow)} | splits
    )
    result = ZeroShot("test", "slow", PROMPTS, **settings)(predict, known)
    assert [n for n in result.notes if told in n] if told else not result.notes
    assert result.scalars["auroc"] > 0.5 and "temperature_windows" not in result.scalars
    assert {row["calibration"] for row in result.tables["calibration"]} == {"none"}
    assert "slow_probability" not in result.scores[0]
    assert "ece_windows" in result.scalars and "ece_windows_before" not in result.scalars


def test_temperatures_are_not_fitted_on_people_the_model_was_trained_on():
    info = ModelInfo(trained_on=People.of(["x:valid3", "x:valid4"]))
    result = ZeroShot("test", "slow", PROMPTS)(predict, data(model=info))
    (note,) = result.notes
    assert "trained on 2 of the 30 people of split 'valid'" in note
    assert "temperature_windows" not in result.scalars


def test_people_without_a_label_are_counted_named_and_left_out_or_refused():
    def some(i):
        return {} if i in (3, 5) else slow(i)

    known = data(labels=some)
    result = ZeroShot("test", "slow", PROMPTS)(predict, known)
    (note,) = [n for n in result.notes if "without a label" in n]
    assert "2 of the 40 people" in note and "x:test3, x:test5" in note
    (row,) = result.tables["findings"]
    assert (row["positives"], row["unlabelled"], len(result.scores)) == (18, 2, 40)
    with pytest.raises(ValueError, match="'slow': 2 people of split 'test'.*x:test3.*=note"):
        ZeroShot("test", "slow", PROMPTS, missing_labels="error").check(known)
    # a label that nobody has is no mistake: scores are what was asked for
    ZeroShot("test", "slow", STATES, missing_labels="error").check(known)


@pytest.mark.parametrize("settings", [{}, {"calibration_split": "", "band_power_split": "valid"}])
def test_labels_of_the_people_to_fit_on_are_checked_before_training(settings):
    known = data()
    known.rows["valid"] = people("valid", 4, lambda i: {"slow": "perhaps"})
    with pytest.raises(ValueError, match="label 'slow' of recording 'valid0_0' is 'perhaps'"):
        ZeroShot("test", "slow", PROMPTS, **settings).check(known)
    known.rows["valid"] = []
    ZeroShot("test", "slow", PROMPTS, **settings).check(known)


def test_windows_of_events_have_their_own_labels():
    """A recording that holds both kinds of events has no label itself."""

    def events(split, n):
        rows = []
        for i in range(n):
            pieces = tuple(
                PieceRow(2 * i + j, 5.0 * j, 500, {"truth": j, "slow": j}) for j in range(2)
            )
            rows.append(RecordingRow(f"{split}{i}", f"x:{split}{i}", split, pieces, (), {}))
        return rows

    class Events(KnownData):
        def encoded(self, predict, split):
            found = super().encoded(predict, split)
            found.projection[:, 1] += 2 * np.tile([0, 1], len(found.projection) // 2)
            return found

    known = Events({"valid": events("valid", 20), "test": events("test", 20)})
    result = ZeroShot("test", "slow", PROMPTS)(predict, known)
    assert result.scalars["window_auroc"] > 0.9 and "auroc" not in result.scalars
    assert "temperature_windows" in result.scalars
    assert {row["level"] for row in result.tables["calibration"]} == {"window"}
    assert "zero_shot_roc" not in result.figures and "zero_shot_reliability" in result.figures


def test_band_power_stands_beside_every_finding(monkeypatch):
    from elm_jax.evals.zero_shot import eval as zero_shot

    def power(known, split):
        rng = np.random.default_rng(0)
        rows = known.recordings(split)
        label = [r.labels["slow"] + SIDES.index(r.labels["state"]) * 2 for r in rows]
        return np.eye(10)[label] + rng.normal(0, 0.1, (len(rows), 10))

    monkeypatch.setattr(zero_shot, "recording_band_power", power)

    def labels(i):
        return {"slow": i % 2, "state": SIDES[2 + i % 3]}

    known = data(labels=labels)
    both = ZeroShot("test", "slow", PROMPTS | STATES, band_power_split="valid")
    result = both(predict, known)
    assert [row["finding"] for row in result.tables["findings"]] == ["slow", "state"]
    for row in result.tables["findings"]:
        assert row["band_power"] > 0.95 and row["band_power_low"] <= row["band_power"]
    absent = dataclasses.replace(both, band_power_split="train")(predict, known)
    assert "band power is not compared: split 'train'" in " ".join(absent.notes)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"aggregate": "median"}, "aggregate is 'median'; known: .*margin"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"bins": 0}, "one bin or more"),
        ({"bin_style": "wide"}, "equal_mass"),
        ({"calibration": "bias"}, "temperature and bias"),
        ({"calibration_split": "test"}, "whose people are scored"),
        ({"missing_labels": "ignore"}, "missing_labels is 'ignore'"),
        ({"prompts": {}}, "no questions"),
        ({"prompts": {"slow": {"positive": ["x"], "negative": [" "]}}}, "must not be empty"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(settings, told):
    with pytest.raises(ValueError, match=f"(?s){told}"):
        ZeroShot(**({"split": "test", "label": "slow", "prompts": PROMPTS} | settings)).check(
            data()
        )


def test_a_prompt_that_the_tower_would_cut_is_named(tmp_path):
    texts = scratch_bert(
        width=8, depth=1, heads=1, vocab_size=40, dropout=0.0, pooling="mean", mode="sentence",
        corpus=lambda: ["slow", "slower", "fast"] * 4, workdirs=(epath.Path(tmp_path),), cache=None,
        dtype="float32",
    )  # fmt: skip
    long = "slow " * 90
    prompts = {"slow": {"positive": ["slow", long], "negative": ["fast"]}}
    with pytest.raises(ValueError, match=r"'slow slow .*\.\.\.' has \d+ tokens.*takes 80"):
        ZeroShot("test", "slow", prompts).check(data(whole=texts.require_whole))
    ZeroShot("test", "slow", PROMPTS).check(data(whole=texts.require_whole))


def test_a_model_without_a_text_side_is_told_how_to_get_one():
    known = data()
    known._table = None
    with pytest.raises(ValueError, match="no text tower.*configs/elm_adapt.py"):
        ZeroShot("test", "slow", PROMPTS).check(known)


def test_a_question_without_any_label_is_told_from_one_with_a_single_class():
    def labels(i):
        return {"slow": i % 2, "state": "awake"}

    prompts = PROMPTS | STATES | {"seizure": {"positive": ["slow"], "negative": ["fast"]}}
    result = ZeroShot("test", "sleepy", prompts)(predict, data(labels=labels))
    notes = "\n".join(result.notes)
    assert "no such label: seizure (labels: slow, state)" in notes
    assert "in split 'test': state: awake 40, drowsy 0, asleep 0" in notes
    assert "label is 'sleepy', which is no question asked here" in notes
    assert not result.scalars and not result.figures and len(result.tables["findings"]) == 1
    assert {"seizure", "state=awake", "slow"} <= set(result.scores[0])
