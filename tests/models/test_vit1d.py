"""ViT1d and its decoder: what is hidden reaches nothing, rows and groups, impossible windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.layer_decay import layer_factors
from elm_jax.models.vit1d import SIZES, ViT1d
from elm_jax.models.vit1d_decoder import MaskedDecoder

TINY = dict(width=8, depth=1, heads=2, head_width=4, mlp_ratio=2.0)
LAYOUTS = {"st_mem": 4, "mtae": 4, "mlae": None}
LEADS, SAMPLES = 3, 16
GROUPS = {"st_mem": (LEADS, 4), "mtae": (1, 4), "mlae": (1, LEADS)}


def tiny(layout, **options):
    return ViT1d(layout, patch_size=LAYOUTS[layout], **TINY | options)


def drawn(module, *args, **kwargs):
    """Variables without compiling an initialisation."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args, **kwargs, train=False))
    draw = lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), jnp.float32)  # noqa: E731
    return jax.tree.map(draw, shapes)


@pytest.fixture(scope="module", params=LAYOUTS)
def model(request):
    """(name, module, variables of drawn numbers, two windows)."""
    module = tiny(request.param)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, LEADS, SAMPLES)), jnp.float32)
    return request.param, module, drawn(module, x), x


def run(module, variables, x, **options):
    return jax.jit(lambda v, x: module.apply(v, x, train=False, **options))(variables, x)


def keep_of(name, rows=2):
    """Two patches of each group, other ones in every group of every row."""
    g, n = GROUPS[name]
    rng = np.random.default_rng(1)
    order = np.stack([rng.permutation(n) for _ in range(rows * g)]).reshape(rows, g, n)
    return jnp.asarray(order[..., :2]), order[..., 2:]


def blotted(x, hidden, name):
    """The signal with its hidden patches overwritten."""
    x = np.array(x)
    for row, groups in enumerate(hidden):
        for group, patches in enumerate(groups):
            for patch in patches:
                if name == "mlae":
                    x[row, patch] = 1e3
                else:
                    leads = [group] if name == "st_mem" else range(LEADS)
                    x[row, list(leads), patch * 4 : patch * 4 + 4] = 1e3
    return jnp.asarray(x)


def test_hidden_patches_change_no_token_and_visible_ones_all(model):
    name, module, variables, x = model
    keep, hidden = keep_of(name)
    found = run(module, variables, x, keep=keep)
    g, _ = GROUPS[name]
    assert found.tokens.shape == (2, g * 2, 8)
    other = run(module, variables, blotted(x, hidden, name), keep=keep)
    np.testing.assert_array_equal(found.tokens, other.tokens)
    seen = run(module, variables, blotted(x, np.asarray(keep)[:1, :1, :1], name), keep=keep)
    assert (np.abs(seen.tokens - found.tokens)[0].max(-1) > 1e-4).all()  # all attend to all,
    np.testing.assert_array_equal(seen.tokens[1], found.tokens[1])  # but no row to another


def test_the_order_in_which_patches_are_kept_only_orders_their_tokens(model):
    name, module, variables, x = model
    g, n = GROUPS[name]
    every = jnp.broadcast_to(jnp.arange(n), (2, g, n))
    whole = run(module, variables, x)
    turned = run(module, variables, x, keep=every[..., ::-1])
    back = turned.tokens.reshape(2, g, n, 8)[:, :, ::-1].reshape(whole.tokens.shape)
    np.testing.assert_allclose(back, whole.tokens, atol=1e-5)
    np.testing.assert_allclose(whole.pooled, whole.tokens.mean(1), atol=1e-6)


def test_a_lead_that_is_missing_in_one_window_changes_no_other_window(model):
    name, module, variables, x = model
    flat = x.at[0, 1].set(0.0)  # a lead off: flat, so without any deviation to be divided by
    found, other = run(module, variables, flat), run(module, variables, x)
    assert np.isfinite(found.tokens).all()
    np.testing.assert_array_equal(found.tokens[1], other.tokens[1])
    assert np.abs(found.pooled[0] - other.pooled[0]).max() > 1e-3


def test_padded_rows_may_hold_nan(model):
    _, module, variables, x = model
    valid = jnp.array([True, False])
    found = run(module, variables, x.at[1].set(jnp.nan), valid=valid)
    assert np.isfinite(found.tokens).all()
    np.testing.assert_array_equal(found.tokens[0], run(module, variables, x).tokens[0])


