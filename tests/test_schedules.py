"""Rates: what every kind does, and that a plateau follows validations and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength, make_schedule, run_length

LENGTH = RunLength(100, 10, 8, 10)
PARAMS = {"encoder": {"kernel": jnp.ones((3, 2))}, "classifier": jnp.ones((2, 2))}
BASE = dict(warmup_steps=0, total_steps=100, floor=0.0, per="step")
PLATEAU = BASE | dict(kind="plateau", factor=0.5, patience_epochs=2.0)


def optimizer_of(schedule, rules=((".*", "train"),), length=LENGTH, **settings):
    base = dict(name="sgd", rate=0.1, momentum=0.0, schedule=schedule, rules=rules)
    return make_optimizer(base | settings, PARAMS, length)


def scales(optimizer, values):
    state = optimizer.tx.init(PARAMS)
    out = []
    for value in values:
        state = optimizer.after_validation(state, value)
        out.append(float(optimizer.scale(state)))
    return out


def test_a_rate_falls_after_each_patience_without_a_better_value():
    found = scales(optimizer_of(PLATEAU), [1.0, 0.9, 0.95, 0.9, 0.9, 0.8, 0.85, float("inf")])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_better_by_less_than_the_smallest_change_is_not_better():
    assert scales(optimizer_of(PLATEAU | dict(min_change=0.1)), [1.0, 0.95, 0.91])[-1] == 0.5
    # An accuracy is fed with its sign changed; equal values are no improvement there either.
    assert scales(optimizer_of(PLATEAU), [-0.8, -0.8, -0.8])[-1] == 0.5


def test_the_updates_follow_the_factor_and_steps_do_not_move_it():
    optimizer = optimizer_of(PLATEAU)
    state = optimizer.tx.init(PARAMS)
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    for value in (1.0, 2.0, 2.0):
        for _ in range(3):
            updates, state = optimizer.tx.update(grads, state, PARAMS)
        assert float(updates["classifier"][0, 0]) == pytest.approx(-0.1)
        state = optimizer.after_validation(state, value)
    updates, state = optimizer.tx.update(grads, state, PARAMS)
    assert float(updates["classifier"][0, 0]) == pytest.approx(-0.05)


def test_other_kinds_do_not_look_at_validations():
    optimizer = optimizer_of(BASE | dict(kind="constant"))
    assert scales(optimizer, [1.0, 2.0, 3.0, 4.0]) == [1.0] * 4
    np.testing.assert_allclose([optimizer.rate(s) for s in (0, 50, 99)], 0.1)


def test_every_kind_warms_up_from_its_floor():
    warm = BASE | dict(warmup_steps=10, floor=0.1)
    for kind in (dict(kind="cosine"), dict(kind="constant"), PLATEAU):
        schedule = make_schedule(1.0, kind | warm | dict(kind=kind["kind"]), LENGTH)
        np.testing.assert_allclose([schedule.rate(0), schedule.rate(5)], [0.1, 0.6], rtol=1e-6)


def test_a_rule_may_be_a_factor_of_the_rate():
    optimizer = optimizer_of(BASE, (("encoder/.*", 0.1), (".*", "train")))
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    updates, _ = optimizer.tx.update(grads, optimizer.tx.init(PARAMS), PARAMS)
    assert float(updates["encoder"]["kernel"][0, 0]) == pytest.approx(-0.01)
    assert float(updates["classifier"][0, 0]) == pytest.approx(-0.1)
    assert jax.tree.leaves(optimizer.trainable) == [True, True]


@pytest.mark.parametrize("bad", ["slowly", 0, -1.0, float("nan"), float("inf"), None])
def test_a_rule_that_is_neither_a_word_nor_a_positive_factor_is_refused(bad):
    with pytest.raises(ValueError, match="known: 'train', 'freeze', or a positive factor"):
        optimizer_of(BASE, ((".*", bad),))


def test_a_rule_behind_another_may_cover_nothing_more():
    optimizer = optimizer_of(BASE, (("encoder/.*", "freeze"), ("encoder/.*", 0.1), (".*", "train")))
    assert jax.tree.leaves(optimizer.trainable) == [True, False]


@pytest.mark.parametrize(
    ("schedule", "length", "message"),
    [
        (PLATEAU, LENGTH._replace(validation_steps=0), "set config.validation"),
        (PLATEAU | dict(factor=None), LENGTH, r"needs \['factor'\]"),
        (BASE | dict(kind="cosin"), LENGTH, "'cosin'; known"),
        (BASE | dict(factor=0.5), LENGTH, r"\['factor'\] unknown to 'cosine'"),
    ],
)
def test_settings_of_another_kind_are_refused(schedule, length, message):
    with pytest.raises(ValueError, match=message):
        optimizer_of(schedule, length=length)


def test_patience_counts_epochs_however_often_is_validated():
    length = run_length(
        dict(total_epochs=10), steps_per_epoch=10, rows_per_step=1, validation_epochs=0.5
    )
    assert length.validation_steps == 5
    assert scales(optimizer_of(PLATEAU, length=length), [1.0, 2, 2, 2, 2]) == [1, 1, 1, 1, 0.5]
