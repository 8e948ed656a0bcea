"""The ring's losses beside the dense ones on meshes of up to eight devices; a script of eight."""

import json
import re
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from tiny_model import tiny_batch, tiny_objective

from elm_jax import losses, validation
from elm_jax.losses import ring
from elm_jax.sharding import batch_sharding

NAMES = ("data", "fsdp", "model")
# Name: loss, sizes of the mesh, signals, texts, rows of a tile, type, style.
CASES = {
    "one device": ("multi_instance", (1, 1, 1), 40, 24, 7, "float32", "x,y"),
    "two devices": ("multi_instance", (2, 1, 1), 40, 24, 7, "float32", "x|y"),
    "eight devices": ("multi_instance", (8, 1, 1), 40, 24, 2, "float32", "y|x"),
    "every axis": ("multi_instance", (2, 2, 2), 40, 24, 4, "float32", "x,y"),
    "rows that no device shares evenly": (
        "multi_instance", (4, 2, 1), 33, 17, 64, "float32", "x,y",
    ),
    "pairs": ("paired_contrast", (4, 2, 1), 24, 24, 64, "float32", ""),
    "soft targets": ("soft_target_contrast", (8, 1, 1), 24, 24, 2, "float32", ""),
    "sigmoids": ("sigmoid_contrast", (2, 2, 2), 40, 24, 4, "float32", ""),
    "float64": ("multi_instance", (2, 2, 2), 40, 24, 64, "float64", "x,y"),
    "sigmoids, float64": ("sigmoid_contrast", (4, 2, 1), 33, 17, 4, "float64", ""),
    "soft targets, float64": ("soft_target_contrast", (2, 2, 2), 24, 24, 4, "float64", ""),
}  # fmt: skip


def mesh_of(sizes):
    devices = jax.devices()[: int(np.prod(sizes))]
    return jax.make_mesh(sizes, NAMES, (AxisType.Auto,) * 3, devices=devices)


WITH_BAGS = ("multi_instance", "sigmoid_contrast")


