import csv
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from tiny_shards import write_tiny_shards

from configs import elm_5s
from elm_jax import train
from elm_jax.checkpoint import Checkpoints
from elm_jax.data.shards import ShardError
from elm_jax.data.spec import SpecError
from elm_jax.evaluate import evaluate
from elm_jax.metrics import read_metrics


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(tmp_path_factory.mktemp("train") / "shards")


def recipe(shards, **changes):
    """The 5 s recipe in its smoke size, 6 steps on tiny shards."""
    config = elm_5s.get_config("smoke").unlock()
    config.data.dir = str(shards)
    config.optimizer.schedule.total_steps = 6
    config.update_from_flattened_dict(changes)
    return config.lock()


@pytest.fixture(scope="module")
def whole_run(shards, tmp_path_factory):
    workdir = epath.Path(tmp_path_factory.mktemp("run") / "whole")
    workdir.mkdir()
    summary = train.train(recipe(shards), workdir)
    return workdir, summary


def test_a_run_writes_what_the_readme_lists(whole_run):
    workdir, summary = whole_run
    assert json.loads((workdir / "config.json").read_text())["encoder"]["name"] == "conv_eeg"
    rows = read_metrics(workdir)
    assert [r["step"] for r in rows] == list(range(1, 7))
    assert {"loss", "multi_instance", "learning_rate", "l2_grads"} <= set(rows[0])
    assert {"examples_per_s", "input_wait_share", "goodput", "host_memory_peak_gb"} <= set(rows[0])
    assert list((workdir / "checkpoints").iterdir()) and list((workdir / "tensorboard").iterdir())
    drawn = {p.name for p in (workdir / "figures").iterdir()}
    assert {"loss.png", "learning_rate.png", "zero_shot_roc.png", "embedding_pca.png"} <= drawn
    stored = json.loads((workdir / "summary.json").read_text())
    assert stored == summary
    assert 0 <= stored["zero_shot"]["auroc"] <= 1 and stored["band_power"]["auroc"] == 1.0
    assert stored["simulated"] is True and stored["counts"]["train"]["people"] == 8


def test_a_stopped_run_goes_on_bit_for_bit(whole_run, shards, tmp_path, caplog):
    whole, _ = whole_run
    workdir = epath.Path(tmp_path)
    config = recipe(shards)
    original = train.Progress.advance
    steps = []

    def stop_after_three(self):
        original(self)
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    every_step = recipe(shards, **{"checkpoint.every_epochs": 0.01})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Progress, "advance", stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            train.train(every_step, workdir)
    with caplog.at_level("INFO", logger="elm_jax"):
        train.train(config, workdir)
    assert [r["step"] for r in read_metrics(workdir)] == list(range(1, 7))
    for ours, theirs in zip(read_metrics(workdir), read_metrics(whole), strict=True):
        assert ours["loss"] == theirs["loss"]
    found, expected = (Checkpoints(w, read_only=True).read_model() for w in (workdir, whole))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert f"resumed from {workdir}" in caplog.text


def test_a_shard_that_is_lost_while_training_costs_no_save_under_way(shards, tmp_path, monkeypatch):
    lost = ShardError("a shard is gone")

    def losing(stream, mesh, *, ahead):
        batches = to_device(stream, mesh, ahead=ahead)
        yield from itertools.islice(batches, 2)
        raise lost

    to_device, wait, waited = train.to_device, Checkpoints.wait, []
    monkeypatch.setattr(train, "to_device", losing)
    monkeypatch.setattr(Checkpoints, "wait", lambda self: (waited.append(1), wait(self)))
    with pytest.raises(ShardError, match="a shard is gone"):
        train.train(recipe(shards, **{"checkpoint.every_epochs": 0.01}), epath.Path(tmp_path))
    assert waited and Checkpoints(tmp_path, read_only=True).latest_step() == 2
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]


def test_a_checkpoint_evaluates_to_the_same_scores(whole_run, shards):
    workdir, summary = whole_run
    again = evaluate(recipe(shards, mode="evaluate"), workdir)
    assert again["zero_shot"]["auroc"] == summary["zero_shot"]["auroc"]
    assert again["step"] == 6
    # Beside what training wrote, which stays.
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert json.loads((workdir / "evaluation" / "summary.json").read_text()) == again


def test_another_config_in_the_same_workdir_is_refused(whole_run, shards):
    workdir, _ = whole_run
    with pytest.raises(ValueError, match=r"config.encoder.kernels(.|\n)*Give another --workdir"):
        wider = {"encoder.kernels": ((4, 4, 1), (8, 4, 1), (16, 4, 1))}
        train.train(recipe(shards, **wider), workdir)


