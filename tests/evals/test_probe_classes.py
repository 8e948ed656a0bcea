"""What a probe says class by class, about everybody, and over a night."""

import types
import warnings

import numpy as np
import pytest
from people_data import WINDOW, PeopleData, leaning, model, person
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.evals.figures_hypnogram import hypnogram
from elm_jax.evals.probe import models
from elm_jax.evals.probe.eval import Probe

STAGES = ("W", "N1", "N2", "N3", "R")
LABELS = {"name": "event", "kind": "multiclass", "classes": STAGES}


@pytest.fixture(autouse=True)
def no_warning_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def night(name, split, rng, *, stages=STAGES, windows=20):
    """One person's night: a piece a window, with a stage each and a gap in the middle."""
    drawn = [stages[i] for i in rng.integers(0, len(stages), windows)]
    pieces = tuple(
        PieceRow(i, 30.0 * (i + 5 * (i >= windows // 2)), WINDOW, {"event": stage})
        for i, stage in enumerate(drawn)
    )
    return [RecordingRow(name, f"x:{name}", split, pieces, (), {})]


class Nights(PeopleData):
    """Vectors that lean with the stage of their own window."""

    def __init__(self, people, strength=3.0):
        super().__init__(people, None)
        self.manifest.spec = types.SimpleNamespace(
            modality="eeg", sfreq_hz=WINDOW / 30, window_s=30.0
        )
        self._strength = strength

    def encoded(self, predict, split):
        if predict is not model:
            return super().encoded(predict, split)
        rows = [p for row in self.recordings(split) for p in row.pieces]
        pieces = [p for p in rows for _ in range(p.n_samples // WINDOW)]
        x = np.random.default_rng(len(split)).normal(size=(len(pieces), 8))
        for i, piece in enumerate(pieces):
            if "event" in piece.labels:
                x[i, STAGES.index(piece.labels["event"])] += self._strength
        found = super().encoded(types.SimpleNamespace(seed=0), split)
        return found._replace(features=x, projection=None)


def nights(seed=0, **test):
    rng = np.random.default_rng(seed)
    people = [night(f"t{i}", "train", rng) for i in range(4)]
    people += [night(f"v{i}", "valid", rng) for i in range(2)]
    return [*people, *(night(f"s{i}", "test", rng, **test) for i in range(2))]


def staging(**settings):
    usual = dict(inputs=("features", "random_features"), c=1.0, also=("train", "valid"))
    return Probe(labels=LABELS, **usual | dict(resamples=50, random_networks=1) | settings)


def truth_of(data, split):
    return np.array(
        [STAGES.index(p.labels["event"]) for r in data.recordings(split) for p in r.pieces]
    )


def test_train_valid_and_test_people_stand_side_by_side_as_in_the_textbook():
    data = Nights(nights())
    result = staging()(model, data)
    rows = {(r["input"], r["split"]): r for r in result.tables["splits"]}
    assert list(rows) == [
        (i, s) for i in ("features", "random_features") for s in ("train", "valid", "test")
    ]
    textbook = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    )
    x = {split: data.encoded(model, split).features for split in ("train", "valid", "test")}
    textbook.fit(x["train"], truth_of(data, "train"))
    for split in x:
        row, truth = rows["features", split], truth_of(data, split)
        said = textbook.predict(x[split])
        assert row["bacc"] == pytest.approx(balanced_accuracy_score(truth, said), abs=1e-3)
        assert row["kappa"] == pytest.approx(cohen_kappa_score(truth, said), abs=1e-3)
        assert row["n"] == len(truth) and row["unit"] == "window"
    told = [rows["features", split]["probe"] for split in x]
    assert told == ["fitted on", "unseen", "unseen"]
    assert result.scalars["train_bacc"] > result.scalars["bacc"] - 0.1
    assert result.scalars["valid_bacc"] == rows["features", "valid"]["bacc"]
    (fit, _) = result.tables["fits"]
    assert (fit["train_people"], fit["valid_people"], fit["fitted_windows"]) == (4, 2, 80)
    said = textbook.predict(x["test"])
    expected = confusion_matrix(truth_of(data, "test"), said, labels=range(5))
    found = [[r[f"said_{c}"] for c in STAGES] for r in result.tables["confusion"]]
    np.testing.assert_array_equal(found, expected)


def test_what_the_probe_saw_of_validation_people_is_told(monkeypatch):
    monkeypatch.setattr(models, "STRENGTHS", np.array([0.1, 1.0]))

    def told(**settings):
        table = staging(inputs=("features",), **settings)(model, Nights(nights())).tables["splits"]
        return {r["split"]: r["probe"] for r in table}

    assert told(c=None)["valid"] == "chosen on"
    assert told(c=None, refit_people=2)["valid"] == "fitted on"
    assert set(told(also=("train",))) == {"train", "test"}
    fits = staging(also=())(model, Nights(nights())).tables["fits"]
    assert fits[0]["train_people"] == 6  # as always: nothing is chosen on those of valid


def test_a_class_that_the_test_people_lack_is_a_row_without_recall():
    result = staging()(model, Nights(nights(stages=STAGES[:4])))
    rows = {r["class"]: r for r in result.tables["classes"]}
    assert rows["R"]["recall"] is None and rows["R"]["support"] == 0
    assert rows["mean of classes"]["recall"] == pytest.approx(result.scalars["bacc"], abs=2e-4)
    assert "probe_confusion" in result.figures


def test_a_class_that_the_training_people_lack_is_never_answered():
    rng = np.random.default_rng(1)
    people = [night(f"t{i}", "train", rng, stages=STAGES[:4]) for i in range(3)]
    result = staging(also=("valid",))(model, Nights([*people, night("s", "test", rng)]))
    rows = {r["class"]: r for r in result.tables["classes"]}
    assert rows["R"]["precision"] is None and rows["R"]["recall"] == 0
    assert {r["split"] for r in result.tables["splits"]} == {"test"}  # nobody is in valid


def test_recordings_without_labels_take_no_part_and_are_named():
    whole = RecordingRow("blank", "x:blank", "test", (PieceRow(0, 0.0, 5 * WINDOW),), (), {})
    result = staging(hypnograms=9)(model, Nights([*nights(), [whole]]))
    assert "1 of 9 recordings have no label 'event'" in result.notes[0]
    drawn = {name for name in result.figures if name.startswith("hypnogram")}
    assert drawn == {"hypnogram_s0", "hypnogram_s1"}


def test_a_recording_of_one_class_does_not_stand_for_nights_of_many():
    nap = night("nap", "test", np.random.default_rng(7), stages=("N2",), windows=6)
    result = staging(hypnograms=9)(model, Nights([*nights(), nap]))
    assert {row["unit"] for row in result.tables["scores"]} == {"window"}
    assert {row["unit"] for row in result.tables["splits"]} == {"window"}
    assert sum(row["support"] for row in result.tables["classes"][:5]) == 2 * 20 + 6
    drawn = {name for name in result.figures if name.startswith("hypnogram")}
    assert drawn == {"hypnogram_s0", "hypnogram_s1", "hypnogram_nap"}


def test_nights_are_drawn_where_windows_have_classes_of_their_own():
    assert len(staging(hypnograms=1)(model, Nights(nights())).figures) == 3
    sick = [person(f"{s}{i}", s, sick=i % 2) for s in ("train", "test") for i in range(4)]
    settings = dict(labels={"name": "sick", "kind": "binary"}, c=1.0, hypnograms=3, resamples=9)
    result = Probe(inputs=("features",), **settings)(model, PeopleData(sick, leaning("sick")))
    assert set(result.figures) == {"probe", "probe_confusion"}  # a recording is one class
    assert [r["label"] for r in result.tables["confusion"]] == ["not sick", "sick"]
    assert result.tables["classes"][0]["support"] == 2


def test_numbers_and_findings_have_no_classes_and_still_stand_side_by_side():
    people = [person(f"{s}{i}", s, age=20 + 9 * i) for s in ("train", "test") for i in range(5)]
    labels = {"name": "age", "kind": "regression"}
    result = Probe(labels, inputs=("features",), alpha=1.0, also=("train",), resamples=9)(
        model, PeopleData(people, leaning("age", 0.1))
    )
    assert {r["split"] for r in result.tables["splits"]} == {"train", "test"}
    assert "confusion" not in result.tables and set(result.figures) == {"probe"}
    assert "train_r2" in result.scalars


@pytest.mark.parametrize("settings", [dict(also=("test",)), dict(outer="folds", folds=2)])
def test_people_beside_the_test_need_prepared_splits(settings):
    with pytest.raises(ValueError, match="expected some of 'train' and 'valid'"):
        staging(**settings)


def test_a_hypnogram_has_depth_gaps_and_errors():
    begin_s = 30.0 * np.array([0, 1, 2, 10, 11])
    truth, answer = np.array([0, 2, 2, 4, 3.0]), np.array([0, 2, 1, 4, np.nan])
    figure = hypnogram(begin_s, truth, answer, STAGES, window_s=30.0, title="n", simulated=True)
    upper, lower = figure.axes
    assert "75% of 4 windows agree" in figure.get_suptitle()
    assert "simulated" in figure.get_suptitle()
    level = {
        t.get_text(): y for y, t in zip(upper.get_yticks(), upper.get_yticklabels(), strict=True)
    }
    assert sorted(level, key=level.get) == ["W", "R", "N1", "N2", "N3"]
    low, high = upper.get_ylim()
    assert low > high  # W on top
    line = upper.lines[0].get_xydata()
    assert np.isnan(line).any(axis=1).sum() == 1  # one gap
    assert np.nanmax(line[:, 0]) == pytest.approx(12 * 30 / 3600)
    (wrong,) = lower.collections
    assert wrong.get_offsets().tolist() == [[75 / 3600, level["N1"]]]
    same = hypnogram(begin_s, truth, truth, "abcde", window_s=30.0, title="n", simulated=False)
    assert len(same.axes[1].collections) == 0 and same.axes[0].get_yticks().tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]
