"""Writes a file of vectors (:mod:`elm_jax.data.embedding_file`) by batches; goes on if killed.

Everything but the vectors is written first, and room for them is taken. After that only raw values
at fixed places change, never HDF5's own structures, so that a kill at any moment leaves a file that
can be opened; ``progress`` says how many rows of each dataset of vectors are there. The file has
another name until it is whole.
"""

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.axes import Float
from elm_jax.data.embedding_file import (
    FORMAT,
    FORMAT_VERSION,
    EmbeddingFileError,
    partial_path,
)

log = logging.getLogger(__name__)

DTYPES = ("float16", "float32")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a file will hold.

    Attributes:
      about: JSON-ready; what the vectors are. A file of other contents is never gone on with.
      columns: datasets written at once.
      vectors: dataset -> (rows, width): those written batch by batch.
      dtype: of the vectors, "float32" or "float16".
      beside: JSON-ready; said in the file too, and free to differ between runs: the model's path.
    """

    about: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]
    vectors: Mapping[str, tuple[int, int]]
    dtype: str
    beside: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.dtype not in DTYPES:
            raise ValueError(f"config.embed.dtype is {self.dtype!r}; known: {DTYPES}")

    def digest(self) -> str:
        """A hash of all that must be the same for two files to hold the same vectors."""
        said = [dict(self.about), {k: list(v) for k, v in self.vectors.items()}, self.dtype]
        sha = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for name in sorted(self.columns):
            values = np.ascontiguousarray(self.columns[name])
            sha.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
        return sha.hexdigest()


def is_finished(path: epath.PathLike, contents: Contents, *, replace: bool = False) -> bool:
    """Whether ``path`` is a whole file of these contents.

    Raises:
      EmbeddingFileError: there is a file of other contents, which ``replace`` does not allow to go.
    """
    if not paths.of(path).exists():
        return False
    found, about = _read_digest(staging.local(path))
    if found == contents.digest():
        return True
    if replace:
        return False
    lines = _differences(about, contents.about)
    listing = "".join(f"\n  {line[:300]}" for line in lines)
    raise EmbeddingFileError(
        f"{path}: holds other vectors{listing or ' (of other recordings or texts)'}\nGive another "
        "--workdir, or delete the file."
    )


def _differences(has: Mapping[str, Any], asked: Mapping[str, Any], at: str = "") -> list[str]:
    """A line for each value asked for that is another; of mappings, for each in them."""
    lines = []
    for key, value in asked.items():
        if has.get(key) == value:
            continue
        if isinstance(value, Mapping) and isinstance(has.get(key), Mapping):
            lines += _differences(has[key], value, f"{at}{key}.")
        else:
            lines.append(f"{at}{key}: it has {has.get(key)!r}, asked for {value!r}")
    return lines


def _read_digest(path: pathlib.Path) -> tuple[str | None, dict[str, Any]]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("digest"), json.loads(file.attrs.get("about", "{}"))
    except BlockingIOError as error:
        raise EmbeddingFileError(f"{path}: another process is writing it") from error
    except OSError:
        return None, {}


class EmbeddingWriter:
    """A file of vectors being written; a context manager. Leaving it does not finish it.

    Opens what an earlier run of the same contents left, and else begins anew.

    Args:
      path: the final name; until :meth:`finish` the file has another, on this machine.
      contents: what it will hold.
    """

    def __init__(self, path: epath.PathLike, contents: Contents):
        import h5py

        self.path, self._contents = paths.of(path), contents
        self._partial = partial_path(path)
        self._names = sorted(contents.vectors)
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        if _read_digest(self._partial)[0] != contents.digest():
            if self._partial.exists():
                log.info("%s is of other settings or damaged: begun again", self._partial)
            self._create()
        self._file = h5py.File(self._partial, "r+")
        self._progress = self._file["progress"]

    def __enter__(self) -> "EmbeddingWriter":
        return self

    def __exit__(self, *error) -> None:
        if self._file:
            self._file.close()

    def _create(self) -> None:
        import h5py

        contents, unique = self._contents, self._partial.with_suffix(f".{os.getpid()}.tmp")
        with h5py.File(unique, "w") as file:
            file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, complete=False)
            file.attrs["about"] = json.dumps(
                dict(contents.about) | dict(contents.beside), ensure_ascii=False
            )
            file.attrs["digest"] = contents.digest()
            for name, values in contents.columns.items():
                file.create_dataset(name, data=values)
            for name, shape in contents.vectors.items():
                _allocate(file, name, shape, np.dtype(contents.dtype))
            _allocate(file, "progress", (len(self._names),), np.dtype(np.int64))[:] = 0
        unique.replace(self._partial)

    def done(self, *names: str) -> int:
        """Rows that all of these datasets have already."""
        return min(int(self._progress[self._names.index(name)]) for name in names)

    def write(self, start: int, vectors: Mapping[str, Float[np.ndarray, "b d"]]) -> None:
        """Writes rows from ``start`` on; they stay, whatever happens after this call.

        Raises:
          ValueError: a value that is not finite, or too large for the file's dtype.
        """
        for name, values in vectors.items():
            self._file[name][start : start + len(values)] = self._as_stored(name, start, values)
        self._file.flush()  # the rows before the count of them
        for name, values in vectors.items():
            self._progress[self._names.index(name)] = start + len(values)
        self._file.flush()

    def _as_stored(self, name: str, start: int, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            row = start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise ValueError(f"{self.path}: row {row} of {name!r} is not finite: broken weights?")
        with np.errstate(over="ignore"):
            stored = values.astype(self._contents.dtype)
        if not np.isfinite(stored).all():
            row = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
            raise ValueError(
                f"{self.path}: row {start + row} of {name!r} holds {np.abs(values[row]).max():.6g},"
                f" more than {self._contents.dtype} can ({np.finfo(stored.dtype).max:g}); set "
                "config.embed.dtype=float32"
            )
        return stored

    def finish(self) -> None:
        """Marks the file as complete and gives it its name.

        Raises:
          EmbeddingFileError: rows are missing.
        """
        for name, (rows, _) in self._contents.vectors.items():
            if (found := self.done(name)) != rows:
                raise EmbeddingFileError(f"{self._partial}: {name!r} has {found} of {rows} rows")
        self._file.attrs.modify("complete", True)  # in place
        self._file.close()
        if paths.is_remote(self.path):
            staging.send(self._partial, self.path)
            self._partial.unlink()
            return
        with self._partial.open("rb") as f:
            os.fsync(f.fileno())
        self._partial.replace(self.path)


def _allocate(file: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A dataset whose place in the file is fixed now, in one stretch, without filling it."""
    import h5py

    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return file.create_dataset(name, shape, dtype, dcpl=settings)
