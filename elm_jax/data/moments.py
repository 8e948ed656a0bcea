"""Each recording's own mean and deviation of every channel, as batches carry them.

Shards keep microvolts (or millivolts). Where signals are normalised by recording
(``SignalSpec.moments``), a batch has beside every ``signal*``

    <key>_mean, <key>_std    float32 [b, c], in ``spec.unit``; 0 and 1 in padding

and :func:`elm_jax.data.pipeline.to_network` divides by them on the device.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from elm_jax.data.manifest import ManifestError, Moments, RecordingRow

OF_SIGNAL = ("mean", "std")


class NoMoments(ManifestError):
    """A prepared directory whose recordings cannot be normalised by their own mean and std."""


def moments_of(signals: Sequence[Float[np.ndarray, "c _"]]) -> Moments | None:
    """Mean and deviation of each channel over all of a recording's stretches; None without any.

    Sums are of float64. Seven digits are kept, as many as the samples have.
    """
    total = sum(signal.shape[1] for signal in signals)
    if not total:
        return None
    mean, std = [], []
    for rows in zip(*signals, strict=True):  # a channel at a time: little memory
        middle = sum(float(row.sum(dtype=np.float64)) for row in rows) / total
        square = sum(_square(row - np.float64(middle)) for row in rows)
        mean.append(float(f"{middle:.7g}"))
        std.append(float(f"{(square / total) ** 0.5:.7g}"))
    return Moments(tuple(mean), tuple(std))


def _square(row: Float[np.ndarray, " t"]) -> float:
    """Sum of squares; einsum's own loop gives the same bits with any number of threads."""
    return float(np.einsum("t,t->", row, row))


def flat_channels(moments: Moments, channels: Sequence[str]) -> list[str]:
    """Names of those that do not vary at all, so that nothing can be divided by their deviation."""
    return [name for name, std in zip(channels, moments.std, strict=True) if not std > 0]


class MomentsTable:
    """The moments of a split's recordings, by stored piece.

    Args:
      recordings: the split's.
      channels: of the signals, in order.
      source: the directory, for messages.

    Raises:
      NoMoments: a recording's are not stored, or a channel of it is flat; says what to do.
    """

    def __init__(self, recordings: Sequence[RecordingRow], channels: Sequence[str], source: str):
        for row in recordings:
            _require_usable(row, channels, source)
        found = [row.moments for row in recordings]
        self._mean = np.asarray([m.mean for m in found], np.float32)
        self._std = np.asarray([m.std for m in found], np.float32)
        owner = {piece.index: r for r, row in enumerate(recordings) for piece in row.pieces}
        self._recording = np.asarray([owner[i] for i in range(len(owner))], np.int32)

    def of_pieces(
        self, piece: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "n c"]]:
        """Mean and deviation for numbers of stored pieces; 0 and 1 for ``-1``."""
        real = (piece >= 0)[:, None]
        row = self._recording[np.maximum(piece, 0)]
        zero, one = np.float32(0), np.float32(1)
        return np.where(real, self._mean[row], zero), np.where(real, self._std[row], one)


def _require_usable(row: RecordingRow, channels: Sequence[str], source: str) -> None:
    if row.moments is None:
        raise NoMoments(
            f"{source}: it has no mean and std of each recording ({row.recording} is the first "
            "without), which config.data.normalisation='recording' needs: it was prepared before "
            "they were stored; prepare it again (python -m data_prep.prepare)"
        )
    if len(row.moments.mean) != len(channels):
        raise NoMoments(
            f"{source}: recording {row.recording} has the mean and std of "
            f"{len(row.moments.mean)} channels, its signals have {len(channels)}; prepare it again"
        )
    if flat := flat_channels(row.moments, channels):
        raise NoMoments(
            f"{source}: recording {row.recording} does not vary in {', '.join(flat)}, so "
            "config.data.normalisation='recording' cannot divide by its std; prepare without that "
            "recording or channel, or use 'corpus' or 'window'"
        )


def beside(
    key: str, moments: tuple[Float[np.ndarray, "b c"], Float[np.ndarray, "b c"]]
) -> Mapping[str, np.ndarray]:
    """What a batch carries beside the signals under ``key``."""
    return {f"{key}_{name}": value for name, value in zip(OF_SIGNAL, moments, strict=True)}
