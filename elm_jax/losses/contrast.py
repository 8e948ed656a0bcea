"""Contrastive losses of signals and texts, each row against the other side's whole global batch.

They take two forms that give the same values and gradients. "dense" writes down every similarity;
"ring" passes over them in tiles, the texts' blocks travelling around the devices of the mesh that
is set (``jax.set_mesh``), and so needs memory for the embeddings alone. Where one device holds a
batch no larger than a tile there is nothing to save, and "ring" is the dense form.
"""

import jax
import jax.numpy as jnp

from elm_jax.axes import Array, Bool, Float, Int
from elm_jax.losses.ring import needs_tiles, products
from elm_jax.losses.rows import RowLosses, l2_normalize, require_similarity, share, widen
from elm_jax.losses.streamed import Side, streamed_sides, streamed_soft_target_rows

STYLES = ("x,y", "x|y", "y|x")


def multi_instance(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "m e"],
    *,
    signal_bag: Int[Array, " b"],
    text_bag: Int[Array, " m"],
    signal_valid: Bool[Array, " b"] | None = None,
    text_valid: Bool[Array, " m"] | None = None,
    temperature: float | Float[Array, ""] = 0.3,
    style: str = "x,y",
    similarity: str = "dense",
) -> RowLosses:
    """ELM's multiple-instance contrast (Gijsen & Ritter 2025), x signals, y texts.

    For a text: minus the mean, over the signals of its bag, of the log-softmax over all signals
    of the cosine / temperature; for a signal the same with the sides exchanged. A row whose bag
    has nothing on the other side is not scored.

    Args:
      signal_emb: projections of the crops (need not be normalised).
      text_emb: projections of the text segments.
      signal_bag: which bag a crop belongs to.
      text_bag: which bag a segment belongs to.
      signal_valid: False for padding.
      text_valid: False for padding.
      temperature: divides the cosines.
      style: "x|y" scores texts, "y|x" scores signals, "x,y" gives each side half the weight.
      similarity: "ring" or "dense".

    Raises:
      ValueError: unknown style or similarity.
    """
    if style not in STYLES:
        raise ValueError(f"multi_instance style {style!r}; known: {STYLES}")
    signal_emb, signal_valid = widen(signal_emb, signal_valid)
    text_emb, text_valid = widen(text_emb, text_valid)
    vectors = l2_normalize(signal_emb), l2_normalize(text_emb)
    rings = _rings(similarity, *vectors)
    signal, text = (streamed_sides if rings else _dense_sides)(
        *vectors,
        jnp.asarray(temperature, signal_emb.dtype),
        signal_bag=signal_bag,
        text_bag=text_bag,
        signal_valid=signal_valid,
        text_valid=text_valid,
    )
    text_part = {"x,y": 0.5, "x|y": 1.0, "y|x": 0.0}[style]
    return RowLosses(*_mean_positive(signal, 1.0 - text_part), *_mean_positive(text, text_part))


def paired_contrast(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "b e"],
    *,
    valid: Bool[Array, " b"] | None = None,
    temperature: float | Float[Array, ""] = 0.07,
    similarity: str = "dense",
) -> RowLosses:
    """Symmetric contrast of pairs (InfoNCE both ways, as in CLIP, Radford et al. 2021).

    For a signal: minus the log-softmax, over all texts, of the cosine / temperature with its own
    text; for a text the same with the sides exchanged; each side has half the weight.

    Args:
      signal_emb: projections of the signals (need not be normalised).
      text_emb: row i is the text of signal i.
      valid: False for padded pairs.
      temperature: divides the cosines (CLIP's ``exp(-logit_scale)``).
      similarity: "ring" or "dense".

    Raises:
      ValueError: unknown similarity.
    """
    own = jnp.arange(signal_emb.shape[0])  # every pair is a bag
    return multi_instance(
        signal_emb,
        text_emb,
        signal_bag=own,
        text_bag=own,
        signal_valid=valid,
        text_valid=valid,
        temperature=temperature,
        similarity=similarity,
    )


