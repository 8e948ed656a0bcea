"""From windows to vectors: what a finished model accepts, computes at a time and gives."""

from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.spec import SignalSpec
from elm_jax.evals.base import Predict
from elm_jax.signals.defects import Defect
from elm_jax.signals.one_recording import UnusableSignal

ROWS_PER_CALL = 128  # windows computed at a time: more is no faster on a CPU, and needs memory


class Encoding(NamedTuple):
    """What a model makes of windows; None where it has no such output.

    Attributes:
      features: the encoder's pooled vectors.
      projection: in the space shared with texts.
      logits: of the classes of a fine-tuned model.
      start_s: where each window begins, from the start of the recording (:meth:`Pretrained.embed`).
      defects: what was noticed about the recording, such as stretches that were left out.
      channels: of the recording that were used (:meth:`Pretrained.embed`); empty elsewhere.
    """

    features: Float[np.ndarray, "b d"]
    projection: Float[np.ndarray, "b e"] | None = None
    logits: Float[np.ndarray, "b k"] | None = None
    start_s: Float[np.ndarray, " b"] | None = None
    defects: tuple[Defect, ...] = ()
    channels: tuple[str, ...] = ()


def require_network_values(x: np.ndarray, spec: SignalSpec) -> Float[np.ndarray, "b c t"]:
    """``x``, where it is finite floating-point windows of ``spec``.

    Raises:
      UnusableSignal: it is not; says what is expected.
    """
    x = np.asarray(x)
    wanted = (len(spec.channels), spec.window_samples)
    if x.ndim != 3 or x.shape[1:] != wanted:
        raise UnusableSignal(
            f"expected windows [b, {wanted[0]} channels, {wanted[1]} samples] "
            f"({spec.window_s:g} s at {spec.sfreq_hz:g} Hz), found {x.shape}"
        )
    if not np.issubdtype(x.dtype, np.floating):
        raise UnusableSignal(
            f"expected floating-point network values, found {x.dtype}; stored integers are "
            "turned into them by elm_jax.data.pipeline.to_network"
        )
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))
        raise UnusableSignal(f"windows {bad[:8].tolist()} hold NaN or infinity")
    return x


def in_calls(predict: Predict, signal: Float[np.ndarray, "b c t"]) -> dict[str, np.ndarray]:
    """``predict`` in calls of few different sizes, since each size is compiled."""
    rows = min(ROWS_PER_CALL, 1 << max(len(signal) - 1, 0).bit_length())
    found = []
    for start in range(0, max(len(signal), 1), rows):
        part = signal[start : start + rows]
        short = rows - len(part)
        padded = np.pad(part, ((0, short), (0, 0), (0, 0))) if short else part
        out = predict({"signal": padded})
        found.append({k: v[: len(part)] for k, v in out.items()})
    return {k: np.concatenate([f[k] for f in found]) for k in found[0]}
