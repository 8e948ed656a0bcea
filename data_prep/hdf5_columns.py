"""The columns of ELM's HDF5 layout that have a value a crop: people, labels, classes of events.

Of evaluations it has

PAT           [n]  class of a crop: 0 or 1 (normal or abnormal, background or seizure), or 0 to 5
eval_sets     [n]  "TUAB_train", "TUSZ_dev", "TUEV_eval", ...
session_ids   [n]  "s001"; "s999" where it is not known
time_ids      [n]  "t000"; "t999" likewise
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.data.hdf5_safe import Hdf5Error
from elm_jax.data.manifest import RecordingRow

# Sets in which PAT is the class of an event, and the words of the classes.
EVENT_SETS = {
    "TUEV": ("spsw", "gped", "pled", "eyem", "artf", "bckg"),
    "TUSZ": ("bckg", "seiz"),
}
# ELM's numbers for sex: male 0, female 1, not known 2.
SEXES = ("M", "F", "")
UNKNOWN = {"session": "s999", "token": "t999"}


def events_of(eval_set: str) -> tuple[str, ...] | None:
    """The words for PAT in a set of events; None where PAT is normal or abnormal."""
    return EVENT_SETS.get(eval_set.partition("_")[0].upper())


def in_words(path: Any, name: str, values: np.ndarray, words: Any) -> np.ndarray:
    """Numbers as the words that an attribute of a file written here gives them; None: as they are.

    Raises:
      Hdf5Error: the attribute is no list of words, or lacks one.
    """
    if words is None:
        return values
    try:
        listed = json.loads(words)
        fine = isinstance(listed, list) and all(isinstance(word, str) for word in listed)
        fine = fine and bool(np.isin(values, np.arange(len(listed))).all())
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise Hdf5Error(f"{path}: attribute 'words' of {name!r} has no word for each of its values")
    return np.asarray(listed, object)[values.astype(np.int64)]


def event_classes(
    path: Any, columns: Mapping[str, np.ndarray], rows: np.ndarray
) -> tuple[int, ...] | None:
    """The class of each row of a recording of a set of events; None for other recordings.

    Args:
      path: of the file, for messages.
      columns: label -> a value a row; those named "eval_set" and "pathology" are looked at.
      rows: the recording's.

    Raises:
      Hdf5Error: the set has no such class.
    """
    if "eval_set" not in columns or "pathology" not in columns:
        return None
    words = events_of(str(columns["eval_set"][rows[0]]))
    if words is None:
        return None
    classes = columns["pathology"][rows]
    if not np.isin(classes, np.arange(len(words))).all():
        raise Hdf5Error(
            f"{path}: 'PAT' has {sorted(set(classes.tolist()))}, expected 0 to {len(words) - 1} "
            f"in {columns['eval_set'][rows[0]]}"
        )
    return tuple(int(c) for c in classes)


def write_columns(file: Any, recordings: Sequence[RecordingRow], counts: list[int]) -> None:
    """Writes all of them into an open file; ``counts`` are the crops of each recording."""
    import h5py

    text = h5py.string_dtype()
    people = {name: number for number, name in enumerate(sorted({r.person for r in recordings}))}

    def column(values: list[Any], dtype: Any) -> np.ndarray:
        return np.repeat(np.asarray(values, dtype), counts)

    file["subject_ids"] = column(list(range(len(recordings))), np.int64)
    file["unique_subject_ids"] = column([people[r.person] for r in recordings], np.int64)
    file.create_dataset(
        "long_subject_id", data=column([r.person for r in recordings], object), dtype=text
    )
    file.create_dataset("recordings", data=[r.recording for r in recordings], dtype=text)
    file.create_dataset("splits", data=[r.split for r in recordings], dtype=text)
    _write_eval_columns(file, recordings, counts)
    labels = [r.labels for r in recordings]
    for name, source in (("age", "age"), ("pathology", "abnormal")):
        if any(source in row for row in labels):
            numbers = [_number(row.get(source)) for row in labels]
            file[name] = column(numbers, np.float64)
    if any("sex" in row for row in labels):
        sexes = [str(row.get("sex", "")) for row in labels]
        if set(sexes) <= set(SEXES):
            file["sex"] = column([SEXES.index(sex) for sex in sexes], np.int64)
            file["sex"].attrs["words"] = json.dumps(SEXES)
        else:
            file.create_dataset("sex", data=column(sexes, object), dtype=text)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float) else math.nan


def _write_eval_columns(file: Any, recordings: Sequence[RecordingRow], counts: list[int]) -> None:
    """Columns of evaluations, see the top of this module.

    Nothing is written of recordings that are of no evaluation set, and no PAT unless every crop
    has a class.
    """
    import h5py

    if not any("eval_set" in row.labels for row in recordings):
        return
    text = h5py.string_dtype()

    def column(name: str, values: list[str]) -> None:
        file.create_dataset(name, data=np.repeat(np.asarray(values, object), counts), dtype=text)

    column("eval_sets", [str(row.labels.get("eval_set", "")) for row in recordings])
    for name, label in (("session_ids", "session"), ("time_ids", "token")):
        column(name, [str(row.labels.get(label, UNKNOWN[label])) for row in recordings])
    classes = _classes(recordings, file["features"].shape[2])
    if None not in classes:
        file["PAT"] = np.asarray(classes, np.int64)


def _classes(recordings: Sequence[RecordingRow], window_samples: int) -> list[int | None]:
    classes = []
    for row in recordings:
        of_recording = row.labels.get("abnormal")
        for piece in row.pieces:
            value = piece.labels.get("event_class", of_recording)
            classes += [value] * (piece.n_samples // window_samples)
    return classes
