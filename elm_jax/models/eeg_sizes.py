"""The published sizes of EEGPT and DARE-EEG, and how many parameters each part has.

The paper quotes totals of 10M, 25M and 101M. Its largest encoder has 25.3M parameters; predictor,
reconstructor and the encoder's momentum twin make that 101.9M; no part and no sum of any size is
10M. So counts are given here part by part (:func:`parameter_counts`).

Heads change no tensor's shape, and DARE-EEG's own files disagree on them: its training
configuration says base 4 and deep 8, the loader in its README base 8 and deep 4. Here stand those
of the training configuration. A wrong number fails no loading; it changes every output.
"""

from typing import NamedTuple

from elm_jax.channels import DICTIONARY


class EegSize(NamedTuple):
    """One size.

    Attributes:
      width: of all tokens.
      summary_tokens: vectors a time patch.
      depth: blocks of the encoder, the predictor and the reconstructor.
      heads: attention heads of all three.
    """

    width: int
    summary_tokens: int
    depth: tuple[int, int, int]
    heads: int


EEGPT: dict[str, EegSize] = {
    "tiny1": EegSize(64, 1, (2, 2, 4), 4),
    "tiny2": EegSize(64, 4, (2, 2, 4), 4),
    "tiny3": EegSize(64, 4, (8, 8, 8), 4),
    "little": EegSize(128, 4, (8, 8, 8), 4),
    "base1": EegSize(256, 1, (6, 6, 6), 4),
    "base2": EegSize(256, 4, (8, 8, 8), 4),
    "base3": EegSize(512, 1, (6, 6, 6), 8),
    "large": EegSize(512, 4, (8, 8, 8), 8),
}
DARE: dict[str, EegSize] = {
    "nano": EegSize(64, 1, (2, 2, 4), 4),
    "light": EegSize(128, 1, (6, 6, 6), 4),
    "small": EegSize(256, 1, (6, 6, 6), 4),
    "base": EegSize(256, 4, (8, 8, 8), 4),
    "deep": EegSize(512, 4, (8, 8, 8), 8),
}
SIZES: dict[str, EegSize] = EEGPT | DARE


def size(name: str) -> EegSize:
    """The size of that name, EEGPT's or DARE-EEG's.

    Raises:
      ValueError: lists the known.
    """
    if name not in SIZES:
        raise ValueError(
            f"unknown size {name!r}; EEGPT's: {', '.join(EEGPT)}; DARE-EEG's: {', '.join(DARE)}"
        )
    return SIZES[name]


def parameter_counts(size: EegSize, patch_size: int = 64) -> dict[str, int]:
    """Parameters of ``encoder``, ``predictor`` and ``reconstructor``, patches of so many samples.

    The momentum twin has as many as the encoder; it is kept, not learnt. DARE-EEG's projection
    head comes on top: ``512 (s d + 1) + 256 x 513`` for ``s`` summary tokens of width ``d``.
    """
    d, s = size.width, size.summary_tokens
    # Query, key, value, out; up and down; two norms.
    block = 4 * d * (d + 1) + 4 * d * (d + 1) + d * (4 * d + 1) + 4 * d
    norm, square, electrodes = 2 * d, d * (d + 1), len(DICTIONARY) * d
    encoder, predictor, reconstructor = (depth * block + norm for depth in size.depth)
    return {
        "encoder": encoder + d * (patch_size + 1) + electrodes + s * d,
        "predictor": predictor + 2 * square + s * d,
        "reconstructor": reconstructor + square + patch_size * (d + 1) + electrodes + d,
    }
