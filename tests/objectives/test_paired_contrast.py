"""Contrast of pairs: CLIP's, SigLIP's and MERL's, beside their published forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_model import CHANNELS, tiny_batch

from elm_jax import losses
from elm_jax.data.spec import SignalSpec
from elm_jax.networks import PAIRED, build_objective
from elm_jax.objectives.paired_contrast import LARGEST_SCALE

SPEC = SignalSpec(
    modality="ecg", channels=tuple(f"V{i + 1}" for i in range(CHANNELS)), montage="leads",
    sfreq_hz=100.0, window_s=0.4, highpass_hz=0.0, lowpass_hz=50.0, resample="polyphase",
    unit="mV", clip=10.0, scale=1.0,
)  # fmt: skip


def objective(loss="clip", encoder=None, **settings):
    config = ConfigDict(
        dict(
            dtype="float32",
            encoder=encoder or dict(name="mlp", hidden=(6,), outputs=5),
            sampler=dict(name="pairs", pairs_per_batch=6),
            objective=dict(
                name="paired_contrast", loss=loss, signal_projection=(4,), text_projection=(8, 4)
            )
            | settings,
        )
    )
    return build_objective(config, SPEC, None)


def pairs(b=6, *, valid=None, seed=0):
    rng = np.random.default_rng(seed)
    valid = np.ones(b, bool) if valid is None else np.asarray(valid)
    own = np.arange(b, dtype=np.int32)
    return dict(
        signal=jnp.asarray(rng.normal(size=(b, CHANNELS, 40)), jnp.float32),
        text_emb=jnp.asarray(rng.normal(size=(b, 7)), jnp.float32),
        signal_valid=jnp.asarray(valid), text_valid=jnp.asarray(valid),
        signal_bag=jnp.asarray(own), text_bag=jnp.asarray(own),
    )  # fmt: skip


def vectors(b=6, e=4, seed=1):
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(rng.normal(size=(b, e)), jnp.float32)
        for name in ("projection", "text_projection", "first", "second")
    }


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_siglip_is_the_papers_algorithm():
    out, b = vectors(), 6
    own = objective("siglip")
    logit = {"logit/log_scale": jnp.full(b, np.log(10.0)), "logit/bias": jnp.full(b, -10.0)}
    terms, _ = own.terms(out | logit, pairs())
    x, y = (unit(np.asarray(out[k], np.float64)) for k in ("projection", "text_projection"))
    signed = (2 * np.eye(b) - 1) * (x @ y.T * 10 - 10)
    np.testing.assert_allclose(terms["contrast"], np.log1p(np.exp(-signed)).sum() / b, rtol=1e-6)


def test_merl_sums_both_directions_of_both_contrasts():
    out = vectors()
    terms, _ = objective("merl", temperature=0.07).terms(out, pairs())
    for term, (a, b) in {
        "cross_modal": ("projection", "text_projection"), "uni_modal": ("first", "second"),
    }.items():  # fmt: skip
        logits = unit(np.asarray(out[a], np.float64)) @ unit(np.asarray(out[b], np.float64)).T
        ways = [-np.diag(log_softmax(side / 0.07)).mean() for side in (logits, logits.T)]
        np.testing.assert_allclose(terms[term], sum(ways), rtol=1e-5)


@pytest.mark.parametrize("loss", PAIRED)
def test_padding_changes_neither_loss_nor_gradients(loss):
    own = objective(loss, encoder=dict(name="mlp", hidden=(6,), outputs=5, batch_norm=True))
    whole = pairs(4)
    padded = pairs(6, valid=[True] * 4 + [False] * 2)
    padded = {k: padded[k].at[:4].set(whole[k]) for k in padded}
    padded |= {k: padded[k].at[4:].set(jnp.nan) for k in ("signal", "text_emb")}
    params, state = own.init(jax.random.key(0), whole)

    def loss_of(params, batch):
        return own.loss(params, state, batch, jax.random.key(9), train=False)[0]

    found = [jax.value_and_grad(loss_of)(params, batch) for batch in (whole, padded)]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_a_learnt_temperature_and_bias_get_the_derivative_of_the_loss(loss):
    own, batch = objective(loss), pairs()
    params, state = own.init(jax.random.key(0), batch)
    assert set(params["logit"]) == {"log_scale"} | ({"bias"} if loss == "siglip" else set())

    def loss_of(logit):
        return own.loss(
            dict(params) | {"logit": logit}, state, batch, jax.random.key(9), train=False
        )[0]

    grads = jax.grad(loss_of)(params["logit"])
    for name, grad in grads.items():
        up, down = (params["logit"] | {name: params["logit"][name] + d} for d in (1e-2, -1e-2))
        np.testing.assert_allclose(grad, (loss_of(up) - loss_of(down)) / 2e-2, rtol=2e-2)


def test_the_scale_is_kept_at_most_100_as_in_clip():
    own, out = objective("clip"), vectors()
    far = own.terms(out | {"logit/log_scale": jnp.full(6, 50.0)}, pairs())
    at = own.terms(out | {"logit/log_scale": jnp.full(6, np.log(LARGEST_SCALE))}, pairs())
    np.testing.assert_allclose(far[1]["temperature"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(far[0]["contrast"], at[0]["contrast"], rtol=1e-6)


def test_two_signals_with_one_text_are_positives_of_each_other():
    out, batch = vectors(), pairs()
    bags = jnp.asarray([0, 0, 2, 3, 4, 5], jnp.int32)
    out["text_projection"] = out["text_projection"].at[1].set(out["text_projection"][0])
    together = batch | dict(signal_bag=bags, text_bag=bags)
    x, y = (unit(np.asarray(out[k], np.float64)) for k in ("projection", "text_projection"))
    positive = np.asarray(bags)[:, None] == np.asarray(bags)[None]
    positive = positive / positive.sum(1, keepdims=True)
    ways = [-(positive * log_softmax(s / 0.07)).sum(1).mean() for s in (x @ y.T, y @ x.T)]
    terms, _ = objective("clip", learn_temperature=False).terms(out, together)
    np.testing.assert_allclose(terms["contrast"], np.mean(ways), rtol=1e-5)


def test_evals_are_given_no_vectors_that_are_for_the_loss_alone():
    own, batch = objective("merl", encoder=dict(name="resnet1d", blocks=(1,), width=4)), pairs()
    params, state = own.init(jax.random.key(0), batch)
    assert set(own.predict(params, state, batch)) == {"features", "projection", "text_projection"}


def test_merls_two_views_differ_by_their_dropout_and_are_alike_for_one_key():
    own, batch = objective("merl", encoder=dict(name="resnet1d", blocks=(1,), width=4)), pairs()
    params, state = own.init(jax.random.key(0), batch)
    params["signal_projector"]["second"] = params["signal_projector"]["first"]
    runs = [own.embed(params, state, batch, jax.random.key(k), train=True)[0] for k in (1, 1, 2)]
    assert not np.allclose(runs[0]["first"], runs[0]["second"])
    np.testing.assert_array_equal(runs[0]["first"], runs[1]["first"])
    assert not np.allclose(runs[0]["first"], runs[2]["first"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(loss="infonce"), "config.objective.loss.*known.*siglip"),
        (dict(loss="clip", similarity="tiles"), "similarity is 'tiles'"),
        (dict(loss="clip", temperature=0.0), "temperature is 0.0"),
        (dict(loss="clip", uni_modal=1.0), "unknown .'uni_modal'."),
        (dict(loss="merl", signal_projection=(8, 4)), "MERL's has one size"),
    ],
)
def test_settings_that_fit_no_loss_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        objective(**settings)


def test_batches_of_bags_are_refused():
    batch = tiny_batch()
    assert "signal_bag" in batch
    config = ConfigDict(dict(objective=dict(name="paired_contrast", loss="clip",
                                            signal_projection=(4,), text_projection=(4,)),
                             encoder=dict(name="mlp", hidden=(), outputs=2), dtype="float32",
                             sampler=dict(name="bags")))  # fmt: skip
    with pytest.raises(ValueError, match="needs config.sampler.name='pairs'"):
        build_objective(config, SPEC, None)


def test_unknown_similarity_of_the_sigmoid_loss_is_refused():
    x, bag = jnp.ones((2, 3)), jnp.arange(2)
    with pytest.raises(ValueError, match="known"):
        losses.sigmoid_contrast(x, x, signal_bag=bag, text_bag=bag, similarity="tile")
