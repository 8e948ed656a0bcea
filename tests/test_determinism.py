"""Deterministic kernels are trusted only where they agree with NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax import determinism
from elm_jax.determinism import Case, WrongAnswer


def test_every_operation_of_the_canary_agrees_with_numpy_here():
    determinism.check()


def test_an_at_set_that_loses_index_0_is_named():
    """What jaxlib 0.5.3 did on GPUs: [0, 2, 0, 0] for [1, 2, 0, 0]."""
    right = determinism.all_cases()[0]
    broken = right._replace(compute=lambda index, values: right.compute(index, values).at[0].set(0))
    with pytest.raises(WrongAnswer, match=r"\.at\[\]\.set of integers from index 0: off by 1"):
        determinism.check([broken, *determinism.all_cases()[1:]])


def test_one_value_in_the_place_of_another_is_named():
    for right in determinism.all_cases()[1:]:
        broken = right._replace(compute=lambda *a, right=right: jnp.roll(right.compute(*a), 1))
        with pytest.raises(WrongAnswer) as caught:
            determinism.check([broken])
        assert right.name in str(caught.value)


def test_an_operation_that_gives_other_bits_the_second_time_is_named():
    calls = []

    def last_bit(x):
        calls.append(1)
        return x * (1 + np.float32(2**-23) * (len(calls) % 2))

    def compute(x):
        return jax.pure_callback(last_bit, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    case = Case("a sum by atomics", compute, lambda x: x, (np.ones(3, np.float32),))
    with pytest.raises(WrongAnswer, match="a sum by atomics: not the same bits twice"):
        determinism.check([case])


def test_the_switch_keeps_other_flags_and_what_was_said_before():
    environ = {"XLA_FLAGS": "--xla_dump_to=x --xla_gpu_autotune_level=4"}
    assert not determinism.asked_for(environ)
    determinism.switch_on(environ)
    assert environ["XLA_FLAGS"] == (
        "--xla_dump_to=x --xla_gpu_autotune_level=4 --xla_gpu_deterministic_ops=true"
    )
    assert determinism.asked_for(environ)
    assert not determinism.asked_for({"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"})
