"""Where a run's time goes: steps, input, everything else; the devices' use, memory and goodput.

A step *runs* from when it could start (it was given to the devices, and the one before had ended)
until its loss is there. The devices *wait for input* while no step runs and the loop has no batch.
Everything else (start, compilation, validation, saving, what was lost to a stop) is neither.

    steps_per_s, examples_per_s   over running and waiting for input
    input_wait_share              of that time, waiting; the worst process's
    mfu                           operations of the program over what the devices could do at most
    goodput                       running time of the steps that stand, over the wall time since the
                                  run began: stops, restarts and queues in between included
"""

import concurrent.futures
import logging
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from elm_jax.cost import GB, StepCost
from elm_jax.devices import TERA
from elm_jax.processes import gather

log = logging.getLogger(__name__)

STALLED_S = 60.0  # without a batch; told again after twice as long
SLOW_SHARE = 0.2  # of the time, waiting for input: worth a word
TOLD_EVERY_S = 600.0
HINT = "more config.data.reader_threads, or shards on a faster disk, would help"


class Spent(NamedTuple):
    """What checkpoints carry on of a run's time.

    Attributes:
      began_unix_s: when its first process began.
      running_s: of the steps that are in the checkpoint.
    """

    began_unix_s: float
    running_s: float = 0.0

    @classmethod
    def of(cls, stored: Sequence[float] | None, now_unix_s: float) -> "Spent":
        """As a checkpoint has it; a run that begins now where it has none."""
        return cls(*stored) if stored else cls(now_unix_s)


class Ledger:
    """Puts the time of steps where it belongs; seconds of any one clock.

    Attributes:
      steps: since :meth:`clear`.
      running_s: of these.
      waiting_s: for input, between these.
    """

    def __init__(self) -> None:
        self._last_end_s: float | None = None
        self.clear()

    def clear(self) -> None:
        """Begins anew; the next step still follows the last one."""
        self.steps, self.running_s, self.waiting_s = 0, 0.0, 0.0

    def add(self, asked_s: float, given_s: float, ended_s: float) -> float:
        """A step, in order: when its batch was asked for and given, and when its loss was there.

        Returns:
          how long it ran.
        """
        before = self._last_end_s
        if before is not None:  # the first batch's wait belongs to the start
            self.waiting_s += max(0.0, given_s - max(asked_s, before))
        ran_s = ended_s - (given_s if before is None else max(given_s, before))
        self.running_s += ran_s
        self.steps += 1
        self._last_end_s = ended_s
        return ran_s

    @property
    def steps_per_s(self) -> float:
        """Over running and waiting; 0 without steps."""
        return self.steps / max(self.running_s + self.waiting_s, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Of running and waiting."""
        return self.waiting_s / max(self.running_s + self.waiting_s, 1e-9)


class Watch:
    """Follows the loop from outside; a context manager.

    Args:
      rows_per_step: examples in a global batch.
      cost: of a step.
      spent: by the processes before this one.
      stalled_s: tell of no batch for that long.
    """

    def __init__(
        self, rows_per_step: int, cost: StepCost, spent: Spent, *, stalled_s: float = STALLED_S
    ):
        self._rows, self._cost, self._spent = rows_per_step, cost, spent
        self._stalled_s = stalled_s
        self._asked_s: float | None = None  # while the loop waits for a batch
        self._times = 0.0, 0.0  # asked and given, of the batch at hand
        # Asked, given, and when the loss will have been there: of the steps not yet in the ledger.
        self._open: deque[tuple[float, float, concurrent.futures.Future[float]]] = deque()
        self._ledger = Ledger()
        self._total_running_s = spent.running_s
        self._told_s = -TOLD_EVERY_S
        self._closed = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._guard = threading.Thread(target=self._tell_of_stalls, daemon=True)

    def __enter__(self) -> "Watch":
        self._guard.start()
        return self

    def __exit__(self, *error) -> None:
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def fed(self, stream: Iterable[Any]) -> Iterator[Any]:
        """``stream``, with the waits for its elements taken down."""
        stream = iter(stream)
        while True:
            self._asked_s = asked = time.monotonic()
            try:
                batch = next(stream)
            except StopIteration:
                return
            finally:
                self._asked_s = None
            self._times = asked, time.monotonic()
            yield batch

    def started(self, loss: Any) -> None:
        """A step was given to the devices, which will have this loss when it is done."""
        self._open.append((*self._times, self._pool.submit(_end_of, loss)))

    def report(self) -> dict[str, float]:
        """What there is to log of the steps since the last call; waits until they are done.

        With several processes all must call it at the same step.
        """
        self._settle()
        ledger = self._ledger
        per_s, share = ledger.steps_per_s, _worst(ledger.waiting_share)
        if ledger.waiting_s > 1:
            self._tell_if_slow(share)
        values = {"examples_per_s": per_s * self._rows, "steps_per_s": per_s}
        values |= {"input_wait_share": share, "goodput": self.goodput}
        values |= _memory_gb()
        if self._cost.flops:
            values["tflops_per_s_per_device"] = self._cost.flops * per_s / TERA
            if self._cost.peak_flops:
                values["mfu"] = self._cost.flops * per_s / self._cost.peak_flops
        ledger.clear()
        return values

    @property
    def goodput(self) -> float:
        """Share of the wall time since the run began in which steps ran that stand."""
        return self._total_running_s / max(time.time() - self._spent.began_unix_s, 1e-9)

    def to_json(self) -> list[float]:
        """What :meth:`Spent.of` reads back; waits until the steps so far are done."""
        self._settle()
        return [self._spent.began_unix_s, self._total_running_s]

    def _settle(self) -> None:
        """Enters the steps so far into the ledger."""
        while self._open:
            asked_s, given_s, ended = self._open.popleft()
            self._total_running_s += self._ledger.add(asked_s, given_s, ended.result())

    def _tell_if_slow(self, share: float) -> None:
        now = time.monotonic()
        if share > SLOW_SHARE and now - self._told_s > TOLD_EVERY_S:
            self._told_s = now
            log.warning(
                "input    the devices wait for batches %.0f%% of the time; %s", 100 * share, HINT
            )

    def _tell_of_stalls(self) -> None:
        told = 0.0
        while not self._closed.wait(self._stalled_s / 10):
            asked = self._asked_s
            waited = 0.0 if asked is None else time.monotonic() - asked
            if waited < self._stalled_s:
                told = 0.0
            elif waited > 2 * told:
                told = waited
                log.warning(
                    "input    stalled: no batch for %.0f s. Is the disk or network of "
                    "config.data.dir there? The run waits",
                    waited,
                )


def _end_of(loss: Any) -> float:
    loss.block_until_ready()
    return time.monotonic()


def _worst(share: float) -> float:
    """The largest of all processes: the slowest one holds up the others."""
    return float(gather(np.asarray([share])).max())


def _memory_gb() -> dict[str, float]:
    """Peaks so far, of this process and of the fullest of its devices (where they tell)."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    out = {"host_memory_peak_gb": peak / GB}
    told = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [stats["peak_bytes_in_use"] for stats in told if "peak_bytes_in_use" in stats]
    return out | ({"device_memory_peak_gb": max(peaks) / GB} if peaks else {})
