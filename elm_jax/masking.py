"""Which tokens a masked encoder sees and which it must predict: fixed counts, drawn from a key.

Masked autoencoders (He et al. 2022; of ECG: ST-MEM, MTAE, MLAE) hide a share of the patches, of
every row by itself: :func:`draw_row_masks`. All else here is EEGPT's and DARE-EEG's.

A token is one channel in one time patch; its index is ``patch * channels + channel``. EEGPT (Wang
et al., NeurIPS 2024) hides every time patch by a coin (p = 0.5), shows 12 of 58 channels of the
others, and reconstructs the hidden patches and, each by a coin (p = 0.2), the hidden channels of
the visible ones. Here the *counts* are what those coins give on average and the *choice* is random,
since compiled programs have static shapes; every token is then seen, and asked for, with the
published probability (but for rounding).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Int, Key

PATCH_SHARE = 0.5
CHANNEL_SHARE = 12 / 58
EXTRA_SHARE = 0.2
MIN_CHANNELS = 4
# Of the first view's channels the second shares at most that much, as published.
MAX_SHARED = 0.95


class MaskError(ValueError):
    """A signal of too few patches or channels to be masked."""


class MaskSizes(NamedTuple):
    """How many of what a mask has.

    Attributes:
      patches: time patches of the signal.
      channels: of the signal.
      visible_patches: of them are seen.
      visible_channels: are seen in each of those.
      extra: of the hidden channels of visible patches that are reconstructed, in all.
    """

    patches: int
    channels: int
    visible_patches: int
    visible_channels: int
    extra: int

    @property
    def asked(self) -> int:
        """How many tokens are reconstructed."""
        return (self.patches - self.visible_patches) * self.channels + self.extra


class Masks(NamedTuple):
    """One mask, the same for all rows of a batch.

    Attributes:
      keep: the visible tokens, a row a visible patch; patches in order of time, channels in any.
      asked: the tokens to reconstruct, none of which is visible: all of the hidden patches, in
        order, and then some of the visible patches' hidden channels.
    """

    keep: Int[Array, "p c"]
    asked: Int[Array, " n"]


def mask_sizes(
    patches: int,
    channels: int,
    *,
    patch_share: float = PATCH_SHARE,
    channel_share: float = CHANNEL_SHARE,
    extra_share: float = EXTRA_SHARE,
) -> MaskSizes:
    """The counts for a signal of so many patches and channels.

    Of 16 patches and 58 channels: 8 patches, 12 channels, 74 extra tokens.

    Args:
      patches: at least 2, so that some are seen and some are not.
      channels: at least 4; so many at least are seen.
      patch_share: of the patches that are seen.
      channel_share: of the channels that are seen in those.
      extra_share: of the other channels of those patches that are reconstructed.

    Raises:
      MaskError: too few patches or channels, or a share that leaves nothing on one side.
    """
    shares = dict(
        visible_patches=patch_share, visible_channels=channel_share, extra_channels=extra_share
    )
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise MaskError(f"config.objective.{name} is {share}: a share from 0 to 1")
    visible = round(patch_share * patches)
    if not 0 < visible < patches:
        raise MaskError(
            f"of {patches} time patches {visible} would be visible: some must be seen and some "
            "hidden. Take longer windows (config.signal.window_s), smaller patches "
            "(config.encoder.patch_size), or another config.objective.visible_patches"
        )
    if channels < MIN_CHANNELS:
        raise MaskError(
            f"the signal has {channels} channels; masking shows at least {MIN_CHANNELS} of them: "
            "prepare the corpus with more channels (data_prep.prepare --channels)"
        )
    shown = max(MIN_CHANNELS, round(channel_share * channels))
    return MaskSizes(
        patches, channels, visible, shown, round(extra_share * visible * (channels - shown))
    )


def draw_masks(key: Key, sizes: MaskSizes) -> Masks:
    """A mask at random."""
    key_patches, key_channels, key_extra = jax.random.split(key, 3)
    patches, channels = sizes.patches, sizes.channels
    order = jax.random.permutation(key_patches, patches)
    visible = jnp.sort(order[: sizes.visible_patches])
    hidden = jnp.sort(order[sizes.visible_patches :])
    every = jnp.broadcast_to(jnp.arange(channels), (sizes.visible_patches, channels))
    shuffled = jax.random.permutation(key_channels, every, axis=1, independent=True)
    tokens = visible[:, None] * channels + shuffled
    keep, others = jnp.split(tokens, [sizes.visible_channels], axis=1)
    extra = jax.random.permutation(key_extra, others.reshape(-1))[: sizes.extra]
    whole = hidden[:, None] * channels + jnp.arange(channels)
    return Masks(keep, jnp.concatenate([whole.reshape(-1), extra]))


def draw_second_view(
    key: Key,
    keep: Int[Array, "p c"],
    sizes: MaskSizes,
    *,
    overlap: tuple[float, float] = (0.2, 0.8),
    jitter: float = 0.05,
) -> Int[Array, "p c"]:
    """Another view of the same patches that shares some of the first one's channels (DARE-EEG).

    With an intersection over union r, uniform in ``overlap`` and one for the batch, two views of m
    channels share 2r / (1 + r) of them; that share is shaken by up to ``jitter``, at most 0.95, and
    rounded to a number of channels. So with 12 channels 3 to 11 are shared and what comes out is
    between 3/21 = 0.143 and 11/13 = 0.846.

    Departure: the released code takes the new channels of the n-th visible patch from the n-th
    patch of the *signal*, so that the second view mixes moments; here they are of the same patch,
    as its paper says.

    Args:
      key: of the choice.
      keep: of the first view.
      sizes: of the masks.
      overlap: lowest and highest wanted intersection over union.
      jitter: of the shared share.

    Raises:
      MaskError: too few channels for the lowest overlap, or a range that is none.
    """
    low, high = overlap
    if not 0 <= low <= high <= 1 or jitter < 0:
        raise MaskError(
            f"config.objective.view_overlap is {tuple(overlap)} with overlap_jitter={jitter}: "
            "expected 0 <= low <= high <= 1 and no negative jitter"
        )
    shown, channels = sizes.visible_channels, sizes.channels
    fewest = round(max(0.0, min(MAX_SHARED, _shared(low) - jitter)) * shown)
    if channels - shown < shown - fewest:
        raise MaskError(
            f"two views of {shown} channels that share only {fewest} need "
            f"{2 * shown - fewest} channels; the signal has {channels}: raise "
            "config.objective.view_overlap, lower config.objective.visible_channels, or prepare "
            "the corpus with more channels"
        )
    key_overlap, key_jitter, key_shared, key_new = jax.random.split(key, 4)
    # In float32 also where others are wider, so that the same key draws the same.
    uniform = functools.partial(jax.random.uniform, shape=(), dtype=jnp.float32)
    share = _shared(uniform(key_overlap, minval=low, maxval=high))
    share += uniform(key_jitter, minval=-jitter, maxval=jitter)
    shared = jnp.round(jnp.clip(share, 0.0, MAX_SHARED) * shown).astype(int)
    old = jax.random.permutation(key_shared, keep, axis=1, independent=True)
    new = _other_channels(key_new, keep, channels)
    # Fixed sizes: the first so many of the one, and of the other as many as are left.
    place = jnp.arange(shown)
    place = jnp.where(place < shared, place, shown + place - shared)
    return jnp.concatenate([old, new], axis=1)[:, place]


def overlap_of(first: Int[Array, "p c"], second: Int[Array, "p c"]) -> Array:
    """Intersection over union of two views of the same patches."""
    both = jnp.sum(first[:, :, None] == second[:, None, :])
    return both / (2 * first.size - both)


def _shared(ratio: float | Array) -> float | Array:
    """Which share of two equal sets is common, from their intersection over union."""
    return 2 * ratio / (1 + ratio)


def _other_channels(key: Key, keep: Int[Array, "p c"], channels: int) -> Int[Array, "p m"]:
    """The tokens of each row's patch that are not in the row, in random order."""
    p, shown = keep.shape
    taken = jnp.zeros((p, channels), bool).at[jnp.arange(p)[:, None], keep % channels].set(True)
    rank = jnp.where(taken, math.inf, jax.random.uniform(key, (p, channels), jnp.float32))
    order = jnp.argsort(rank, axis=1)[:, : channels - shown]
    return keep[:, :1] // channels * channels + order


