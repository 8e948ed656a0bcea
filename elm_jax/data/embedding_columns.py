"""What a file of vectors says of each window: whose it is, when, and its labels."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.data.embedding_file import RESERVED
from elm_jax.data.label_values import is_list, is_missing, values_of
from elm_jax.data.labels import label_names, window_labels
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.spec import SignalSpec

# TUH's names end in session and token: aaaaaaaa_s001_t000.
_TUH_NAME = re.compile(r"(?:.*[_/])?(?P<session>s\d{3})(?:_\d{4})?_(?P<time>t\d{3})")


def as_text(values: Sequence[str]) -> np.ndarray:
    """Texts as HDF5 holds them best: UTF-8 of a fixed width."""
    encoded = [v.encode() for v in values]
    return np.asarray(encoded, f"S{max([len(v) for v in encoded], default=0) or 1}")


def label_datasets(recordings: Sequence[RecordingRow]) -> dict[str, str]:
    """Label -> the name of its dataset: its own, unless the layout uses that for something else."""
    names, taken = {}, set(RESERVED)
    for label in label_names(recordings):
        name = label.replace("/", "_").strip(".") or "_"
        while name in taken:
            name = f"label_{name}"
        taken.add(name)
        names[label] = name
    return names


def columns_of(
    recordings: Sequence[RecordingRow], spec: SignalSpec, labels: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """All columns of windows and recordings.

    Args:
      recordings: of all splits that go into the file, in its order.
      spec: of the stored signals.
      labels: from :func:`label_datasets`.
    """
    windows = Windows.of(recordings, spec.window_samples)
    counts = np.asarray(windows.counts(len(recordings)), np.int64)
    number = {person: i for i, person in enumerate(sorted({r.person for r in recordings}))}
    person = np.asarray([number[r.person] for r in recordings], np.int64)
    columns = {
        "subject_ids": windows.recording.astype(np.int64),
        "unique_subject_ids": person[windows.recording],
        "long_subject_id": as_text([r.person for r in recordings])[windows.recording],
        "start_s": _starts_s(recordings, spec),
        "recordings": as_text([r.recording for r in recordings]),
        "people": as_text([r.person for r in recordings]),
        "splits": as_text([r.split for r in recordings]),
        "epochs": counts,
    }
    named = [_TUH_NAME.fullmatch(r.recording) for r in recordings]
    if named and all(named):
        for column, group in (("session_ids", "session"), ("time_ids", "time")):
            columns[column] = as_text([m[group] for m in named])[windows.recording]
    lists = list_labels(recordings)
    for label, name in labels.items():
        values = window_labels(recordings, windows, label)
        if values.dtype == object:
            text_of = _as_json if label in lists else str
            values = as_text(["" if v is None else text_of(v) for v in values])
        columns[name] = values
    return columns


def list_labels(recordings: Sequence[RecordingRow]) -> list[str]:
    """Names of the labels that are lists of values, sorted; their columns hold JSON."""
    rows = [row.labels for row in recordings]
    rows += [piece.labels for row in recordings for piece in row.pieces]
    return sorted({name for row in rows for name, value in row.items() if is_list(value)})


def _as_json(value: Any) -> str:
    return "" if is_missing(value) else json.dumps(list(values_of(value)), ensure_ascii=False)


def _starts_s(recordings: Sequence[RecordingRow], spec: SignalSpec) -> np.ndarray:
    """Where each window begins, in the order of :meth:`Windows.of`."""
    starts = [
        piece.start_s + np.arange(piece.n_samples // spec.window_samples) * spec.window_s
        for row in recordings
        for piece in row.pieces
    ]
    return np.concatenate([np.zeros(0), *starts])
