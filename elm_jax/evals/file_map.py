"""A picture and counts of a file of vectors, from the file alone."""

import math

import numpy as np
from sklearn.decomposition import PCA

from elm_jax.data.embedding_file import EmbeddedRecording, EmbeddingFile
from elm_jax.data.shards import RecordingRow
from elm_jax.evals import figures
from elm_jax.evals.base import EvalResult, binary_labels, unit_rows


def file_map(file: EmbeddingFile, label: str) -> EvalResult:
    """Counts, and figure ``embedding_pca``: every recording's mean vector as a point.

    Reads one recording's vectors at a time.

    Args:
      file: the vectors.
      label: yes/no label to colour by, as :func:`elm_jax.evals.base.binary_labels` reads it.
    """
    encoder = file.attributes["features"] == "encoder"
    vectors = file.features if encoder else file.projection
    shown = [r for r in file.recordings if r.rows.stop > r.rows.start]
    scalars = {"windows": len(file), "recordings": len(file.recordings)}
    scalars |= {"people": len({r.person for r in file.recordings})}
    if len(shown) < 3:
        return EvalResult(scalars, notes=(f"a map needs 3 recordings, found {len(shown)}",))
    means = [unit_rows(np.asarray(vectors[r.rows], np.float32)).mean(axis=0) for r in shown]
    pca = PCA(n_components=2, svd_solver="full").fit(np.stack(means))
    notes: tuple[str, ...] = ()
    try:
        colour = _colours(file, shown, label)
    except ValueError as error:  # the vectors are whole whatever a label is
        colour, notes = np.full(len(shown), math.nan), (f"the map has no colours: {error}",)
    figure = figures.scatter(
        pca.transform(np.stack(means)),
        colour,
        shares=pca.explained_variance_ratio_,
        what=label,
        simulated=file.attributes["simulated"],
    )
    return EvalResult(scalars, figures={"embedding_pca": figure}, notes=notes)


def _colours(file: EmbeddingFile, shown: list[EmbeddedRecording], label: str) -> np.ndarray:
    """1, 0 or NaN for each recording."""
    name = label.partition("=")[0]
    if name not in file.labels:
        return np.full(len(shown), math.nan)
    values = file.label(name)
    rows = []
    for recording in shown:
        value = values[recording.rows.start]
        missing = isinstance(value, float) and math.isnan(value)
        labels = {} if missing else {name: value}
        rows.append(RecordingRow(recording.recording, recording.person, "", (), (), labels))
    return binary_labels(rows, label)
