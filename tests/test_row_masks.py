"""Masks of every row: exact counts, nothing both seen and hidden, every patch equally often."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.masking import MaskError, draw_row_masks, visible_of

drawn = jax.jit(draw_row_masks, static_argnums=(1, 2, 3, 4))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    sizes=st.sampled_from([(3, 12, 20, 5), (5, 1, 12, 3), (1, 2, 2, 1)]),
)
def test_counts_are_exact_and_hidden_patches_never_overlap_kept_ones(seed, sizes):
    masks = drawn(jax.random.key(seed), *sizes)
    rows, groups, patches, visible = sizes
    assert masks.keep.shape == (rows, groups, visible)
    assert (masks.hidden.sum(-1) == patches - visible).all()
    for keep, place, hidden in zip(
        np.asarray(masks.keep).reshape(-1, visible),
        np.asarray(masks.place).reshape(-1, patches),
        np.asarray(masks.hidden).reshape(-1, patches),
        strict=True,
    ):
        assert len(set(keep)) == visible and set(keep) == set(np.flatnonzero(~hidden))
        assert sorted(place) == list(range(patches))
        np.testing.assert_array_equal(place[keep], np.arange(visible))


def test_every_patch_is_seen_as_often_as_any_other_whatever_its_row_and_group():
    masks = drawn(jax.random.key(0), 4000, 2, 8, 2)
    seen = 1 - np.asarray(masks.hidden).mean(0)
    np.testing.assert_allclose(seen, 0.25, atol=0.03)  # 4 standard deviations
    together = np.asarray(masks.hidden[:, 0]) == np.asarray(masks.hidden[:, 1])
    assert abs(together.mean() - (0.25**2 + 0.75**2)) < 0.03  # groups draw for themselves


@settings(max_examples=200, deadline=None)
@given(patches=st.integers(2, 400), hidden_share=st.floats(0.0, 1.0))
def test_so_many_are_visible_as_published_or_none_can_be(patches, hidden_share):
    expected = int(patches * (1 - hidden_share) + 1e-6)
    if 0 < expected < patches:
        assert visible_of(patches, hidden_share) == expected
    else:
        with pytest.raises(MaskError, match=f"of {patches} patches {expected} would be visible"):
            visible_of(patches, hidden_share)


def test_the_published_counts_and_a_share_that_is_none():
    assert [visible_of(n, 0.75) for n in (20, 30, 12, 11)] == [5, 7, 3, 2]
    assert visible_of(10, 0.9) == 1  # 10 x (1 - 0.9) is a little less
    with pytest.raises(MaskError, match="hidden_share is 1.5"):
        visible_of(20, 1.5)
