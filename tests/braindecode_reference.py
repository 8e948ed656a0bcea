"""braindecode, for comparison; skips the test, with the reason, where it cannot be had."""

import contextlib
import importlib
import importlib.machinery
import sys
import types
import warnings

import pytest


def _without_torchaudio_kernels() -> None:
    """Stands in for torchaudio's compiled kernels.

    braindecode imports torchaudio for other models; the wheels of PyPI are made for CUDA and do not
    load beside a PyTorch for CPUs. EEGPT uses none of them.
    """
    name = "torchaudio._extension"
    stand_in = types.ModuleType(name)
    stand_in.__spec__ = importlib.machinery.ModuleSpec(name, None)
    stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = stand_in._IS_ALIGN_AVAILABLE = False
    stand_in.fail_if_no_align = lambda function: function
    sys.modules[name] = stand_in


def mend_torchaudio() -> None:
    """Makes torchaudio importable for those who do so on the way: braindecode, transformers."""
    if "torchaudio" not in sys.modules:
        try:
            with contextlib.suppress(ImportError):
                import torchaudio  # noqa: F401
        except OSError:
            for name in [m for m in sys.modules if m.split(".")[0] == "torchaudio"]:
                del sys.modules[name]
            _without_torchaudio_kernels()


def import_braindecode(module: str) -> types.ModuleType:
    """``braindecode.MODULE``."""
    pytest.importorskip("torch", reason="braindecode needs PyTorch: install .[test]")
    mend_torchaudio()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MNE, over names of montages that braindecode uses
        pytest.importorskip("braindecode", reason="install .[test] for braindecode")
        return importlib.import_module(f"braindecode.{module}")


def import_eegpt() -> types.ModuleType:
    """The module ``braindecode.models.eegpt``."""
    return import_braindecode("models.eegpt")
