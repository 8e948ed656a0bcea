"""A picture and counts of a file of vectors, from the file alone."""

import math

import numpy as np

from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.modality import simulated_word
from elm_jax.evals import figures_map
from elm_jax.evals.base import EvalResult, unit_rows
from elm_jax.evals.planes import NoPlane, plane
from elm_jax.evals.point_labels import point_labels


def file_map(file: EmbeddingFile, label: str) -> EvalResult:
    """Counts, and figure ``embedding_pca``: every recording's mean vector as a point.

    Reads one recording's vectors at a time.

    Args:
      file: the vectors.
      label: to colour by, as :func:`elm_jax.evals.point_labels.point_labels` reads its values.
    """
    encoder = file.attributes["features"] == "encoder"
    vectors = file.features if encoder else file.projection
    shown = [r for r in file.recordings if r.rows.stop > r.rows.start]
    scalars = {"windows": len(file), "recordings": len(file.recordings)}
    scalars |= {"people": len({r.person for r in file.recordings})}
    if len(shown) < 3:
        return EvalResult(scalars, notes=(f"a map needs 3 recordings, found {len(shown)}",))
    means = [unit_rows(np.asarray(vectors[r.rows], np.float32)).mean(axis=0) for r in shown]
    try:
        found = plane(np.stack(means), "pca")
    except NoPlane as error:
        return EvalResult(scalars, notes=(f"no map: {error}",))
    name = label.partition("=")[0]
    values = file.label(name) if name in file.labels else np.full(len(file), math.nan)
    colours = point_labels([values[r.rows.start] for r in shown], label)
    figure = figures_map.scatter(
        found,
        [colours],
        title="Recordings by mean embedding (PCA)",
        simulated=simulated_word(file.attributes["simulated"], file.spec.modality),
    )
    return EvalResult(scalars, figures={"embedding_pca": figure})
