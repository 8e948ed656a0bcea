"""What a step costs is counted for the whole batch, however it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.cost import compile_step
from elm_jax.sharding import make_mesh

EXAMPLE = {"x": np.ones((8, 64), np.float32)}
STATE = jnp.ones((64, 64))
PRODUCT_FLOPS = 2 * 8 * 64 * 64


def at_once(state, batch):
    return state, {"loss": (batch["x"] @ state).sum()}


def in_parts(state, batch):
    parts = batch["x"].reshape(4, 2, 64)
    return state, {"loss": jax.lax.map(lambda part: (part @ state).sum(), parts).sum()}


def cost_of(step, **more):
    mesh = make_mesh({"data": -1})
    run, cost = compile_step(jax.jit(step), STATE, EXAMPLE, mesh, dtype="float32", **more)
    assert float(run(STATE, jax.device_put(EXAMPLE))[1]["loss"]) == 8 * 64 * 64
    return cost


def test_operations_are_those_of_the_whole_batch():
    assert cost_of(at_once).flops == pytest.approx(PRODUCT_FLOPS, rel=0.1)


def test_parts_that_follow_each_other_count_as_the_whole_batch():
    cost = cost_of(in_parts, at_once=jax.jit(at_once))
    assert cost.flops == pytest.approx(PRODUCT_FLOPS, rel=0.1)


def test_a_cpu_has_no_peak_to_compare_with():
    cost = cost_of(at_once)
    assert cost.peak_flops is None
    assert cost.arguments_bytes == STATE.nbytes + EXAMPLE["x"].nbytes
