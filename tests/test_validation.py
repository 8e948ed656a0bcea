"""Validation: means over rows, patience and best from the values alone, and runs that resume."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from tiny_shards import tiny_spec, write_tiny_shards

from configs import elm_finetune, elm_supervised
from elm_jax import start, train, validation
from elm_jax.checkpoint import Checkpoints
from elm_jax.convert.parts import ModelParts
from elm_jax.data.targets import TargetError
from elm_jax.metrics import read_metrics
from elm_jax.monitor import Monitor, Point
from elm_jax.objectives.base import LossOut
from elm_jax.sharding import make_mesh
from elm_jax.sources import read_parts
from elm_jax.state import TrainState

# Loss of validation after 1, 2, ... epochs: best after 2; the rate falls after 4 and 6, where a
# patience of 4 ends as well.
SCRIPT = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.1, 0.1]


# -- the values -----------------------------------------------------------------------------------


def test_patience_counts_from_the_first_of_the_best():
    monitor = Monitor("min", 20)
    for step, value in ((10, 0.5), (20, 0.5), (30, math.nan)):
        assert not monitor.stopped
        monitor.add(step, value)
    assert monitor.best == Point(10, 0.5) and monitor.stopped


def test_values_that_are_no_numbers_are_never_best_and_do_end_a_run():
    monitor = Monitor("max", 30, [Point(10, math.nan), Point(20, math.nan)])
    assert not monitor.stopped and monitor.cost(math.nan) == math.inf
    monitor.add(30, 0.2)
    assert monitor.best.step == 30
    assert Monitor("min", 20, [Point(s, math.nan) for s in (10, 20, 30)]).stopped


def test_the_largest_is_best_where_it_should_be():
    monitor = Monitor("max", None, [Point(1, 0.2), Point(2, 0.9), Point(3, 0.5)])
    assert monitor.best.step == 2 and monitor.cost(0.9) < monitor.cost(0.5)
    assert not monitor.stopped
    with pytest.raises(ValueError, match="'maximum'; known"):
        Monitor("maximum")
    with pytest.raises(ValueError, match="patience_epochs must be positive"):
        Monitor("min", 0)


class Weighted:
    """A loss that is the mean of its rows."""

    frozen, rows_independent = (), True

    def init(self, key, batch):
        raise NotImplementedError

    after_update = predict = embed = terms = weight = init

    def loss(self, params, model_state, batch, key, *, train):
        assert not train
        valid = batch["valid"].astype(jnp.float32)
        weight = valid.sum()
        loss = (batch["x"] * valid).sum() / jnp.maximum(weight, 1)
        loss = jnp.where(weight > 0, loss, jnp.nan)
        return loss, LossOut(model_state, {}, {"x": loss}, weight, {"n": weight})

    def scores(self, sums):
        return {"rows": float(sums["n"])}


def test_a_split_s_mean_is_over_its_rows_whatever_the_batches_and_padding():
    mesh = make_mesh({"data": -1})
    x = np.arange(10, dtype=np.float32)
    batches = [
        {"x": x[:8], "valid": np.ones(8, bool)},
        {"x": np.append(x[8:], [99.0] * 6).astype(np.float32), "valid": np.arange(8) < 2},
        {"x": x[:8], "valid": np.zeros(8, bool)},
    ]
    with jax.set_mesh(mesh):
        measure = validation.make_measure(Weighted(), lambda b: b, lambda: iter(batches), mesh)
        found = measure(TrainState(jnp.zeros(()), {}, {}, ()))
    assert found == {"loss": pytest.approx(4.5), "x": pytest.approx(4.5), "rows": 10}


# -- runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(
        tmp_path_factory.mktemp("validation") / "shards",
        people=8,
        valid_people=2,
        test_people=2,
        seconds=10.0,
    )


def recipe(shards, epochs=8.0, **changes):
    """One step an epoch, a patience of 4 epochs, a plateau of 2; no evals."""
    config = elm_supervised.get_config("smoke").unlock()
    config.data.dir = str(shards)
    config.sampler = dict(name="windows", windows_per_batch=8, windows_per_recording=1)
    config.optimizer.schedule.update(total_steps=None, total_epochs=epochs, patience_epochs=2.0)
    config.validation.patience_epochs = 4.0
    config.encoder = dict(name="conv_eeg", kernels=((4, 2, 1),), n_blocks=1, pool_sizes=(25,))
    config.evals = dict(rows_per_batch=32, trained_on_people="refuse")
    config.update_from_flattened_dict(changes)
    return config.lock()


def run(workdir, config, monkeypatch):
    """Trains, with a validation that "measures" the script."""
    workdir = epath.Path(workdir)
    workdir.mkdir(exist_ok=True)

    def make_measure(*_):
        return lambda state: {"loss": SCRIPT[int(state.step) - 1], "accuracy": 0.5}

    monkeypatch.setattr(validation, "make_measure", make_measure)
    train.train(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return run(tmp_path_factory.mktemp("runs") / "whole", recipe(shards), patch)


def rows_of(workdir):
    keys = ("step", "loss", "learning_rate", "valid/loss")
    return [[row[k] for k in keys] for row in read_metrics(workdir)]


def test_a_run_lowers_its_rate_stops_and_keeps_the_best(whole):
    rows = np.array(rows_of(whole))
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(rows[:, 3], SCRIPT[:6])
    np.testing.assert_allclose(rows[:, 2], np.array([1, 1, 1, 1, 0.2, 0.2]) * 1e-3, rtol=1e-6)
    checkpoints = Checkpoints(whole, read_only=True)
    assert (checkpoints.latest_step(), checkpoints.chosen_step()) == (6, 2)


def test_the_best_checkpoint_is_the_state_of_its_step(whole, shards, tmp_path, monkeypatch):
    short = run(tmp_path / "short", recipe(shards, epochs=2.0), monkeypatch)
    for ours, theirs in zip(
        jax.tree.leaves(read_parts(whole).params),
        jax.tree.leaves(read_parts(short).params),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_three_epochs_and_the_rest_are_the_whole_run_in_the_middle_of_patience(
    whole, shards, tmp_path, monkeypatch
):
    workdir = run(tmp_path / "run", recipe(shards, epochs=3.0), monkeypatch)
    assert len(rows_of(workdir)) == 3
    run(workdir, recipe(shards), monkeypatch)
    np.testing.assert_allclose(rows_of(workdir), rows_of(whole), rtol=1e-6)
    # It stopped early: the same command again has nothing left to do.
    run(workdir, recipe(shards), monkeypatch)
    assert len(rows_of(workdir)) == 6


def test_a_killed_run_goes_on_as_if_it_had_not_been(whole, shards, tmp_path, monkeypatch):
    advance, calls = train.Progress.advance, []

    def stop_in_the_fifth(self):
        advance(self)
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.Progress, "advance", stop_in_the_fifth)
        # What was being saved goes on being written here, unlike in a process that was killed.
        kept = recipe(shards, **{"checkpoint.keep_last": 3})
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", kept, patch)
    run(tmp_path / "run", kept, monkeypatch)
    np.testing.assert_allclose(rows_of(tmp_path / "run"), rows_of(whole), rtol=1e-6)


def test_without_validation_nothing_is_measured_and_the_last_state_counts(
    shards, tmp_path, monkeypatch
):
    config = recipe(shards, epochs=2.0).unlock()
    with config.ignore_type():
        config.validation, config.checkpoint.use = None, "last"
    config.optimizer.schedule.kind = "constant"
    config.optimizer.schedule.update(factor=None, patience_epochs=None, min_change=None)
    workdir = run(tmp_path / "run", config.lock(), monkeypatch)
    assert not any(key.startswith("valid/") for row in read_metrics(workdir) for key in row)
    assert Checkpoints(workdir, read_only=True).chosen_step() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation.monitor": "f1"}, "'f1'; measured are .*'balanced_accuracy'.*'loss'"),
        ({"checkpoint.keep_best": 0}, "needs config.validation.*keep_best"),
        ({"checkpoint.use": "first"}, "'first'; known"),
        ({"validation.every_epochs": 0.0}, "every_epochs is 0"),
        ({"sampler.windows_per_recordin": 1}, "unknown"),
    ],
)
def test_settings_that_cannot_be_followed_stop_a_run_before_its_first_step(
    shards, tmp_path, monkeypatch, changes, message
):
    config = recipe(shards).unlock()
    for key, value in changes.items():
        section, name = key.split(".")
        config[section][name] = value
    with pytest.raises(ValueError, match=message):
        run(tmp_path, config.lock(), monkeypatch)
    assert not read_metrics(tmp_path)


def test_training_labels_of_one_class_stop_a_run_before_anything_is_written(tmp_path, monkeypatch):
    shards = write_tiny_shards(tmp_path / "s", people=1, valid_people=1, test_people=1, seconds=5.0)
    with pytest.raises(TargetError, match="one class only in the .* windows"):
        run(tmp_path / "run", recipe(shards), monkeypatch)
    assert not list((tmp_path / "run").iterdir())


# -- starting from a model ------------------------------------------------------------------------


def test_a_recipe_that_tunes_a_model_says_what_to_give(shards, tmp_path):
    config = elm_finetune.get_config().unlock()
    config.data.dir = str(shards)
    with pytest.raises(ValueError, match="config.init_from is empty.*--config.init_from="):
        train.train(config.lock(), epath.Path(tmp_path))


def tiny_state(width=2):
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    params = {"encoder": {"kernel": jnp.zeros((3, width))}, "classifier": jnp.zeros(2)}
    stats = {"batch_stats": {"encoder": {"mean": jnp.zeros(2)}}}
    params, stats = jax.device_put((params, stats), place)
    return TrainState(jnp.zeros((), int), params, stats, ())


def tiny_parts():
    params = {"encoder": {"kernel": np.ones((3, 2), np.float32)}}
    stats = {"batch_stats": {"encoder": {"mean": np.ones(2, np.float32)}}}
    return ModelParts(tiny_spec(), {}, params, stats, source="MODEL")


RULES = (("encoder/.*", "load"), (".*", "fresh"))


def test_rules_load_parameters_and_statistics_and_leave_the_rest_fresh():
    state, words = start.overlay(tiny_state(), tiny_parts(), RULES)
    assert float(state.params["encoder"]["kernel"].min()) == 1
    assert float(state.model_state["batch_stats"]["encoder"]["mean"].min()) == 1
    assert float(state.params["classifier"].max()) == 0
    assert words == "from MODEL: loaded encoder (2); fresh classifier (1)"


@pytest.mark.parametrize(
    ("state", "rules", "message"),
    [
        (tiny_state(), ((".*", "load"),), r"missing there: classifier \(2,\)"),
        (tiny_state(4), RULES, r"encoder/kernel: it has \(3, 2\) float32, this model \(3, 4\)"),
        (tiny_state(), (("encodr/.*", "load"), (".*", "fresh")), r"\['encodr/.*'\] match no"),
        (tiny_state(), ((".*", "lod"),), r"\['lod'\]; known: 'load', 'fresh'"),
        (tiny_state(), (("encoder/.*", "load"),), "no rule covers parameter 'classifier'"),
    ],
)
def test_what_is_to_be_loaded_must_be_there_in_its_shape(state, rules, message):
    with pytest.raises(ValueError, match=message):
        start.overlay(state, tiny_parts(), rules)