def ragged(kind, b, m, dtype):
    """Embeddings, and the loss's settings: bags with nothing on the other side, padding of NaN."""
    rng = np.random.default_rng(0)
    signal, text = rng.normal(size=(b, 6)), rng.normal(size=(m, 6))
    signal_valid, text_valid = rng.random(b) < 0.8, rng.random(m) < 0.8
    signal_valid[-b // 4 :] = text_valid[-m // 4 :] = False  # the last devices have nothing else
    if kind not in WITH_BAGS:
        text_valid = signal_valid
    signal[~signal_valid], text[~text_valid] = np.nan, np.inf
    settings = dict(valid=signal_valid)
    if kind in WITH_BAGS:
        settings = dict(signal_valid=signal_valid, text_valid=text_valid)
        settings |= dict(signal_bag=rng.integers(0, 6, b), text_bag=rng.integers(2, 9, m))
    return jnp.asarray(signal, dtype), jnp.asarray(text, dtype), settings


def measured(kind, similarity, b, m, dtype, style):
    """Loss, rows, gradients: of the loss and of rows in unequal parts, as no single loss has."""
    signal, text, settings = ragged(kind, b, m, dtype)
    parts = [np.random.default_rng(1).normal(size=n) / n for n in (b, m)]
    more = dict(style=style) if style else {}

    def loss_fn(signal, text, temperature):
        if kind == "sigmoid_contrast":
            more["bias"] = -20 * temperature  # whose gradient is then seen, too
        rows = getattr(losses, kind)(
            signal, text, temperature=temperature, similarity=similarity, **settings, **more
        )
        uneven = (rows.signal * parts[0]).sum() + (rows.text * parts[1]).sum()
        return losses.reduce_rows(rows) + uneven, rows

    run = jax.jit(jax.value_and_grad(loss_fn, argnums=(0, 1, 2), has_aux=True))
    temperature = jnp.asarray(0.1, jnp.promote_types(dtype, jnp.float32))
    (loss, rows), grads = run(signal, text, temperature)
    names = ("loss", *rows._fields, "grad_signal", "grad_text", "grad_temperature")
    values = (np.asarray(x, np.float64) for x in (loss, *rows, *grads))
    return dict(zip(names, values, strict=True))


def compare(out):
    """Every case in both forms."""
    dense = {}  # by what does not depend on the devices
    for name, (kind, sizes, b, m, tile, dtype, style) in CASES.items():
        key = kind, b, m, dtype, style
        with jax.enable_x64(dtype == "float64"):
            if key not in dense:
                dense[key] = measured(kind, "dense", b, m, dtype, style)
            ring.TILE = tile
            with jax.set_mesh(mesh_of(sizes)):
                found = measured(kind, "ring", b, m, dtype, style)
        for part, value in found.items():
            out[f"{name}/{part}/ring"], out[f"{name}/{part}/dense"] = value, dense[key][part]


def validate(out):
    """The measure of a validation."""
    mesh = mesh_of((4, 2, 1))
    batch = tiny_batch(bags=8, crops=2, segments=1)
    ring.TILE = 64
    params, model_state = jax.jit(tiny_objective().init)(jax.random.key(0), batch)
    state = types.SimpleNamespace(params=params, model_state=model_state)
    host = {k: np.asarray(v) for k, v in batch.items()}
    for similarity in losses.SIMILARITIES:
        objective = tiny_objective(similarity=similarity)
        with jax.set_mesh(mesh):
            measure = validation.make_measure(objective, lambda b: b, lambda: [host], mesh)
            out[f"validation/loss/{similarity}"] = np.asarray(measure(state)["loss"])


def inspect(out):
    """Of the compiled loss with gradients: largest buffer, messages, memory, at two sizes."""
    mesh = mesh_of((8, 1, 1))
    ring.TILE = 16
    for kind, b, m in (("multi_instance", 1024, 512), ("soft_target_contrast", 1024, 1024)):
        for times in (1, 4):
            rows = b * times, m * times
            embeddings = [
                jax.ShapeDtypeStruct((n, 8), jnp.float32, sharding=batch_sharding(mesh))
                for n in rows
            ]

            def loss_fn(signal, text, kind=kind):
                bags = [jnp.arange(len(x)) % 50 for x in (signal, text)]
                settings = dict(zip(("signal_bag", "text_bag"), bags, strict=True))
                settings = settings if kind == "multi_instance" else {}
                found = getattr(losses, kind)(signal, text, similarity="ring", **settings)
                return losses.reduce_rows(found)

            with jax.set_mesh(mesh):
                run = jax.jit(jax.value_and_grad(loss_fn, argnums=(0, 1)))
                program = run.lower(*embeddings).compile()
            out[f"{kind}/{times}"] = json.dumps(
                anatomy(program) | dict(block=rows[0] * rows[1] // mesh.size**2)
            )


def anatomy(program):
    """Largest buffer and largest reduction in elements, kinds of messages, bytes of scratch."""
    shapes = re.compile(r"\b[a-z]+\d*\[([\d,]*)\]")
    largest = {"buffer": 0, "reduction": 0}
    kinds = set()
    for line in program.as_text().splitlines():
        name = re.search(r"= .*?\b(all-[a-z-]+|reduce-scatter|collective-[a-z-]+)", line)
        sizes = [int(np.prod([int(n) for n in s.split(",") if n])) for s in shapes.findall(line)]
        kinds |= {name[1].removesuffix("-start").removesuffix("-done")} if name else set()
        where = "reduction" if name and name[1].startswith("all-reduce") else "buffer"
        largest[where] = max([largest[where], *sizes])
    used = program.memory_analysis()
    return largest | dict(kinds=sorted(kinds), scratch_bytes=used.temp_size_in_bytes)


if __name__ == "__main__":
    results = {}
    for part in (compare, validate, inspect):
        part(results)
    np.savez(sys.argv[1], **results)
