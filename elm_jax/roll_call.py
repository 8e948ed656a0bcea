"""Before JAX's processes connect: who is there, told apart from who is missing or there twice.

Process 0 listens on the coordinator's port and every process, itself included, calls in with its
number. When all are there, or it is clear that they never will be, all are told, and the port is
free again.
"""

import contextlib
import json
import os
import socket
import threading
import time
from typing import Any

HELLO_S = 5.0  # how long a call may take to say who is there
RETRY_S = 0.2
LATE_S = 2.0  # how long who calls in after a mistake was found is told of it
SLACK_S = 5.0  # process 0 knows best what is wrong: the others wait for its word


class ClusterError(ValueError):
    """The processes of a run could not be brought together."""


def hold(address: str, num_processes: int, process_id: int, *, timeout_s: float) -> None:
    """Returns when every process of the run is there.

    Args:
      address: HOST:PORT of process 0.
      num_processes: of the run.
      process_id: of this process.
      timeout_s: how long to wait.

    Raises:
      ClusterError: process 0 cannot be reached, some never came, two have one number, or they
        disagree on how many they are.
    """
    stop = threading.Event()
    found: dict[str, Any] = {}  # on process 0: what all are told
    arguments = (address, num_processes, time.monotonic() + timeout_s, stop, found)
    listener = threading.Thread(target=_listen, args=arguments, daemon=True)
    if process_id == 0:
        listener.start()
    try:
        _call_in(address, num_processes, process_id, timeout_s, found)
    finally:
        stop.set()
        if process_id == 0 and found.get("error"):
            listener.join()  # it still tells those who come late


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


# -- every process ---------------------------------------------------------------------------------


def _call_in(
    address: str, num_processes: int, process_id: int, timeout_s: float, found: dict[str, Any]
) -> None:
    deadline = time.monotonic() + timeout_s + SLACK_S
    hello = {"elm_jax": "roll call", "process": process_id, "of": num_processes}
    reason = "nothing answered"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(_split(address), timeout=HELLO_S) as line:
                _say(line, hello)
                if _hear(line, HELLO_S).get("heard"):
                    verdict = _hear(line, deadline - time.monotonic())
                    if verdict.get("error"):
                        raise ClusterError(verdict["error"])
                    if verdict.get("all"):
                        return
            reason = "something else answered"  # a run that is just ending, mostly
        except OSError as error:
            reason = str(error)
        if found.get("error"):  # before this process itself came through
            raise ClusterError(found["error"])
        time.sleep(RETRY_S)
    raise ClusterError(
        f"process {process_id}: no process 0 at {address} within {timeout_s:g} s ({reason}); check "
        "--coordinator_address (the host of process 0, and a port that its firewall lets through), "
        "that process 0 runs, and --join_timeout_s"
    )


def _say(line: socket.socket, message: dict[str, Any]) -> None:
    line.sendall(json.dumps(message).encode() + b"\n")


def _hear(line: socket.socket, timeout_s: float) -> dict[str, Any]:
    """The next message; empty where the other side speaks otherwise, or no more."""
    line.settimeout(max(timeout_s, RETRY_S))
    text = b""
    while not text.endswith(b"\n") and len(text) < 4096:
        byte = line.recv(1)
        if not byte:
            return {}
        text += byte
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


# -- process 0 -------------------------------------------------------------------------------------


def _listen(
    address: str,
    num_processes: int,
    deadline: float,
    stop: threading.Event,
    found: dict[str, Any],
) -> None:
    lines: dict[int, socket.socket] = {}
    server = _bound(address, num_processes, stop)
    if server is None:
        return
    with server:
        found |= _gather(server, num_processes, deadline, lines, stop)
        if "error" in found:
            _tell(lines, found)
            _tell_late(server, found)
            return
    # The port is free again before anybody is told to go on.
    _tell(lines, found)


def _tell(lines: dict[int, socket.socket], found: dict[str, Any]) -> None:
    for line in lines.values():
        with contextlib.suppress(OSError), line:
            _say(line, found)


def _tell_late(server: socket.socket, found: dict[str, Any]) -> None:
    """Tells who calls in only now; they would wait for a process 0 that has gone."""
    until = time.monotonic() + LATE_S
    while time.monotonic() < until:
        try:
            line, _ = server.accept()
        except TimeoutError:
            continue
        with contextlib.suppress(OSError), line:
            _hear(line, HELLO_S)
            _say(line, {"heard": True})
            _say(line, found)


def _bound(address: str, num_processes: int, stop: threading.Event) -> socket.socket | None:
    """The listening socket; waits while an ending run still has the port, until told to stop."""
    chosen = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", "")
    host, port = _split(chosen) if chosen else ("", _split(address)[1])
    both = socket.has_dualstack_ipv6() and host in ("", "::")
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    while True:
        try:
            return socket.create_server(
                (host, port), family=family, backlog=num_processes, dualstack_ipv6=both
            )
        except OSError:  # this process's own call, meanwhile, learns from whoever has it
            if stop.wait(RETRY_S):
                return None


def _gather(
    server: socket.socket,
    num_processes: int,
    deadline: float,
    lines: dict[int, socket.socket],
    stop: threading.Event,
) -> dict[str, Any]:
    """Takes calls into ``lines`` until all are there; gives what they are to be told."""
    hosts: dict[int, str] = {}
    server.settimeout(RETRY_S)
    while len(lines) < num_processes:
        if time.monotonic() > deadline or stop.is_set():
            missing = sorted(set(range(num_processes)) - set(lines))
            return {
                "error": f"of {num_processes} processes, {len(missing)} did not come in time "
                f"(--join_timeout_s): process {', '.join(map(str, missing[:10]))}"
            }
        try:
            line, peer = server.accept()
        except TimeoutError:
            continue
        try:
            message = _hear(line, HELLO_S)
            if message.get("elm_jax") != "roll call":
                line.close()  # somebody else's
                continue
            _say(line, {"heard": True})
        except OSError:
            continue
        number, of = message.get("process"), message.get("of")
        host = str(peer[0]).removeprefix("::ffff:")
        error = ""
        if of != num_processes:
            error = f"process {number} ({host}) has --num_processes={of}, process 0 {num_processes}"
        elif number in lines and not _hung_up(lines[number]):
            error = (
                f"two processes have --process_id={number}: one on {hosts[number]}, one on {host}"
            )
        if error:
            lines[-1] = line  # it is told as well
            return {"error": error}
        lines[number], hosts[number] = line, host
    return {"all": True}


def _hung_up(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        line.setblocking(True)
