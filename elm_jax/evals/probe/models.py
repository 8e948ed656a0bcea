"""Linear models on vectors: scikit-learn's, with the strength of their penalty chosen in one path.

    missing values (infinities too) -> median -> columns that vary -> standard scale
    -> logistic regression, classes balanced, or ridge regression

The strength is one of 45 values of C (logistic) or alpha (ridge) from 1e-6 to 1e5, chosen on
validation people. (ELM's released code marks the training people as a second fold to test on, so
half of its choice is made on them; not so here.)
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from elm_jax.axes import Float
from elm_jax.data.targets import Target
from elm_jax.evals import scores
from elm_jax.evals.probe.data import class_count

#: Rows of numbers; words are counted in a sparse array.
Vectors = np.ndarray | scipy.sparse.sparray | scipy.sparse.spmatrix

STRENGTHS = np.logspace(-6, 5, 45)

# Numbers (rows x columns) from which on a problem is large: another solver, and all cores.
MANY = 1_000_000

# What the strength is chosen by, of the windows of validation people.
CHOSEN_BY = {
    "binary": "auroc",
    "multiclass": "bacc",
    "multilabel": "auroc",
    "regression": "r2",
}


class FoldError(ValueError):
    """A fold that cannot be fitted; it is left out, and said."""


def infinities_missing(x: np.ndarray) -> np.ndarray:
    """Infinities as NaN, in float64: in float32 Newton's line search runs out of digits."""
    return np.where(np.isfinite(x), x, np.nan).astype(np.float64)


def preprocessing() -> Pipeline:
    """What stands before every linear model."""
    return Pipeline(
        [
            ("missing", FunctionTransformer(infinities_missing)),
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("varies", VarianceThreshold()),
            ("scale", StandardScaler()),
        ]
    )


@dataclasses.dataclass
class Logistic:
    """Balanced logistic regression: one for all classes, or one a finding.

    Going through strengths from the strongest penalty on, each fit starts where the last ended.
    Newton's method with conjugate gradients, since it needs no tuning to converge at any strength;
    of many rows L-BFGS, since it is more than twice as fast there.

    A class that the training people lack has probability 0; a finding that all or none of them
    have has probability 1 or 0.
    """

    target: Target

    def __post_init__(self):
        columns = self.target.outputs if self.target.kind == "multilabel" else 1
        self.models = [
            LogisticRegression(class_weight="balanced", max_iter=2000, warm_start=True)
            for _ in range(columns)
        ]
        self.constant: list[float | None] = [None] * columns

    def fit(self, x: Vectors, truth: np.ndarray, strength: float) -> "Logistic":
        """Fits at one C; ``truth`` is ``[n, k]`` as a Sample has it.

        Raises:
          FoldError: nothing to tell apart.
        """
        solver = "lbfgs" if x.size > MANY else "newton-cg"
        for k, model in enumerate(self.models):
            found = np.unique(truth[:, k])
            self.constant[k] = float(found[0]) if len(found) == 1 else None
            if len(found) > 1:
                model.set_params(C=float(strength), solver=solver).fit(x, truth[:, k])
        if all(c is not None for c in self.constant):
            raise FoldError("the training people have one class only")
        return self

    def predict(self, x: Vectors) -> Float[np.ndarray, "n k"]:
        """Probabilities: of yes, of every class, or of every finding."""
        kind = self.target.kind
        if kind == "multiclass":
            out = np.zeros((x.shape[0], class_count(self.target)))
            out[:, self.models[0].classes_.astype(int)] = self.models[0].predict_proba(x)
            return out
        columns = [
            np.full(x.shape[0], constant) if constant is not None else model.predict_proba(x)[:, 1]
            for model, constant in zip(self.models, self.constant, strict=True)
        ]
        return np.stack(columns, axis=1)


@dataclasses.dataclass
class RidgePath:
    """Ridge regression at every alpha from one eigendecomposition, of rows or columns if fewer."""

    target: Target

    def fit(self, x: Vectors, truth: np.ndarray, strength: float) -> "RidgePath":
        """Fits at one alpha; asked again, of the same ``x`` and ``truth``."""
        if not hasattr(self, "_spectrum"):
            x = x.toarray() if scipy.sparse.issparse(x) else x
            self._mean, self._offset = x.mean(0), truth.mean(0)
            x, truth = x - self._mean, truth - self._offset
            tall = len(x) > x.shape[1]
            self._spectrum, turn = np.linalg.eigh(x.T @ x if tall else x @ x.T)
            self._spectrum = np.maximum(self._spectrum, 0.0)
            # slope = (X'X + a)^-1 X'y = X' (XX' + a)^-1 y
            self._left = turn if tall else x.T @ turn
            self._right = turn.T @ (x.T @ truth if tall else truth)
        self._slope = self._left @ (self._right / (self._spectrum + strength)[:, None])
        return self

    def predict(self, x: Vectors) -> Float[np.ndarray, "n k"]:
        """Values in the unit of what was fitted: a label's, or several columns'."""
        x = x.toarray() if scipy.sparse.issparse(x) else x
        return (x - self._mean) @ self._slope + self._offset


