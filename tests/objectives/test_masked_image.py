"""Masked image modelling scores what is hidden alone, as transformers' ViT for it does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_leads import SPEC, WINDOW_S, beats, encoder_settings

from elm_jax import build
from elm_jax.masking import MaskError


def make(encoder=None, spec=SPEC, **objective):
    settings = dict(name="masked_image", hidden_share=0.75) | objective
    encoder = encoder or encoder_settings(image_size=64, tower=dict(pooling="mean"))
    config = ConfigDict(dict(dtype="float32", encoder=encoder, objective=settings, text=None))
    return build.build_objective(config, spec, None)


def batch(n=3):
    rng = np.random.default_rng(0)
    signal = np.stack([beats(rng, WINDOW_S) for _ in range(n)])
    return {"signal": jnp.asarray(signal), "signal_valid": jnp.ones(n, bool)}


@pytest.fixture(scope="module")
def made():
    objective = make()
    params, state = jax.jit(objective.init)(jax.random.key(0), batch())
    return objective, params, state


def run(objective, params, state, own):
    """The loss and what is reported, with the masks of evaluation."""

    def loss(params, own):
        out, _ = objective.embed(params, state, own, None, train=False)
        terms, report = objective.terms(out, own)
        return sum(terms.values()), report

    return jax.jit(loss)(params, own)


def test_exactly_a_share_is_hidden_and_evaluation_has_the_same_masks():
    objective = make()
    hidden = objective.hidden(jax.random.key(3), 5)
    np.testing.assert_array_equal(hidden.sum(1), 12)
    assert len({tuple(row) for row in np.asarray(hidden)}) > 1
    np.testing.assert_array_equal(objective.hidden(None, 4), objective.hidden(None, 4))
    with pytest.raises(MaskError, match="hidden_share"):
        make(hidden_share=0.99).hidden(None, 1)


def test_the_loss_is_the_mean_absolute_error_of_hidden_pixels(made):
    objective, params, state = made
    own = batch()
    loss, report = run(objective, params, state, own)
    hidden = objective.hidden(None, 3)
    encoded, pixels = seen(objective, params, own["signal"], hidden)
    decoded = objective.decoder.apply({"params": params["decoder"]}, encoded.tokens)
    image = np.asarray(decoded).reshape(3, 4, 4, 16, 16, 3).transpose(0, 1, 3, 2, 4, 5)
    error = np.abs(image.reshape(3, 64, 64, 3) - np.asarray(pixels))
    mask = np.asarray(hidden).reshape(3, 4, 4).repeat(16, 1).repeat(16, 2)
    # transformers: (|error| * mask).sum() / mask.sum() / channels
    expected = (error * mask[..., None]).sum() / mask.sum() / 3
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert 0.9 < report["of_flat"] < 3


@functools.cache
def _seen(objective):
    return jax.jit(
        lambda params, signal, hidden: objective.encoder.apply(
            {"params": params["encoder"]}, signal, hidden=hidden, train=False,
            mask_token=params["decoder"]["mask_token"], method="masked",
        )
    )  # fmt: skip


def seen(objective, params, signal, hidden):
    """The tower's output where patches are hidden, and the whole image's pixels."""
    return _seen(objective)(params, signal, hidden)


def test_what_is_hidden_is_not_seen(made):
    objective, params, state = made
    first, second = batch()["signal"][:1], 3 * batch()["signal"][:1]
    everything = jnp.ones((1, 16), bool)
    one, two = (seen(objective, params, x, everything) for x in (first, second))
    np.testing.assert_array_equal(one[0].tokens, two[0].tokens)
    assert np.abs(one[1] - two[1]).max() > 0.1
    part = everything.at[0, 5].set(False)
    one, two = (seen(objective, params, x, part)[0].tokens for x in (first, second))
    assert np.abs(one - two).max() > 1e-6


def test_padding_changes_nothing_and_gradients_reach_the_token(made):
    objective, params, state = made
    own = batch()
    two = own | {"signal_valid": jnp.asarray([True, True, False])}
    padded = two | {"signal": own["signal"].at[2].set(jnp.nan)}
    expected, _ = run(objective, params, state, two)
    np.testing.assert_array_equal(run(objective, params, state, padded)[0], expected)
    assert expected != run(objective, params, state, own)[0]
    slope = jax.jit(
        jax.grad(lambda p: objective.loss(p, state, own, jax.random.key(1), train=True)[0])
    )(params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
    assert np.abs(slope["decoder"]["mask_token"]).max() > 0


def test_finished_models_see_everything_and_other_encoders_are_refused(made):
    objective, params, state = made
    predict = jax.jit(lambda p, b: objective.predict(p, state, b))
    found = predict(params, {"signal": batch()["signal"]})
    assert found["features"].shape == (3, 16) and found["tokens"].shape == (3, 16, 16)
    np.testing.assert_allclose(found["features"], found["tokens"].mean(1), atol=1e-6)
    with pytest.raises(ValueError, match="config.encoder.name='ecg_image'"):
        make(dict(name="mlp"))
