"""The environment of a process of its own that has several of XLA's devices on this CPU."""

import os
import pathlib

TESTS = pathlib.Path(__file__).resolve().parent
# On a machine that is busy otherwise a device may be late by more than the default 40 s.
PATIENT = "--xla_cpu_collective_call_terminate_timeout_seconds=300"


def env_of(devices, flags=""):
    """``devices`` many, threads enough for them, and the tests' helpers to import."""
    return os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {PATIENT} {flags}".strip(),
        "NPROC": "32",  # threads: each exchange that waits for another device holds one
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
