"""Memory of the host that XLA's compiler has used goes back to the system."""

import ctypes
import sys

import jax

_COMPILED = "/jax/core/compile/backend_compile_duration"
_LEAST_S = 0.1  # what compiles faster has used little


def give_back() -> bool:
    """Returns freed memory to the system, where the C library can (glibc); says whether it did."""
    if sys.platform != "linux":
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return trim is not None and bool(trim(0))


def give_back_after_compiling() -> None:
    """From now on, after every compilation of this process.

    LLVM takes and frees hundreds of megabytes for a training step, in many small parts, which
    glibc keeps for later: a small training would hold on to more than all else that it needs.
    """

    def compiled(event: str, seconds: float, **_) -> None:
        if event == _COMPILED and seconds > _LEAST_S:
            give_back()

    jax.monitoring.register_event_duration_secs_listener(compiled)
