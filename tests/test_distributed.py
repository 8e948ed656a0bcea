"""Processes find each other or say in one line why not; when one ends, none is left behind."""

import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from elm_jax import roll_call
from elm_jax.distributed import PEER_LOST, ClusterError, Settings, settle

TESTS = pathlib.Path(__file__).resolve().parent
TOLD = dict(coordinator_address="host:1", num_processes=4, process_id=3)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


# -- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        (dict(distributed=False, process_id=0), {}, "--nodistributed contradicts --process_id"),
        (
            dict(num_processes=2),
            {},
            "missing: --coordinator_address (or JAX_COORDINATOR_ADDRESS)",
        ),
        (dict(coordinator_address="host:1"), {}, "missing: --num_processes (or JAX_NUM_PROCESSES)"),
        (TOLD | dict(process_id=4), {}, "--process_id=4 with --num_processes=4: "),
        (TOLD | dict(num_processes=0), {}, "--num_processes=0: "),
        (TOLD | dict(coordinator_address="host"), {}, "'host': expected HOST:PORT"),
        ({}, dict(JAX_PROCESS_ID="0"), "missing: --coordinator_address (or JAX_COORDINATOR_ADD"),
        (dict(num_processes=2), dict(JAX_PROCESS_ID="first"), "JAX_PROCESS_ID='first' is no num"),
    ],
)
def test_flags_that_do_not_fit_each_other_are_one_line(flags, environ, message):
    with pytest.raises(ClusterError) as error:
        settle(Settings(**flags), environ)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_flags_come_before_the_environment_and_either_will_do():
    environ = dict(JAX_COORDINATOR_ADDRESS="host:1", JAX_NUM_PROCESSES="4", JAX_PROCESS_ID="3")
    assert settle(Settings(**TOLD), {}) == Settings(True, **TOLD)
    assert settle(Settings(), environ) == Settings(True, **TOLD)
    assert settle(Settings(process_id=0), environ) == Settings(True, **TOLD | dict(process_id=0))
    # What this process starts on its own is none of the run's.
    assert settle(Settings(distributed=False), environ) == Settings(False)
    assert settle(Settings(), {}) == Settings(False)
    # A cluster will be asked.
    assert settle(Settings(distributed=True), {}) == Settings(True)


# -- roll call ------------------------------------------------------------------------------------


def hold(*processes, of, timeout_s=20.0, port=None):
    """What each of some processes is told: None when all are there. Seconds, too."""
    address = f"localhost:{port or free_port()}"
    told, began = {}, time.monotonic()

    def join(place, process):
        try:
            count = of[place] if isinstance(of, tuple) else of
            told[place] = roll_call.hold(address, count, process, timeout_s=timeout_s)
        except ClusterError as error:
            told[place] = str(error)

    threads = [threading.Thread(target=join, args=x) for x in enumerate(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [told[place] for place in range(len(processes))], time.monotonic() - began


def test_all_go_on_when_all_are_there_in_any_order():
    assert hold(2, 0, 3, 1, of=4)[0] == [None] * 4


@pytest.mark.parametrize("twice", [0, 1])
def test_two_with_one_number_are_told_at_once(twice):
    told, seconds = hold(0, 1, twice, of=4, timeout_s=60.0)
    assert seconds < 30
    for message in told:
        assert message.startswith(f"two processes have --process_id={twice}: one on ")


def test_a_disagreement_on_how_many_they_are_is_told_to_both():
    told, _ = hold(0, 1, of=(3, 2), timeout_s=60.0)
    assert {t.partition(" (")[0] for t in told} == {"process 1"}
    assert all("has --num_processes=2, process 0 3" in t for t in told)


def test_who_did_not_come_is_named(monkeypatch):
    told, seconds = hold(0, 2, of=4, timeout_s=1.0)
    assert seconds < 20
    for message in told:
        assert message.startswith("of 4 processes, 2 did not come in time") and "1, 3" in message


def test_a_coordinator_that_cannot_be_reached_is_named_in_time(monkeypatch):
    monkeypatch.setattr(roll_call, "SLACK_S", 0.5)
    told, seconds = hold(1, of=2, timeout_s=0.5)
    assert seconds < 10
    assert "process 1: no process 0 at localhost:" in told[0] and "--join_timeout_s" in told[0]


def test_a_stranger_on_the_port_is_not_taken_for_process_0(monkeypatch):
    monkeypatch.setattr(roll_call, "SLACK_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        threading.Thread(target=_greet, args=(stranger,), daemon=True).start()
        told, _ = hold(1, of=2, timeout_s=0.5, port=stranger.getsockname()[1])
    assert "(something else answered)" in told[0]


def _greet(stranger):
    while True:
        try:
            line, _ = stranger.accept()
            with line:
                line.sendall(b"SSH-2.0\r\n")
        except OSError:
            return


# -- ends -----------------------------------------------------------------------------------------


def start(*arguments):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, cwd=TESTS.parent)


@pytest.mark.parametrize("how", ["killed", "fails"])
def test_a_process_that_dies_takes_the_other_down(how):
    address = f"localhost:{free_port()}"
    script = str(TESTS / "dying_process.py")
    first, second = (start(script, how, address, str(i)) for i in (0, 1))
    errors = [process.communicate(timeout=240)[1] for process in (first, second)]
    assert second.returncode == (-9 if how == "killed" else 1), errors[1]
    assert first.returncode == PEER_LOST, errors[0]
    assert "error: another process of the run died" in errors[0] and "Traceback" not in errors[0]


def test_a_mistake_that_all_make_is_one_line_each_and_ends_all(tmp_path):
    address = f"localhost:{free_port()}"
    flags = ["--config", "configs/elm_5s.py:smoke", "--config.mode=no", "--workdir", str(tmp_path)]
    flags += ["--coordinator_address", address, "--num_processes=2"]
    both = [start("-m", "elm_jax.main", *flags, f"--process_id={i}") for i in (0, 1)]
    errors = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [2, 2], errors
    assert "error: config.mode is 'no'" in errors[0] and "Traceback" not in errors[0] + errors[1]
    assert {p.name for p in tmp_path.iterdir()} == {"train.log", "train.1.log"}
