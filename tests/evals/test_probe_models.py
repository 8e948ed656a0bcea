"""Models along a path of penalties are scikit-learn's; the choice is the validation people's."""

import warnings

import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, Ridge

from elm_jax.data.targets import Target
from elm_jax.evals.probe import models
from elm_jax.evals.probe.models import STRENGTHS, FoldError, Logistic, RidgePath, choose_strength

KINDS = {
    "binary": Target("x", "binary"),
    "multiclass": Target("x", "multiclass", ("a", "b", "c")),
    "multilabel": Target("x", "multilabel", ("a", "b")),
    "regression": Target("x", "regression"),
}


def example(kind, n=90, d=12, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    lean = x[:, :3] + rng.normal(size=(n, 3))
    truth = {
        "binary": lean[:, :1] > 0.5,
        "multiclass": lean.argmax(1)[:, None],
        "multilabel": lean[:, :2] > 0.3,
        "regression": lean[:, :1] * 10 + 40,
    }[kind]
    return x, truth.astype(float)


@pytest.fixture(autouse=True)
def no_warning_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_the_grid_is_the_published_one():
    assert len(STRENGTHS) == 45 and STRENGTHS[0] == 1e-6 and STRENGTHS[-1] == 1e5


@pytest.mark.parametrize("many", [0, 1_000_000])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_every_step_of_the_path_equals_a_fit_on_its_own(kind, many, monkeypatch):
    monkeypatch.setattr(models, "MANY", many)
    (x, truth), model = example(kind), Logistic(KINDS[kind])
    for strength in STRENGTHS[::11]:
        said = model.fit(x, truth, strength).predict(x)
        own = LogisticRegression(C=strength, class_weight="balanced", max_iter=20_000, tol=1e-8)
        columns = [own.fit(x, truth[:, k]).predict_proba(x) for k in range(len(model.models))]
        expected = columns[0] if kind == "multiclass" else np.stack([c[:, 1] for c in columns], 1)
        np.testing.assert_allclose(said, expected, atol=3e-3)


@pytest.mark.parametrize("shape", [(90, 12), (10, 30)])
def test_ridge_at_every_alpha_equals_scikit_learn(shape):
    x, truth = example("regression", *shape)
    model = RidgePath(KINDS["regression"])
    for alpha in STRENGTHS[::4]:
        said = model.fit(x, truth, alpha).predict(x)[:, 0]
        expected = Ridge(alpha=alpha, solver="svd").fit(x, truth[:, 0]).predict(x)
        np.testing.assert_allclose(said, expected, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_strength_is_the_best_on_validation_rows_alone(kind):
    train, valid = example(kind), example(kind, n=60, seed=1)
    strength, score = choose_strength(KINDS[kind], train, valid)
    truth, values = valid[1], []
    for each in STRENGTHS:
        said = models.fit(KINDS[kind], *train, each).predict(valid[0])
        if kind == "regression":
            values.append(metrics.r2_score(truth, said))
        elif kind == "multiclass":
            values.append(metrics.balanced_accuracy_score(truth, said.argmax(1)))
        else:
            values.append(metrics.roc_auc_score(truth, said))
    assert score == pytest.approx(max(values), abs=5e-3)
    assert values[np.argmin(np.abs(STRENGTHS - strength))] == pytest.approx(max(values), abs=5e-3)


@pytest.mark.parametrize(("kind", "strongest"), [("binary", 1e-6), ("regression", 1e5)])
def test_of_equal_strengths_the_strongest_penalty_is_taken(kind, strongest):
    x = np.repeat([[-1.0], [1.0]], 10, axis=0)
    truth = (x > 0).astype(float) if kind == "binary" else x * 0 + np.arange(20)[:, None] % 2
    valid = (x, (x > 0).astype(float))
    strength, score = choose_strength(KINDS[kind], (x, truth), valid)
    assert strength == pytest.approx(strongest)
    assert score == (1.0 if kind == "binary" else pytest.approx(score))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_separable_rows_converge_at_every_strength_without_a_warning(kind):
    x, truth = example(kind, n=12, d=200)
    choose_strength(KINDS[kind], (x, truth), (x, truth))


def test_validation_rows_of_one_class_cannot_choose():
    train, (x, truth) = example("binary"), example("binary", seed=1)
    with pytest.raises(FoldError, match="validation people do not tell strengths apart"):
        choose_strength(KINDS["binary"], train, (x, truth * 0))


def test_nothing_to_tell_apart_is_a_fold_error():
    x, truth = example("binary")
    with pytest.raises(FoldError, match="one class only"):
        models.fit(KINDS["binary"], x, truth * 0, 1.0)
    with pytest.raises(FoldError, match="none of 12 columns varies"):
        models.fit(KINDS["binary"], x * 0, truth, 1.0)
    with pytest.raises(FoldError, match="none of 12 columns varies"):
        models.fit(KINDS["binary"], np.full_like(x, np.nan), truth, 1.0)


def test_columns_are_imputed_and_scaled_by_training_rows():
    x, truth = example("binary")
    x[0, 0], x[1, 0] = np.inf, np.nan
    fitted = models.fit(KINDS["binary"], x, truth, 1.0)
    median = np.median(x[2:, 0])
    filled = x.copy()
    filled[:2, 0] = median
    np.testing.assert_allclose(fitted.predict(x), fitted.predict(filled))
    scaled = fitted.before.transform(filled)
    np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0] * 12, [1] * 12], atol=1e-9)


@pytest.mark.parametrize("seed", [76, 119, 131, 293])
def test_vectors_in_float32_do_not_run_out_of_digits(seed):
    # With these, Newton's line search fails at a strong penalty unless rows become float64.
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 80)), int(rng.integers(50, 300))
    centre, group = rng.normal(size=(4, d)) * 3, rng.integers(0, 4, n)
    x = (centre[group] + rng.normal(size=(n, d)) * rng.choice([0.3, 1])).astype(np.float32)
    truth = (group % 2).astype(float)[:, None]
    choose_strength(KINDS["binary"], (x, truth), (x, truth))
