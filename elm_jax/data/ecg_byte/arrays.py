"""Files of named arrays (``.npz``): without pickles, whole or absent, the same bytes each time."""

import zipfile
from collections.abc import Mapping, Sequence
from typing import IO

import numpy as np
from etils import epath

from elm_jax import paths, staging


class ArraysError(ValueError):
    """A file that holds no arrays, or others than were expected."""


def write_npz(path: epath.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name; the file appears when it is whole."""
    with staging.written(path) as unique, unique.open("wb") as file:
        _write(file, arrays)


def _write(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # Without a date: numpy.savez would write the present one.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def read_npz(path: epath.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a file, which must be these.

    Raises:
      FileNotFoundError: there is none.
      ArraysError: it is no ``.npz``, or holds other arrays.
    """
    try:
        with paths.told(), paths.of(path).open("rb") as file:
            # numpy takes whatever is no archive for a pickle, and advises to run it.
            if not zipfile.is_zipfile(file):
                raise ArraysError(f"{path}: no .npz, or cut short; expected {sorted(names)} in one")
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                if set(found.files) != set(names):
                    raise ArraysError(
                        f"{path}: holds {sorted(found.files)}, expected {sorted(names)}"
                    )
                return {name: found[name] for name in names}
    except ArraysError:
        raise
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ArraysError(f"{path}: not a readable .npz ({error})") from error
