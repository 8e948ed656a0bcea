"""Several processes, one run: how they find each other, and how they end together.

JAX's own `jax.distributed` does the work. By itself it aborts the process, with a C++ stack trace,
where an address is wrong or two processes have one number; and a process that raises waits minutes
for the others, which wait for it. So there is a roll call before, on the port that JAX's service
then takes, and an end that is bounded in time.
"""

import dataclasses
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import NoReturn

from elm_jax import roll_call
from elm_jax.roll_call import ClusterError

log = logging.getLogger(__name__)

FAULT = 1  # exit code of a fault of the program, as Python's
PEER_LOST = 76  # exit code: another process died; the same command, on all, goes on
JOIN_TIMEOUT_S = 300
HEARTBEAT_TIMEOUT_S = 100
# Who is done waits for the others, which may be writing a report; the dead are noticed by their
# heartbeats, not by this.
SHUTDOWN_TIMEOUT_S = 24 * 3600
# How long a process that failed waits for the others to fail too, as they do at a mistake in the
# config; then it goes alone.
LINGER_S = 10.0
ENVIRONMENT = {
    "coordinator_address": "JAX_COORDINATOR_ADDRESS",
    "num_processes": "JAX_NUM_PROCESSES",
    "process_id": "JAX_PROCESS_ID",
}


_joined = False  # whether this process has joined others


class PeerLost(RuntimeError):
    """Another process of the run died."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the flags say; None where one was not given.

    Attributes:
      distributed: whether there are several processes; None: if the next three say so.
      coordinator_address: HOST:PORT of process 0.
      num_processes: how many there are.
      process_id: which of them this is, from 0.
      join_timeout_s: how long to wait for all of them.
      heartbeat_timeout_s: after which silence a process counts as dead, and all end.
    """

    distributed: bool | None = None
    coordinator_address: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    join_timeout_s: int = JOIN_TIMEOUT_S
    heartbeat_timeout_s: int = HEARTBEAT_TIMEOUT_S


def define_flags() -> Callable[[], Settings]:
    """Defines ``--distributed`` and what belongs to it; gives what reads them."""
    from absl import flags

    holders = dict(
        distributed=flags.DEFINE_bool(
            "distributed",
            None,
            "Several processes run this command: on SLURM, Open MPI, TPU pods and GKE they find "
            "each other, elsewhere by the next three flags, or by "
            f"{', '.join(ENVIRONMENT.values())}.",
        ),
        coordinator_address=flags.DEFINE_string(
            "coordinator_address", None, "HOST:PORT where process 0 listens."
        ),
        num_processes=flags.DEFINE_integer("num_processes", None, "How many processes there are."),
        process_id=flags.DEFINE_integer("process_id", None, "Which of them this is, from 0."),
        join_timeout_s=flags.DEFINE_integer(
            "join_timeout_s", JOIN_TIMEOUT_S, "How long to wait for all processes, seconds."
        ),
        heartbeat_timeout_s=flags.DEFINE_integer(
            "heartbeat_timeout_s",
            HEARTBEAT_TIMEOUT_S,
            "After so many seconds of silence a process counts as dead, and the others end.",
        ),
    )
    return lambda: Settings(**{name: holder.value for name, holder in holders.items()})