# -- masked autoencoders --------------------------------------------------------------------------


class RowMasks(NamedTuple):
    """What each row of a batch sees of each of its groups of patches.

    Attributes:
      keep: the visible patches, in the order in which they were drawn.
      place: of each patch its place in ``keep``; beyond its end: the patch is hidden.
    """

    keep: Int[Array, "b g k"]
    place: Int[Array, "b g n"]

    @property
    def hidden(self) -> Bool[Array, "b g n"]:
        """The patches that are not seen."""
        return self.place >= self.keep.shape[-1]


def visible_of(patches: int, hidden_share: float) -> int:
    """How many of a group's patches are visible: rounded down, as published.

    Raises:
      MaskError: none, or all, would be.
    """
    if not 0 <= hidden_share <= 1:
        raise MaskError(f"config.objective.hidden_share is {hidden_share}: a share from 0 to 1")
    # 10 x (1 - 0.9) is a little less than one.
    visible = math.floor(patches * (1 - hidden_share) + 1e-6)
    if not 0 < visible < patches:
        raise MaskError(
            f"of {patches} patches {visible} would be visible: some must be seen and some hidden. "
            "Take longer windows (config.signal.window_s), smaller patches "
            "(config.encoder.patch_size), or another config.objective.hidden_share"
        )
    return visible


def draw_row_masks(key: Key, rows: int, groups: int, patches: int, visible: int) -> RowMasks:
    """Masks at random, of every group of every row by itself."""
    every = jnp.broadcast_to(jnp.arange(patches), (rows, groups, patches))
    order = jax.random.permutation(key, every, axis=2, independent=True)
    return RowMasks(order[..., :visible], jnp.argsort(order, axis=2))
