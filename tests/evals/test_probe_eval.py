"""Probes: fair to every input, by person, and plain about what could not be fitted."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
from people_data import PeopleData, leaning, model, person
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from elm_jax.data.labels import LabelError
from elm_jax.data.manifest import ManifestError
from elm_jax.data.targets import Target, TargetError
from elm_jax.evals.probe.data import cells, gather
from elm_jax.evals.probe.eval import Probe

BINARY = {"name": "sick", "kind": "binary"}
VECTORS = ("features", "projection", "random_features")


def probe(labels=BINARY, **settings):
    usual = dict(inputs=VECTORS, outer="folds", folds=3, c=1.0, alpha=1.0)
    return Probe(labels=labels, **usual | dict(random_networks=1, resamples=50) | settings)


def sick(n=12, split="train", start=0, **kwargs):
    return [person(f"{split}{i}", split, sick=i % 2, **kwargs) for i in range(start, start + n)]


def row(result, name="features", unit="window", budget=1.0):
    (found,) = (
        r
        for r in result.tables["scores"]
        if (r["input"], r["unit"], r["budget"]) == (name, unit, budget)
    )
    return found


@pytest.fixture(autouse=True)
def no_warning_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_input_is_a_row_of_every_table_with_intervals_over_people():
    result = probe(random_networks=2)(model, PeopleData(sick(recordings=2), leaning("sick")))
    table = result.tables["scores"]
    assert [r["input"] for r in table] == [*VECTORS, *VECTORS, "chance", "chance"]
    for found in table[:6]:
        assert (found["people"], found["train_people"]) == (12, 8.0)
        assert found["n"] == (96 if found["unit"] == "window" else 24)
        assert found["auroc_low"] <= found["auroc"] <= found["auroc_high"]
    assert row(result)["auroc"] > 0.85 and row(result, unit="recording")["auroc"] > 0.95
    assert row(result, "random_features")["auroc"] < 0.75
    assert row(result, "chance", budget=None)["auroc"] == 0.5
    assert len(result.tables["random_networks"]) == 2
    assert len(result.tables["fits"]) == 3 * (1 + 1 + 2)
    assert len(result.scores) == 24 and set(VECTORS) < set(result.scores[0])
    assert [len(axes.get_title()) > 0 for axes in result.figures["probe"].axes] == [True, True]
    assert result.scalars["auroc"] == row(result, unit="recording")["auroc"]
    json.dumps([table, result.tables["fits"], result.scores, result.scalars], allow_nan=False)


def test_recordings_are_scored_by_the_mean_of_their_windows_probabilities():
    data = PeopleData(sick(), leaning("sick"))
    result = probe(inputs=("features",))(model, data)
    answers = {r["recording"]: r["features"] for r in result.scores}
    truth = [r.labels["sick"] for r in data.recordings("train")]
    score = [answers[r.recording] for r in data.recordings("train")]
    assert row(result, unit="recording")["auroc"] == pytest.approx(
        roc_auc_score(truth, score), abs=1e-4
    )
    assert [r["sick"] for r in result.scores] == truth


def test_prepared_splits_train_on_train_and_score_test_only():
    people = sick(8) + sick(4, "valid") + sick(6, "test")
    result = probe(outer="prepared", inputs=("features",), c=None, refit_people=100)(
        model, PeopleData(people, leaning("sick"))
    )
    (fit,) = result.tables["fits"]
    assert (fit["train_people"], fit["valid_people"], fit["test_people"]) == (8, 4, 6)
    assert fit["fitted_windows"] == 32 and 0.5 < fit["valid_auroc"] <= 1
    assert {r["person"] for r in result.scores} == {f"x:test{i}" for i in range(6)}
    refit = probe(outer="prepared", inputs=("features",), c=None, refit_people=8)
    fits = refit(model, PeopleData(people, leaning("sick"))).tables["fits"]
    assert {f["fitted_windows"] for f in fits} == {48}
    assert probe(outer="prepared").scored_splits == ("test",)
    assert probe().scored_splits == ("train", "valid", "test")


def test_all_people_in_one_split_can_be_scored_in_folds_and_it_is_said_how():
    data = PeopleData(sick(), leaning("sick"))
    with pytest.raises(
        ManifestError, match=r"{'train': 12}.*outer='folds' or 'leave_one_person_out'"
    ):
        probe(outer="prepared").check(data)
    probe(outer="leave_one_person_out").check(data)


def test_folds_of_one_class_are_left_out_and_named():
    people = [person(f"p{i}", sick=0) for i in range(5)] + [person("only", sick=1)]
    result = probe(outer="leave_one_person_out")(model, PeopleData(people, leaning("sick")))
    assert row(result)["people"] == 5 and row(result)["auroc"] is None
    (note,) = result.notes
    assert (
        "budget 1.0 of features, projection, random_features: left out the fold of x:only" in note
    )
    assert "the training people have one class" in note
    assert [r["fold"] for r in result.tables["left_out"]] == ["the fold of x:only"] * 3
    everybody = probe(outer="prepared")
    alone = PeopleData([*people[:5], *sick(4, "test")], leaning("sick"))
    result = everybody(model, alone)
    assert "fits" not in result.tables and result.scores == () and result.scalars == {}
    assert row(result)["n"] == 0 and row(result)["bacc_low"] is None
    assert any("left out the prepared splits (repeat 0)" in n for n in result.notes)


def test_a_label_that_is_the_same_everywhere_is_refused_before_anything_is_encoded():
    with pytest.raises(ValueError, match=r"all 4 recordings with a label 'sick' have the same"):
        people = [*sick(8)[::2], person("blank", sick=None)]
        probe().check(PeopleData(people, leaning("sick")))


def test_people_whom_the_labels_miss_take_no_part_and_are_counted():
    people = sick() + [person("unknown"), person("blank", sick=None)]
    result = probe()(model, PeopleData(people, leaning("abc")))
    assert row(result)["people"] == 12
    assert "2 of 14 recordings have no label 'sick'" in result.notes[0]
    assert "2 of 14 people have none" in result.notes[0]
    assert not {"x:unknown", "x:blank"} & {r["person"] for r in result.scores}
    with pytest.raises(LabelError, match="no recording has a label 'ill'; known: sick"):
        probe({"name": "ill", "kind": "binary"}).check(PeopleData(people, leaning("sick")))
    with pytest.raises(TargetError, match="'maybe'; a yes/no label is"):
        probe().check(PeopleData([person("a", sick="maybe")], leaning("abc")))


def test_a_budget_smaller_than_the_classes_still_gives_probabilities_of_all():
    people = [person(f"p{i}", stage=f"n{i % 3}") for i in range(15)]
    settings = dict(budgets=(1, 2, 1.0), labels={"name": "stage", "kind": "multiclass"})
    result = probe(**settings)(model, PeopleData(people, leaning("abc")))
    assert row(result, budget=1)["n"] == 0
    assert [n for n in result.notes if n.startswith("budget 1 of features") and "one class" in n]
    found = row(result, budget=2)
    assert found["train_people"] == 2 and found["n"] == 60 and found["bacc"] is not None
    assert set(result.scores[0]) > {"stage", "features.n0", "features.n1", "features.n2"}
    total = sum(result.scores[0][f"features.n{k}"] for k in range(3))
    assert total == pytest.approx(1, abs=1e-5)
    guess = row(result, "chance", budget=None)
    assert guess["bacc"] == pytest.approx(1 / 3, abs=1e-4) and guess["kappa"] == 0


def test_missing_infinite_and_constant_columns_do_no_harm_and_only_constants_are_said():
    def broken(r, rng):
        x = leaning("sick", 4.0)(r, rng)
        x[1], x[2], x[3] = 7.0, np.nan, rng.choice([np.inf, -np.inf, np.nan, 1.0])
        return x

    result = probe()(model, PeopleData(sick(), broken))
    assert row(result)["auroc"] > 0.9
    result = probe()(model, PeopleData(sick(), lambda r, rng: np.full(4, 3.0)))
    assert row(result)["n"] == 0
    assert any("none of 4 columns varies" in n for n in result.notes)


def test_findings_that_nobody_has_are_left_out_of_means_and_still_cost_nothing():
    people = [person(f"p{i}", a=i % 2, b=int(i % 3 == 0), never=0) for i in range(12)]
    labels = {"name": "findings", "kind": "multilabel", "classes": ("a", "never", "b")}
    for c in (1.0, None):
        result = probe(labels, c=c, inputs=("features",))(
            model, PeopleData(people, leaning("a", 4.0))
        )
        found = row(result)
        assert found["auroc"] > 0.5 and 0 < found["hamming"] < 0.5
        assert {r["features.never"] for r in result.scores} == {0.0}
        assert row(result, "chance", budget=None)["hamming"] == pytest.approx(
            (6 + 4) / 36, abs=1e-4
        )


def test_numbers_are_scored_in_their_own_unit():
    people = [person(f"p{i}", age=20 + 5 * i) for i in range(14)]

    def vector(r, rng):
        return np.r_[r.labels["age"] / 10, rng.normal(size=3)]

    labels = {"name": "age", "kind": "regression"}
    for alpha in (1e-3, None):
        result = probe(labels, alpha=alpha)(model, PeopleData(people, vector))
        assert row(result)["mae"] < 1 and row(result)["r2"] > 0.99
        assert row(result, "random_features")["r2"] < 0.3
        guess = row(result, "chance", budget=None)
        assert guess["r2"] == 0 and guess["mae"] == pytest.approx(17.5)
        assert result.scores[3]["age"] == 35


def test_one_person_with_many_recordings_is_one_person():
    people = [*sick(5), person("crowd", recordings=40, sick=1)]
    result = probe(outer="leave_one_person_out")(model, PeopleData(people, leaning("sick")))
    fits = [f for f in result.tables["fits"] if f["input"] == "features"]
    crowd = [f for f in fits if f["fold"] == "the fold of x:crowd"]
    assert crowd[0]["fitted_windows"] == 20 and len(fits) == 6
    assert row(result)["people"] == 6 and row(result, unit="recording")["n"] == 45


def test_recordings_of_events_have_scores_of_windows_only():
    events = [{"sick": 0}, {"sick": 1}, {"sick": 1}]
    people = [person(f"p{i}", pieces=events) for i in range(6)]
    rng = np.random.default_rng(0)
    result = probe()(model, PeopleData(people, lambda r, _: rng.normal(size=3)))
    assert {r["unit"] for r in result.tables["scores"]} == {"window"}
    assert row(result)["n"] == 18 and len(result.figures["probe"].axes) == 1


def test_inputs_share_folds_and_repeats_are_averaged():
    data = PeopleData(sick(), leaning("sick", 1.0))
    result = probe(inputs=("features", "projection"), repeats=3)(model, data)
    # The projection here is the features in another order: the same probe.
    one, two = row(result), row(result, "projection")
    assert {k: v for k, v in one.items() if k != "input"} == {
        k: v for k, v in two.items() if k != "input"
    }
    single = [
        row(probe(inputs=("features",), seed=seed)(model, data))["auroc"] for seed in range(3)
    ]
    assert one["auroc"] == pytest.approx(np.mean(single), abs=2e-4) and len(set(single)) > 1


def test_a_model_without_projection_lacks_that_row():
    result = probe()(model, PeopleData(sick(), leaning("sick"), projection=False))
    assert {r["input"] for r in result.tables["scores"]} == {
        "features",
        "random_features",
        "chance",
    }
    assert "projection: left out, this model has no projection" in result.notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": ("pixels",)}, "inputs .*'pixels'.* unknown; known: .*'band_power'"),
        ({"outer": "random"}, "outer is 'random'; known"),
        ({"budgets": ()}, "budgets is empty"),
        ({"folds": 1}, "folds is 1; expected 2 or more"),
        ({"c": 0.0}, "c is 0.0; expected a positive number"),
        ({"valid_share": 1.0}, "valid_share is 1.0"),
        ({"folds": 30}, "outer='folds' needs 30 or more"),
        ({"budgets": (50,)}, "budget 50: .* at most the 8 there are"),
        ({"stratify": ("age",)}, r"no recording has \['age'\]; known: sick"),
        ({"splits": ("night",)}, r"splits \['night'\] are unknown"),
        ({"splits": ("valid",)}, r"none of the splits \['valid'\] holds people"),
        ({"labels": {"name": "sick"}}, "lacks"),
    ],
)
def test_settings_that_cannot_be_used_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        probe(**settings).check(PeopleData(sick(), leaning("sick")))


def one_persons_recordings():
    """Six recordings of one person, of whom four train and two are tested."""
    rows = [r for i in range(6) for r in person(f"me{i}", "train" if i < 4 else "test", sick=i % 2)]
    return [[dataclasses.replace(row, person="x:me") for row in rows]]


def test_data_split_by_recording_are_held_out_by_recording():
    data = PeopleData(one_persons_recordings(), leaning("sick"), split_by="recording")
    prepared = probe(outer="prepared", splits=("train", "test"), valid_share=0.5)(model, data)
    found = row(prepared)
    assert (found["people"], found["n"]) == (2, 8) and found["auroc"] > 0.8
    assert {answer["person"] for answer in prepared.scores} == {"x:me"}  # who it is, all the same
    every = probe(outer="leave_one_person_out", splits=("train", "test"))(model, data)
    assert row(every)["people"] == 6
    assert {fit["fold"] for fit in every.tables["fits"]} == {
        f"the fold of me{i}_0" for i in range(6)
    }


def test_a_person_in_two_splits_is_an_error():
    rows = [*sick(4), *[[r] for r in person("train0", "test", sick=0)]]
    with pytest.raises(ValueError, match=r"x:train0 is in the splits \['test', 'train'\]"):
        probe().check(PeopleData(rows, leaning("sick")))


# -- real recordings ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("features", 0.695), ("projection", 0.724)])
def test_rest_against_arithmetic_scores_as_the_reference(shared, name, expected):
    golden = np.load(shared / "golden" / "elm" / "eegmat_embeddings_5s.npz")
    crops = golden["emb" if name == "features" else "proj"]
    # The file has no recordings: here a person's rest is one, their arithmetic another.
    people = [
        person(f"{p:02d}{task}", windows=int(n), task=("rest", "arithmetic")[task])
        for p in range(12)
        for task in (0, 1)
        if (n := ((golden["subject"] == p) & (golden["label"] == task)).sum())
    ]
    for own in people:
        own[0] = own[0].__class__(**vars(own[0]) | {"person": own[0].person[:-1]})
    source = iter(crops)
    order = np.lexsort((golden["label"], golden["subject"]))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    data = PeopleData(people, lambda r, rng: next(source), projection=False)
    labels = {"name": "task=arithmetic", "kind": "binary"}
    settings = dict(inputs=("features",), outer="leave_one_person_out", c=0.01, resamples=300)
    result = probe(labels, **settings)(model, data)
    found = row(result)
    assert found["auroc"] == pytest.approx(expected, abs=0.005)
    assert found["n"] == 575 and found["people"] == 12 and row(result, unit="recording")["n"] == 24
    assert found["auroc_low"] < found["auroc"] - 0.03 < found["auroc"] + 0.03 < found["auroc_high"]
    textbook = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    )
    said = cross_val_predict(
        textbook, crops, golden["label"], groups=golden["subject"], cv=LeaveOneGroupOut(),
        method="predict_proba",
    )[:, 1]  # fmt: skip
    assert found["auroc"] == pytest.approx(roc_auc_score(golden["label"], said), abs=2e-3)


def test_people_are_alike_by_class_age_bin_sex_and_by_what_is_missing():
    ages = [20, 25, 40, 45, 70, 75]
    people = [person(f"p{i}", sick=i % 2, age=a, sex="FM"[i // 3]) for i, a in enumerate(ages)]
    people.append(person("q", sick=1, sex="F"))
    people.append([*person("r", sick=0, age=30), *person("r", sick=1, age=34)])
    data = PeopleData(people, leaning("sick"))
    sample = gather(data, ("train",), Target("sick", "binary"))
    found = dict(zip(sample.people, cells(sample, ("age", "sex"), bins=3), strict=True))
    assert found["x:p0"] == ("10", "q0", "F") and found["x:p5"] == ("01", "q2", "M")
    assert found["x:q"] == ("01", "missing", "F") and found["x:r"] == ("11", "q0", "missing")
    number = gather(data, ("train",), Target("age", "regression"))
    assert [c[0] for c in cells(number, (), bins=2)].count("missing") == 1