def choose_strength(
    target: Target,
    train: tuple[Vectors, np.ndarray],
    valid: tuple[Vectors, np.ndarray],
    *,
    readout: "Readout | None" = None,
    strengths: np.ndarray = STRENGTHS,
) -> tuple[float, float]:
    """The strength that scores best on the validation rows; of equal ones the strongest penalty.

    Args:
      target: what is predicted.
      train: vectors ``[n, d]`` and truth ``[n, k]`` to fit.
      valid: likewise, to choose on.
      readout: what reads the vectors; None: :data:`LINEAR`.
      strengths: those there are, from the lowest number on.

    Returns:
      The strength, and the score of :data:`CHOSEN_BY`.

    Raises:
      FoldError: nothing to tell apart, in training or validation rows.
    """
    readout = readout or LINEAR
    with _threads(train[0]):
        before = readout.before(train[0])
        x, x_valid = before.transform(train[0]), before.transform(valid[0])
        model = readout.model(target)
        best = (np.nan, -np.inf)
        for strength in readout.from_the_strongest(target, strengths):
            said = model.fit(x, train[1], strength).predict(x_valid)
            value = _validated(target, valid[1], said)
            if value > best[1] + 1e-12:
                best = (float(strength), value)
    if np.isnan(best[0]):
        raise FoldError(
            f"the validation people do not tell strengths apart ({CHOSEN_BY[target.kind]} is not "
            "defined on them): they have one class, or one value; take more of them, or fix c"
        )
    return best


def _validated(target: Target, truth: np.ndarray, said: np.ndarray) -> float:
    if target.kind == "multiclass":
        return scores.balanced_accuracy(truth[:, 0], said.argmax(1))
    if target.kind == "regression":
        return scores.r2(truth[:, 0], said[:, 0])
    return scores.roc_area(truth, said)


def fit_preprocessing(x: np.ndarray) -> Pipeline:
    """:func:`preprocessing`, fitted.

    Raises:
      FoldError: no column varies.
    """
    finite = infinities_missing(x)
    with np.errstate(invalid="ignore"):
        varies = np.nanmin(finite, axis=0, initial=np.inf) < np.nanmax(
            finite, axis=0, initial=-np.inf
        )
    if not varies.any():
        raise FoldError(f"none of {x.shape[1]} columns varies among the training people")
    return preprocessing().fit(x)


class Readout(NamedTuple):
    """What reads vectors; see :mod:`elm_jax.evals.probe.readouts`.

    Attributes:
      before: fits what stands before the model, on training rows.
      model: makes an unfitted one.
      by_alpha: whether the strength of a model of classes is ridge's alpha, and not C.
    """

    before: Callable[[Any], Pipeline]
    model: Callable[[Target], Any]
    by_alpha: bool = False

    def is_alpha(self, target: Target) -> bool:
        """Whether strengths are alphas, of which the largest is the strongest penalty."""
        return self.by_alpha or target.kind == "regression"

    def from_the_strongest(self, target: Target, strengths: np.ndarray) -> np.ndarray:
        """Strengths, from the strongest penalty to the weakest."""
        return strengths[::-1] if self.is_alpha(target) else strengths


def linear(target: Target) -> Any:
    """The model of classes or numbers."""
    return RidgePath(target) if target.kind == "regression" else Logistic(target)


LINEAR = Readout(fit_preprocessing, linear)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Preprocessing and a linear model, fitted on the same rows."""

    before: Pipeline
    model: Any

    def predict(self, x: Vectors) -> Float[np.ndarray, "n k"]:
        """Probabilities ``[n, k]`` (of yes, of classes, of findings), or values ``[n, 1]``."""
        return self.model.predict(self.before.transform(x))


def fit(
    target: Target,
    x: Vectors,
    truth: np.ndarray,
    strength: float,
    readout: "Readout | None" = None,
) -> Fitted:
    """Fits at one strength: vectors ``[n, d]``, truth ``[n, k]``; a readout, or :data:`LINEAR`.

    Raises:
      FoldError: no column varies, or nothing to tell apart.
    """
    readout = readout or LINEAR
    with _threads(x):
        before = readout.before(x)
        return Fitted(before, readout.model(target).fit(before.transform(x), truth, strength))


def _threads(x: Vectors):
    """One thread for small problems, where starting and waiting for others costs more than work."""
    return threadpool_limits(1 if x.size < MANY else None)
