"""The update: microbatches, recomputation and bfloat16 change what it costs, not what it learns."""

import dataclasses
import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_devices import env_of
from microbatches_on_devices import one_step
from plain_model import (
    PlainEncoder,
    PlainHead,
    narrow,
    plain_objective,
    ragged_batch,
    variables_of,
    wide,
)
from tiny_model import tiny_batch, tiny_objective

from elm_jax import build
from elm_jax.accumulate import join_rows, split_rows, value_and_grad
from elm_jax.data.targets import Target
from elm_jax.models.bert import Bert, BertConfig
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.remat import compiler_options
from elm_jax.objectives.classify import Classify
from elm_jax.objectives.multi_instance import (
    OrthogonalAlignment,
    SoftTargetContrast,
)
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.sharding import require_divisible
from elm_jax.state import TrainState
from elm_jax.step import make_step

TESTS = pathlib.Path(__file__).resolve().parent
KEY = jax.random.key(7, impl="unsafe_rbg")  # compiles in a tenth of the default's time
SETTINGS = dict(
    name="adamw",
    rate=0.01,
    schedule=dict(kind="constant", warmup_steps=0, total_steps=3, per="step"),
    rules=((".*", "train"),),
)


def assert_same(found, expected, atol):
    flat = jax.tree_util.tree_leaves_with_path(expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected) and len(flat) > 4
    for (path, want), have in zip(flat, jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(have, want, rtol=atol, atol=atol, err_msg=str(path))


def found_by(objective, variables, batch, microbatches, trainable=None):
    """Loss, terms, report, state and gradients, jitted."""
    params, model_state = variables
    trainable = trainable or jax.tree.map(lambda _: True, params)
    run = value_and_grad(objective, lambda b: b, trainable, microbatches)
    return jax.jit(run)(params, model_state, batch, KEY)


def classify(kind, outputs, **settings):
    return Classify(
        encoder=PlainEncoder(),
        classifier=PlainHead(outputs),
        target=Target("x", kind, tuple("abc"[:outputs]) if kind != "binary" else ()),
        **settings,
    )


def labelled_batch(kind, rows=16, seed=0):
    """Padding and missing labels, unevenly spread over the rows."""
    rng = np.random.default_rng(seed)
    batch = {k: v for k, v in ragged_batch(4, 4, 4).items() if k.startswith("signal")}
    label = rng.integers(
        0, 3 if kind == "multiclass" else 2, (rows, 2 if kind == "multilabel" else 1)
    )
    label = label.astype(np.float32)
    label[[1, 5, 9], 0] = np.nan
    return batch | {"label": label}


OBJECTIVES = {
    "bags": (functools.partial(plain_objective, similarity="dense"), ragged_batch),
    "el": (
        functools.partial(plain_objective, SoftTargetContrast, similarity="dense"),
        functools.partial(ragged_batch, 16, 1, 1),
    ),
    "e": (
        functools.partial(plain_objective, OrthogonalAlignment),
        functools.partial(ragged_batch, 16, 1, 1),
    ),
    "labels": (
        functools.partial(classify, "multilabel", 2, class_weight=(3.0, 0.5)),
        functools.partial(labelled_batch, "multilabel"),
    ),
    "classes": (
        functools.partial(classify, "multiclass", 3, class_weight=(1.0, 2.0, 5.0)),
        functools.partial(labelled_batch, "multiclass"),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_microbatches_give_the_loss_and_gradients_of_the_big_batch(name):
    make, make_batch = OBJECTIVES[name]
    objective, batch = make(), make_batch()
    variables = variables_of(objective, batch)
    with jax.enable_x64(True):
        expected = found_by(objective, variables, wide(batch), 1)
        assert_same(found_by(objective, variables, wide(batch), 4), expected, 1e-9)
        assert float(expected.loss) > 0
    if name == "bags":
        assert_same(found_by(objective, narrow(variables), narrow(batch), 4), expected, 1e-5)


def test_with_batch_statistics_and_dropout_gradients_are_those_of_the_loss_of_the_parts():
    # The same written down at once: dropout of the second pass is that of the first, statistics are
    # those of a part, running ones follow part by part.
    with jax.enable_x64(True):
        objective, batch = (
            plain_objective(norm=True, dropout=0.5, similarity="dense"),
            wide(ragged_batch()),
        )
        variables, batch = variables_of(objective, batch), jax.tree.map(jnp.asarray, batch)
        parts = split_rows(batch, 2)

        @jax.jit
        def at_once(params, model_state):
            def loss_fn(params):
                state, outs = model_state, []
                for i, key in enumerate(jax.random.split(KEY, 2)):
                    part = {k: v[i] for k, v in parts.items()}
                    out, state = objective.embed(params, state, part, key, train=True)
                    outs.append(out)
                out = join_rows(jax.tree.map(lambda *x: jnp.stack(x), *outs))
                terms, _ = objective.terms(out, batch)
                return sum(terms.values()), state

            return jax.value_and_grad(loss_fn, has_aux=True)(params)

        (loss, state), grads = at_once(*variables)
        found = found_by(objective, variables, batch, 2)
    assert_same((found.loss, found.model_state, found.grads), (loss, state, grads), 1e-9)
    old, new = (s["batch_stats"]["encoder"]["norm"]["mean"] for s in (variables[1], state))
    assert np.abs(np.asarray(old) - np.asarray(new)).max() > 0


def test_with_running_statistics_microbatches_depart_in_nothing():
    with jax.enable_x64(True):
        objective = plain_objective(norm=True, encoder_frozen=True, similarity="dense")
        batch = wide(ragged_batch())
        variables = variables_of(objective, batch)
        learns = {
            name: jax.tree.map(lambda _, n=name: n != "encoder", p)
            for name, p in variables[0].items()
        }
        one, four = (found_by(objective, variables, batch, n, learns) for n in (1, 4))
    assert_same(four, one, 1e-9)
    assert not jax.tree.leaves(four.grads["encoder"])  # nothing is summed up for what is frozen


def test_eight_devices_cut_their_own_rows_and_learn_what_one_learns(tmp_path):
    command = [sys.executable, str(TESTS / "microbatches_on_devices.py"), str(tmp_path / "8.npz")]
    done = subprocess.run(command, env=env_of(8), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, _ = one_step({"data": 1, "fsdp": 1})
    with np.load(tmp_path / "8.npz") as eight:
        assert int(eight["devices"]) == 8
        for name, value in one.items():
            np.testing.assert_allclose(eight[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
        moved = {k: int(eight[k]) for k in eight.files if k.startswith("collective/")}
    # Gradients and statistics are summed; blocks of embeddings go round the ring; no row of a
    # microbatch (the smallest signal block: 4 rows of 3 x 24 numbers) moves.
    assert set(moved) <= {"collective/all-reduce", "collective/collective-permute"}
    assert moved["collective/collective-permute"] < 4 * 3 * 24 * 8


def test_rows_go_to_their_parts_and_back():
    rows = {"x": jnp.arange(12).reshape(12, 1), "y": jnp.arange(6)}
    parts = split_rows(rows, 3)
    assert parts["y"].tolist() == [[0, 3], [1, 4], [2, 5]]
    jax.tree.map(np.testing.assert_array_equal, join_rows(parts), rows)


def test_rows_that_cannot_be_cut_name_what_to_change():
    mesh = jax.sharding.AbstractMesh((2, 1), ("data", "fsdp"))
    require_divisible({"batch['text_emb']": 12}, mesh, 3)
    expected = (
        r"batch\['text_emb'\]: 12 rows .* 2 ways .* times config.microbatches=4; the next that "
        r"fits is 16: change config.sampler .* or config.microbatches"
    )
    with pytest.raises(ValueError, match=expected):
        require_divisible({"batch['text_emb']": 12}, mesh, 4)
    with pytest.raises(ValueError, match=r"config.microbatches is 0: at least 1"):
        require_divisible({"batch['text_emb']": 12}, mesh, 0)
    with pytest.raises(ValueError, match=r"config.microbatches=5"):
        jax.eval_shape(lambda x: split_rows(x, 5), jnp.zeros(12))


# -- recomputation ---------------------------------------------------------------------------------


def deep_encoder(remat):
    options = dict(n_blocks=3, pool_sizes=(0, 0, 0), method="direct", res_dropout=0.3)
    return ConvEeg(4, kernels=((4, 8, 1),), remat=remat, **options)


def deep_bert(remat):
    sizes = dict(vocab_size=20, width=16, n_layers=3, n_heads=2, mlp_width=64, max_positions=32)
    return Bert(BertConfig(**sizes, dropout=0.0, attention_dropout=0.0), remat=remat)


MODELS = {
    "encoder": (deep_encoder, (np.random.default_rng(0).normal(size=(16, 4, 100)),)),
    "bert": (deep_bert, (np.arange(32 * 24).reshape(32, 24) % 20, np.ones((32, 24), bool))),
}


@pytest.mark.parametrize("name", MODELS)
def test_recomputing_changes_no_path_no_value_no_gradient_and_takes_less_memory(name):
    make, args = MODELS[name]
    args = [jnp.asarray(a, jnp.float32) if a.dtype == float else jnp.asarray(a) for a in args]
    variables = jax.jit(functools.partial(make("none").init, train=False))(KEY, *args)
    params = variables["params"]
    rest = {k: v for k, v in variables.items() if k != "params"}
    values, memory = {}, {}
    for remat in ("none", "dots", "full"):
        module = make(remat)

        def loss_fn(params, module=module):
            out, new = module.apply(
                {"params": params, **rest},
                *args,
                train=True,
                rngs={"dropout": KEY},
                mutable=["batch_stats"],
            )
            return jnp.square(getattr(out, "tokens", out)).mean(), new

        run = jax.jit(
            jax.value_and_grad(loss_fn, has_aux=True), compiler_options=compiler_options(remat)
        )
        program = run.lower(params).compile()
        values[remat] = program(params)
        memory[remat] = program.memory_analysis().temp_size_in_bytes
    for remat in ("dots", "full"):
        assert_same(values[remat], values["none"], 1e-6)
    assert memory["full"] < 0.5 * memory["none"]
    assert memory["full"] < memory["dots"] < 0.8 * memory["none"]


def test_an_unknown_policy_lists_the_known():
    from tiny_shards import tiny_spec

    from configs import elm_5s

    config = elm_5s.get_config("smoke")
    config.remat = "some"
    known = r"config.remat is 'some'; known: \['dots', 'full', 'none'\]"
    with pytest.raises(ValueError, match=known):
        build.build_encoder(config, tiny_spec())
    config.remat = "dots"
    assert build.build_encoder(config, tiny_spec()).remat == "dots"


# -- bfloat16 --------------------------------------------------------------------------------------


def bfloat16_inputs(jaxpr):
    """Names of the operations, at any depth, that take bfloat16."""
    names = set()
    for equation in jaxpr.eqns:
        if any(getattr(x.aval, "dtype", None) == jnp.bfloat16 for x in equation.invars):
            names.add(equation.primitive.name)
        for inner in jax.tree.leaves(tuple(equation.params.values()), is_leaf=callable):
            inner = getattr(inner, "jaxpr", inner)
            names |= bfloat16_inputs(inner) if hasattr(inner, "eqns") else set()
    return names


def new_state(params, model_state):
    optimizer = make_optimizer(SETTINGS, params, RunLength(3, 3, 8))
    opt_state = optimizer.tx.init(params)
    return optimizer, TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state)


def test_in_bfloat16_models_compute_and_nothing_is_kept_summed_or_compared():
    objective, batch = tiny_objective(tower=True, dtype=jnp.bfloat16), tiny_batch(tower=True)
    variables = narrow(variables_of(objective, batch))
    out, _ = jax.eval_shape(
        functools.partial(objective.embed, train=True), *variables, batch, jax.random.key(0)
    )
    assert {x.dtype for x in out.values()} == {jnp.dtype("float32")}  # what losses and evals read
    optimizer, state = new_state(*variables)
    traced = make_step(objective, optimizer, lambda b: b, seed=0, microbatches=2).trace(
        state, batch
    )
    before, (after, measures) = jax.eval_shape(lambda: state), traced.out_info
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, before)
    assert measures["loss"].dtype == measures["l2_updates"].dtype == jnp.float32
    narrowed = bfloat16_inputs(traced.jaxpr.jaxpr)
    assert {"dot_general", "conv_general_dilated"} <= narrowed
    sums = ("reduce", "cum", "scatter", "argm", "log", "rsqrt", "sqrt", "all_")
    assert not [name for name in narrowed if name.startswith(sums)]


def test_in_bfloat16_loss_and_gradients_are_near_those_in_float32():
    batch, found = tiny_batch(bags=8, crops=4), []
    for dtype in (None, jnp.bfloat16):
        kernels = dict(kernels=((4, 8, 1),), n_blocks=1, pool_sizes=(2,))
        objective = dataclasses.replace(
            tiny_objective(dtype=dtype, similarity="dense"),
            encoder=ConvEeg(3, **kernels, method="direct", dtype=dtype),
        )
        variables = narrow(variables_of(objective, batch))
        found.append(found_by(objective, variables, batch, 1))
    assert float(found[1].loss) == pytest.approx(float(found[0].loss), rel=0.01)
    one, two = (np.concatenate([x.ravel() for x in jax.tree.leaves(f.grads)]) for f in found)
    assert one @ two > 0.99 * np.linalg.norm(one) * np.linalg.norm(two)


# -- memory of the state ---------------------------------------------------------------------------


def test_the_new_state_takes_the_old_one_s_memory():
    objective, batch = plain_objective(norm=True, similarity="dense"), narrow(ragged_batch())
    optimizer, state = new_state(*narrow(variables_of(objective, batch)))
    step = make_step(objective, optimizer, lambda b: b, seed=0, microbatches=2)
    used = step.lower(state, batch).compile().memory_analysis()
    assert used.alias_size_in_bytes == sum(x.nbytes for x in jax.tree.leaves(state))
