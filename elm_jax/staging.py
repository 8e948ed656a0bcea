"""Local copies of remote files, for libraries that open nothing else; and back.

Array-record shards, HDF5, tokenizers and safetensors are opened by libraries that know local files
alone. A remote file is copied once into ``$ELM_JAX_CACHE`` (default ``~/.cache/elm_jax``), under
a name made of its address, size and time of change, and found there by every later run and by
the other processes of the machine. The folder may be deleted whenever nothing runs.
"""

import contextlib
import errno
import fnmatch
import hashlib
import logging
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Sequence

import filelock
from etils import epath

from elm_jax import paths

log = logging.getLogger(__name__)

VARIABLE = "ELM_JAX_CACHE"
BLOCK_BYTES = 1 << 24


class StagingError(OSError):
    """A remote file that could not be copied here, or a local one that could not go there."""


def cache_folder() -> pathlib.Path:
    """Where copies lie on this machine."""
    given = os.environ.get(VARIABLE)
    return pathlib.Path(given).expanduser() if given else pathlib.Path.home() / ".cache" / "elm_jax"


def local(path: epath.PathLike) -> pathlib.Path:
    """A local file with the content of ``path``; a local path is given back as it is.

    Threads and processes that ask for the same file at once wait for one copy. A file that has
    changed there since is copied anew.

    Raises:
      FileNotFoundError: no such remote file.
      StagingError: no room here, or the file changed while it was copied; says what to do.
    """
    if not paths.is_remote(path):
        return pathlib.Path(path)
    path = paths.of(path)
    with paths.told():
        status = path.stat()
    target = _place(f"{path} {status.length} {status.mtime}") / path.name
    if target.is_file():
        return target
    with _alone(target.parent):
        if not target.is_file():  # another process may have been faster
            _fetch(path, target, status.length)
    return target


def local_folder(path: epath.PathLike, names: Sequence[str] = ("*",)) -> pathlib.Path:
    """As :func:`local`, for a small folder with all that is in it (a tokenizer, a saved model).

    Args:
      path: of the folder.
      names: only files whose names fit one of these patterns.

    Raises:
      FileNotFoundError: no such remote folder.
      StagingError: no room here.
    """
    if not paths.is_remote(path):
        return pathlib.Path(path)
    path = paths.of(path)
    with paths.told():
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder; {paths.LOG_IN}")
        files = sorted(_files_below(path), key=lambda found: str(found[0]))
        files = [f for f in files if any(fnmatch.fnmatch(f[0].name, name) for name in names)]
    told = [(str(file), status.length, status.mtime) for file, status in files]
    target = _place(f"{path} {told}") / path.name
    if target.is_dir():
        return target
    with _alone(target.parent):
        if not target.is_dir():
            whole = target.parent / f".{uuid.uuid4().hex}.tmp"
            for file, status in files:
                _fetch(file, whole / file.relative_to(path), status.length)
            whole.mkdir(parents=True, exist_ok=True)
            whole.rename(target)
    return target


@contextlib.contextmanager
def written(path: epath.PathLike) -> Iterator[pathlib.Path]:
    """A new local file that becomes ``path`` once the block has ended well; else it goes.

    Raises:
      StagingError: there is no room for it.
    """
    remote = paths.is_remote(path)
    folder = cache_folder() / "writing" if remote else pathlib.Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    # The name ends as the target's: some libraries choose the format by the suffix.
    unique = folder / f".{uuid.uuid4().hex}.tmp.{paths.of(path).name}"
    try:
        with _room(unique, path):
            yield unique
        if remote:
            send(unique, path)
        else:
            unique.replace(path)
    finally:
        unique.unlink(missing_ok=True)


def workplace(path: epath.PathLike) -> pathlib.Path:
    """A folder for what is on its way to ``path``, the same at every start: beside it if local."""
    if not paths.is_remote(path):
        return pathlib.Path(path).parent
    digest = hashlib.sha256(os.fspath(path).encode()).hexdigest()[:24]
    return cache_folder() / "unfinished" / digest


