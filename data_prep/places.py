"""Where files lie: on this machine's file systems, or in an object store (``gs://...``)."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from etils import epath

from elm_jax import paths

# Requests to an object store take tens of milliseconds each, whatever the machine.
_REQUESTS_AT_ONCE = 32


class State(NamedTuple):
    """What says whether a file is still the same."""

    size_bytes: int
    changed_ns: int


def input_path(path: epath.PathLike) -> pathlib.Path | epath.Path:
    """The path of something to be read: remote ones as ``epath`` has them."""
    return paths.of(path) if paths.is_remote(path) else pathlib.Path(path)


def state_of(path: os.PathLike) -> State:
    """Size and time of a file; that of a remote one is asked once in a process.

    Raises:
      OSError: there is none, or it may not be looked at.
    """
    if paths.is_remote(path):
        return _remote_state(os.fspath(path))
    stat = os.stat(path)
    return State(stat.st_size, stat.st_mtime_ns)


@functools.cache
def _remote_state(path: str) -> State:
    with paths.told():
        stat = epath.Path(path).stat()
    return State(stat.length, stat.mtime * 10**9)


def ask_ahead(files: Sequence[os.PathLike]) -> None:
    """Asks for the states of remote files many at a time, so that :func:`state_of` need not."""
    remote = sorted({os.fspath(path) for path in files if paths.is_remote(path)})
    at_once(_state_or_none, remote)


def _state_or_none(path: str) -> State | None:
    try:
        return _remote_state(path)
    except OSError:
        return None  # whoever needs it asks again and is told


def at_once(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``[function(item) ...]``, many requests at a time."""
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        return list(pool.map(function, items))


@contextmanager
def local_copy(path: os.PathLike) -> Iterator[pathlib.Path]:
    """A file that can be mapped and read anywhere: itself, or a copy for the time of the block.

    A remote file that is not there is not there as a copy either.

    Raises:
      OSError: it could not be fetched.
    """
    if not paths.is_remote(path):
        yield pathlib.Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="elm_jax_") as folder:
        copy = pathlib.Path(folder, pathlib.PurePosixPath(path).name)
        try:
            transfer(path, copy)
        except FileNotFoundError:
            copy.unlink(missing_ok=True)
        yield copy


def transfer(source: os.PathLike, target: os.PathLike) -> None:
    """Copies a file up or down; in an object store it appears whole or not at all.

    Raises:
      OSError: it could not be copied.
    """
    with paths.told():
        epath.Path(source).copy(target, overwrite=True)
