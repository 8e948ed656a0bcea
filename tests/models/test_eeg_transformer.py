"""EEGPT's encoder and its pretraining's heads: names, masks, windows, initial values, sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.channels import UnknownChannels, channel_ids
from elm_jax.models import eeg_sizes
from elm_jax.models.base import Encoder
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.masked_heads import Predictor, Reconstructor, visible_patches
from elm_jax.models.transformer import DropPath, truncated_normal

NAMES = ("Fp1", "C3", "Cz", "T3", "O2")
SMALL = dict(width=16, depth=2, heads=2, summary_tokens=2, patch_size=8)
SIGNAL = np.random.default_rng(0).normal(size=(2, 5, 32)).astype(np.float32)


@functools.cache
def params(**changes):
    module = EegTransformer(NAMES, **SMALL | changes)
    return module.init(jax.random.key(0), jnp.asarray(SIGNAL), train=False)["params"]


def encode(signal, names=NAMES, keep=None, **changes):
    module = EegTransformer(tuple(names), **SMALL | changes)
    return jax.jit(functools.partial(module.apply, train=False))(
        {"params": params(**changes)}, jnp.asarray(signal), keep=keep
    )


def test_channels_are_known_by_name_in_any_order_and_old_or_new_spelling():
    order = [3, 0, 4, 1, 2]
    shuffled = encode(SIGNAL[:, order], ("T7", "FP1.", "EEG O2-REF", "c3", "CZ"))
    np.testing.assert_allclose(shuffled.tokens, encode(SIGNAL).tokens, atol=1e-5)
    # The same signal under other names is another input.
    renamed = encode(SIGNAL, ("Fp2", "C3", "Cz", "T3", "O2")).tokens
    assert np.abs(renamed - encode(SIGNAL).tokens).max() > 1e-4


def test_a_batch_may_bring_its_channels_numbers_once_or_row_by_row():
    module = EegTransformer((), **SMALL)
    ids = jnp.asarray(channel_ids(NAMES))
    apply = functools.partial(module.apply, {"params": params()}, jnp.asarray(SIGNAL), train=False)
    once = apply(channel_id=ids).tokens
    np.testing.assert_array_equal(once, apply(channel_id=jnp.stack([ids, ids])).tokens)
    np.testing.assert_allclose(once, encode(SIGNAL).tokens, atol=1e-6)


@pytest.mark.parametrize("number", [-1, 62])
def test_a_number_outside_the_dictionary_is_nobodys_vector(number):
    module = EegTransformer((), **SMALL)
    ids = jnp.asarray(channel_ids(NAMES)).at[2].set(number)
    found = module.apply({"params": params()}, jnp.asarray(SIGNAL), channel_id=ids, train=False)
    assert np.isnan(found.tokens).all()


@pytest.mark.parametrize("names", [NAMES[:4], (*NAMES, "Pz")])
def test_a_wrong_number_of_names_is_refused(names):
    with pytest.raises(ValueError, match=f"has 5 channels, but channels numbers {len(names)}"):
        encode(SIGNAL, names)


def test_names_outside_the_dictionary_are_refused_at_the_models_door():
    with pytest.raises(UnknownChannels, match="'T9'"):
        encode(SIGNAL, ("Fp1", "C3", "Cz", "T9", "O2"))


def test_any_window_of_whole_patches_and_no_other():
    assert encode(SIGNAL[..., :16]).tokens.shape == (2, 2, 32)
    with pytest.raises(ValueError, match="30 samples is no whole number of patches of 8"):
        encode(SIGNAL[..., :30])
    padded = np.concatenate([SIGNAL[..., :30], np.zeros((2, 5, 2), np.float32)], -1)
    found = encode(SIGNAL[..., :30], pad_window=True)
    np.testing.assert_allclose(found.tokens, encode(padded).tokens, atol=1e-6)


def test_a_stride_below_the_patchs_size_overlaps_patches():
    found = encode(SIGNAL, patch_stride=4).tokens
    assert found.shape == (2, 7, 32)
    np.testing.assert_allclose(found[:, ::2], encode(SIGNAL).tokens, atol=1e-5)
    with pytest.raises(ValueError, match="every 4"):
        encode(SIGNAL[..., :31], patch_stride=4)


def test_normed_patches_forget_scale_and_offset():
    found = encode(SIGNAL * 50 + 7, patch_norm=True).tokens
    np.testing.assert_allclose(found, encode(SIGNAL, patch_norm=True).tokens, atol=1e-3)
    assert np.abs(encode(SIGNAL * 50).tokens - encode(SIGNAL).tokens).max() > 1e-2


def test_hidden_tokens_change_nothing():
    keep = jnp.asarray([[7, 5], [15, 18]])  # channels 2 and 0 of patch 1, 0 and 3 of patch 3
    assert visible_patches(keep, 5).tolist() == [1, 3]
    seen = np.full_like(SIGNAL, 1e3)
    for patch, channels in ((1, (2, 0)), (3, (0, 3))):
        where = np.s_[:, channels, patch * 8 : patch * 8 + 8]
        seen[where] = SIGNAL[where]
    found = encode(seen, keep=keep)
    np.testing.assert_allclose(found.tokens, encode(SIGNAL, keep=keep).tokens, atol=1e-6)
    np.testing.assert_allclose(found.pooled, found.tokens.mean(1), atol=1e-6)
    shuffled = encode(SIGNAL, keep=keep[::-1, ::-1])
    np.testing.assert_allclose(shuffled.tokens[:, ::-1], found.tokens, atol=1e-5)


def test_rows_of_padding_bring_no_nan():
    module = EegTransformer(NAMES, **SMALL)
    broken = jnp.asarray(SIGNAL).at[1].set(jnp.nan)

    def loss(p):
        out = module.apply({"params": p}, broken, valid=jnp.array([True, False]), train=True)
        return out.pooled[0].sum()

    slopes = jax.tree.leaves(jax.jit(jax.grad(loss))(params()))
    assert all(np.isfinite(s).all() for s in slopes)


def test_heads_change_no_shape_but_every_value():
    shapes = jax.tree.map(jnp.shape, params())
    assert shapes == jax.tree.map(jnp.shape, params(heads=4))
    one, other = (
        EegTransformer(NAMES, **SMALL | dict(heads=h)).apply(
            {"params": params()}, jnp.asarray(SIGNAL), train=False
        )
        for h in (2, 4)
    )
    assert np.abs(one.tokens - other.tokens).max() > 1e-6


@pytest.mark.parametrize("remat", ["full", "dots"])
def test_computing_again_changes_neither_values_nor_gradients(remat):
    def slopes(remat):
        module = EegTransformer(NAMES, **SMALL, remat=remat)

        def loss(p):
            return jnp.sin(
                module.apply({"params": p}, jnp.asarray(SIGNAL), train=True).tokens
            ).sum()

        return jax.jit(jax.value_and_grad(loss))(params())

    for found, expected in zip(*map(jax.tree.leaves, (slopes(remat), slopes("none"))), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_bfloat16_stays_near_float32():
    narrow = encode(SIGNAL, dtype=jnp.bfloat16).tokens
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(narrow.astype(jnp.float32), encode(SIGNAL).tokens, atol=0.05)


def test_initial_values_are_the_published_ones():
    p = EegTransformer(NAMES, width=128, depth=3, heads=4).init(
        jax.random.key(0), jnp.zeros((1, 5, 64)), train=False
    )["params"]
    for i in range(3):
        block = p[f"layer_{i}"]
        for name in ("query", "key", "value"):
            np.testing.assert_allclose(block["attention"][name]["kernel"].std(), 0.02, rtol=0.05)
            assert not block["attention"][name]["bias"].any()
        ends = 0.02 / np.sqrt(2 * (i + 1))  # what ends a branch is divided by sqrt(2 x layer)
        np.testing.assert_allclose(block["attention"]["out"]["kernel"].std(), ends, rtol=0.05)
        np.testing.assert_allclose(block["mlp"]["down"]["kernel"].std(), ends, rtol=0.05)
        np.testing.assert_allclose(block["mlp"]["up"]["kernel"].std(), 0.02, rtol=0.05)
    np.testing.assert_allclose(p["patch_embed"]["kernel"].std(), 0.02, rtol=0.05)
    np.testing.assert_allclose(p["channel_embed"]["embedding"].std(), 0.02, rtol=0.05)
    np.testing.assert_allclose(p["summary_token"].std(), 0.02, rtol=0.2)
    assert not p["patch_embed"]["bias"].any() and (p["norm"]["scale"] == 1).all()


def test_truncation_is_at_two_absolute_not_at_two_deviations():
    drawn = truncated_normal(0.02)(jax.random.key(0), (20000,))
    assert np.abs(drawn).max() > 0.06 and np.isfinite(drawn).all()
    assert np.abs(truncated_normal(3.0)(jax.random.key(0), (20000,))).max() <= 2


def test_drop_path_leaves_out_whole_rows_and_keeps_the_mean():
    kept = DropPath(0.25).apply(
        {}, jnp.ones((4000, 2, 3)), train=True, rngs={"dropout": jax.random.key(0)}
    )
    rows = kept.reshape(4000, 6)
    assert ((rows == 0) | (rows == jnp.float32(1 / 0.75))).all() and (rows.std(1) < 1e-6).all()
    np.testing.assert_allclose(rows.mean(), 1.0, atol=0.05)
    np.testing.assert_array_equal(DropPath(0.25).apply({}, jnp.ones((3, 2)), train=False), 1)


def test_the_predictor_takes_visible_patches_in_any_order():
    sizes = dict(depth=1, heads=2, summary_tokens=2)
    tokens = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 32)), jnp.float32)
    module = Predictor(**sizes)
    init = functools.partial(module.init, patches=4, train=False)
    variables = init(jax.random.key(0), tokens, visible=jnp.array([1, 3]))
    apply = functools.partial(module.apply, variables, patches=4, train=False)
    found = apply(tokens, visible=jnp.array([1, 3]))
    other = apply(tokens[:, ::-1], visible=jnp.array([3, 1]))
    np.testing.assert_allclose(other.tokens, found.tokens, atol=1e-6)
    np.testing.assert_array_equal(found.combined[:, 1::2], tokens)
    np.testing.assert_allclose(found.combined[:, ::2], found.tokens[:, ::2], atol=1e-6)


def counted(module, *args, **kwargs):
    shapes = jax.eval_shape(
        lambda: module.init(jax.random.key(0), *args, train=False, **kwargs)["params"]
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", [*eeg_sizes.EEGPT, "light"])  # DARE's others equal one of these
def test_parameters_of_each_part_are_as_stated(name):
    width, summary, depth, heads = eeg_sizes.size(name)
    kwargs = dict(width=width, heads=heads, summary_tokens=summary)
    tokens = jnp.zeros((1, 2, summary * width))
    assert eeg_sizes.parameter_counts(eeg_sizes.size(name)) == {
        "encoder": counted(EegTransformer(NAMES, depth=depth[0], **kwargs), jnp.zeros((1, 5, 64))),
        "predictor": counted(
            Predictor(depth=depth[1], **kwargs), tokens, visible=jnp.arange(2), patches=4
        ),
        "reconstructor": counted(
            Reconstructor(depth=depth[2], **kwargs),
            tokens, query=jnp.arange(3), channel_id=jnp.arange(5),
        ),
    }  # fmt: skip


def test_the_sizes_are_the_published_ones():
    assert list(eeg_sizes.EEGPT) == "tiny1 tiny2 tiny3 little base1 base2 base3 large".split()
    assert list(eeg_sizes.DARE) == "nano light small base deep".split()
    millions = {
        name: [round(n / 1e6, 1) for n in eeg_sizes.parameter_counts(size).values()]
        for name, size in eeg_sizes.SIZES.items()
    }
    assert millions["tiny1"] == millions["nano"] == [0.1, 0.1, 0.2]
    assert millions["base1"] == millions["small"] == [4.8, 4.9, 4.8]
    assert millions["large"] == millions["deep"] == [25.3, 25.7, 25.5]
    with pytest.raises(ValueError, match="'huge'.*tiny1.*nano"):
        eeg_sizes.size("huge")


def test_the_encoder_keeps_the_houses_contract():
    assert isinstance(EegTransformer(NAMES), Encoder) and EegTransformer.by_name
