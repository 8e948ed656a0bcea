"""ELM's HDF5 layout, read and written a few crops at a time.

    features (or embeddings)   [n, c, t]   consecutive crops, in ``1e5V`` for ELM's TUH files
    subject_ids                [n]         counts *recordings*
    unique_subject_ids         [n]         counts people; or long_subject_id [n], their names
    dataset_mean, dataset_std  scalar or one a channel, in the file's unit
    age | ages, sex, pathology | pat       [n], optional, any case; see data_prep.hdf5_columns
    eval_sets, session_ids, time_ids       [n], optional; likewise
    epoch_ids                  [n]         optional: counts the crops of a recording

The layout has no unit, so the reader must be told. Files written here say theirs in attributes and
add ``start_s`` [n], ``recordings`` and ``splits`` (one a recording).
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from data_prep.hdf5_columns import UNKNOWN, event_classes, in_words, write_columns
from elm_jax.data.hdf5_safe import Hdf5Error, dataset, open_hdf5
from elm_jax.data.spec import UNITS_PER_V

__all__ = ["ElmHdf5", "Hdf5Error", "Rows", "UV_PER_HDF5_UNIT", "write_hdf5"]

# Microvolts in one of the file's units. ("1e7V" is volts times 1e7. ELM multiplied NMT by 1e7
# because that corpus's files hold 100 times too little: the product is again volts times 1e5.)
UV_PER_HDF5_UNIT = {"1e5V": 10.0, "1e7V": 0.1, "uV": 1.0}
SIGNALS = ("features", "embeddings")
LABELS = {
    "age": ("age", "ages"), "sex": ("sex",), "pathology": ("pathology", "pat"),
    "eval_set": ("eval_sets",), "session": ("session_ids",), "token": ("time_ids",),
}  # fmt: skip
CHUNK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of one recording.

    Attributes:
      subject_id: its number in ``subject_ids``.
      runs: [start, stop) rows, each without a gap in time.
      start_s: where each run begins in the recording; None where the file does not say.
      person: name of the person, or None where the file has none.
      recording: its name, or None.
      split: its split, or None.
      labels: as far as known.
      classes: of each row, where the recording is of a set of events; else None.
    """

    subject_id: int
    runs: tuple[tuple[int, int], ...]
    start_s: tuple[float, ...] | None
    person: str | None
    recording: str | None
    split: str | None
    labels: dict[str, Any]
    classes: tuple[int, ...] | None = None