def test_published_sizes_have_their_parameters():
    x = jnp.zeros((1, 12, 2250))
    for name, million in (("small", 21.4), ("base", 85.2)):
        module = ViT1d(size=name, patch_size=75)
        shapes = jax.eval_shape(lambda m=module: m.init(jax.random.key(0), x, train=False))
        count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
        assert count / 1e6 == pytest.approx(million, abs=0.1), (name, count)
    assert {name: size.width // size.heads for name, size in SIZES.items()} == dict.fromkeys(
        SIZES, 64
    )


def test_explicit_numbers_stand_above_the_size_and_dropout_is_drawn():
    module = tiny("mtae", dropout=0.5, size="small")
    assert tuple(module.sizes) == (8, 1, 2)
    x = jnp.ones((1, LEADS, SAMPLES))
    variables = drawn(module, x)
    apply = jax.jit(lambda key: module.apply(variables, x, train=True, rngs={"dropout": key}))
    one, other = (apply(jax.random.key(i)).pooled for i in (1, 2))
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("layout", "options", "shape", "message"),
    [
        ("st_mem", {}, (1, 3, 17), "no whole number of patches of 4 samples"),
        ("st_mem", dict(patch_size=None), (1, 3, 16), "say how many samples a patch has"),
        ("mlae", dict(patch_size=4), (1, 3, 16), "a patch of a whole lead"),
        ("mtae", dict(in_channels=12), (1, 3, 16), "in_channels=12, the signal has 3 channels"),
        ("mtae", dict(layout="conv"), (1, 3, 16), r"config.encoder.layout is 'conv'; known"),
        ("mtae", dict(size="huge"), (1, 3, 16), r"config.encoder.size is 'huge'; known"),
        ("mtae", dict(width=7), (1, 3, 16), "an even width"),
    ],
)
def test_what_it_cannot_cut_or_be_is_said(layout, options, shape, message):
    options = dict(layout=layout, patch_size=LAYOUTS[layout]) | TINY | options
    with pytest.raises(ValueError, match=message):
        ViT1d(**options).init(jax.random.key(0), jnp.zeros(shape), train=False)


@pytest.mark.parametrize(
    ("layout", "shape"), [("st_mem", (1, 3, 20)), ("mtae", (1, 3, 12)), ("mlae", (1, 2, 16))]
)
def test_windows_of_another_number_of_patches_are_refused(layout, shape):
    module = tiny(layout)
    variables = drawn(module, jnp.zeros((1, LEADS, SAMPLES)))
    with pytest.raises(ValueError, match="has positions of .* patches, the windows have"):
        module.apply(variables, jnp.zeros(shape), train=False)


def test_layer_decay_knows_what_stands_below_the_first_layer(model):
    _, _, variables, _ = model
    factors = layer_factors({"encoder": variables["params"]}, 0.5)["encoder"]
    below = {k: v for k, v in factors.items() if k not in ("layer_0", "norm")}
    assert set(jax.tree.leaves(below)) == {0.25} and set(jax.tree.leaves(factors["norm"])) == {1.0}
    assert "patch_embed" in below and "position_embed" in below


# -- the decoder ----------------------------------------------------------------------------------


def test_groups_are_decoded_by_themselves_and_hidden_patches_by_their_place():
    """Two groups of three patches of which one is visible, between two special tokens."""
    module = MaskedDecoder(**TINY)
    latents = jax.random.normal(jax.random.key(0), (1, 2, 3, 5))
    place = jnp.array([[[1, 0, 2], [1, 0, 2]]])
    sizes = dict(visible=1, values=4)
    variables = drawn(module, latents, place=place, **sizes)
    decode = jax.jit(
        lambda x, place: module.apply(variables, x, place=place, train=False, **sizes)
    )  # fmt: skip
    made = decode(latents, place)
    assert made.shape == (1, 2, 3, 4)
    other = decode(latents.at[0, 1].add(1.0), place)
    np.testing.assert_array_equal(other[0, 0], made[0, 0])
    assert (np.abs(other - made)[0, 1].max(-1) > 1e-3).all()
    # Hidden patches differ by their place alone; which of them comes first is nothing to them.
    same = decode(latents, jnp.array([[[2, 0, 1], [2, 0, 1]]]))
    np.testing.assert_array_equal(same, made)
    assert np.abs(made[0, 0, 0] - made[0, 0, 2]).max() > 1e-3
