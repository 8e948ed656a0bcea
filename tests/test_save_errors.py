"""A disk that is full or not to be written, a damaged checkpoint: one message, nothing lost."""

import os
import pathlib
import shutil
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from save_kills import equal, save, state_of
from tiny_shards import tiny_spec

from elm_jax.checkpoint import Checkpoints
from elm_jax.checkpoint_errors import CorruptCheckpoint, SaveFailed


def large(step, numbers):
    """A state of so many float32 numbers that do not compress."""
    rng = np.random.default_rng(step)
    params = {"kernel": jnp.asarray(rng.normal(size=numbers), jnp.float32)}
    return state_of(step).replace(params=params)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def surfaces_by_itself(checkpoints):
    """What a loop sees that asks after every step, and never saves again."""
    for _ in range(600):
        checkpoints.raise_errors()
        time.sleep(0.1)


def test_a_full_disk_is_told_at_the_next_step_and_the_same_command_goes_on_from_the_last_whole_one(
    small_disk, capfd
):
    checkpoints = Checkpoints(small_disk, keep_last=5)
    save(checkpoints, 1, 1.0)
    with pytest.raises(
        SaveFailed, match=r"step 2 was not saved: .*[Nn]o space left(.|\n)*Step 1 is whole"
    ):
        checkpoints.save(large(2, 200_000), config={}, spec=tiny_spec(), loss=1.0)
        surfaces_by_itself(checkpoints)
    assert "Traceback" not in capfd.readouterr().err
    again = Checkpoints(small_disk, keep_last=5)  # clears away what was half-written
    assert again.latest_step() == 1 and equal(again.restore(state_of(0)), state_of(1))
    save(again, 2, 1.0)
    assert again.latest_step() == 2
    again.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1, 1.0)
    real = pathlib.Path.mkdir, os.mkdir

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(SaveFailed, match="step 2 was not saved: .*Permission denied"):
            save(checkpoints, 2, 1.0)
    assert real == (pathlib.Path.mkdir, os.mkdir)
    assert Checkpoints(tmp_path, read_only=True).latest_step() == 1


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("damaged")
    checkpoints = Checkpoints(workdir)
    for step in (1, 2):
        checkpoints.save(large(step, 1000), config={}, spec=tiny_spec(), loss=1.0)
    checkpoints.close()
    return workdir


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("where", "damage"),
    [
        ("model", flip_a_bit),  # of a number: Orbax alone would not see it
        ("model", cut),
        ("model", pathlib.Path.unlink),
        ("model/_METADATA", pathlib.Path.unlink),
        ("optimizer/manifest.ocdbt", cut),
        ("about/metadata", cut),
        ("metrics/metrics", cut),
        ("optimizer", shutil.rmtree),
        ("about", shutil.rmtree),
    ],
)
def test_a_damaged_checkpoint_is_named_with_what_to_do_and_left_as_it_is(
    two_steps, tmp_path, capfd, where, damage
):
    workdir = tmp_path / "run"
    shutil.copytree(two_steps, workdir)
    step = workdir / "checkpoints" / "2"
    damage(largest(step / where) if where == "model" else step / where)
    left = sorted(step.rglob("*"))
    with pytest.raises(CorruptCheckpoint) as caught:
        checkpoints = Checkpoints(workdir, read_only=True)
        checkpoints.describe()
        checkpoints.restore(large(0, 1000))
    message = str(caught.value)
    assert message.startswith(f"{step} is damaged: ") and message.count("\n") == 1, message
    assert f"Other steps there: [1]. To go on from step 1, remove {step} and give" in message
    assert sorted(step.rglob("*")) == left and "Traceback" not in capfd.readouterr().err
    shutil.rmtree(step)
    whole = Checkpoints(workdir, read_only=True)
    assert equal(whole.restore(large(0, 1000)), large(1, 1000))


def test_memory_that_does_not_suffice_is_not_taken_for_damage(two_steps, monkeypatch):
    def refuse(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    checkpoints = Checkpoints(two_steps, read_only=True)
    monkeypatch.setattr(checkpoints._manager, "restore", refuse)
    with pytest.raises(jax.errors.JaxRuntimeError, match="out of memory"):
        checkpoints.restore(large(0, 1000))
