"""Files that are whole or absent, also after a power cut: write aside, sync, rename."""

import json
import os
import pathlib
import shutil
from typing import Any


def _sync(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(temporary: pathlib.Path, final: pathlib.Path) -> None:
    """Gives a finished file its final name; after this call both survive a power cut."""
    _sync(temporary)
    os.replace(temporary, final)
    _sync(final.parent)


def write_json(path: pathlib.Path, values: Any) -> None:
    """Writes JSON so that ``path`` is always the old or the new whole file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    replace(temporary, path)


def remove(path: pathlib.Path) -> None:
    """Deletes a file if it is there."""
    path.unlink(missing_ok=True)


def remove_tree(path: pathlib.Path) -> None:
    """Deletes a folder if it is there."""
    if path.exists():
        shutil.rmtree(path)
