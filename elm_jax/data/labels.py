"""The labels of windows: an event's where the window was cut around one, else the recording's.

A recording has labels (age, pathology), and so may each of its stored pieces: corpora of events
store one piece of one window an event. What is asked for by name here is the piece's label, or,
where the piece has none of that name, its recording's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows


class LabelError(ValueError):
    """A label that no recording has."""


def label_names(recordings: Sequence[RecordingRow]) -> tuple[str, ...]:
    """The names of all labels of recordings and of their pieces, sorted."""
    names = {name for row in recordings for name in row.labels}
    names |= {name for row in recordings for piece in row.pieces for name in piece.labels}
    return tuple(sorted(names))


def window_labels(
    recordings: Sequence[RecordingRow], windows: Windows, name: str
) -> Shaped[np.ndarray, " n"]:
    """One label of every window.

    Args:
      recordings: those that ``windows`` numbers, of one split.
      windows: from :meth:`Windows.of`.
      name: of the label, such as "event_class" or "abnormal".

    Returns:
      float64 with NaN for windows without the label if all values are numbers, truth values or
      None; otherwise an array of objects with None for windows without it. Labels of several
      values are lists in it (see :mod:`elm_jax.data.label_values`).

    Raises:
      LabelError: no recording and no piece has a label of this name.
    """
    known = label_names(recordings)
    if name not in known:
        raise LabelError(
            f"no recording has a label {name!r}; known: {', '.join(known) or 'none'}. Labels come "
            "with the corpus, or from a table given to data_prep.prepare by --labels"
        )
    of_piece = [
        {piece.index: piece.labels.get(name, row.labels.get(name)) for piece in row.pieces}
        for row in recordings
    ]
    pairs = zip(windows.recording.tolist(), windows.piece.tolist(), strict=True)
    return _as_array([of_piece[recording][piece] for recording, piece in pairs])


def _as_array(values: Sequence[Any]) -> np.ndarray:
    if all(value is None or isinstance(value, bool | int | float) for value in values):
        return np.asarray([np.nan if value is None else value for value in values], np.float64)
    result = np.empty(len(values), object)
    for i, value in enumerate(values):  # at once, lists of one length would be a matrix
        result[i] = value
    return result
