"""``gs://`` over a local folder, within this process: for what needs no client of a real store."""

import os
import pathlib
from collections.abc import Callable

import pytest
from etils.epath import backend, gpath


class Bucket(backend._OsPathBackend):
    """Files below a folder; like a store, it refuses to append, and to rename folders.

    Attributes:
      opened: (mode, name) of everything that was opened.
      on_open: called before a file is opened; tests raise from it, or change files.
    """

    def __init__(self, root: pathlib.Path):
        self.root, self.opened = root, []
        self.on_open: Callable[[str, str], None] = lambda mode, name: None

    def _at(self, path) -> str:
        return os.path.join(self.root, os.fspath(path).partition("://")[2])

    def open(self, path, mode):
        name = os.path.basename(os.fspath(path))
        self.opened.append((mode, name))
        self.on_open(mode, name)
        if "a" in mode:
            raise OSError(f"{path}: nothing can be appended to in a bucket")
        if "w" in mode:
            os.makedirs(os.path.dirname(self._at(path)), exist_ok=True)
        return super().open(self._at(path), mode)

    def replace(self, path, dst):
        raise OSError(f"{path}: nothing can be renamed in a bucket")

    rename = replace


def _mapped(name):
    def call(self, path, *args, **kwargs):
        return getattr(backend._OsPathBackend, name)(self, self._at(path), *args, **kwargs)

    return call


for _name in ("exists", "isdir", "listdir", "makedirs", "mkdir", "rmtree", "remove", "stat"):
    setattr(Bucket, _name, _mapped(_name))


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Bucket:
    """``gs://b/...`` lies in a folder of its own; copies go into another."""
    made = Bucket(tmp_path / "store")
    made.root.mkdir()
    own = gpath.PosixGPath._backend
    chosen = property(lambda path: made if path._uri_scheme else own.fget(path))
    monkeypatch.setattr(gpath.PosixGPath, "_backend", chosen)
    monkeypatch.setenv("ELM_JAX_CACHE", str(tmp_path / "cache"))
    return made
