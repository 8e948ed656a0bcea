"""The one-cycle schedule and AdamW under it are PyTorch's: rate, moving momentum, decay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength, make_schedule

CYCLE = dict(kind="one_cycle", total_steps=1, rise_share=0.2, start=0.5, floor=1 / 16, per="step")
MOVING = CYCLE | dict(momentum=(0.95, 0.85))
SHAPES = {"kernel": (3, 4), "token": (1, 4), "bias": (4,), "scale": (4,)}


def settings(**changes):
    base = dict(name="adamw", rate=5e-2, weight_decay=0.1, schedule=MOVING)
    return base | dict(rules=((".*", "train"),)) | changes


def torch_run(steps, *, cycles=True):
    """Rates, momenta and parameters after every step; decay off biases and vectors."""
    rng = np.random.default_rng(0)
    params = {k: torch.nn.Parameter(torch.tensor(rng.normal(size=s))) for k, s in SHAPES.items()}
    first = {k: p.detach().numpy().copy() for k, p in params.items()}
    decayed = [p for p in params.values() if p.ndim > 1]
    others = [p for p in params.values() if p.ndim == 1]
    groups = [dict(params=decayed), dict(params=others, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-2, total_steps=steps, pct_start=0.2, div_factor=2, final_div_factor=8,
        cycle_momentum=cycles,
    )  # fmt: skip
    grads, seen, after = [], [], []
    for _ in range(steps):
        grads.append({k: rng.normal(size=s) for k, s in SHAPES.items()})
        for k, p in params.items():
            p.grad = torch.tensor(grads[-1][k])
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        after.append({k: p.detach().numpy().copy() for k, p in params.items()})
        if len(after) < steps:
            scheduler.step()
    return first, grads, np.array(seen), after


@pytest.mark.parametrize("steps", [11, 50, 257])
def test_rate_and_momentum_of_every_step_are_pytorchs(steps):
    schedule = make_schedule(5e-2, MOVING, RunLength(steps, 10, 8))
    ours = [(float(schedule.rate(i)), float(schedule.momentum(i))) for i in range(steps)]
    np.testing.assert_allclose(ours, torch_run(steps)[2], rtol=3e-6)
    # Beyond the end (a run that was made shorter) it stays where it ended.
    assert float(schedule.rate(steps + 5)) == pytest.approx(5e-2 / 16, rel=1e-5)


@pytest.mark.parametrize("moves", [True, False])
def test_the_parameters_of_every_step_are_pytorchs(moves):
    first, grads, _, after = torch_run(40, cycles=moves)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, first)
        schedule = MOVING if moves else CYCLE
        optimizer = make_optimizer(settings(schedule=schedule), params, RunLength(40, 10, 8))
        state, update = optimizer.tx.init(params), jax.jit(optimizer.tx.update)
        for grad, wanted in zip(grads, after, strict=True):
            updates, state = update(grad, state, params)
            params = optax.apply_updates(params, updates)
            for name in SHAPES:  # the rates are float32
                np.testing.assert_allclose(params[name], wanted[name], atol=2e-6, err_msg=name)


def test_frozen_parameters_stay_and_momenta_are_found_by_their_parameters():
    params = {k: jnp.ones(s) for k, s in SHAPES.items()}
    rules = (("token", "freeze"), (".*", "train"))
    optimizer = make_optimizer(settings(rules=rules), params, RunLength(5, 5, 8))
    state = optimizer.tx.init(params)
    updates, after = optimizer.tx.update(params, state, params)
    assert float(jnp.abs(updates["token"]).max()) == 0 < float(jnp.abs(updates["bias"]).min())
    assert jax.tree.structure(after) == jax.tree.structure(state)
    # As the state is laid out: what belongs to no parameter lies everywhere.
    told = optax.tree_map_params(
        optimizer.tx, lambda momentum, name: name, jax.eval_shape(optimizer.tx.init, params),
        {k: k for k in params}, transform_non_params=lambda _: "everywhere",
        is_leaf=lambda x: isinstance(x, optax.MaskedNode),
    )  # fmt: skip
    assert {"everywhere", *params} - {"token"} <= set(jax.tree.leaves(told))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(name="sgd", weight_decay=0.0), "moves Adam's b1, which 'sgd' has not"),
        (dict(schedule=MOVING | dict(per="epoch")), "moves per='step'"),
        (dict(schedule=MOVING | dict(warmup_epochs=1.0)), "warmup_\\* must be 0"),
        (dict(schedule=MOVING | dict(rise_share=1.0)), "rise_share is 1.0: between 0 and 1"),
        (dict(schedule=MOVING | dict(factor=0.1)), r"\['factor'\] unknown to 'one_cycle'"),
    ],
)
def test_what_does_not_fit_the_cycle_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(settings(**changes), {"kernel": jnp.ones((2, 2))}, RunLength(5, 5, 8))
