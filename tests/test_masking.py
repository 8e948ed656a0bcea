"""Masks: right counts, nothing twice, nothing both seen and asked for, published frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.masking import (
    MaskError,
    MaskSizes,
    draw_masks,
    draw_second_view,
    mask_sizes,
    overlap_of,
)

SIZES = [(16, 58), (16, 19), (2, 4), (40, 7)]  # patches, channels
drawn = jax.jit(draw_masks, static_argnums=1)
second = jax.jit(draw_second_view, static_argnames=("sizes", "overlap", "jitter"))
keys = st.integers(0, 2**31 - 1).map(jax.random.key)


def published_coins(rng, patches, channels, *, shown, p_hidden=0.5, p_extra=0.2):
    """Visible and asked tokens as bools, drawn with EEGPT's coins (Wang et al. 2024)."""
    while True:
        hidden = rng.random(patches) <= p_hidden
        keep = np.zeros((patches, channels), bool)
        for patch in np.flatnonzero(~hidden):
            keep[patch, rng.permutation(channels)[:shown]] = True
        extra = ~keep & ~hidden[:, None] & (rng.random((patches, channels)) < p_extra)
        if keep.any() and extra.any():
            return keep, hidden[:, None] | extra


def published_shared(rng, shown):
    """How many channels two views of DARE-EEG share."""
    ratio = rng.uniform(0.2, 0.8)
    share = 2 * ratio / (1 + ratio) + rng.uniform(-0.05, 0.05)
    return round(max(0.0, min(0.95, share)) * shown)


def test_the_published_montage_has_the_published_counts():
    assert mask_sizes(16, 58) == MaskSizes(16, 58, 8, 12, 74)
    assert mask_sizes(16, 58).asked == 8 * 58 + 74
    assert [mask_sizes(16, c).visible_channels for c in (4, 19, 21, 62, 64)] == [4, 4, 4, 13, 13]


@settings(max_examples=60, deadline=None)
@given(patches=st.integers(2, 64), channels=st.integers(4, 128))
def test_any_signal_that_can_be_masked_has_something_seen_and_something_hidden(patches, channels):
    sizes = mask_sizes(patches, channels)
    assert 0 < sizes.visible_patches < patches
    assert 4 <= sizes.visible_channels <= channels
    hidden = sizes.visible_patches * (channels - sizes.visible_channels)
    assert abs(sizes.extra - 0.2 * hidden) <= 0.5
    assert abs(sizes.visible_patches - patches / 2) <= 0.5