def test_shards_of_another_signal_are_refused_before_any_work(shards, tmp_path):
    config = recipe(shards, **{"signal.window_s": 10.0})
    with pytest.raises(SpecError, match=r"window_s: expected 10.0, found 5.0(.|\n)*--window_s 10"):
        train.train(config, epath.Path(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(shards, tmp_path):
    config = recipe(shards, **{"objective.temperature": 1e-38, "log_every_steps": 100})
    with pytest.raises(train.NonFiniteLoss, match="step 1 is not finite.*not applied"):
        train.train(config, epath.Path(tmp_path))


def test_after_a_non_finite_step_the_same_command_goes_on_from_the_last_good_one(
    whole_run, shards, tmp_path, monkeypatch
):
    workdir, config = epath.Path(tmp_path), recipe(shards, **{"checkpoint.every_epochs": 0.01})
    compile_steps, calls = train.compile_steps, []

    def compile_failing_step(*args, **kwargs):
        step, cost = compile_steps(*args, **kwargs)

        def failing(state, batch):
            calls.append(1)
            if len(calls) == 4:
                state = state.replace(params=jax.tree.map(lambda p: p * jnp.nan, state.params))
            return step(state, batch)

        return failing, cost

    with monkeypatch.context() as patch:
        patch.setattr(train, "compile_steps", compile_failing_step)
        with pytest.raises(train.NonFiniteLoss, match="Last good checkpoint: step 3"):
            train.train(config, workdir)
    assert Checkpoints(workdir, read_only=True).latest_step() == 3
    assert [r["step"] for r in read_metrics(workdir)] == [1, 2, 3]
    train.train(config, workdir)
    expected = [r["loss"] for r in read_metrics(whole_run[0])]
    assert [r["loss"] for r in read_metrics(workdir)] == pytest.approx(expected, rel=1e-6)


def test_a_model_is_evaluated_on_recordings_without_reports_or_training_people(whole_run, tmp_path):
    workdir, _ = whole_run
    made = dict(people=0, seconds=10.0, reports=False, seed=5, institution="elsewhere")
    others = write_tiny_shards(tmp_path / "shards", **made)
    summary = evaluate(recipe(others, mode="evaluate"), workdir)
    assert 0 <= summary["zero_shot"]["auroc"] <= 1
    assert "4 people are scored: an interval over so few" in summary["zero_shot"]["notes"][-1]
    assert "split 'train' holds no recordings" in summary["band_power"]["notes"][0]
    assert summary["loss"] == read_metrics(workdir)[-1]["loss"]


def test_another_model_than_the_checkpoints_is_not_evaluated(whole_run, shards):
    other = recipe(shards, **{"mode": "evaluate", "text.tower.pooling": "cls"})
    with pytest.raises(ValueError, match="config.text.tower.pooling: the checkpoint has mean"):
        evaluate(other, whole_run[0])


def test_labels_that_no_eval_can_read_stop_a_run_before_it_begins(tmp_path):
    bad = write_tiny_shards(tmp_path / "shards", people=2, test_people=2, seconds=10.0)
    path = bad / "recordings.jsonl"
    path.write_text(path.read_text().replace('"abnormal": 1', '"abnormal": "perhaps"'))
    workdir = epath.Path(tmp_path / "run")
    workdir.mkdir()
    with pytest.raises(ValueError, match=r"config.evals.band_power: label .* is 'perhaps'"):
        train.train(recipe(bad), workdir)
    assert not (workdir / "checkpoints").exists()


def test_parameters_start_from_another_run_when_asked(whole_run, shards, tmp_path):
    workdir, _ = whole_run
    config = recipe(shards, **{"init_from": str(workdir), "optimizer.rate": 0.0})
    train.train(config, epath.Path(tmp_path))
    about = Checkpoints(epath.Path(tmp_path)).describe()
    assert about.step == 6 and about.spec.window_s == 5.0


def test_settings_with_typos_name_the_known_ones(shards, tmp_path):
    config = recipe(shards).unlock()
    config.encoder.kernals = 3
    with pytest.raises(
        ValueError, match=r"config.encoder: unknown \['kernals'\]; known: .*kernels"
    ):
        train.train(config.lock(), epath.Path(tmp_path))


def test_the_summary_says_why_a_score_is_missing(whole_run, tmp_path):
    workdir, _ = whole_run
    unlabelled = write_tiny_shards(tmp_path / "shards", labels=False)
    summary = evaluate(recipe(unlabelled, mode="evaluate"), workdir)
    assert "auroc" not in summary["zero_shot"]
    assert "no such label: abnormal" in summary["zero_shot"]["notes"][0]
    with (workdir / "scores" / "zero_shot.csv").open() as f:  # answers need no labels
        rows = list(csv.DictReader(f))
    assert [row["recording"] for row in rows] == ["rec08", "rec09", "rec10", "rec11"]
    assert all(-2 <= float(row["abnormal"]) <= 2 for row in rows)


@pytest.mark.parametrize("objective", ["soft_target_contrast", "orthogonal_alignment"])
def test_the_paired_losses_train_on_pairs_of_a_crop_and_a_segment(shards, tmp_path, objective):
    config = recipe(shards).unlock()
    sizes = dict(signal_projection=(8, 8), text_projection=(8, 8))
    config.sampler = dict(name="pairs", pairs_per_batch=8)
    config.objective = dict(name=objective, **sizes)
    config.optimizer.schedule.total_steps = 2
    config.evals = dict(rows_per_batch=32)
    train.train(config.lock(), epath.Path(tmp_path))
    terms = set(read_metrics(tmp_path)[-1])
    assert terms & {"soft_target_contrast", "alignment"}
