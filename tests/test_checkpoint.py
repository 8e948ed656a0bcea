"""Checkpoints: which stay, what they refuse, and that a kill leaves the last whole one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_shards import tiny_spec

from elm_jax import run_dir
from elm_jax.checkpoint import Checkpoints
from elm_jax.data.people import People, PeopleError
from elm_jax.data.spec import SpecError
from elm_jax.state import TrainState


def state_of(step, width=2, **more):
    params = {"encoder": {"kernel": jnp.full((3, width), float(step))}} | more
    stats = {"batch_stats": {"mean": jnp.arange(2.0) * step}}
    return TrainState(jnp.asarray(step), params, stats, {"trace": {"m": jnp.ones(2) * step}})


def save(checkpoints, step, loss, **kwargs):
    config = {"encoder": {"name": "conv_eeg"}}
    checkpoints.save(state_of(step, **kwargs), config=config, spec=tiny_spec(), loss=loss)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("filled")
    checkpoints = Checkpoints(workdir, keep_last=2, keep_best=1)
    for step, loss in enumerate([5.0, 1.0, 4.0, 3.0, 2.0], 1):
        save(checkpoints, step, loss)
    checkpoints.close()
    return workdir


def test_the_last_n_and_the_best_stay(filled):
    checkpoints = Checkpoints(filled, read_only=True)
    kept = sorted(int(p.name) for p in checkpoints.path.iterdir())
    assert kept == [2, 4, 5]
    assert checkpoints.latest_step() == 5 and checkpoints.best_step() == 2


def test_a_resumed_run_still_keeps_the_best_of_before(tmp_path):
    for steps, losses in (((1, 2), (1.0, 2.0)), ((3, 4), (3.0, 4.0))):
        checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=1)
        for step, loss in zip(steps, losses, strict=True):
            save(checkpoints, step, loss)
        checkpoints.close()
    assert sorted(int(p.name) for p in checkpoints.path.iterdir()) == [1, 4]
    assert Checkpoints(tmp_path, read_only=True).best_step() == 1


def test_a_state_comes_back_whole_with_its_config_and_signal(filled):
    checkpoints = Checkpoints(filled)
    for step in (5, 2):
        found, expected = checkpoints.restore(state_of(0), step), state_of(step)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    model = checkpoints.restore_model(state_of(0), 2)
    assert int(model.step) == 2 and float(model.opt_state["trace"]["m"][0]) == 0
    about = checkpoints.describe()
    assert (about.step, about.spec) == (5, tiny_spec())
    assert about.config == {"encoder": {"name": "conv_eeg"}}


def test_a_checkpoint_knows_whom_it_was_trained_on_and_an_old_one_says_that_it_does_not(
    filled, tmp_path
):
    old = Checkpoints(filled, read_only=True).describe()
    assert old.trained_on is None and old.selected_on is None
    checkpoints = Checkpoints(tmp_path)
    trained, selected = People.of(["tuh:a", "nmt:b"], unknown=True), People.of(["tuh:c"])
    people = dict(trained_on=trained, selected_on=selected)
    checkpoints.save(state_of(1), config={}, spec=tiny_spec(), loss=1.0, **people)
    checkpoints.close()
    about = Checkpoints(tmp_path, read_only=True).describe()
    assert about.trained_on == trained and about.selected_on == selected
    stored = checkpoints.path / "1" / "about" / "metadata"
    assert "tuh:a" not in stored.read_text()
    content = json.loads(stored.read_text())
    content["trained_on"]["format"] = 7
    stored.write_text(json.dumps(content))
    with pytest.raises(PeopleError, match="checkpoints/1: trained_on: .* format 7, expected 1"):
        Checkpoints(tmp_path, read_only=True).describe()


def test_a_tensor_of_another_shape_is_named_with_both(filled):
    with pytest.raises(
        ValueError, match=r"encoder/kernel: the checkpoint has \(3, 2\), this model \(3, 4\)"
    ):
        Checkpoints(filled, read_only=True).restore(state_of(0, width=4))


def test_missing_and_unknown_tensors_are_named(filled):
    with pytest.raises(ValueError, match=r"missing in the checkpoint: params/tower \(7,\)"):
        Checkpoints(filled, read_only=True).restore(state_of(0, tower=jnp.zeros(7)))
    fewer = state_of(0).replace(model_state={"batch_stats": {}})
    with pytest.raises(ValueError, match=r"unknown to this model: model_state/batch_stats/mean"):
        Checkpoints(filled, read_only=True).restore(fewer)


def test_half_written_checkpoints_are_ignored(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1, 1.0)
    checkpoints.close()
    half = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (half / "model").mkdir(parents=True)
    (half / "model" / "part").write_bytes(b"...")
    # Reading another's folder touches nothing in it: that run may be writing.
    assert Checkpoints(tmp_path, read_only=True).latest_step() == 1 and half.exists()
    own = Checkpoints(tmp_path)
    assert own.latest_step() == 1 and int(own.restore(state_of(0)).step) == 1


def test_a_folder_that_is_no_workdir_is_refused_and_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="no workdir of an earlier run"):
        Checkpoints(tmp_path / "typo", read_only=True)
    assert not (tmp_path / "typo").exists()
    with pytest.raises(FileNotFoundError, match="no finished checkpoint"):
        Checkpoints(tmp_path).describe()


def test_a_missing_step_lists_the_others(filled):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 3; there are \[2, 4, 5\]"):
        Checkpoints(filled, read_only=True).restore(state_of(0), 3)


def test_a_relative_workdir_will_do(filled, monkeypatch):
    monkeypatch.chdir(filled.parent)
    assert Checkpoints(filled.name, read_only=True).latest_step() == 5


def test_a_run_on_another_signal_is_refused(filled):
    about = Checkpoints(filled, read_only=True).describe()
    with pytest.raises(SpecError, match="window_s: expected 5.0, found 10.0"):
        about.spec.require_same(tiny_spec(10.0), source="shards", hint="")


def test_differences_between_configs_name_every_key():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    new = {"a": {"b": 2, "c": [1, 2]}, "e": 3}
    assert run_dir.differences(old, new, "config") == [
        "config.a.b: the checkpoint has 1, the config 2",
        "config.e: the checkpoint has None, the config 3",
    ]