def soft_target_contrast(
    signal_emb: Float[Array, "b e"],
    text_emb: Float[Array, "b e"],
    *,
    valid: Bool[Array, " b"] | None = None,
    temperature: float | Float[Array, ""] = 0.07,
    similarity: str = "dense",
) -> RowLosses:
    """ELM's ``el`` loss: paired contrast towards the two sides' own similarities.

    Targets are softmax((signal signal^T + text text^T) / 2 * temperature) along a row; signals
    are scored against its transpose, whose rows do not sum to one (as published). Gradients flow
    through the targets.

    Args:
      signal_emb: projections of the crops.
      text_emb: row i is the text of crop i.
      valid: False for padded pairs.
      temperature: divides the cosines, and multiplies the targets' logits.
      similarity: "ring" or "dense".

    Raises:
      ValueError: unknown similarity.
    """
    signal_emb, valid = widen(signal_emb, valid)
    text_emb, _ = widen(text_emb, valid)
    vectors = l2_normalize(signal_emb), l2_normalize(text_emb)
    rings = _rings(similarity, *vectors)
    temperature = jnp.asarray(temperature, signal_emb.dtype)
    of_rows = streamed_soft_target_rows if rings else _dense_soft_target_rows
    signal, text = of_rows(*vectors, temperature, valid=valid)
    weight = share(valid, signal.dtype, 0.5)
    return RowLosses(signal, weight, text, weight)


def _rings(similarity: str, signal: Array, text: Array) -> bool:
    """Whether similarities are passed over in tiles."""
    require_similarity(similarity)
    return similarity == "ring" and needs_tiles(len(signal), len(text))


def _mean_positive(side: Side, part: float) -> tuple[Array, Array]:
    """Loss and weight of each row: 0 where its bag has nothing on the other side."""
    scored = side.positive_count > 0
    mean_positive = side.positive_sum / jnp.maximum(side.positive_count, 1)
    loss = jnp.where(scored, side.lse - mean_positive, 0)
    return loss, share(scored, loss.dtype, part)


# -- the dense form -----------------------------------------------------------------------------


def _masked_logsumexp(logits: Array, allowed: Array, axis: int) -> Array:
    """Log of the sum of exponentials of the ``allowed`` entries; 0 where there are none."""
    some = jnp.any(allowed, axis=axis, keepdims=True)
    # A row without any entry takes all of them: finite in value and gradient, then discarded.
    out = jax.nn.logsumexp(logits, axis=axis, where=allowed | ~some)
    return jnp.where(jnp.squeeze(some, axis), out, 0)


def _dense_sides(
    signal_unit, text_unit, temperature, *, signal_bag, text_bag, signal_valid, text_valid
) -> tuple[Side, Side]:
    logits = products(signal_unit, text_unit) / temperature
    pair_valid = signal_valid[:, None] & text_valid[None, :]
    positive = (signal_bag[:, None] == text_bag[None, :]) & pair_valid

    def side(axis: int) -> Side:
        return Side(
            _masked_logsumexp(logits, pair_valid, axis),
            jnp.where(positive, logits, 0).sum(axis),
            positive.sum(axis, dtype=logits.dtype),
        )

    return side(1), side(0)


def _dense_soft_target_rows(signal_unit, text_unit, temperature, *, valid) -> tuple[Array, Array]:
    pair_valid = valid[:, None] & valid[None, :]
    logits = products(text_unit, signal_unit) / temperature
    likeness = products(signal_unit, signal_unit) + products(text_unit, text_unit)
    likeness = likeness / 2 * temperature
    target_lse = _masked_logsumexp(likeness, pair_valid, 1)[:, None]
    targets = jnp.where(pair_valid, jnp.exp(jnp.where(pair_valid, likeness - target_lse, 0)), 0)

    def side(axis: int) -> Array:
        lse = jnp.expand_dims(_masked_logsumexp(logits, pair_valid, axis), axis)
        return jnp.sum(jnp.where(pair_valid, targets * (lse - logits), 0), axis=axis)

    return side(0), side(1)
