"""One of two processes that compute together; process 1 is killed, or fails, in their midst."""

import os
import signal
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

from elm_jax import distributed


def run(how):
    for step in range(200):
        multihost_utils.process_allgather(np.full(3, step))
        if step == 2 and jax.process_index() == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyError("a fault of the program")


def main(how, address, process):
    settings = distributed.Settings(None, address, 2, int(process), heartbeat_timeout_s=10)
    distributed.initialize(settings)
    distributed.naming_lost_peers(lambda: run(how))
    return 0


if __name__ == "__main__":
    distributed.LINGER_S = 1.0
    sys.exit(distributed.end_together(lambda: main(*sys.argv[1:])))
