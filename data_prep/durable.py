"""Files that are whole or absent, also after a power cut: write aside, sync, rename.

An object store makes objects appear whole by itself, so there is nothing to sync or to rename: what
goes there is written on this machine and copied up.
"""

import json
import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from etils import epath

from data_prep.places import at_once, transfer
from elm_jax.paths import is_remote


def _sync(path: os.PathLike) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(temporary: os.PathLike, final: os.PathLike) -> None:
    """Gives a finished file its final name; after this call both survive a power cut."""
    if is_remote(final):
        transfer(temporary, final)
        os.unlink(temporary)
        return
    _sync(temporary)
    os.replace(temporary, final)
    _sync(pathlib.Path(final).parent)


@contextmanager
def new_file(final: epath.Path, aside: epath.Path | None = None) -> Iterator[pathlib.Path]:
    """A local path to be written to; when the block has ended well the file is ``final``.

    Args:
      final: where it goes, local or remote.
      aside: a folder on the same file system for the time until then; default: that of ``final``.
    """
    # Unique among machines too: several may be at the same file of a shared folder.
    name = f"{final.name}.{uuid.uuid4().hex[:12]}.tmp"
    if not is_remote(final):
        temporary = pathlib.Path(final.parent if aside is None else aside, name)
        try:
            yield temporary
            replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="elm_jax_") as folder:
        temporary = pathlib.Path(folder, name)
        yield temporary
        replace(temporary, final)


def write_text(path: epath.Path, text: str, aside: epath.Path | None = None) -> None:
    """Writes a text so that ``path`` is always the old or the new whole file."""
    with new_file(path, aside) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: epath.Path, values: Any) -> None:
    """Writes JSON so that ``path`` is always the old or the new whole file."""
    write_text(path, json.dumps(values, ensure_ascii=False))


def remove(path: epath.Path) -> None:
    """Deletes a file if it is there."""
    path.unlink(missing_ok=True)


def remove_tree(path: epath.Path) -> None:
    """Deletes a folder if it is there."""
    if not path.exists():
        return
    if is_remote(path):
        # One by one it takes a request's time for each object.
        at_once(remove, _files_below(path))
    if path.exists():
        path.rmtree(missing_ok=True)


def _files_below(path: epath.Path) -> Iterable[epath.Path]:
    return [epath.Path(here, name) for here, _, names in path.walk() for name in names]
