"""Encoder, predictor and reconstructor against the published implementation's values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity.masked_models import Golden, part

from elm_jax.models.eeg_sizes import EegSize, parameter_counts
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.masked_heads import Predictor, Reconstructor, visible_patches
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength


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


PARTS = ("encoder", "predictor", "reconstructor")


def test_each_part_has_as_many_parameters_as_stated(golden):
    published = {
        name: sum(x.size for k, x in golden.state.items() if k.startswith(f"{name}."))
        for name in PARTS
    }
    for name in PARTS[1:]:  # a table of rotary frequencies, which nobody learns
        published[name] -= golden.state[f"{name}.time_embed.freqs"].size
    sizes = golden.sizes()
    depth = tuple(golden.depth(name) for name in PARTS)
    size = EegSize(sizes["width"], sizes["summary_tokens"], depth, sizes["heads"])
    assert parameter_counts(size) == published


def test_what_decays_is_what_the_published_groups_decay(golden):
    """There: no tensor of one axis and none with "bias" in its name. Here: more than one axis."""
    groups = {
        name: np.full_like(value, "bias" not in name and value.ndim != 1)
        for name, value in golden.state.items()
        if "freqs" not in name
    }
    wanted = {name: part(groups, name) for name in PARTS}
    params = jax.tree.map(jnp.ones_like, wanted)
    settings = dict(
        name="adamw", rate=1.0, weight_decay=0.5, rules=((".*", "train"),),
        schedule=dict(kind="constant", warmup_steps=0, total_steps=1, per="step"),
    )  # fmt: skip
    optimizer = make_optimizer(settings, params, RunLength(1, 1, 1))
    no_slopes = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.tx.update(no_slopes, optimizer.tx.init(params), params)
    found = jax.tree.map(lambda x: -2 * x, updates)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert {float(x.reshape(-1)[0]) for x in jax.tree.leaves(wanted)} == {0.0, 1.0}
