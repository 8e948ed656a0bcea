import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from elm_jax.optim import lars, make_optimizer
from elm_jax.schedules import RunLength, run_length, warmup_cosine
from elm_jax.trees import match_rules

PARAMS = {"encoder": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}, "tower": jnp.ones((2, 2))}
SETTINGS = dict(
    name="sgd",
    rate=0.1,
    schedule=dict(warmup_steps=0, total_steps=10, floor=0.0, per="step"),
    rules=((".*", "train"),),
)
LENGTH = RunLength(10, 5, 8)


def test_lars_equals_the_reference_over_changing_rates(shared):
    golden = np.load(shared / "golden" / "elm" / "lars.npz")
    names = ["w1", "b1", "bn_scale", "bn_bias", "w2", "b2"]
    rates = jnp.asarray(golden["lr"])
    tx = lars(
        lambda step: rates[step],
        weight_decay=float(golden["weight_decay"]),
        momentum=float(golden["momentum"]),
        eta=float(golden["eta"]),
    )
    params = {n: jnp.asarray(golden[f"p0_{n}"]) for n in names}
    state = tx.init(params)
    for i in range(5):
        grads = {n: jnp.asarray(golden[f"g{i}_{n}"]) for n in names}
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        for n in names:
            np.testing.assert_allclose(params[n], golden[f"p{i + 1}_{n}"], atol=1e-6, err_msg=n)


def test_the_schedule_is_the_published_one_epoch_by_epoch():
    rate, warmup, epochs, per_epoch = 0.5, 2, 6, 3
    schedule = dict(warmup_epochs=warmup, total_epochs=epochs, floor=0.01, per="epoch")
    length = run_length(schedule, steps_per_epoch=per_epoch, rows_per_step=4)
    fn = warmup_cosine(rate, schedule, length)
    for step in range(length.total_steps):
        epoch = step // per_epoch
        if epoch < warmup:
            expected = rate * epoch / warmup + 0.01 * rate
        else:
            decay = 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
            expected = 0.01 * rate + decay * (rate - 0.01 * rate)
        assert float(fn(step)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("unit", "value"), [("steps", 12), ("epochs", 4), ("samples", 12 * 8)])
def test_durations_are_read_in_any_one_unit(unit, value):
    length = run_length({f"total_{unit}": value}, steps_per_epoch=3, rows_per_step=8)
    assert length.total_steps == 12


def test_two_units_or_none_are_refused():
    with pytest.raises(ValueError, match="set exactly one of"):
        run_length({"total_steps": 3, "total_epochs": 1}, steps_per_epoch=3, rows_per_step=8)
    with pytest.raises(ValueError, match="found none"):
        run_length({}, steps_per_epoch=3, rows_per_step=8)


def test_the_rate_grows_with_rows_over_the_reference():
    settings = SETTINGS | {"reference_rows": 4}
    optimizer = make_optimizer(settings, PARAMS, LENGTH)
    assert float(optimizer.rate(0)) == pytest.approx(0.1 * 8 / 4)


@pytest.mark.parametrize("name", ["lars", "adam", "adamw", "sgd"])
def test_frozen_parameters_stay_and_biases_are_not_decayed(name):
    rules = (("tower.*", "freeze"), (".*", "train"))
    settings = SETTINGS | {"name": name, "weight_decay": 0.5, "rules": rules}
    optimizer = make_optimizer(settings, PARAMS, LENGTH)
    assert jax.tree.leaves(optimizer.trainable) == [True, True, False]
    grads = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.tx.update(grads, optimizer.tx.init(PARAMS), PARAMS)
    assert float(jnp.abs(updates["tower"]).max()) == 0
    assert float(jnp.abs(updates["encoder"]["bias"]).max()) == 0
    assert float(jnp.abs(updates["encoder"]["kernel"]).min()) > 0


def test_an_uncovered_parameter_and_an_idle_rule_are_errors():
    with pytest.raises(ValueError, match="no rule covers parameter 'tower'"):
        match_rules(PARAMS, (("encoder.*", 1),), what="rules")
    with pytest.raises(ValueError, match=r"\['towers/.*'\] match no parameter"):
        match_rules(PARAMS, (("towers/.*", 1), (".*", 2)), what="rules")


def test_unknown_names_and_keywords_list_the_known_ones():
    with pytest.raises(ValueError, match="'lamb'; known: "):
        make_optimizer(SETTINGS | {"name": "lamb"}, PARAMS, LENGTH)
    with pytest.raises(ValueError, match=r"\['momentun'\] unknown to 'sgd'"):
        make_optimizer(SETTINGS | {"momentun": 0.9}, PARAMS, LENGTH)