def settle(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with what the environment says where a flag is not given, checked.

    ``distributed`` is True or False in it. Where it is True and the processes are not told who
    they are, the cluster will be asked.

    Raises:
      ClusterError: flags that contradict each other, or some without the rest.
    """
    given = {k: getattr(settings, k) for k in ENVIRONMENT}
    flags_given = sorted(f"--{k}" for k, v in given.items() if v is not None)
    if settings.distributed is False:
        if flags_given:
            raise ClusterError(f"--nodistributed contradicts {', '.join(flags_given)}")
        return dataclasses.replace(settings, **dict.fromkeys(ENVIRONMENT))
    for name, variable in ENVIRONMENT.items():
        if given[name] is None and environ.get(variable):
            given[name] = _from_environment(name, variable, environ[variable])
    who = given["num_processes"], given["process_id"]
    if who == (None, None) and (settings.distributed or given["coordinator_address"] is None):
        # Nothing is said, or all but an address is left to the cluster.
        return dataclasses.replace(settings, distributed=bool(settings.distributed), **given)
    missing = [f"--{k} (or {ENVIRONMENT[k]})" for k, v in given.items() if v is None]
    if missing:
        raise ClusterError(
            f"processes told who they are need all of --{', --'.join(ENVIRONMENT)}; missing: "
            f"{', '.join(missing)}"
        )
    whole = dataclasses.replace(settings, distributed=True, **given)
    _check(whole)
    return whole


def _from_environment(name: str, variable: str, value: str) -> str | int:
    if name == "coordinator_address":
        return value
    try:
        return int(value)
    except ValueError:
        raise ClusterError(f"{variable}={value!r} is no number") from None


def _check(settings: Settings) -> None:
    n, i = settings.num_processes, settings.process_id
    if n < 1 or not 0 <= i < n:
        raise ClusterError(
            f"--process_id={i} with --num_processes={n}: processes are numbered from 0 to "
            f"--num_processes - 1"
        )
    if not re.fullmatch(r"\S+:\d{1,5}", settings.coordinator_address):
        raise ClusterError(
            f"--coordinator_address={settings.coordinator_address!r}: expected HOST:PORT of process"
            " 0, as node001:8476"
        )


def initialize(settings: Settings) -> bool:
    """Joins the other processes of the run, if there are any; before JAX's devices are used.

    Gives whether there are several. With CPU devices their collectives go over gloo.

    Raises:
      ClusterError: contradictory settings; not all processes came in time; two with one number;
        no cluster was recognised.
    """
    settings = settle(settings, os.environ)
    if not settings.distributed:
        return False
    for name in ("join_timeout_s", "heartbeat_timeout_s"):
        if getattr(settings, name) < 1:
            raise ClusterError(f"--{name}={getattr(settings, name)}: expected 1 second or more")

    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    timeouts = dict(
        initialization_timeout=settings.join_timeout_s,
        heartbeat_timeout_seconds=settings.heartbeat_timeout_s,
        shutdown_timeout_seconds=SHUTDOWN_TIMEOUT_S,
    )
    if settings.num_processes is None:
        _ask_the_cluster(settings.coordinator_address, timeouts)
    else:
        who = settings.coordinator_address, settings.num_processes, settings.process_id
        roll_call.hold(*who, timeout_s=settings.join_timeout_s)
        # Told is told: a job's environment around it must not hide devices.
        jax.distributed.initialize(*who, cluster_detection_method="deactivate", **timeouts)
    global _joined
    _joined = True
    return True


def _ask_the_cluster(coordinator_address: str | None, timeouts: Mapping[str, int]) -> None:
    import jax

    try:
        jax.distributed.initialize(coordinator_address, **timeouts)
    except (ValueError, RuntimeError) as error:
        raise ClusterError(
            "--distributed: JAX could not find the other processes by itself, as it can on SLURM, "
            f"Open MPI, TPU pods and GKE ({error}); give --{', --'.join(ENVIRONMENT)}"
        ) from error


def process_zero_first(run: Callable[[], None]) -> None:
    """Calls ``run`` on process 0 and, once that went well, on the others.

    For what makes files that all of them read.

    Raises:
      OtherProcessFailed: on the others, where it failed on process 0.
    """
    from elm_jax.processes import first_says, this_process  # JAX only once a run begins

    def made() -> int:
        run()
        return 0

    first_says(made)
    if this_process()[0]:
        run()


# What JAX says on a process whose peer is gone: gloo's, the coordination service's.
_PEER = re.compile(
    r"Gloo \w+ failed|Connection (closed|reset) by peer|coordination service|heartbeat",
    re.IGNORECASE,
)


def tells_of_a_lost_peer(error: BaseException) -> bool:
    """Whether an exception is what JAX raises where another process died."""
    return _joined and bool(_PEER.search(str(error)))


def naming_lost_peers(run: Callable[[], None]) -> None:
    """Calls ``run``; what JAX raises where another process died becomes :class:`PeerLost`.

    On CPU devices that comes as ValueError, which would be taken for a user's mistake.

    Raises:
      PeerLost: another process died.
    """
    try:
        run()
    except (ValueError, RuntimeError) as error:
        if tells_of_a_lost_peer(error):
            raise PeerLost(
                "another process of the run died (its own messages say why); start all of them "
                "again: the same command goes on from the last checkpoint"
            ) from error
        raise


def end_together(run: Callable[[], int]) -> int:
    """Calls ``run``, which gives an exit code, and takes leave of the other processes.

    One process alone: as if ``run`` were called. Of several, one that ends well waits for the
    others; one that fails ends the program after ``LINGER_S`` at the latest, whatever threads and
    collectives still run, so that the others notice.
    """
    try:
        code = run()
    except PeerLost as error:
        log.error("error: %s", error)
        code = PEER_LOST
    except BaseException as error:
        if not _joined:
            raise
        code = error.code if isinstance(error, SystemExit) else FAULT
        code = code if isinstance(code, int) else FAULT
        if not isinstance(error, SystemExit):
            traceback.print_exc()
    if not _joined:
        return code
    if code:
        _leave(code)

    import jax

    jax.distributed.shutdown()
    return 0


def _leave(code: int) -> NoReturn:
    import jax

    # Processes that fail alike meet here, and none is taken for dead by another.
    farewell = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    farewell.start()
    farewell.join(LINGER_S)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
