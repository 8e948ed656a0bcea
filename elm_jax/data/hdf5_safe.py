"""Opens HDF5 files of strangers: nothing outside the file is read, nothing unpacks to a bomb.

An HDF5 file can point at other files (external and soft links, external storage, virtual datasets)
and can claim shapes that it does not hold (unwritten chunks read as zeros, at any size). Each of
these has been used to read a victim's files or memory (CVE-2026-1669, CVE-2026-0897).
"""

import math
import os
from typing import Any

from etils import epath

from elm_jax import paths, staging

# Deflate packs at most 1032 : 1; what claims more holds less than it says.
MAX_RATIO = 1032
MAX_CHUNK_BYTES = 256 * 2**20


class Hdf5Error(ValueError):
    """A file that is no HDF5, not of the layout asked for, or not safe to read; says why."""


def open_hdf5(path: epath.PathLike) -> Any:
    """Opens a file for reading; of a remote one, its copy on this machine.

    Raises:
      Hdf5Error: not an HDF5 file, or damaged.
    """
    import h5py

    try:
        return h5py.File(staging.local(path), "r")
    except FileNotFoundError as error:
        raise Hdf5Error(f"{path}: no such file") from error
    except (paths.RemoteError, staging.StagingError):
        raise
    except OSError as error:
        raise Hdf5Error(f"{path}: not an HDF5 file, or damaged ({error})") from error


def dataset(file: Any, name: str) -> Any:
    """A dataset of the root group that stands in the file itself, in full.

    Raises:
      Hdf5Error: a link, a virtual or externally stored dataset, a group, or a shape that the file
        does not hold.
    """
    import h5py

    where = f"{file.filename}: {name!r}"
    link = file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
        raise Hdf5Error(
            f"{where} is a link to {link.path!r}, refused: only what stands in the file is read"
        )
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise Hdf5Error(f"{where} is a group, expected a dataset")
    if found.is_virtual:
        raise Hdf5Error(f"{where} is a virtual dataset, refused: it reads other files")
    if found.external:
        raise Hdf5Error(f"{where} is stored outside the file, refused")
    if found.shape is None:
        raise Hdf5Error(f"{where} is empty")
    _check_size(found, where, os.stat(file.filename).st_size)
    return found


def _check_size(found: Any, where: str, file_bytes: int) -> None:
    claimed = math.prod(found.shape) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    if stored > file_bytes:
        raise Hdf5Error(f"{where} claims {stored} stored bytes in a file of {file_bytes}")
    packed = bool(found.chunks) and found.id.get_create_plist().get_nfilters() > 0
    if claimed > stored * (MAX_RATIO if packed else 1):
        raise Hdf5Error(
            f"{where} has shape {found.shape}, {claimed} bytes, of which the file holds {stored}: "
            "refused (damaged, never written in full, or made to exhaust memory)"
        )
    if not found.chunks:
        return
    chunk_bytes = math.prod(found.chunks) * found.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise Hdf5Error(
            f"{where} has chunks {found.chunks} of {chunk_bytes} bytes, expected at most "
            f"{MAX_CHUNK_BYTES}: store it again in smaller chunks"
        )
    wanted = math.prod(math.ceil(n / c) for n, c in zip(found.shape, found.chunks, strict=True))
    if found.id.get_num_chunks() < wanted:
        raise Hdf5Error(
            f"{where} has {found.id.get_num_chunks()} of {wanted} chunks of shape {found.shape}: "
            "refused (never written in full)"
        )
