"""Classifiers: padding and missing labels count nothing, a frozen encoder stays what it was."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import CHANNELS, SAMPLES

from elm_jax.data.targets import Target
from elm_jax.models.base import Encoded
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.heads import Classifier, SignalProjector
from elm_jax.objectives.classify import Classify
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState
from elm_jax.step import make_step

TARGETS = {
    "binary": Target("x", "binary"),
    "multiclass": Target("x", "multiclass", ("a", "b", "c")),
    "multilabel": Target("x", "multilabel", ("a", "b")),
    "regression": Target("x", "regression", (), 40.0, 10.0),
}
KINDS = pytest.mark.parametrize("kind", TARGETS)


def tiny_classifier(kind="binary", *, projector=False, encoder=None, **settings):
    target = TARGETS[kind]
    kernels = ((2, 2, 1), (3, 2, 1))
    return Classify(
        encoder=encoder or ConvEeg(CHANNELS, kernels=kernels, n_blocks=1, pool_sizes=(2,)),
        signal_projector=SignalProjector((6, 4)) if projector else None,
        classifier=Classifier((5, target.outputs)),
        target=target,
        **settings,
    )


def tiny_batch(kind="binary", rows=8, seed=0):
    rng = np.random.default_rng(seed)
    k = TARGETS[kind].outputs if kind == "multilabel" else 1
    label = rng.integers(0, TARGETS[kind].outputs if kind == "multiclass" else 2, (rows, k))
    return {
        "signal": rng.normal(size=(rows, CHANNELS, SAMPLES)).astype(np.float32),
        "signal_valid": np.ones(rows, bool),
        "label": label.astype(np.float32),
    }


def measure(objective, variables, batch, *, train=True):
    params, model_state = variables

    batch = jax.tree.map(jnp.asarray, batch)

    def loss_fn(params):
        return objective.loss(params, model_state, batch, jax.random.key(0), train=train)

    (loss, out), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params)
    return {"loss": loss, "grads": grads, **out._asdict()}


@KINDS
def test_padding_and_missing_labels_move_neither_loss_nor_gradients_nor_scores(kind):
    objective, batch = tiny_classifier(kind), tiny_batch(kind)
    variables = jax.jit(objective.init)(jax.random.key(0), batch)
    expected = measure(objective, variables, batch, train=False)
    padded = {k: np.insert(v, [0, 3, 8], 0, axis=0) for k, v in batch.items()}
    at = [0, 4, 10]
    padded["signal_valid"][at] = False
    padded["signal"][at] = np.nan
    unlabelled = {k: np.concatenate([v, v[:2]]) for k, v in batch.items()}
    unlabelled["label"][-2:] = np.nan
    for other in (padded, unlabelled):
        found = measure(objective, variables, other, train=False)
        for (path, want), have in zip(
            jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(found), strict=True
        ):
            np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6, err_msg=str(path))


def test_in_training_padding_touches_no_batch_statistics():
    objective, batch = tiny_classifier(projector=True), tiny_batch()
    variables = jax.jit(objective.init)(jax.random.key(0), batch)
    padded = {k: np.concatenate([v, np.full_like(v[:3], 0)]) for k, v in batch.items()}
    padded["signal"][-3:] = np.nan
    expected, found = (measure(objective, variables, b) for b in (batch, padded))
    for key in ("loss", "grads", "model_state", "weight"):
        for want, have in zip(
            jax.tree.leaves(expected[key]), jax.tree.leaves(found[key]), strict=True
        ):
            np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-6)


@KINDS
def test_a_batch_without_a_single_label_is_zero_and_finite(kind):
    objective, batch = tiny_classifier(kind), tiny_batch(kind)
    variables = jax.jit(objective.init)(jax.random.key(0), batch)
    batch["label"] = np.full_like(batch["label"], np.nan)
    found = measure(objective, variables, batch, train=False)
    assert float(found["loss"]) == 0 and float(found["weight"]) == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found["grads"]))


@jax.custom_vjp
def _no_way_back(x):
    return x


def _refuse(_, __):
    raise AssertionError("the backward pass ran through the encoder")


_no_way_back.defvjp(lambda x: (x, None), _refuse)


class OneWay(nn.Module):
    """An encoder that cannot be differentiated."""

    @nn.compact
    def __call__(self, signal, *, valid=None, train):
        pooled = nn.Dense(4)(_no_way_back(signal.mean(axis=2)))
        return Encoded(pooled[:, None], _no_way_back(pooled))


def test_the_backward_pass_does_not_run_through_a_frozen_encoder():
    batch = tiny_batch()
    for frozen in (True, False):
        objective = tiny_classifier(encoder=OneWay(), encoder_frozen=frozen)
        variables = jax.jit(objective.init)(jax.random.key(0), batch)
        if frozen:
            measure(objective, variables, batch)
        else:
            with pytest.raises(AssertionError, match="ran through the encoder"):
                measure(objective, variables, batch)


def test_a_frozen_encoder_s_parameters_and_statistics_are_bit_equal_after_training():
    objective, batch = tiny_classifier(encoder_frozen=True, projector=True), tiny_batch()
    params, model_state = jax.jit(objective.init)(jax.random.key(0), batch)
    schedule = dict(kind="constant", warmup_steps=0, total_steps=3, per="step")
    rules = (*((p, "freeze") for p in objective.frozen), ("encoder/.*", 0.1), (".*", "train"))
    settings = dict(name="adamw", rate=0.1, weight_decay=0.1, schedule=schedule, rules=rules)
    optimizer = make_optimizer(settings, params, RunLength(3, 3, 8))
    state = TrainState(jnp.zeros((), int), params, model_state, optimizer.tx.init(params))
    before = jax.tree.map(np.array, (params, model_state["batch_stats"]))
    step = make_step(objective, optimizer, lambda b: b, seed=0)
    for _ in range(3):
        state, measures = step(state, batch)
    after = state.params, state.model_state["batch_stats"]
    for old, new in zip(before, after, strict=True):
        jax.tree.map(np.testing.assert_array_equal, old["encoder"], new["encoder"])
        for other in ("signal_projector", "classifier"):
            moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), old[other], new[other])
            assert max(jax.tree.leaves(moved)) > 0
    assert float(measures["l2_grads"]) > 0


def test_predict_gives_a_regression_in_the_label_s_unit_and_projection_where_there_is_one():
    batch = {"signal": jnp.asarray(tiny_batch()["signal"])}
    objective = tiny_classifier("regression", projector=True)
    variables = jax.jit(objective.init)(jax.random.key(0), batch)
    out = objective.predict(*variables, batch)
    assert set(out) == {"features", "projection", "logits"}
    standard = dataclasses.replace(objective, target=Target("x", "regression"))
    plain = standard.predict(*variables, batch)["logits"]
    np.testing.assert_allclose(out["logits"], plain * 10 + 40, rtol=1e-5)
    bare = jax.eval_shape(tiny_classifier().init, jax.random.key(0), batch)
    assert set(bare[0]) == {"encoder", "classifier"}


def test_scores_of_a_split_are_those_of_its_summed_batches():
    objective = tiny_classifier("multiclass")
    confusion = np.array([[[8, 2, 0], [1, 1, 0], [0, 0, 0]]])  # nobody of the third class
    assert objective.scores({"confusion": confusion}) == {"balanced_accuracy": (0.8 + 0.5) / 2}
    assert objective.scores({"confusion": np.zeros((1, 3, 3))}) == {}
    assert tiny_classifier("regression").scores({}) == {}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("multiclass", dict(class_weight=(1.0, 2.0)), "2 entries; multiclass of 'x' has 3"),
        ("regression", dict(class_weight=(1.0,)), "regression of 'x' has 0"),
        ("binary", dict(class_weight=(-1.0,)), "must be positive"),
        ("binary", dict(label_smoothing=0.1), "for kind 'multiclass' alone"),
        ("multiclass", dict(label_smoothing=1.5), "label_smoothing is 1.5"),
        ("binary", dict(text_projector=Classifier((2,))), "no text side"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_classifier(kind, **settings)


def test_a_classifier_learns_what_is_there():
    objective, batch = tiny_classifier("multiclass"), tiny_batch("multiclass", rows=24)
    batch["signal"] += 3 * np.eye(3, CHANNELS)[batch["label"][:, 0].astype(int)][:, :, None]
    params, model_state = jax.jit(objective.init)(jax.random.key(0), batch)
    schedule = dict(kind="constant", warmup_steps=0, total_steps=40, per="step")
    settings = dict(name="adam", rate=0.02, schedule=schedule, rules=((".*", "train"),))
    optimizer = make_optimizer(settings, params, RunLength(40, 40, 24))
    state = TrainState(jnp.zeros((), int), params, model_state, optimizer.tx.init(params))
    step = make_step(objective, optimizer, lambda b: b, seed=0)
    for _ in range(40):
        state, measures = step(state, batch)
    assert float(measures["accuracy"]) == 1.0
