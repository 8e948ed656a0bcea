"""Encoder, predictor and reconstructor against the published implementation's values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity.masked_models import Golden

from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.masked_heads import Predictor, Reconstructor, visible_patches


@pytest.fixture(scope="module", params=["nano", "embed4"])
def golden(request, shared):
    return Golden(shared / "golden" / "eegpt" / f"{request.param}.npz")


def run(module, tree, *args, **kwargs):
    fixed = {k: kwargs.pop(k) for k in ("patches",) if k in kwargs}
    apply = functools.partial(module.apply, train=False, **fixed)
    return jax.jit(apply)({"params": tree}, *args, **kwargs)


@pytest.mark.parametrize(
    "name, part, mask",
    [
        ("encoder_masked", "encoder", "mask_x"), ("encoder_masked2", "encoder", "mask_x2"),
        ("encoder_full", "encoder", None), ("target", "target_encoder", None),
    ],
)  # fmt: skip
def test_encoder_gives_the_published_values(golden, name, part, mask):
    module = EegTransformer(depth=golden.depth(part), **golden.sizes())
    keep = None if mask is None else jnp.asarray(golden[mask])
    found = run(
        module, golden.part(part), golden["x"], channel_id=golden["chan_ids"], keep=keep
    ).tokens
    expected = golden[name].reshape(*golden[name].shape[:2], -1)
    if name == "target":  # stored layer-normed
        found = found.reshape(golden["target"].shape)
        found = (found - found.mean(-1, keepdims=True)) / jnp.sqrt(
            found.var(-1, keepdims=True) + 1e-5
        )
        found = found.reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def flat(golden, name):
    return golden[name].reshape(*golden[name].shape[:2], -1)


def test_predictor_gives_the_published_values(golden):
    module = Predictor(depth=golden.depth("predictor"), **golden.sizes())
    visible = visible_patches(golden["mask_x"], 58)
    found = run(
        module,
        golden.part("predictor"),
        flat(golden, "encoder_masked"),
        visible=visible,
        patches=16,
    )
    np.testing.assert_allclose(found.tokens, flat(golden, "predictor"), atol=1e-5)
    np.testing.assert_allclose(found.combined, flat(golden, "predictor_combined"), atol=1e-5)


def test_reconstructor_gives_the_published_values(golden):
    module = Reconstructor(depth=golden.depth("reconstructor"), **golden.sizes())
    found = run(
        module, golden.part("reconstructor"), flat(golden, "predictor_combined"),
        query=golden["mask_y"], channel_id=golden["chan_ids"],
    )  # fmt: skip
    np.testing.assert_allclose(found, golden["reconstruction"], atol=1e-5)
