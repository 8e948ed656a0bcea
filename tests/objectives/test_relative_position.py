"""Pairs near and far in time: the distance's loss, padding, batch statistics, any encoder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import relpos_sleep
from elm_jax import accumulate
from elm_jax.data.spec import SignalSpec
from elm_jax.encoders import ENCODERS
from elm_jax.models.flat_mlp import FlatMlp
from elm_jax.models.heads import PairHead
from elm_jax.networks import build_objective
from elm_jax.objectives.base import Objective
from elm_jax.objectives.relative_position import RelativePosition
from elm_jax.text_source import TextSource

CHANNELS, SAMPLES = 2, 5
NEAR = np.array([1, 0, 0, 1, 1, 0, 1, 1], bool)


def tiny(*, dropout=0.0, batch_norm=False):
    encoder = FlatMlp(hidden=(4,), outputs=3, batch_norm=batch_norm, dropout=dropout)
    return RelativePosition(encoder=encoder, classifier=PairHead(dropout))


def batch_of(seed=0, rows=8, real=8):
    rng = np.random.default_rng(seed)
    valid = np.arange(rows) < real
    signals = {f"signal_{s}": rng.normal(size=(rows, CHANNELS, SAMPLES)) for s in "ab"}
    signals = {k: jnp.asarray(v, jnp.float32) for k, v in signals.items()}
    return signals | {"signal_valid": jnp.asarray(valid), "near": jnp.asarray(NEAR[:rows] & valid)}


@functools.cache
def made(**settings):
    objective = tiny(**settings)
    return objective, *jax.jit(objective.init)(jax.random.key(0), batch_of())


@functools.cache
def loss_of(**settings):
    objective = tiny(**settings)
    return jax.jit(objective.loss, static_argnames="train")


def test_the_loss_is_the_papers_of_the_vectors_own_distance():
    objective, params, state = made()
    batch = batch_of()
    a, b = (objective.predict(params, state, {"signal": batch[f"signal_{s}"]}) for s in "ab")
    out = params["classifier"]["out"]
    score = np.abs(np.subtract(a["features"], b["features"])) @ out["kernel"] + out["bias"]
    np.testing.assert_allclose(objective.predict(params, state, batch)["logits"], score, rtol=1e-5)
    sign = np.where(NEAR, 1, -1)
    loss, found = objective.loss(params, state, batch, jax.random.key(1), train=False)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-sign * score[:, 0])).mean(), rel=1e-5)
    assert float(found.terms["near"]) == float(loss)
    assert float(found.report["accuracy"]) == np.mean((score[:, 0] > 0) == NEAR)
    assert isinstance(objective, Objective)


def test_windows_may_change_places():
    objective, params, state = made(batch_norm=True)
    batch = batch_of()
    swapped = batch | {"signal_a": batch["signal_b"], "signal_b": batch["signal_a"]}
    there, back = (objective.predict(params, state, x)["logits"] for x in (batch, swapped))
    np.testing.assert_array_equal(there, back)


@pytest.mark.parametrize("train", [True, False])
def test_whatever_padding_holds_changes_nothing(train):
    objective, params, state = made(batch_norm=True)
    padded = batch_of(real=5)
    few = {k: v[:5] for k, v in padded.items()}
    for side in ("signal_a", "signal_b"):
        padded[side] = padded[side].at[5:].set(jnp.nan)
    padded["near"] = padded["near"].at[5:].set(True)  # a label of padding is nobody's

    def gradient(batch):
        def f(p):
            return loss_of(batch_norm=True)(p, state, batch, jax.random.key(1), train=train)

        return jax.value_and_grad(f, has_aux=True)(params)

    ((loss, out), grads), ((same, other), others) = gradient(few), gradient(padded)
    assert float(loss) == pytest.approx(float(same), rel=1e-6)
    assert float(other.weight) == 5 and float(out.report["accuracy"]) == other.report["accuracy"]
    np.testing.assert_array_equal(out.sums["confusion"], other.sums["confusion"])
    for x, y in zip(
        jax.tree.leaves((grads, out.model_state)),
        jax.tree.leaves((others, other.model_state)),
        strict=True,
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_a_batch_of_padding_alone_costs_nothing_and_is_no_nan():
    _, params, state = made()
    loss, out = loss_of()(params, state, batch_of(real=0), jax.random.key(0), train=True)
    assert float(loss) == float(out.weight) == float(out.report["accuracy"]) == 0


def test_running_statistics_follow_the_first_and_then_the_second_windows():
    objective, params, state = made(batch_norm=True)
    batch, key = batch_of(), jax.random.key(0)
    _, out = objective.loss(params, state, batch, key, train=True)
    variables = {"params": params["encoder"], "batch_stats": state["batch_stats"]["encoder"]}
    for side in ("signal_a", "signal_b"):
        _, changed = objective.encoder.apply(
            variables, batch[side], train=True, mutable=["batch_stats"]
        )
        variables = variables | changed
    expected, found = variables["batch_stats"], out.model_state["batch_stats"]["encoder"]
    jax.tree.map(np.testing.assert_array_equal, expected, found)


def test_the_two_windows_and_the_distance_are_dropped_by_keys_of_their_own():
    objective, params, state = made(dropout=0.5)
    batch = batch_of()
    same = batch | {"signal_b": batch["signal_a"]}
    one, two, none = (
        objective.embed(params, state, same, key, train=key is not None)[0]["logits"]
        for key in (jax.random.key(1), jax.random.key(2), None)
    )
    # Equal windows are at no distance; what is dropped of each differs.
    np.testing.assert_allclose(none, jnp.broadcast_to(params["classifier"]["out"]["bias"], (8, 1)))
    assert np.ptp(one) > 0 and not np.array_equal(one, two)


def test_parts_of_a_batch_give_the_whole_batch_s_gradient_however_padding_falls():
    objective, params, state = made()
    trainable = jax.tree.map(lambda _: True, params)
    batch, key = batch_of(real=5), jax.random.key(0)
    at_once, in_parts = (
        jax.jit(accumulate.value_and_grad(objective, lambda b: b, trainable, n))(
            params, state, batch, key
        )
        for n in (1, 4)
    )
    assert float(at_once.loss) == pytest.approx(float(in_parts.loss), rel=1e-6)
    assert float(at_once.report["accuracy"]) == float(in_parts.report["accuracy"])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7),
        at_once.grads,
        in_parts.grads,
    )


def test_scores_of_a_split_are_those_of_its_summed_batches():
    objective = tiny()
    confusion = np.array([[[30, 10], [5, 15]]])
    found = objective.scores({"confusion": confusion})
    assert found["balanced_accuracy"] == pytest.approx((0.75 + 0.75) / 2)
    assert found["kappa"] == pytest.approx((0.75 - 0.55) / 0.45, abs=0.05)
    assert objective.scores({"confusion": 0 * confusion}) == {}


# -- by config --------------------------------------------------------------------------------


SPEC = SignalSpec(
    modality="eeg",
    channels=("Fp1", "O2"),
    montage="electrodes",
    sfreq_hz=100.0,
    window_s=5.12,
    highpass_hz=0.0,
    lowpass_hz=30.0,
    resample="polyphase",
    unit="uV",
    clip=1000.0,
    scale=1.0,
    mean=0.0,
    std=1.0,
)
ANY = {
    "sleep_conv": dict(filters=2, batch_norm=True, outputs=4),
    "mlp": dict(hidden=(4,), outputs=3),
    "conv_eeg": dict(kernels=((4, 2, 1),), n_blocks=1, pool_sizes=(4,)),
    "eeg_transformer": dict(width=8, depth=1, heads=2, summary_tokens=1, patch_size=64),
    "resnet1d": dict(blocks=(1,), width=4),
    "vit1d": dict(layout="mtae", patch_size=64, width=8, depth=1, heads=1),
}


def config_of(**changes):
    config = relpos_sleep.get_config().unlock()
    for key, value in changes.items():
        with config.ignore_type():
            config[key] = ConfigDict(value)
    return config


@pytest.mark.parametrize("name", sorted({*ENCODERS} - {"ecg_image"}))  # that draws twelve leads
def test_every_encoder_of_the_house_stands_in_by_config(name):
    config = config_of(encoder=dict(name=name, **ANY[name]))
    objective = build_objective(config, SPEC, None)
    rows, near = jnp.zeros((4, 2, 512)), jnp.asarray(NEAR[:4])
    pairs = dict(signal_a=rows, signal_b=rows, signal_valid=near, near=near)

    def step(key):
        params, state = objective.init(key, pairs)
        loss, out = objective.loss(params, state, pairs, key, train=True)
        found = [objective.predict(params, state, x) for x in (pairs, {"signal": rows})]
        return loss, out.report, found, objective.init(key, {"signal": rows})[0], params

    loss, report, (of_pairs, of_windows), again, params = jax.eval_shape(step, jax.random.key(0))
    assert loss.shape == report["accuracy"].shape == () and of_pairs["logits"].shape == (4, 1)
    assert "logits" not in of_windows and of_windows["features"].shape[0] == 4
    # A finished model is read without pairs.
    assert jax.tree.map(jnp.shape, again) == jax.tree.map(jnp.shape, params)
    assert set(params) == {"encoder", "classifier"}


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (dict(dropuot=0.5), r"config.objective: unknown \['dropuot'\]; known: \['dropout'\]"),
        (dict(signal_projection=(4,)), "config.objective: unknown"),
    ],
)
def test_settings_that_it_lacks_are_refused(objective, message):
    config = config_of(objective=dict(name="relative_position", **objective))
    with pytest.raises(ValueError, match=message):
        build_objective(config, SPEC, None)
    with pytest.raises(ValueError, match=r"reads no text: set config.text=None"):
        build_objective(config_of(), SPEC, TextSource(lambda texts: None))