@pytest.mark.parametrize(("patches", "channels"), SIZES)
def test_masks_have_these_counts_and_nothing_twice(patches, channels):
    sizes = mask_sizes(patches, channels)

    @settings(max_examples=25, deadline=None)
    @given(key=keys)
    def holds(key):
        keep, asked = map(np.asarray, drawn(key, sizes))
        assert keep.shape == (sizes.visible_patches, sizes.visible_channels)
        assert asked.shape == (sizes.asked,)
        patch = keep // channels
        assert (patch == patch[:, :1]).all()  # a row is one patch
        assert (np.diff(patch[:, 0]) > 0).all()  # in order of time
        tokens = np.concatenate([keep.ravel(), asked])
        assert len(set(tokens.tolist())) == len(tokens)
        assert tokens.min() >= 0 and tokens.max() < patches * channels
        whole = np.setdiff1d(np.arange(patches), patch[:, 0])
        wanted = whole[:, None] * channels + np.arange(channels)
        assert np.isin(wanted, asked).all()
        assert np.isin(asked[wanted.size :] // channels, patch[:, 0]).all()

    holds()


@pytest.mark.parametrize(("patches", "channels"), [(16, 58), (16, 19)])
def test_every_token_is_seen_and_asked_for_as_often_as_by_the_published_coins(patches, channels):
    sizes, n = mask_sizes(patches, channels), 4000
    many = jax.vmap(lambda key: draw_masks(key, sizes))(jax.random.split(jax.random.key(0), n))
    rng = np.random.default_rng(0)
    shown = sizes.visible_channels
    coins = [published_coins(rng, patches, channels, shown=shown) for _ in range(n)]
    for tokens, published in zip(many, zip(*coins, strict=True), strict=True):
        ours = np.bincount(np.asarray(tokens).ravel(), minlength=patches * channels) / n
        theirs = np.mean(published, axis=0).ravel()
        # Means over all tokens agree but for the rounding of a count; each within 5 deviations.
        assert abs(ours.mean() - theirs.mean()) < 1.5 / (patches * channels) + 0.004
        spread = np.sqrt(np.maximum(theirs * (1 - theirs), 1e-4) * 2 / n)
        assert (np.abs(ours - theirs) < 5 * spread + 0.001).all()


@pytest.mark.parametrize("channels", [58, 19, 7])
def test_the_second_view_shares_a_controlled_part_of_the_first(channels):
    sizes = mask_sizes(16, channels)
    shown = sizes.visible_channels

    @settings(max_examples=30, deadline=None)
    @given(key=keys)
    def holds(key):
        one = drawn(key, sizes).keep
        two = second(key, one, sizes)
        realised = float(overlap_of(one, two))
        one, two = np.asarray(one), np.asarray(two)
        assert two.shape == one.shape
        assert (two // channels == one // channels).all()  # the same moments, in the same order
        assert all(len(set(row)) == shown for row in two.tolist())
        common = [len(np.intersect1d(a, b)) for a, b in zip(one, two, strict=True)]
        assert len(set(common)) == 1  # one overlap a batch
        low, high = round(0.28333 * shown), round(0.93889 * shown)
        assert low <= common[0] <= high
        ratio = common[0] / (2 * shown - common[0])
        assert realised == pytest.approx(ratio, rel=1e-6)
        if shown == 12:
            assert 0.142 < ratio < 0.847

    holds()


def test_overlaps_come_as_often_as_published():
    sizes, n = mask_sizes(16, 58), 6000

    def shared(key):
        keep = draw_masks(key, sizes).keep
        ratio = overlap_of(keep, draw_second_view(key, keep, sizes))
        return 2 * ratio / (1 + ratio) * sizes.visible_channels

    ours = np.rint(jax.vmap(shared)(jax.random.split(jax.random.key(1), n))).astype(int)
    rng = np.random.default_rng(1)
    theirs = [published_shared(rng, 12) for _ in range(n)]
    ours, theirs = (np.bincount(x, minlength=13) / n for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    assert set(np.flatnonzero(ours)) <= set(range(3, 12))


def test_all_channels_may_be_seen_and_shared():
    sizes = mask_sizes(4, 8, channel_share=1.0)
    keep = drawn(jax.random.key(0), sizes).keep
    two = second(jax.random.key(1), keep, sizes, overlap=(1.0, 1.0), jitter=0.0)
    # At most 95 % are shared, which rounds to all of eight.
    assert np.array_equal(np.sort(two), np.sort(keep))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mask_sizes(1, 58), "of 1 time patches 0 would be visible"),
        (lambda: mask_sizes(16, 58, patch_share=1.0), "16 would be visible: some must"),
        (lambda: mask_sizes(16, 3), "has 3 channels; masking shows at least 4"),
        (lambda: mask_sizes(16, 58, extra_share=1.2), "extra_channels is 1.2: a share"),
    ],
)
def test_what_cannot_be_masked_is_refused(make, message):
    with pytest.raises(MaskError, match=message):
        make()


@pytest.mark.parametrize(
    ("channels", "overlap", "message"),
    [(5, (0.2, 0.8), "share only 1 need 7 channels; the signal has 5"),
     (58, (0.8, 0.2), "expected 0 <= low <= high"),
     (58, (-0.1, 0.2), "expected 0 <= low <= high")],
)  # fmt: skip
def test_views_that_cannot_overlap_so_are_refused(channels, overlap, message):
    sizes = mask_sizes(16, channels)
    keep = jnp.zeros((sizes.visible_patches, sizes.visible_channels), int)
    with pytest.raises(MaskError, match=message):
        draw_second_view(jax.random.key(0), keep, sizes, overlap=overlap)
