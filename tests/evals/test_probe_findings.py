"""Probes of several findings: which count in the mean, and inputs that need no model."""

import dataclasses
import warnings

import numpy as np
import pytest
import scipy.sparse
from people_data import PeopleData, model, person
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import roc_auc_score
from tiny_shards import tiny_spec

from elm_jax.data.targets import Target
from elm_jax.evals.probe import inputs, models
from elm_jax.evals.probe.eval import Probe
from elm_jax.evals.probe.models import FoldError, choose_strength
from elm_jax.evals.probe.readouts import READOUTS, RidgeClasses

FINDINGS = ("codes=A", "codes=B|b", "codes=C")
SEVERAL = {"name": "t", "kind": "multilabel", "classes": FINDINGS}
WORDS = {"A": "Alpha seen", "B": "Beta wave", "C": "Gamma burst"}


@pytest.fixture(autouse=True)
def no_warning_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class CodedPeople(PeopleData):
    """People with a list of codes, reports that say them, and signals that are as large as A."""

    def __init__(self, train=24, test=16, *, reports=True, few=3):
        rng = np.random.default_rng(5)
        rows = []
        for split, n in (("train", train), ("test", test)):
            for i in range(n):
                codes = [c for c in "Ab" if rng.random() < 0.5]
                codes += ["C"] if split == "train" and i < 4 or split == "test" and i < few else []
                rows.append(person(f"{split}{i}", split, windows=2, codes=codes))
        super().__init__(rows, self.vector)
        words = {"A": WORDS["A"], "b": WORDS["B"], "C": WORDS["C"]}
        if reports:
            self.rows = [
                dataclasses.replace(
                    row, reports=(" ".join(words[c] for c in row.labels["codes"]) + " ecg",)
                )
                for row in self.rows
            ]
        self.manifest.spec = tiny_spec(1.0).replace(channels=("a", "b"))
        self.manifest.statistics, self.manifest.steps_per_unit = {"std": 0.1}, 32
        self.computed = 0

    @staticmethod
    def vector(row, rng):
        codes = row.labels["codes"]
        return np.asarray([float(c in codes) for c in "AbC"]) + rng.normal(0, 0.8, 3)

    def batches(self, split):
        self.computed += 1
        for i, r in enumerate(self.windows(split).recording):
            size = 1 + 2 * ("A" in self.recordings(split)[r].labels["codes"])
            wave = np.random.default_rng(i).normal(0, 3 * size, (1, 2, 100))
            yield {"signal": (32 * wave).astype(np.int16)}


def run(data, **settings):
    usual = dict(outer="prepared", valid_share=0.3, resamples=40, strengths=6, random_networks=1)
    probe = Probe(labels=SEVERAL, **usual | dict(inputs=("features",), min_positives=5) | settings)
    probe.check(data)
    return probe(model, data)


def rows_of(result, table="classes"):
    return {(r["input"], r.get("class", r.get("unit"))): r for r in result.tables[table]}


def test_the_mean_is_over_findings_that_enough_recordings_have_and_the_others_are_still_told():
    data = CodedPeople()
    result = run(data)
    rows, scored = rows_of(result), rows_of(result, "scores")
    assert [rows["features", c]["in_mean"] for c in "ABC"] == [True, True, False]
    answers = {r["recording"]: r for r in result.scores}
    tested = data.recordings("test")
    for name, finding in zip("ABC", FINDINGS, strict=True):
        code = "b" if name == "B" else name
        truth = [code in row.labels["codes"] for row in tested]
        said = [answers[row.recording][f"features.{finding}"] for row in tested]
        assert rows["features", name]["auroc"] == pytest.approx(
            roc_auc_score(truth, said), abs=1e-3
        )
        assert rows["features", name]["positives"] == sum(truth)
    mean = np.mean([rows["features", c]["auroc"] for c in "AB"])
    for unit in ("window", "recording"):
        assert scored["features", unit]["classes"] == 2
        assert scored["chance", unit]["auroc"] == 0.5
    assert scored["features", "recording"]["auroc"] == pytest.approx(mean, abs=1e-4)
    assert result.scalars["auroc"] == scored["features", "recording"]["auroc"]
    every = rows_of(run(data, min_positives=1), "scores")["features", "recording"]
    assert every["classes"] == 3 and every["auroc"] != scored["features", "recording"]["auroc"]
    assert {"probe", "probe_classes"} == set(result.figures)
    assert any("people are drawn once for all classes" in note for note in result.notes)


def test_people_with_none_of_the_findings_are_negatives_or_take_no_part():
    data = CodedPeople()
    empty = sum(not row.labels["codes"] for row in data.recordings("test"))
    assert empty > 0
    kept = rows_of(run(data), "scores")["features", "recording"]
    left = rows_of(run(data, no_class="left_out"), "scores")["features", "recording"]
    assert (kept["n"], left["n"]) == (16, 16 - empty)
    with pytest.raises(ValueError, match="no_class is 'drop'"):
        run(data, no_class="drop")


def test_a_finding_that_no_training_person_has_is_at_chance_and_that_is_said():
    data = CodedPeople(few=6)
    for row in data.recordings("train"):
        row.labels["codes"] = [c for c in row.labels["codes"] if c != "C"]
    result = run(data)
    assert rows_of(result)["features", "C"]["auroc"] == 0.5
    assert "no training person has C: at chance, and counted in the mean" in result.notes


