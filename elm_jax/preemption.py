"""Being told to stop: a signal becomes a saved state and an exit code of its own.

SIGTERM is what comes before a machine is taken away; SIGUSR1 is what SLURM is asked to send some
time before the end (``#SBATCH --signal=USR1@180``). Either of them does this:

* in the training loop: the step under way is finished, its state is saved, :class:`Preempted` is
  raised; every process stops after the same step, whichever of them was told;
* elsewhere (start, compilation, evals after training: nothing is unsaved there): Preempted is
  raised where the program is. A process that does not come out of a compilation or a collective is
  ended after ``GRACE_S``.

Further signals change nothing: the save goes on. The command line turns Preempted into the exit
code ``PREEMPTED``, on which a scheduler starts the same command again. Ctrl-C is not handled here:
it stops at once, and the run goes on from its last checkpoint.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

log = logging.getLogger(__name__)

PREEMPTED = 75  # exit code: told to stop, nothing unsaved; sysexits' TEMPFAIL
GRACE_S = 10.0  # how long a process without unsaved state may take to come to its end
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Preempted(BaseException):  # noqa: N818  (no error: the run did what it was told)
    """The run was told to stop, and nothing is unsaved.

    No Exception, as KeyboardInterrupt is none: who catches those must not take it for a fault.
    """


class _Listener:
    """The process's ear for signals: one, as handlers belong to the process.

    Attributes:
      told: the first signal that was heard.
      saves: whether somebody will save and stop; otherwise Preempted is raised at once.
    """

    def __init__(self):
        self.told: signal.Signals | None = None
        self.saves = False
        self._watched: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        """Takes the signals, again where another library took them since."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets the main thread alone handle signals
        for number in SIGNALS:
            before = signal.signal(number, self._hear)
            if before != self._hear:
                self._before.setdefault(number, before)

    def watch(self) -> None:
        """Ends the process where Python cannot: its main thread may be in a compilation."""
        if self._watched is None and threading.current_thread() is threading.main_thread():
            self._watched, woken = os.pipe()
            os.set_blocking(woken, False)
            # Written to as the signal comes; handlers run only between two steps of Python.
            signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
            threading.Thread(target=self._end_late, name="preemption", daemon=True).start()

    def release(self) -> None:
        """Gives the signals back to whom they belonged before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        self.told = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.told is not None:
            return
        self.told = signal.Signals(number)
        if not self.saves:
            raise Preempted(f"{self.told.name}: stopped")

    def _end_late(self) -> None:
        while os.read(self._watched, 1)[0] not in SIGNALS:
            pass
        idle_s = 0.0  # without anybody who saves
        while idle_s < GRACE_S:
            time.sleep(0.1)
            idle_s = 0.0 if self.saves else idle_s + 0.1
        log.error("told to stop: ended in the midst of something, with nothing unsaved")
        logging.shutdown()
        os._exit(PREEMPTED)


_LISTENER = _Listener()


def listen() -> None:
    """From now on a signal stops the program in good order; for commands, at their beginning.

    To be called again after ``jax.distributed.initialize``, which takes SIGTERM.
    """
    _LISTENER.install()
    _LISTENER.watch()


class StopRequests:
    """For the training loop: whether to stop, and whether it is time to save.

    Args:
      save_every_minutes: how often the clock asks for a save; None: never.
      now_s: the clock.

    Attributes:
      save_due: whether the clock asked for a save at the last :meth:`asked`; the same answer on
        every process.
    """

    def __init__(
        self,
        *,
        save_every_minutes: float | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ):
        if save_every_minutes is not None and not save_every_minutes > 0:
            raise ValueError(
                f"config.checkpoint.every_minutes is {save_every_minutes}; expected more than 0, "
                "or None: by epochs alone"
            )
        self._every_s = None if save_every_minutes is None else save_every_minutes * 60
        self._now_s, self._saved_s = now_s, now_s()
        self._own = not _LISTENER._before  # nobody listens yet: a notebook, a test
        self.save_due = False

    def __enter__(self) -> "StopRequests":
        # Commands listen before they import JAX, which takes a while.
        import jax

        from elm_jax.agreement import Agreement

        self._agreement, self._first = Agreement(2), jax.process_index() == 0
        self._saved_s = self._now_s()
        _LISTENER.install()
        return self

    def saved(self) -> None:
        """Something was saved; the clock begins anew."""
        self._saved_s = self._now_s()

    def asked(self, step: int) -> bool:
        """Whether to save and stop after ``step``; the same answer on every process.

        With several processes a signal is heard a step late, and none waits for another.
        """
        _LISTENER.saves = True  # from the first step on there is something to save
        stop, self.save_due = self._agreement((_LISTENER.told is not None, self._late()))
        if stop:
            log.info("told to stop: saving the state of step %d", step)
        return stop

    def __exit__(self, kind: type[BaseException] | None, *error) -> None:
        """Lets go. A signal that came after the last :meth:`asked` is heard here.

        Raises:
          Preempted: there was one, and nothing else was raised; all is saved.
        """
        stop = False
        if kind is None:
            stop, _ = self._agreement.at_once((_LISTENER.told is not None, False))
        _LISTENER.saves = False
        if self._own:
            _LISTENER.release()
        if stop:
            raise Preempted("told to stop after the last step: its state is saved")

    def _late(self) -> bool:
        """Whether the clock asks for a save: process 0's, as no two are the same."""
        if self._every_s is None or not self._first:
            return False
        late = self._now_s() - self._saved_s >= self._every_s
        if late:
            self._saved_s = self._now_s()
        return late
