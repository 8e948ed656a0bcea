"""The table of a training: both sides beside each other, in the log and in the figure."""

import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.epoch_table import EpochTable
from elm_jax.evals.figures_training import by_epoch
from elm_jax.monitor import Point
from elm_jax.optim import Optimizer
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState
from elm_jax.validation import SplitValidation

TRAIN, VALID = {"loss": 0.7, "accuracy": 0.5}, {"loss": 0.6, "accuracy": 0.75, "f1": 0.2}


def rows_of(caplog):
    return [r.getMessage() for r in caplog.records]


def test_columns_stand_under_their_heads_whatever_is_measured(caplog):
    table = EpochTable("f1")
    with caplog.at_level("INFO", logger="elm_jax"):
        assert table.row(1.0, TRAIN, VALID, best=True) >= 0
        table.row(12.5, TRAIN, VALID | {"balanced_accuracy": 0.1}, best=False)
    head, first, second = rows_of(caplog)
    names = ["epoch", "train loss", "train acc.", "valid loss", "valid acc.", "valid f1"]
    ends = [head.index(name) + len(name) for name in (*names, "best", "seconds")]
    assert len(head) == len(first) == len(second) == ends[-1]
    cells = [x.split() for x in (first, second)]
    assert cells[0][1:-1] == ["1.00", "0.7000", "0.5000", "0.6000", "0.7500", "0.2000", "*"]
    assert cells[1][1] == "12.50" and "*" not in second
    for x in (first, second):  # right-aligned: a cell ends where its head does
        assert all(x[end - 1] != " " and x[end : end + 1] in (" ", "") for end in ends[:-2])


def validation_of(noted=()):
    length = RunLength(total_steps=8, steps_per_epoch=4, rows_per_step=2, validation_steps=4)
    settings = dict(split="valid", every_epochs=1.0)
    measure = lambda state: VALID  # noqa: E731
    return SplitValidation(settings, measure, {*VALID}, Optimizer(*[None] * 3), length, (), noted)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_means_of_training_are_those_of_a_run_that_was_not_stopped(stop):
    valid, state = validation_of(), TrainState(0, {}, {}, ())
    steps = [{"loss": 0.1 * i, "accuracy": 0.2 * i, "near": 1.0} for i in range(5)]
    steps = [{k: jnp.asarray(v, jnp.float32) for k, v in step.items()} for step in steps]
    for i, measures in enumerate(steps):
        if i == stop:
            valid = validation_of(valid.noted())
        valid.note(measures)
        if i < 3:
            assert valid(i + 1, state)[1] == {}
    _, measured = valid(4, state)
    expected = np.mean([float(s["loss"]) for s in steps])
    assert measured["train/loss"] == expected
    assert measured["train/accuracy"] == pytest.approx(0.4)
    # What has no column is not carried along.
    assert "train/near" not in measured and measured["valid/accuracy"] == 0.75
    assert measured["interval_s"] >= 0 and valid.noted() == []
    assert valid.monitor.history == [Point(4, 0.6)]


def rows(n):
    sides = {"train/loss": 0.7, "train/accuracy": 0.5, "valid/loss": 0.6, "valid/accuracy": 0.75}
    return [{"step": 4 * i, "epoch": float(i)} | sides | {"valid/best_step": 4} for i in range(n)]


def test_the_figure_has_losses_on_the_left_and_accuracies_in_percent_on_the_right():
    made = [*rows(3), {"step": 10, "epoch": 2.5, "loss": 1.0}]  # a row without validation
    made[2]["valid/loss"] = "nan"
    loss, share = by_epoch(made, simulated=True).axes
    assert "(simulated EEG)" in loss.get_title()
    training, validation, best = loss.lines
    assert training.get_xydata().tolist() == [[0, 0.7], [1, 0.7], [2, 0.7]]
    assert validation.get_xydata().tolist() == [[0, 0.6], [1, 0.6]]  # what is no number is left out
    assert best.get_xdata()[0] == 1.0 and best.get_label() == "best: epoch 1"
    assert [line.get_ydata()[0] for line in share.lines] == [50, 75]
    assert by_epoch(rows(1), simulated=False) is not None


def test_there_is_no_such_figure_where_no_accuracy_is_validated():
    plain = [{k: v for k, v in row.items() if "accuracy" not in k} for row in rows(3)]
    assert by_epoch(plain, simulated=False) is None and by_epoch([], simulated=False) is None
