"""Classifiers: padding and missing labels count nothing, a frozen encoder stays what it was."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics
from tiny_model import CHANNELS, SAMPLES

from elm_jax.channels import channel_ids
from elm_jax.data.targets import Target
from elm_jax.models import adapters, heads
from elm_jax.models.base import Encoded
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.eeg_transformer import EegTransformer
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
    found = objective.scores({"confusion": confusion})
    assert found["balanced_accuracy"] == (0.8 + 0.5) / 2
    truth, said = (np.repeat([0, 0, 1, 1], [8, 2, 1, 1]), np.repeat([0, 1, 0, 1], [8, 2, 1, 1]))
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, said))
    assert found["weighted_f1"] == pytest.approx(metrics.f1_score(truth, said, average="weighted"))
    alone = objective.scores({"confusion": np.diag([5, 0, 0])[None]})
    assert alone == {"balanced_accuracy": 1.0, "weighted_f1": 1.0}  # agreement by chance alone
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


NAMES = ("C3", "Cz", "C4", "O1")


def drawn(objective, batch):
    """Its variables from NumPy: JAX's random numbers take seconds to compile."""
    shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)

    def leaf(path, x):
        if any(name in str(path[-1]) for name in ("scale", "var")):
            return jnp.ones(x.shape)
        return jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def by_name(*, channels=NAMES, dropout=0.0):
    sizes = dict(width=8, depth=1, heads=2, summary_tokens=2, patch_size=8)
    return EegTransformer(channels, dropout=dropout, **sizes)


def adapted_classifier(**settings):
    given = dict(encoder=by_name(), adapter=adapters.ChannelProjection(NAMES))
    given |= dict(classifier=heads.TwoStageHead(3, hidden=4), target=TARGETS["multiclass"])
    return Classify(**(given | settings))


def learnt(objective, batch, steps=3):
    params, model_state = drawn(objective, batch)
    schedule = dict(kind="constant", warmup_steps=0, total_steps=steps, per="step")
    rules = (*((p, "freeze") for p in objective.frozen), (".*", "train"))
    settings = dict(name="adamw", rate=0.1, weight_decay=0.1, schedule=schedule, rules=rules)
    optimizer = make_optimizer(settings, params, RunLength(steps, steps, 8))
    state = TrainState(jnp.zeros((), int), params, model_state, optimizer.tx.init(params))
    before = jax.tree.map(np.array, params)
    step = make_step(objective, optimizer, lambda b: b, seed=0)
    for _ in range(steps):
        state, _ = step(state, batch)
    return before, state


def test_an_adapter_learns_through_a_frozen_encoder_which_stays_bit_equal():
    batch = tiny_batch("multiclass")
    stack = adapters.ConvStack(NAMES, norm=True, temporal_kernel=3, temporal_padding="same")
    objective = adapted_classifier(adapter=stack, encoder_frozen=True)
    before, state = learnt(objective, batch)
    jax.tree.map(np.testing.assert_array_equal, before["encoder"], state.params["encoder"])
    for other in ("adapter", "classifier"):
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before[other], state.params[other])
        assert min(jax.tree.leaves(moved)) > 0, other
    assert set(state.model_state["batch_stats"]) == {"adapter"}


def test_a_frozen_encoder_has_no_dropout_also_behind_an_adapter():
    batch = tiny_batch("multiclass")
    losses = []
    for dropout in (0.0, 0.9):
        objective = adapted_classifier(
            encoder=by_name(dropout=dropout),
            classifier=heads.TwoStageHead(3, hidden=4, dropout=0.0),
            encoder_frozen=True,
        )
        variables = drawn(objective, batch)
        losses.append(float(measure(objective, variables, batch)["loss"]))
    assert losses[0] == losses[1]


def test_behind_an_adapter_the_recording_s_own_electrodes_are_not_asked_for():
    batch = tiny_batch("multiclass")
    objective = adapted_classifier()
    variables = drawn(objective, batch)
    named = batch | {"channel_id": np.full((len(batch["label"]), CHANNELS), 61, np.int32)}
    one, other = (measure(objective, variables, b, train=False)["loss"] for b in (batch, named))
    assert float(one) == float(other)


def test_without_an_adapter_the_electrodes_of_the_batch_count_not_their_order():
    batch = tiny_batch("multiclass")
    objective = adapted_classifier(encoder=by_name(channels=NAMES[:CHANNELS]), adapter=None)
    variables = drawn(objective, batch)
    order = np.random.default_rng(0).permutation(CHANNELS)
    ids = np.array(channel_ids(NAMES[:CHANNELS]), np.int32)
    turned = batch | {
        "signal": batch["signal"][:, order],
        "channel_id": np.tile(ids[order], (len(batch["label"]), 1)),
    }
    one, other = (measure(objective, variables, b, train=False)["loss"] for b in (batch, turned))
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["flatten", "attention"])
def test_heads_on_tokens_ignore_padded_rows(pooling):
    head = heads.MlpHead(3, hidden=(4,), dropout=0.0, pooling=pooling, summary_tokens=2)
    objective = adapted_classifier(classifier=head)
    batch = tiny_batch("multiclass")
    variables = drawn(objective, batch)
    padded = {k: np.concatenate([v, v[:2]]) for k, v in batch.items()}
    padded["signal_valid"][-2:] = False
    padded["signal"][-2:] = np.nan
    expected, found = (measure(objective, variables, b, train=False) for b in (batch, padded))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
    for old, new in zip(
        jax.tree.leaves(expected["grads"]), jax.tree.leaves(found["grads"]), strict=True
    ):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-6)


def test_a_head_on_tokens_and_a_projector_do_not_go_together():
    with pytest.raises(ValueError, match="signal_projection=None"):
        adapted_classifier(signal_projector=SignalProjector((6, 4)))
