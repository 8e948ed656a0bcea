"""Two processes and one: the same vectors and scores, each example once, one writer."""

import functools
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import modes_on_processes
import numpy as np
import pytest
from tiny_pretrained import tiny_pretrained
from tiny_shards import write_tiny_shards

from elm_jax import processes
from elm_jax.data.embedding_file import EmbeddingFile

TESTS = pathlib.Path(__file__).resolve().parent
DEVICES = 2  # of each process


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A saved model and shards: people who train, calibrate and are tested on."""
    folder = tmp_path_factory.mktemp("processes")
    model = tiny_pretrained(folder / "model")
    model.save_pretrained(folder / "saved")
    shards = write_tiny_shards(
        folder / "shards", people=8, valid_people=4, test_people=5, seconds=15.0
    )
    return folder / "saved", shards


@pytest.fixture(scope="module")
def both(inputs, tmp_path_factory):
    """What each of two processes says, and where they wrote."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, str(TESTS / "modes_on_processes.py"), port]
    words = [*map(str, inputs), str(folder)]
    running = [
        subprocess.Popen([*command, str(i), *words], env=env, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    # One that fails must not leave the other waiting for it.
    while any(p.poll() is None for p in running) and not any(p.poll() for p in running):
        time.sleep(0.1)
    for process in running:
        if process.poll() is None:
            process.kill()
    said = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    assert codes == [0, 0], "\n".join(text[-3000:] for text in said)
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(2)], folder


@pytest.fixture(scope="module")
def one(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    found = modes_on_processes.run(*inputs, folder / "results", folder / "e.h5")
    return json.loads(json.dumps(found)), folder


def require_near(found, expected, where="result"):
    """Equal, numbers to 1e-6."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            require_near(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, value in enumerate(expected):
            require_near(found[i], value, f"{where}[{i}]")
    elif isinstance(expected, float) and isinstance(found, float):
        near = math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6)
        assert near or math.isnan(found) and math.isnan(expected), (where, found, expected)
    else:
        assert found == expected, where


def test_scores_validation_and_texts_are_those_of_one_process(both, one):
    (first, second), _ = both
    for key in ("evals", "valid", "asked"):
        require_near(first[key], one[0][key], key)
        assert first[key] == second[key]
    assert set(one[0]["evals"]) == {"zero_shot", "probe"}
    assert {"loss", "accuracy"} <= set(one[0]["valid"])


def test_every_window_is_read_and_encoded_once_and_by_one_process(both, one):
    (first, second), folder = both
    with EmbeddingFile(folder / "0" / "e.h5") as file:
        windows = len(file)
    assert first["embed"]["encoded"] + second["embed"]["encoded"] == windows
    for kind, alone in one[0]["counts"].items():
        assert first["counts"][kind] + second["counts"][kind] == alone
        assert alone // 3 < second["counts"][kind] <= first["counts"][kind]


def test_rows_come_back_in_order_whatever_the_mesh_cuts(both):
    for process in both[0]:
        assert process["doubled"] == [[2.0 * i for i in range(14)]] * 2


def test_vectors_are_those_of_one_process_and_only_the_first_writes(both, one):
    _, folder = both
    with EmbeddingFile(folder / "0" / "e.h5") as two, EmbeddingFile(one[1] / "e.h5") as alone:
        for name in ("projection", "features", "text_embedding"):
            found, expected = np.asarray(getattr(two, name)), np.asarray(getattr(alone, name))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert two.attributes["weights_sha256"] == alone.attributes["weights_sha256"]
    assert {p.name for p in (folder / "0").iterdir()} == {"e.h5", "results"}
    assert (folder / "0" / "results" / "report.html").exists()
    assert not (folder / "1").exists()


# -- the helpers, without processes ---------------------------------------------------------------


def as_process(monkeypatch, index, count):
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: count)


def test_shares_are_blocks_in_order_and_cover_everything_once(monkeypatch):
    assert processes.shareable(7) == 7 and processes.own(np.arange(7)).tolist() == [*range(7)]
    parts = []
    for index in range(3):
        as_process(monkeypatch, index, 3)
        assert processes.shareable(7) == 9 and processes.shareable(9) == 9
        parts.append(processes.own(np.arange(9)))
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(9))
    with pytest.raises(ValueError, match="10 rows .* over 3 processes"):
        processes.own(np.arange(10))


def test_what_the_first_process_fails_at_stops_all(monkeypatch):
    said = []

    def broadcast(value):
        said.append(np.array(value))
        return said[0]

    monkeypatch.setattr(processes.multihost_utils, "broadcast_one_to_all", broadcast)
    as_process(monkeypatch, 0, 2)
    with pytest.raises(OSError, match="disk"):
        processes.first_says(functools.partial(open_nothing))
    as_process(monkeypatch, 1, 2)
    with pytest.raises(processes.OtherProcessFailed, match="process 0 failed"):
        processes.first_says(lambda: pytest.fail("called on the second process"))


def open_nothing():
    raise OSError("disk full")
