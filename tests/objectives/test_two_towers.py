"""ELM's objectives: what they minimise, and that padding and order do not matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import tiny_batch, tiny_objective

from elm_jax.objectives.multi_instance import (
    MultiInstance,
    OrthogonalAlignment,
    SoftTargetContrast,
)
from elm_jax.objectives.two_tower import TwoTower


def measure(objective, variables, batch):
    """Loss, gradient of every parameter and batch statistics after one training call."""
    params, model_state = variables

    @jax.jit
    def run(params, model_state, batch):
        def loss_fn(params):
            return objective.loss(params, model_state, batch, jax.random.key(0), train=True)

        return jax.value_and_grad(loss_fn, has_aux=True)(params)

    (loss, out), grads = run(params, model_state, batch)
    return {"loss": loss, "grads": grads, "model_state": out.model_state, "terms": out.terms}


def with_padding(batch):
    """The same rows with padding between them that carries NaN and the numbers of real bags."""
    out = {}
    for side, at in (("signal", [0, 3, 3, 8]), ("text", [1, 1, 7])):
        for key, value in batch.items():
            if not key.startswith(side):
                continue
            value = np.asarray(value)
            fill = np.nan if np.issubdtype(value.dtype, np.floating) else 0
            out[key] = jnp.asarray(np.insert(value, at, value.dtype.type(fill), axis=0))
    return out


def assert_same(found, expected, rtol, atol):
    flat = jax.tree_util.tree_leaves_with_path(expected)
    assert len(flat) > 10
    for (path, want), have in zip(flat, jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol, err_msg=str(path))


@pytest.mark.parametrize(
    ("kind", "settings", "tower"),
    [
        (MultiInstance, {"style": "x,y"}, False),
        (MultiInstance, {"style": "y|x"}, True),
        (SoftTargetContrast, {}, False),
        (OrthogonalAlignment, {}, False),
    ],
    ids=["x,y", "y|x with a text tower", "el", "e"],
)
def test_padded_rows_change_neither_loss_nor_any_gradient_nor_batch_statistics(
    kind, settings, tower
):
    pairs = kind is not MultiInstance
    with jax.enable_x64(True):
        objective = tiny_objective(kind, tower=tower, **settings)
        batch = tiny_batch(
            tower=tower, dtype=np.float64, **(dict(bags=9, crops=1, segments=1) if pairs else {})
        )
        variables = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), jax.jit(objective.init)(jax.random.key(1), batch)
        )
        padded = with_padding(batch)
        if pairs:  # a pair's two sides are one row: padded at the same places
            for key in batch:
                if key.startswith("text"):
                    value = np.insert(np.asarray(batch[key]), [0, 3, 3, 8], 0, axis=0)
                    padded[key] = jnp.asarray(value)
        expected = measure(objective, variables, batch)
        assert_same(measure(objective, variables, padded), expected, rtol=1e-9, atol=1e-11)
        assert float(expected["loss"]) > 0


def test_the_order_of_bags_and_their_numbers_do_not_matter():
    objective = tiny_objective()
    batch = tiny_batch(bags=4, crops=2, segments=3)
    variables = jax.jit(objective.init)(jax.random.key(0), batch)
    order = np.array([2, 0, 3, 1])
    moved = {}
    for key, value in batch.items():
        blocks = np.asarray(value).reshape(4, -1, *value.shape[1:])
        moved[key] = jnp.asarray(blocks[order].reshape(value.shape))
    for key in ("signal_bag", "text_bag"):
        moved[key] = 10 - moved[key]
    found, expected = (measure(objective, variables, b) for b in (moved, batch))
    assert_same(found, expected, rtol=2e-4, atol=2e-6)


def test_multi_instance_equals_the_reference_through_the_objective(shared):
    golden = np.load(shared / "golden/elm/losses.npz")
    out = {
        "projection": jnp.asarray(golden["mil_eeg"]),
        "text_projection": jnp.asarray(golden["mil_text"]),
    }
    batch = {
        "signal_bag": jnp.asarray(golden["mil_eeg_id"], jnp.int32),
        "text_bag": jnp.asarray(golden["mil_text_id"], jnp.int32),
        "signal_valid": jnp.ones(37, bool),
        "text_valid": jnp.ones(19, bool),
    }
    for style, name in (("x,y", "xy"), ("x|y", "x_given_y"), ("y|x", "y_given_x")):
        terms, _ = tiny_objective(style=style).terms(out, batch)
        np.testing.assert_allclose(sum(terms.values()), golden[f"mil_{name}_loss"], atol=1e-5)


def test_paired_losses_equal_the_reference_through_their_objectives(shared):
    golden = np.load(shared / "golden/elm/losses.npz")
    out = {
        "features": jnp.asarray(golden["e_hidden"]),
        "projection": jnp.asarray(golden["el_eeg"]),
        "text_projection": jnp.asarray(golden["el_text"]),
    }
    valid = jnp.ones(12, bool)
    batch = {"signal_valid": valid, "text_valid": valid}
    terms, _ = tiny_objective(SoftTargetContrast).terms(out, batch)
    np.testing.assert_allclose(terms["soft_target_contrast"], golden["el_loss"], atol=1e-5)
    terms, _ = tiny_objective(OrthogonalAlignment, gamma=0.5).terms(out, batch)
    np.testing.assert_allclose(terms["orthogonality"], golden["e_ortho"], atol=1e-5)
    np.testing.assert_allclose(terms["alignment"], golden["e_align"], atol=1e-5)


@pytest.mark.parametrize("tower", [False, True], ids=["embeddings", "text tower"])
def test_in_bfloat16_losses_gradients_and_batch_statistics_stay_float32(tower):
    batch = tiny_batch(tower=tower)
    narrow = tiny_objective(tower=tower, dtype=jnp.bfloat16)
    variables = jax.jit(narrow.init)(jax.random.key(0), batch)
    found = measure(narrow, variables, batch)
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    vectors = jax.eval_shape(narrow.predict, *variables, batch)
    assert {x.dtype for x in vectors.values()} == {jnp.dtype("float32")}
    if not tower:
        expected = measure(tiny_objective(), variables, batch)
        assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=0.05)


def test_predict_gives_only_the_sides_it_is_given():
    objective, batch = tiny_objective(), tiny_batch()
    variables = jax.eval_shape(objective.init, jax.random.key(0), batch)
    signal = {k: v for k, v in batch.items() if k.startswith("signal")}
    text = {k: v for k, v in batch.items() if k.startswith("text")}
    predict = lambda batch: set(jax.eval_shape(objective.predict, *variables, batch))  # noqa: E731
    assert predict(signal) == {"features", "projection"}
    assert predict(text) == {"text_projection"}


def test_the_base_has_no_loss_of_its_own():
    with pytest.raises(TypeError, match="TwoTower has no loss of its own"):
        tiny_objective(TwoTower).terms({}, {})
