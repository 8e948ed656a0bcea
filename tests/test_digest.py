"""Numbers of arrays: the same on host and devices, on every mesh; another for other bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax import digest

RNG = np.random.default_rng(0)
ARRAYS = {
    "float32": RNG.normal(size=(3, 4, 5)).astype(np.float32),
    "bfloat16": RNG.normal(size=(7, 3)).astype(jnp.bfloat16),
    "int32": np.asarray(-3, np.int32),
    "bool": np.array([True, False, True]),
    "int8": np.arange(-4, 4, dtype=np.int8),
    "empty": np.zeros((0, 2), np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_host_and_devices_give_the_same_number(name):
    x = ARRAYS[name]
    assert digest.on_host(x) == int(digest._on_devices(jnp.asarray(x)))


def test_one_bit_or_two_values_in_each_other_s_place_make_another_number():
    x = ARRAYS["float32"]
    stored = digest.digests({"a": x, "b": x})
    for k in range(32):
        flipped = x.copy()
        flipped.view(np.uint32)[1, 2, 3] ^= np.uint32(1) << k
        assert digest.differing({"a": x, "b": flipped}, stored) == ["b"]
    swapped = x[:, ::-1]
    assert digest.differing({"a": swapped, "b": x}, stored) == ["a"]
    assert digest.differing({"a": x.astype(np.float16), "b": x}, stored) == []  # converted


def test_a_random_key_has_a_number():
    keys = jax.random.split(jax.random.key(0), 2)
    assert digest.digests({"key": keys[0]}) != digest.digests({"key": keys[1]})
