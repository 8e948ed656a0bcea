"""The door to what numba compiles: imported where it is used, and said how to get."""

import importlib
from types import ModuleType


class NumbaMissing(ImportError):
    """numba is not installed."""


class CacheMissing(OSError):
    """There is nowhere to keep what numba compiles."""


def merging() -> ModuleType:
    """The compiled functions of training."""
    return _kernels("merging", "training a tokenizer")


def matching() -> ModuleType:
    """The compiled functions of encoding."""
    return _kernels("matching", "encoding signals")


def _kernels(name: str, purpose: str) -> ModuleType:
    try:
        importlib.import_module("numba")
    except ModuleNotFoundError as error:
        raise NumbaMissing(
            f"ECG-Byte: {purpose} needs numba: pip install 'elm_jax[ecg]'"
        ) from error
    try:
        return importlib.import_module(f"elm_jax.data.ecg_byte.{name}")
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        raise CacheMissing(
            f"ECG-Byte: {purpose}: numba finds no folder to keep compiled code in ({error}); set "
            "NUMBA_CACHE_DIR to one that can be written to"
        ) from error