class ElmHdf5:
    """A file in ELM's layout, open for reading; a context manager.

    Attributes:
      path: of the file.
      shape: [n, c, t] of the signals.
      differing: labels that differ within a recording, and so are left out.

    Raises:
      Hdf5Error: not this layout, not safe to read, or of another unit than it says itself.
    """

    def __init__(self, path: pathlib.Path | str, unit: str):
        if unit not in UV_PER_HDF5_UNIT:
            raise Hdf5Error(f"unit is {unit!r}; known: {sorted(UV_PER_HDF5_UNIT)}")
        self.path, self.unit = pathlib.Path(path), unit
        self.differing: set[str] = set()
        self._file = open_hdf5(path)
        try:
            # Names of links: "in" would follow them, out of the file if they lead there.
            self._keys = set(self._file)
            self._names = {name.lower(): name for name in sorted(self._keys)}
            self._signal = self._find_signal()
            self.shape: tuple[int, int, int] = self._signal.shape
            stated = self._attribute("unit")
            if stated is not None and stated != unit:
                raise Hdf5Error(f"{path}: says that its unit is {stated}, expected {unit}")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ElmHdf5":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def _find_signal(self) -> Any:
        name = next((name for name in SIGNALS if name in self._keys), None)
        if name is None:
            raise Hdf5Error(
                f"{self.path}: expected a dataset 'features' or 'embeddings', found "
                f"{sorted(self._keys)}"
            )
        found = dataset(self._file, name)
        if found.ndim != 3 or 0 in found.shape or found.dtype.kind not in "fiu":
            raise Hdf5Error(
                f"{self.path}: {name!r} is {found.dtype} {found.shape}, expected numbers [n, c, t]"
            )
        return found

    def _attribute(self, name: str) -> Any:
        return self._signal.attrs.get(name)

    def _column(self, *names: str) -> np.ndarray | None:
        """A dataset with a value a row, by the first of its names (any case); None if absent."""
        name = next((self._names[n] for n in names if n in self._names), None)
        if name is None:
            return None
        found = dataset(self._file, name)
        if found.size != self.shape[0]:
            raise Hdf5Error(
                f"{self.path}: {name!r} has shape {found.shape}, expected a value for each of the "
                f"{self.shape[0]} crops"
            )
        values = self._values(found, name).reshape(-1)
        return in_words(self.path, name, values, found.attrs.get("words"))

    def _values(self, found: Any, name: str) -> np.ndarray:
        if found.dtype.kind == "O" and not _is_text(found):
            raise Hdf5Error(f"{self.path}: {name!r} is of {found.dtype}, expected numbers or text")
        values = found.asstr(errors="replace")[()] if _is_text(found) else found[()]
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else np.asarray(values)

    def _numbers(self, name: str) -> np.ndarray | None:
        values = self._column(name)
        if values is None:
            return None
        numbers = values.astype(np.float64) if values.dtype.kind in "fiub" else None
        if numbers is None or not np.array_equal(numbers, np.rint(numbers)):
            raise Hdf5Error(f"{self.path}: {name!r} is {values.dtype}, expected whole numbers")
        return numbers.astype(np.int64)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """``dataset_mean`` and ``dataset_std`` in the file's unit: a value, or one a channel.

        Raises:
          Hdf5Error: another number of values, or a deviation that is not positive.
        """
        moments = []
        for name, absent in (("dataset_mean", 0.0), ("dataset_std", 1.0)):
            values = np.asarray(absent)
            if name in self._keys:
                values = np.asarray(dataset(self._file, name)[()], np.float64).squeeze()
            if values.size not in (1, self.shape[1]) or not np.isfinite(values).all():
                raise Hdf5Error(
                    f"{self.path}: {name!r} has shape {values.shape}, expected one finite value, "
                    f"or {self.shape[1]}"
                )
            moments.append(values.reshape(-1) if values.size > 1 else values.reshape(()))
        if not (moments[1] > 0).all():
            raise Hdf5Error(f"{self.path}: 'dataset_std' must be positive")
        return moments[0], moments[1]

    def require(self, *, channels: tuple[str, ...], sfreq_hz: float) -> None:
        """Raises unless the file's channels and rate are these, as far as it tells.

        Raises:
          Hdf5Error: another number of channels, or attributes that say something else.
        """
        stated = self._attribute("channels")
        if self.shape[1] != len(channels) or stated not in (None, json.dumps(channels)):
            raise Hdf5Error(
                f"{self.path}: has {self.shape[1]} channels {stated or ''}, expected {channels}"
            )
        if (rate := self._attribute("sfreq_hz")) not in (None, sfreq_hz):
            raise Hdf5Error(f"{self.path}: is sampled at {rate} Hz, expected {sfreq_hz}")

    @property
    def has_people(self) -> bool:
        """Whether the file says which recordings are of the same person."""
        return bool({"long_subject_id", "unique_subject_ids"} & set(self._names))

    @property
    def has_epoch_ids(self) -> bool:
        """Whether the file says which crops follow one another."""
        return "epoch_ids" in self._names

    def recordings(self) -> list[Rows]:
        """Every recording, by its number; reads the small columns only.

        Raises:
          Hdf5Error: ``subject_ids`` is missing, or a recording is of two people.
        """
        subject = self._numbers("subject_ids")
        if subject is None:
            raise Hdf5Error(f"{self.path}: has no 'subject_ids'; found {sorted(self._keys)}")
        person = self._column("long_subject_id")
        person = self._numbers("unique_subject_ids") if person is None else person
        labels = {k: v for k, n in LABELS.items() if (v := self._column(*n)) is not None}
        starts_s = self._column("start_s")
        breaks = self._breaks(subject, self._numbers("epoch_ids"))
        runs: dict[int, list[tuple[int, int]]] = {}
        for start, stop in zip(breaks[:-1], breaks[1:], strict=True):
            runs.setdefault(int(subject[start]), []).append((int(start), int(stop)))
        result = []
        for number in sorted(runs):
            rows = np.concatenate([np.arange(*run) for run in runs[number]])
            result.append(
                Rows(
                    subject_id=number,
                    runs=tuple(runs[number]),
                    start_s=None if starts_s is None else
                    tuple(float(starts_s[start]) for start, _ in runs[number]),
                    person=self._one_person(person, rows, number),
                    recording=self._by_recording("recordings", number),
                    split=self._by_recording("splits", number),
                    labels=self._labels_of(labels, rows),
                    classes=event_classes(self.path, labels, rows),
                )
            )  # fmt: skip
        return result

    def _breaks(self, subject: np.ndarray, epoch: np.ndarray | None) -> np.ndarray:
        """Rows at which a new run begins, the end included."""
        new = np.diff(subject) != 0
        if epoch is not None:
            new |= np.diff(epoch) != 1
        return np.concatenate([[0], np.flatnonzero(new) + 1, [subject.size]])

    def _one_person(self, person: np.ndarray | None, rows: np.ndarray, number: int) -> str | None:
        if person is None:
            return None
        names = {str(name) for name in np.unique(person[rows])}
        if len(names) != 1 or not min(names).strip():
            raise Hdf5Error(
                f"{self.path}: recording {number} has the people {sorted(names)}, expected one"
            )
        return names.pop()

    def _by_recording(self, name: str, number: int) -> str | None:
        """A text out of a dataset of ours with an entry a recording."""
        if name not in self._recording_texts:
            return None
        texts = self._recording_texts[name]
        return str(texts[number]) or None if 0 <= number < len(texts) else None

    @functools.cached_property
    def _recording_texts(self) -> dict[str, np.ndarray]:
        texts = {}
        for name in ("recordings", "splits"):
            if name in self._keys:
                found = dataset(self._file, name)
                texts[name] = self._values(found, name).reshape(-1)
        return texts

    def _labels_of(self, columns: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
        labels = {}
        of_events = event_classes(self.path, columns, rows) is not None
        for name, column in columns.items():
            if of_events and name == "pathology":
                continue
            values = {v for v in column[rows].tolist() if not _is_missing(v)}
            if len(values) > 1:
                self.differing.add(name)
            elif values and (value := values.pop()) != UNKNOWN.get(name):
                whole = isinstance(value, float) and value.is_integer()
                labels[name] = int(value) if whole else value
        if labels.get("pathology") in (0, 1):
            labels["abnormal"] = int(labels["pathology"])
        return labels

    def read_uv(self, start: int, stop: int) -> Float32[np.ndarray, "c m"]:
        """Rows [start, stop) joined in time, in microvolts."""
        try:
            crops = self._signal[start:stop]
        except OSError as error:
            raise Hdf5Error(
                f"{self.path}: crops {start} to {stop} cannot be read ({error}); a compression "
                "that h5py lacks? Store the file uncompressed or with gzip"
            ) from error
        b, c, t = crops.shape
        joined = crops.transpose(1, 0, 2).reshape(c, b * t).astype(np.float32)
        return joined * np.float32(UV_PER_HDF5_UNIT[self.unit])


def _is_text(found: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(found.dtype) is not None


def _is_missing(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def write_hdf5(path: pathlib.Path | str, prepared: pathlib.Path | str) -> int:
    """Writes a prepared directory in ELM's layout: float32, ``1e5V``, uncompressed.

    Every piece becomes consecutive crops of the spec's window; what is left at its end goes.
    Recordings are numbered through all splits, train first.

    Returns:
      The number of crops.

    Raises:
      Hdf5Error: no piece is as long as a window.
    """
    import h5py

    from elm_jax.data.shards import Manifest, load_recordings

    spec, recordings = Manifest.load(prepared).spec, load_recordings(prepared)
    length = spec.window_samples
    counts = [sum(piece.n_samples // length for piece in row.pieces) for row in recordings]
    n, c = sum(counts), len(spec.channels)
    if n == 0:
        raise Hdf5Error(f"{prepared}: no piece is as long as the window of {spec.window_s} s")
    crop_bytes = 4 * c * length
    with h5py.File(path, "w") as file:
        features = file.create_dataset(
            "features",
            (n, c, length),
            np.float32,
            chunks=(min(n, max(1, CHUNK_BYTES // crop_bytes)), c, length),
        )
        features.attrs.update(
            unit="1e5V", channels=json.dumps(spec.channels), sfreq_hz=spec.sfreq_hz
        )
        starts_s, epochs = np.zeros(n), np.zeros(n, np.int64)
        at = 0
        for epoch, start_s, crops in _crops(prepared, recordings, spec):
            stop = at + len(crops)
            features[at:stop] = crops
            starts_s[at:stop] = start_s + np.arange(len(crops)) * spec.window_s
            epochs[at:stop] = epoch + np.arange(len(crops))
            at = stop
        file["start_s"], file["epoch_ids"] = starts_s, epochs
        # (network values) = uV * scale, and one 1e5V is 10 uV.
        per_network = UNITS_PER_V[spec.unit] / 1e5 * spec.scale
        for name, value in (("dataset_mean", spec.mean), ("dataset_std", spec.std)):
            values = np.asarray(value, np.float64) / per_network
            file[name] = values.reshape(1, c, 1) if values.ndim else values
        write_columns(file, recordings, counts)
    return n


def _crops(
    prepared: pathlib.Path | str, recordings: list[Any], spec: Any
) -> Iterator[tuple[int, float, Float32[np.ndarray, "b c t"]]]:
    """(number of its first crop, start, crops in 1e5V) of every piece; numbers skip over gaps."""
    from elm_jax.data.shards import ShardReader

    readers: dict[str, Any] = {}
    for row in recordings:
        if row.split not in readers:
            readers[row.split] = ShardReader(prepared, row.split)
        reader, epoch = readers[row.split], 0
        per_step = 1e5 / UNITS_PER_V[spec.unit] / reader.manifest.steps_per_unit
        for piece in row.pieces:
            count = piece.n_samples // spec.window_samples
            if count:
                steps = reader.read(piece.index)[:, : count * spec.window_samples]
                crops = steps.reshape(steps.shape[0], count, -1).swapaxes(0, 1)
                yield epoch, piece.start_s, crops.astype(np.float32) * np.float32(per_step)
                epoch += count + 1
