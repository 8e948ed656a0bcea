import os
import signal
import subprocess
import sys
import time


def test_kill_9_midway_loses_nothing_and_redoes_nothing(tmp_path, write_edf, contents):
    for i in range(12):
        write_edf(tmp_path / "edf" / f"r{i:02d}.edf", seconds=240, sfreq_hz=250, seed=i)
    command = [sys.executable, "-m", "data_prep.prepare", "edf_folder", "--input"]
    command += [str(tmp_path / "edf"), "--min_shards", "2", "--workers", "1", "--out"]
    out = tmp_path / "killed"
    # Its own process group: the worker must go down with it.
    process = subprocess.Popen(
        [*command, str(out)], start_new_session=True, stdout=subprocess.DEVNULL
    )
    parts = out / ".work" / "parts"
    deadline = time.monotonic() + 60
    while not len(list(parts.glob("*.json"))) >= 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {p.name: p.stat().st_mtime_ns for p in parts.glob("*.json")}
    assert 2 <= len(finished) < 12 and not (out / "manifest.json").exists()
    again = subprocess.run([*command, str(out)], capture_output=True, text=True, check=True)
    assert f"{len(finished)} of 12 recordings were finished before" in again.stdout
    subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, check=True)
    assert contents(out) == contents(tmp_path / "whole")


def test_workers_end_when_the_parent_is_killed_alone(tmp_path, write_edf):
    for i in range(8):
        write_edf(tmp_path / "edf" / f"r{i}.edf", seconds=300, sfreq_hz=250, seed=i)
    command = [sys.executable, "-m", "data_prep.prepare", "edf_folder", "--workers", "1"]
    command += ["--input", str(tmp_path / "edf"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    parts = tmp_path / "out" / ".work" / "parts"
    deadline = time.monotonic() + 60
    while not list(parts.glob("*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
