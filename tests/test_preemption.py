"""Being told to stop: in time, once, without harm, with an exit code of its own."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from etils import epath
from tiny_shards import write_tiny_shards

from configs import elm_supervised
from elm_jax import lock, preemption, train
from elm_jax.checkpoint import Checkpoints
from elm_jax.metrics import read_metrics
from elm_jax.preemption import Preempted, StopRequests

ROOT = pathlib.Path(__file__).resolve().parent.parent


def send(number):
    os.kill(os.getpid(), number)


# -- in the loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_heard_at_the_step_and_further_ones_change_nothing(number):
    before = signal.getsignal(number)
    with pytest.raises(Preempted, match="step 2"), StopRequests() as stop:
        assert not stop.asked(1)
        send(number)
        assert stop.asked(2)
        send(number)  # while it saves
        send(signal.SIGTERM)
        raise Preempted("step 2")
    assert signal.getsignal(number) == before
    with StopRequests() as stop:  # the next run of the process is not told
        assert not stop.asked(1)


def test_before_the_first_step_there_is_nothing_to_save():
    reached = []
    with pytest.raises(Preempted, match="SIGTERM"), StopRequests():
        send(signal.SIGTERM)
        reached.append(1)
    assert not reached


def test_a_signal_during_the_last_save_stops_before_the_evals():
    with pytest.raises(Preempted, match="after the last step"):
        with StopRequests() as stop:
            assert not stop.asked(10)
            send(signal.SIGTERM)


def test_an_error_of_the_step_is_not_hidden_by_a_signal():
    with pytest.raises(ZeroDivisionError):
        with StopRequests() as stop:
            stop.asked(1)
            send(signal.SIGTERM)
            raise ZeroDivisionError


def test_no_except_exception_swallows_it():
    assert not issubclass(Preempted, Exception)


def test_the_clock_asks_for_a_save_once_an_interval():
    now = [0.0]
    with StopRequests(save_every_minutes=1, now_s=lambda: now[0]) as stop:
        due = []
        for step, now[0] in enumerate((30.0, 59.0, 60.0, 61.0, 119.0, 300.0, 301.0)):
            assert not stop.asked(step)
            due.append(stop.save_due)
    assert due == [False, False, True, False, False, True, False]
    with pytest.raises(ValueError, match="every_minutes is 0; expected more than 0"):
        StopRequests(save_every_minutes=0)


# -- elsewhere -------------------------------------------------------------------------------------


def started(code, *arguments):
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_does_not_come_out_of_compiled_code_ends_all_the_same():
    child = started(
        """
        import ctypes
        from elm_jax import preemption
        preemption.GRACE_S = 0.3
        preemption.listen()
        mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
        print("begins", flush=True)
        for _ in range(2):
            libc.pthread_mutex_lock(mutex)  # the second never returns, nor lets a handler run
        """
    )
    assert child.stdout.readline() == "begins\n"
    time.sleep(0.5)
    child.send_signal(signal.SIGUSR1)
    assert "with nothing unsaved" in child.communicate(timeout=60)[1]
    assert child.returncode == preemption.PREEMPTED


def test_two_processes_stop_after_the_same_step_though_one_is_told():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    code = """
        import os, signal, sys
        import jax
        from elm_jax import preemption
        port, process = sys.argv[1], int(sys.argv[2])
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", 2, process)
        preemption.listen()
        now_s = lambda: 100.0 * process  # no two clocks are the same; that of process 0 counts
        with preemption.StopRequests(save_every_minutes=1, now_s=now_s) as stop:
            for step in range(1, 50):
                if step == 7 and process == 1:
                    os.kill(os.getpid(), signal.SIGUSR1)
                if step == 4 and process == 0:
                    stop._saved_s = -100.0
                if stop.asked(step):
                    print("stops", step)
                    break
                if stop.save_due:
                    print("saves", step)
        """
    both = [started(code, str(port), str(process)) for process in range(2)]
    said = [child.communicate(timeout=120) for child in both]
    for out, error in said:
        lines = [line for line in out.splitlines() if line.startswith(("saves", "stops"))]
        assert lines == ["saves 5", "stops 8"], error


# -- the command -----------------------------------------------------------------------------------

SMALL = {"kernels": ((4, 4, 1),)}
RECIPE = ["--config", "configs/elm_supervised.py:smoke"]
RECIPE += [f"--config.encoder.{key}={value}" for key, value in SMALL.items()]


@pytest.fixture
def listening():
    """As a command's process does, but for the watch, which ends it."""
    preemption._LISTENER.install()
    yield
    preemption._LISTENER.release()


def test_the_command_saves_and_has_a_code_for_it_and_stops_between_training_and_evals_as_well(
    tmp_path, listening, monkeypatch
):
    shards = write_tiny_shards(tmp_path / "shards", people=6, valid_people=2, test_people=2)
    workdir = tmp_path / "run"
    words = [*RECIPE, f"--config.data.dir={shards}", "--workdir", str(workdir)]
    steps = "--config.optimizer.schedule.total_steps={}"
    main = "import runpy; runpy.run_module('elm_jax.main', run_name='__main__')"
    child = started(main, *words, steps.format(100_000))
    while not read_metrics(workdir) and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGUSR1)
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=120)[1]
    assert child.returncode == preemption.PREEMPTED, said
    saved = Checkpoints(workdir, read_only=True).latest_step()
    assert saved and read_metrics(workdir)[-1]["step"] <= saved
    assert f"told to stop: the state of step {saved} is saved" in said.splitlines()[-1]

    config = elm_supervised.get_config("smoke")
    config.data.dir, config.optimizer.schedule.total_steps = str(shards), saved + 2
    config.encoder.update(SMALL)
    with monkeypatch.context() as patch, pytest.raises(Preempted, match="SIGTERM: stopped"):
        patch.setattr(train.evaluate, "run", lambda *args: send(signal.SIGTERM))
        train.train(config, epath.Path(workdir))
    preemption._LISTENER.told = None  # in a new process
    assert Checkpoints(workdir, read_only=True).latest_step() == saved + 2
    rows = read_metrics(workdir)
    assert rows[-1]["step"] == saved + 2 and not (workdir / "summary.json").exists()

    train.train(config, epath.Path(workdir))  # the evals are left
    assert read_metrics(workdir) == rows and (workdir / "summary.json").exists()


def test_a_second_run_in_a_workdir_is_told_who_has_it_and_a_killed_one_lets_it_go(tmp_path):
    child = started(
        """
        import sys, time
        from etils import epath
        from elm_jax import lock
        with lock.alone(epath.Path(sys.argv[1])):
            print("has it", flush=True)
            time.sleep(100)
        """,
        str(tmp_path),
    )
    assert child.stdout.readline() == "has it\n"
    with pytest.raises(lock.InUse, match=f"is in use by process {child.pid} on .*another --workd"):
        with lock.alone(epath.Path(tmp_path)):
            pass
    child.kill()
    child.communicate()
    for _ in range(2):
        with lock.alone(epath.Path(tmp_path)):
            pass
