"""How an input's vectors are read: what stands before the linear model, and which it is.

Three of them:

    linear   median, scale, logistic regression (ridge regression of numbers)   vectors
    ridge    median, scale, ridge regression of yes and no, as in ROCKET        random convolutions
    words    words that training people's texts have, TF-IDF, as "linear"       counts of words
"""

import dataclasses
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import Pipeline

from elm_jax.axes import Float
from elm_jax.data.targets import Target
from elm_jax.evals.probe.data import class_count
from elm_jax.evals.probe.models import (
    LINEAR,
    FoldError,
    Readout,
    RidgePath,
    Vectors,
    fit_preprocessing,
    linear,
)


@dataclasses.dataclass
class RidgeClasses:
    """Ridge regression of yes (1) and no (0): of findings, or of one class against the others.

    Half way between the means of training rows with and without a finding is one half; farther away
    is nearer to 1 or 0, along a logistic curve, which changes no order and so no ROC curve. (These
    are no calibrated probabilities.) What the training people lack, or all have, is 0 or 1.
    """

    target: Target

    def __post_init__(self):
        self.path = RidgePath(self.target)

    def fit(self, x: np.ndarray, truth: np.ndarray, strength: float) -> "RidgeClasses":
        """Fits at one alpha; asked again, of the same ``x`` and ``truth``.

        Raises:
          FoldError: nothing to tell apart.
        """
        codes = truth
        if self.target.kind == "multiclass":
            codes = (truth == np.arange(class_count(self.target))).astype(float)
        self.constant = np.where((codes == codes[0]).all(axis=0), codes[0], np.nan)
        if not np.isnan(self.constant).any():
            raise FoldError("the training people have one class only")
        said = self.path.fit(x, codes, strength).predict(x)
        sides = (codes == 1, codes == 0)
        means = [(said * s).sum(axis=0) / np.maximum(s.sum(axis=0), 1) for s in sides]
        self.middle = (means[0] + means[1]) / 2
        return self

    def predict(self, x: np.ndarray) -> Float[np.ndarray, "n k"]:
        """How far each row leans to yes, to every class or to every finding, from 0 to 1."""
        leaning = 1 / (1 + np.exp(-4 * np.clip(self.path.predict(x) - self.middle, -50, 50)))
        return np.where(np.isnan(self.constant), leaning, self.constant)


def _ridge(target: Target) -> Any:
    return RidgePath(target) if target.kind == "regression" else RidgeClasses(target)


def fit_words(counts: Vectors) -> Pipeline:
    """TF-IDF of those words that some training rows have, and not all equally often.

    Raises:
      FoldError: there is no such word.
    """
    if not len(np.unique(counts.nonzero()[1])):
        raise FoldError("the training people have no words")
    steps = [("occurs", VarianceThreshold()), ("tf_idf", TfidfTransformer())]
    try:
        return Pipeline(steps).fit(counts)
    except ValueError as error:
        raise FoldError("all training people have the same words") from error


READOUTS = {
    "linear": LINEAR,
    "ridge": Readout(fit_preprocessing, _ridge, by_alpha=True),
    "words": Readout(fit_words, linear),
}
