"""A 2-D map of recordings: principal components of their mean projection."""

import dataclasses

import numpy as np
from sklearn.decomposition import PCA

from elm_jax.evals import figures
from elm_jax.evals.base import EvalData, EvalResult, Predict, binary_labels, mean_by, unit_rows


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """Every recording of a split as a point, coloured by a label where it has one.

    Attributes:
      split: whose recordings.
      label: yes/no label to colour by.
    """

    split: str
    label: str

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """None: a map has no scores."""
        return ()

    def check(self, data: EvalData) -> None:
        """Raises where labels cannot be used."""
        binary_labels(data.recordings(self.split), self.label)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Figure ``embedding_pca``; scalars: shares of variance of the two components."""
        encoded = data.encoded(predict, self.split)
        windows = encoded.features if encoded.projection is None else encoded.projection
        recordings = data.recordings(self.split)
        vectors = mean_by(unit_rows(windows), encoded.recording, len(recordings))
        shown = np.isfinite(vectors).all(axis=1)  # NaN: a recording without windows
        if shown.sum() < 3:
            return EvalResult(notes=(f"a map needs 3 recordings, {self.split!r} has fewer",))
        pca = PCA(n_components=2, svd_solver="full").fit(vectors[shown])
        figure = figures.scatter(
            pca.transform(vectors[shown]),
            binary_labels(recordings, self.label)[shown],
            shares=pca.explained_variance_ratio_,
            what=self.label,
            simulated=data.manifest.simulated,
        )
        shares = np.round(pca.explained_variance_ratio_, 4)
        scalars = {"pca_share_1": float(shares[0]), "pca_share_2": float(shares[1])}
        return EvalResult(scalars, figures={"embedding_pca": figure})