def test_inputs_without_a_model_stand_beside_it_on_the_same_people():
    data = CodedPeople()
    names = ("features", "amplitude", "random_convolutions", "report_words")
    result = run(data, inputs=names)
    scored = rows_of(result, "scores")
    assert {key[0] for key in scored} == {*names, "chance"}
    rows = rows_of(result)
    assert rows["amplitude", "A"]["auroc"] > 0.95 > 0.9 > rows["amplitude", "B"]["auroc"]
    assert rows["random_convolutions", "A"]["auroc"] > 0.95
    assert rows["report_words", "B"]["auroc"] == 1.0
    before = data.computed
    run(data, inputs=names)
    assert data.computed == before  # signals are read once for all probes of the same data


def test_words_are_read_at_test_time_and_weighed_by_training_people_alone():
    data = CodedPeople()
    for i, row in enumerate(data.rows):
        if row.split == "test":  # a word that nobody who trains has says nothing
            more = " unseen" * len(row.labels["codes"])
            data.rows[i] = dataclasses.replace(row, reports=(row.reports[0] + more,))
    counts = inputs.vectors("report_words", model, data, ("train", "test"), seed=0)
    assert scipy.sparse.issparse(counts) and counts.shape == (80, 8)
    readout = READOUTS["words"]
    train = counts[:48]
    before = readout.before(train)
    plain = counts.toarray()
    plain[:, (plain[:48] == plain[0]).all(axis=0)] = 0
    other = readout.before(scipy.sparse.csr_array(plain[:48])).transform(plain[48:])
    np.testing.assert_allclose(before.transform(counts[48:]).toarray(), other.toarray())
    with pytest.raises(FoldError, match="no words"):
        readout.before(counts[:4] * 0)
    with pytest.raises(FoldError, match="the same words"):
        readout.before(scipy.sparse.csr_array(np.ones((4, 2))))
    with pytest.raises(ValueError, match="'report_words' needs reports, and no recording of"):
        run(CodedPeople(reports=False), inputs=("report_words",))


def test_numbers_can_be_read_from_words_too():
    counts = scipy.sparse.csr_array(np.eye(6)[[0, 1, 2, 3, 0, 1, 2, 3]] + np.eye(6)[5])
    truth = np.asarray([[1.0, 2, 3, 4] * 2]).T
    fitted = models.fit(Target("age", "regression"), counts, truth, 1e-6, READOUTS["words"])
    np.testing.assert_allclose(fitted.predict(counts), truth, atol=1e-3)


def test_ridge_of_findings_orders_as_scikit_learns_and_is_half_way_between_the_classes():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(60, 90)), rng.normal(size=(60, 2))
    truth = (x[:, :2] + noise > 0.8).astype(float)
    target = Target("t", "multilabel", ("a", "b"))
    own = RidgeClasses(target)
    for alpha in (1e3, 10.0):  # again, of the same spectrum
        own.fit(x, truth, alpha)
    plain = Ridge(alpha=10.0).fit(x, truth).predict(x)
    said = own.predict(x)
    for k in range(2):
        assert (np.argsort(said[:, k]) == np.argsort(plain[:, k])).all()
        sides = [plain[truth[:, k] == s, k].mean() for s in (0, 1)]
        np.testing.assert_allclose(
            said[:, k] > 0.5, plain[:, k] > np.mean(sides), err_msg="the middle decides"
        )
    assert 0 < said.min() < said.max() < 1


def test_ridge_of_classes_decides_as_scikit_learns_where_classes_are_equally_large():
    rng = np.random.default_rng(1)
    truth = np.arange(90)[:, None] % 3
    x = np.eye(3)[truth[:, 0]] @ rng.normal(size=(3, 20)) + rng.normal(size=(90, 20))
    target = Target("t", "multiclass", ("a", "b", "c", "never"))
    own = RidgeClasses(target).fit(x, truth.astype(float), 1.0)
    said = own.predict(x)
    assert said.shape == (90, 4) and (said[:, 3] == 0).all()
    theirs = RidgeClassifier(alpha=1.0).fit(x, truth[:, 0]).predict(x)
    assert (said.argmax(1) == theirs).mean() > 0.95
    with pytest.raises(FoldError, match="one class only"):
        RidgeClasses(target).fit(x, truth * 0.0, 1.0)


def test_the_strongest_of_equally_good_alphas_is_chosen_from_the_grid_that_is_asked_for():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 60))
    truth = (x[:, :1] > 0).astype(float)
    settings = dict(readout=READOUTS["ridge"], strengths=np.asarray([1e-3, 1e-2, 1e4]))
    target = Target("t", "binary")
    strength, score = choose_strength(target, (x, truth), (x, truth), **settings)
    assert (strength, score) == (1e-2, 1.0)  # both separate their own training rows


def test_strengths_are_fixed_for_all_inputs_or_chosen_for_all():
    names = ("features", "random_convolutions")
    with pytest.raises(ValueError, match="fix both, or neither"):
        run(CodedPeople(), inputs=names, c=1.0)
    result = run(CodedPeople(), inputs=names, c=1.0, alpha=1e3)
    fits = {r["input"]: r for r in result.tables["fits"]}
    assert fits["features"]["strength"] == 1.0 and fits["random_convolutions"]["strength"] == 1e3
    for settings in (dict(strengths=1), dict(min_positives=0)):
        with pytest.raises(ValueError, match="is [01]; expected [12] or more"):
            run(CodedPeople(), **settings)
