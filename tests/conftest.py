import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Before JAX is imported anywhere: one compilation cache for all runs (a shape of these encoders
# takes seconds to compile), and no accelerator in unit tests.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax_tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of reference values, released weights and real recordings beside the checkout."""
    path = pathlib.Path(os.environ.get("ELM_JAX_SHARED", ROOT.parent / "shared"))
    if not (path / "golden").is_dir():
        pytest.skip(f"reference data not found at {path} (set ELM_JAX_SHARED to its folder)")
    return path
