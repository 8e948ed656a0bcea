"""Masked autoencoders: padding, parts of a batch, what learns, what starts from one, the loss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from elm_jax import losses, networks, start
from elm_jax.accumulate import value_and_grad
from elm_jax.convert.parts import ModelParts
from elm_jax.losses.reconstruction import normalised_patches
from elm_jax.masked_objectives import masked_recon
from elm_jax.masking import MaskError
from elm_jax.models.flat_mlp import FlatMlp
from elm_jax.models.vit1d import ViT1d
from elm_jax.objectives.base import Objective
from elm_jax.signals.profiles import ECG_SPEC
from elm_jax.state import TrainState

LEADS, SAMPLES, ROWS = 3, 24, 8
SIZES = dict(width=8, depth=1, heads=2, head_width=4, mlp_ratio=2.0)
LAYOUTS = {"st_mem": 4, "mtae": 4, "mlae": None}
QUICK = {"xla_backend_optimization_level": "0"}
quick = functools.partial(jax.jit, compiler_options=QUICK)
KEY = jax.random.key(7)
SPEC = ECG_SPEC.replace(
    channels=("I", "II", "V1"), sfreq_hz=8.0, window_s=3.0, lowpass_hz=4.0
)  # fmt: skip


def tiny(layout="st_mem", *, encoder=(), **settings):
    settings = dict(name="masked_recon", decoder=dict(width=6, depth=1, heads=1)) | settings
    sizes = SIZES | dict(layout=layout, patch_size=LAYOUTS[layout]) | dict(encoder)
    return masked_recon(settings, ViT1d(**sizes))


@functools.cache
def setting(layout="st_mem"):
    """Objective, drawn parameters, and a batch of eight rows of which two are padding of NaN."""
    # Of six patches one is seen; of three leads, one.
    objective = tiny(layout, hidden_share=0.75 if layout != "mlae" else 0.6)
    rng = np.random.default_rng(0)
    valid = jnp.arange(ROWS) % 4 != 3
    signal = jnp.asarray(rng.normal(size=(ROWS, LEADS, SAMPLES)), jnp.float32)
    batch = {"signal": signal, "signal_valid": valid}
    shapes, _ = jax.eval_shape(objective.init, KEY, batch)
    draw = lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32)  # noqa: E731
    params = jax.tree.map(draw, shapes)
    return objective, params, batch | {"signal": jnp.where(valid[:, None, None], signal, jnp.nan)}


@functools.cache
def grads_in(parts, layout="st_mem"):
    objective, params, _ = setting(layout)
    learns = jax.tree.map(lambda _: True, params)
    run = value_and_grad(objective, lambda b: b, learns, parts)
    return quick(run)


@functools.cache
def found(layout="st_mem", parts=1):
    _, params, batch = setting(layout)
    return grads_in(parts, layout)(params, {"batch_stats": {}}, batch, KEY)


def close(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **(dict(rtol=2e-4, atol=2e-6) | tolerance))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_keeps_the_contract_and_every_parameter_learns(layout):
    objective, _, _ = setting(layout)
    assert isinstance(objective, Objective)
    for path, grad in jax.tree_util.tree_leaves_with_path(found(layout).grads):
        names = [str(part.key) for part in path]
        if names[-2:] != ["key", "bias"]:  # shifts all of a query's logits alike
            assert np.abs(grad).max() > 1e-7, names


def test_whatever_padding_holds_changes_nothing():
    _, params, batch = setting()
    other = batch | {"signal": jnp.where(jnp.isnan(batch["signal"]), 1e6, batch["signal"])}
    again = grads_in(1)(params, {"batch_stats": {}}, other, KEY)
    assert np.isfinite(found().loss)
    close(again, found(), rtol=0, atol=0)


def test_the_loss_is_that_of_hidden_patches_of_real_rows_alone():
    objective, params, batch = setting()
    shape = (ROWS, LEADS, 6, 4)
    masks = objective.masks(jax.random.split(KEY, 3)[0], shape)
    out, _ = quick(functools.partial(objective.embed, train=True))(params, {}, batch, KEY)
    _, made, patches = quick(objective.reconstruct)(params, batch, masks)
    target = np.asarray(normalised_patches(patches))
    rows = []
    for row in range(ROWS):
        wrong = [
            np.square(made[row, lead, n] - target[row, lead, n]).mean()
            for lead in range(LEADS)
            for n in range(6)
            if masks.hidden[row, lead, n]
        ]
        assert len(wrong) == LEADS * 5
        rows.append(np.mean(wrong))
    close(out["reconstruction"], np.array(rows), rtol=1e-5)
    valid = np.asarray(batch["signal_valid"])
    close(found().loss, np.mean(np.array(rows)[valid]), rtol=1e-5)


def test_parts_of_a_batch_draw_masks_of_their_own_and_weigh_by_their_rows():
    """No more can be asked: which patches are hidden differs, whatever has to be the same is."""
    objective, params, batch = setting()
    parts = found(parts=2)
    keys = jax.random.split(KEY, 2)
    of_part = quick(functools.partial(objective.loss, train=True))
    losses_of, weights = [], []
    for i in range(2):
        own = {k: v[i::2] for k, v in batch.items()}
        loss, out = of_part(params, {"batch_stats": {}}, own, keys[i])
        losses_of.append(float(loss))
        weights.append(float(out.weight))
    assert weights == [4.0, 2.0]
    assert float(parts.loss) == pytest.approx(np.average(losses_of, weights=weights), rel=1e-5)


def test_validations_hide_the_same_and_training_draws_anew():
    objective, _, _ = setting()
    shape = (ROWS, LEADS, 6, 4)
    same = [objective.masks(None, shape) for _ in range(2)]
    close(same[0], same[1], rtol=0, atol=0)
    one, other = (objective.masks(jax.random.key(i), shape) for i in (1, 2))
    assert (np.asarray(one.hidden) != np.asarray(other.hidden)).any()
    # Rows, and leads within them, are not masked alike.
    hidden = np.asarray(one.hidden).reshape(-1, 6)
    assert len({tuple(row) for row in hidden}) > 3


def test_positions_stay_and_are_sines_and_cosines():
    objective, _, batch = setting()
    assert objective.frozen == ("(encoder|decoder)/position_embed",)
    clean = {k: jnp.nan_to_num(v) if k == "signal" else v for k, v in batch.items()}
    params, _ = quick(objective.init)(KEY, clean)
    position = np.asarray(params["encoder"]["position_embed"])
    assert position.shape == (8, 8) and not position[[0, -1]].any()
    angle = np.arange(6)[:, None] * 1e4 ** (-np.arange(4) / 4)
    close(position[1:-1], np.concatenate([np.sin(angle), np.cos(angle)], 1), atol=1e-6)


# -- through the doors ----------------------------------------------------------------------------


def config_of(objective, **encoder):
    encoder = dict(name="vit1d", layout="st_mem", patch_size=4) | SIZES | encoder
    return ConfigDict(dict(dtype="float32", encoder=encoder, objective=objective, text=None))


def build(objective, spec=SPEC, **encoder):
    return networks.build_objective(config_of(objective, **encoder), spec, None)


PRETRAINING = dict(name="masked_recon", decoder=dict(width=6, depth=1, heads=1))
CLASSIFY = dict(
    name="classify", labels=dict(name="x", kind="multiclass", classes=("a", "b")), hidden=(4,)
)
CONTRAST = dict(
    name="paired_contrast", loss="merl", signal_projection=(4,), text_projection=None,
    signal_head=dict(pooling="mlp", hidden=5),
)  # fmt: skip


@pytest.mark.parametrize("objective", [CLASSIFY, CONTRAST], ids=["classifier", "contrast"])
def test_what_a_pretrained_encoder_embeds_is_what_others_start_from(objective):
    pretraining, params, batch = setting()
    vectors = quick(pretraining.predict)(params, {}, batch)["features"]
    other = build(objective)
    fresh = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(other.init, KEY, batch)
    )
    state = TrainState(jnp.zeros((), int), *fresh, ())
    source = ModelParts(
        spec=SPEC, recipe={}, params=jax.tree.map(np.asarray, params),
        model_state={"batch_stats": {}}, source="there",
    )  # fmt: skip
    rules = (("encoder/.*", "load"), (".*", "fresh"))
    begun, told = start.overlay(state, source, rules)
    assert "loaded encoder" in told
    out = quick(other.predict)(begun.params, begun.model_state, batch)
    valid = np.asarray(batch["signal_valid"])
    close(out["features"][valid], vectors[valid], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "encoder", "message"),
    [
        (PRETRAINING | dict(hidden_share=0.9), {}, "of 6 patches 0 would be visible"),
        (PRETRAINING | dict(decoder=dict(heds=2)), {}, r"config.objective.decoder: unknown"),
        (PRETRAINING | dict(share=0.5), {}, r"config.objective: unknown \['share'\]"),
        (PRETRAINING, dict(patch_size=5), "no whole number of patches of 5 samples"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_words(objective, encoder, message):
    batch = {"signal": jnp.zeros((2, 3, 24)), "signal_valid": jnp.ones(2, bool)}
    with pytest.raises((ValueError, MaskError), match=message):
        jax.eval_shape(build(objective, **encoder).init, KEY, batch)


def test_an_encoder_without_patches_cannot_be_hidden_from():
    with pytest.raises(ValueError, match="FlatMlp has none: set config.encoder.name='vit1d'"):
        masked_recon(dict(name="masked_recon"), FlatMlp())


# -- the loss itself ------------------------------------------------------------------------------


def test_normalised_patches_have_unbiased_variance_one_and_flat_ones_are_zero():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 5, (2, 3, 7)), jnp.float32).at[1, 2].set(4.0)
    y = np.asarray(normalised_patches(x))
    np.testing.assert_allclose(y[:, :2].std(-1, ddof=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-5)
    assert not y[1, 2].any()
    with pytest.raises(ValueError, match="normalised_patches=False"):
        normalised_patches(x[..., :1])


def test_visible_patches_have_no_weight_and_a_row_without_hidden_ones_none_at_all():
    rng = np.random.default_rng(0)
    made, patches = (jnp.asarray(rng.normal(size=(2, 2, 3, 4)), jnp.float32) for _ in range(2))
    hidden = jnp.zeros((2, 2, 3), bool).at[0, 0, 1].set(True).at[0, 1, 2].set(True)
    error, weight = losses.reconstruction(made, patches, hidden, normalised=False)
    assert error.shape == weight.shape == (2, 2, 3)
    close(weight.sum((1, 2)), np.array([1.0, 0.0]))
    close(error[0, 0, 1], np.square(made - patches)[0, 0, 1].mean())
    assert not error[1].any() and not error[0, 0, [0, 2]].any()
    half = losses.reconstruction(
        made.astype(jnp.bfloat16), patches.astype(jnp.bfloat16), hidden, normalised=True
    )
    assert half[0].dtype == jnp.float32