def send(source: pathlib.Path, path: epath.PathLike) -> None:
    """Copies a local file to a remote place, where it appears once it is whole."""
    with paths.told(), source.open("rb") as here, paths.of(path).open("wb") as there:
        shutil.copyfileobj(here, there, BLOCK_BYTES)


def send_folder(source: pathlib.Path, path: epath.PathLike, *, last: str = "") -> None:
    """Copies what is in a local folder to a remote place, file by file.

    A store cannot rename a folder into place: who reads it knows by the file ``last`` that it is
    whole.
    """
    files = [p for p in source.rglob("*") if p.is_file()]
    for file in sorted(files, key=lambda file: (file.name == last, file)):
        send(file, paths.of(path) / file.relative_to(source).as_posix())


class Outbox:
    """A local folder for a library that writes into folders; of a remote one, to be sent there.

    Args:
      path: where its files belong; a local one is written to at once.
    """

    def __init__(self, path: epath.PathLike):
        self._path, self._remote = paths.of(path), paths.is_remote(path)
        self.folder = pathlib.Path(path)
        if self._remote:
            self.folder = cache_folder() / "writing" / uuid.uuid4().hex
            self.folder.mkdir(parents=True)

    def send(self) -> None:
        """Brings what is in the folder to its place."""
        if self._remote:
            send_folder(self.folder, self._path)

    def close(self) -> None:
        """Sends, and clears up."""
        if self._remote:
            self.send()
            shutil.rmtree(self.folder)


def _place(identity: str) -> pathlib.Path:
    """The folder of one version of a file; the file in it keeps its name."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
    return cache_folder() / "staged" / digest


def _files_below(folder: epath.Path) -> Iterator[tuple[epath.Path, epath.stat_utils.StatResult]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files_below(entry)
        else:
            yield entry, entry.stat()


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """One process at a time; a killed one lets go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StagingError(
            f"cannot make {folder} for copies of remote files ({error.strerror}); set {VARIABLE} "
            "to a folder that can be written"
        ) from error
    with filelock.FileLock(folder / ".lock"):
        yield


def _fetch(path: epath.Path, target: pathlib.Path, length: int) -> None:
    """Copies one remote file; ``target`` appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _require_room(path, target.parent, length)
    log.debug("copying %s (%d bytes) to %s", path, length, target)
    unique = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with _room(unique, path, length), paths.told():
            with path.open("rb") as there, unique.open("wb") as here:
                shutil.copyfileobj(there, here, BLOCK_BYTES)
        if (size := unique.stat().st_size) != length:
            raise StagingError(
                f"{path}: {length} bytes were announced and {size} came: it was changed while it "
                "was copied; run it again when it is complete"
            )
        unique.replace(target)
    finally:
        unique.unlink(missing_ok=True)


def _require_room(path: epath.PathLike, folder: pathlib.Path, length: int) -> None:
    if (free := shutil.disk_usage(folder).free) < length:
        raise StagingError(_no_room(path, folder, f"{length} bytes, {free} are free"))


@contextlib.contextmanager
def _room(file: pathlib.Path, path: epath.PathLike, length: int | None = None) -> Iterator[None]:
    """Says what a full disk means, which may fill while the file is written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        size = "more room" if length is None else f"{length} bytes"
        raise StagingError(_no_room(path, file.parent, size)) from error


def _no_room(path: epath.PathLike, folder: pathlib.Path, needed: str) -> str:
    if not paths.is_remote(path):
        return f"{os.fspath(path)}: the disk is full ({folder} needs {needed})"
    return (
        f"{os.fspath(path)}: its local copy in {folder} needs {needed}. Set {VARIABLE} to a folder "
        "with room, delete old copies there, or mount the bucket (gcsfuse) and give the folder"
    )
