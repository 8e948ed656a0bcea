"""Attention block by block over the rows of several devices: the plain values and gradients."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "4"

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from elm_jax.models import blocked_attention
from elm_jax.sharding import make_mesh


def main() -> None:
    q, k, v = jax.random.normal(jax.random.key(0), (3, 8, 6, 2, 4))

    def slopes(function):
        return jax.jit(jax.value_and_grad(lambda *a: (function(*a) ** 2).sum(), (0, 1, 2)))

    expected = slopes(jax.nn.dot_product_attention)(q, k, v)
    for sizes in (
        dict(data=4, fsdp=1, model=1),
        dict(data=2, fsdp=1, model=2),
        dict(data=2, fsdp=2),
    ):
        mesh = make_mesh(sizes)
        with jax.set_mesh(mesh):
            rows = NamedSharding(mesh, P(("data", "fsdp")))
            cut = [jax.device_put(x, rows) for x in (q, k, v)]
            run = slopes(blocked_attention.attention)
            found = run(*cut)
            program = run.lower(*cut).compile().as_text()
        assert "all-gather" not in program, sizes
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    print("same")


if __name__ == "__main__":
    main()
