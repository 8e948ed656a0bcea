"""A save that is killed (``kill -9``) leaves the last whole checkpoint, and training goes on."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
# Of the about 200 changes to files that a save is made of; 1 walks all of them.
STRIDE = int(os.environ.get("ELM_JAX_KILL_STRIDE", "4"))


def walked(folder, stride, **environ):
    command = [sys.executable, str(HERE / "save_kills.py"), str(folder), str(stride)]
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    environ = os.environ | environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def require_whole(found):
    """What the look at every workdir whose save was killed must have found."""
    for kill, seen in found.items():
        assert seen["latest"] in (3, 4) and seen["whole"] and seen["on"], (kill, seen)
        # The best of before is as safe as the last; nothing half-written or half-removed stays.
        assert seen["best"] == 1 and seen["whole_best"], (kill, seen)
        last = [str(seen["latest"]), str(seen["latest"] + 1)]
        assert seen["names"] == ["1", *last], (kill, seen)


def test_a_save_killed_at_any_change_to_a_file_leaves_the_last_whole_checkpoint(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("counting the changes needs a C compiler")
    library = tmp_path / "kill_at.so"
    source = str(HERE / "kill_at.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"]
    subprocess.run(command, check=True)
    folder = tmp_path / "runs"
    folder.mkdir()
    seen = walked(folder, STRIDE, KILL_UNDER=str(folder), LD_PRELOAD=str(library))
    assert seen["changes"] > 100
    require_whole(seen["found"])
    latest = [found["latest"] for found in seen["found"].values()]
    assert latest[0] == 3 and latest[-1] == 4  # killed before the new one counted, and after


def test_a_save_killed_at_any_time_leaves_the_last_whole_checkpoint(tmp_path):
    seen = walked(tmp_path, 1)
    require_whole(seen["found"])
