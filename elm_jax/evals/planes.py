"""Vectors onto a plane: principal components, t-SNE, UMAP."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from elm_jax.axes import Float

# Fewer points have no map: a plane of neighbours needs neighbours.
LEAST_POINTS = {"pca": 3, "tsne": 5, "umap": 5}
WORDS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_PERPLEXITY, _NEIGHBOURS = 30.0, 15  # both libraries' own
_COMPONENTS = 50  # t-SNE's distances are those of so many principal components


class NoPlane(ValueError):
    """Points that have no map."""


class Plane(NamedTuple):
    """Points on a plane.

    Attributes:
      points: of each vector.
      axes: what its two directions are called.
      shares: of the vectors' variance, where the method says so.
    """

    points: Float[np.ndarray, "n 2"]
    axes: tuple[str, str]
    shares: tuple[float, float] | None = None


def plane(vectors: Float[np.ndarray, "n d"], method: str, *, seed: int = 0) -> Plane:
    """Maps vectors by ``method``: "pca", "tsne" or "umap"; the same from the same seed.

    Raises:
      NoPlane: fewer points than the method needs, one column, or points that are all the same.
      ModuleNotFoundError: "umap" without its package; says how to install it.
    """
    n, d = vectors.shape
    if n < LEAST_POINTS[method]:
        raise NoPlane(f"{WORDS[method]} needs {LEAST_POINTS[method]} points, found {n}")
    if d < 2:
        raise NoPlane(f"a plane needs vectors of 2 numbers or more, found {d}")
    if not np.ptp(vectors, axis=0).any():
        raise NoPlane(f"all {n} vectors are the same")
    return _METHODS[method](vectors.astype(np.float64), seed)


def require_method(method: str) -> None:
    """Raises, before any work, where a method is unknown or its package missing.

    Raises:
      ValueError: unknown.
      ModuleNotFoundError: says how to install the package.
    """
    if method not in _METHODS:
        raise ValueError(f"method {method!r} is unknown; known: {list(_METHODS)}")
    if method == "umap":
        _umap()


def _pca(vectors: np.ndarray, seed: int) -> Plane:
    pca = PCA(n_components=2, svd_solver="full").fit(vectors)
    shares = tuple(pca.explained_variance_ratio_.tolist())
    axes = tuple(f"PC {i} ({share:.0%})" for i, share in enumerate(shares, 1))
    return Plane(pca.transform(vectors), axes, shares)


def _tsne(vectors: np.ndarray, seed: int) -> Plane:
    n, d = vectors.shape
    if min(n, d) > _COMPONENTS:
        vectors = PCA(_COMPONENTS, svd_solver="full").fit_transform(vectors)
    perplexity = min(_PERPLEXITY, (n - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    # Its threads wait for one another at every step: two are four times slower beside other work.
    with threadpool_limits(1):
        return Plane(found.fit_transform(vectors), ("t-SNE 1", "t-SNE 2"))


def _map_of_neighbours(vectors: np.ndarray, seed: int) -> Plane:
    settings = dict(n_neighbors=min(_NEIGHBOURS, len(vectors) - 1), random_state=seed, n_jobs=1)
    # The spectral start needs more points than the plane has directions.
    start = "spectral" if len(vectors) > _NEIGHBOURS else "random"
    found = _umap()(n_components=2, init=start, **settings)
    return Plane(found.fit_transform(vectors.astype(np.float32)), ("UMAP 1", "UMAP 2"))


def _umap() -> type:
    try:
        with _unseen("tensorflow"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a network of its own is not there: not used
            from umap import UMAP
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"method 'umap' needs umap-learn ({error}): pip install 'elm_jax[umap]'"
        ) from error
    return UMAP


@contextlib.contextmanager
def _unseen(module: str) -> Iterator[None]:
    """Hides a module that is not imported yet from what is imported inside.

    umap-learn imports TensorFlow, where it is installed, for a class that is not used here: 440 MB.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # an import of it raises ImportError
    try:
        yield
    finally:
        del sys.modules[module]


_METHODS = {"pca": _pca, "tsne": _tsne, "umap": _map_of_neighbours}
