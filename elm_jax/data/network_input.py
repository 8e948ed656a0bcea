"""From stored integers to a network's input, on the device: the last step of every batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from elm_jax.axes import Batch, Float
from elm_jax.data.moments import OF_SIGNAL
from elm_jax.data.spec import SignalSpec


def to_network(spec: SignalSpec, steps_per_unit: float) -> Callable[[Batch], Batch]:
    """A function, for use under jit, that turns a batch's stored integers into network values.

    float32, as ``spec.moments`` says (SignalSpec): ``(signal * scale - mean) / std``; or ``(signal
    - mean) / std`` of the recording, which the batch carries (and no longer does after); or of each
    window and channel itself (:func:`standardised`). Other keys pass.

    The function raises ValueError where a batch lacks its recordings' mean and std.
    """
    mean, std = (jnp.reshape(jnp.asarray(v, jnp.float32), (-1, 1)) for v in (spec.mean, spec.std))

    def convert(batch: Batch, key: str) -> jax.Array:
        stored = jnp.asarray(batch[key]).astype(jnp.float32)
        if spec.moments == "fixed":
            return (stored * (spec.scale / steps_per_unit) - mean) / std
        if spec.moments == "window":
            return standardised(stored)
        own_mean, own_std = (_own(batch, f"{key}_{name}")[..., None] for name in OF_SIGNAL)
        return (stored / steps_per_unit - own_mean) / own_std

    def apply(batch: Batch) -> Batch:
        stored = [k for k, v in batch.items() if k.startswith("signal") and v.dtype == jnp.int16]
        used = {f"{key}_{name}" for key in stored for name in OF_SIGNAL}
        passed = {k: v for k, v in batch.items() if k not in used}
        return passed | {key: convert(batch, key) for key in stored}

    return apply


def standardised(signal: Float[jax.Array, "b c t"]) -> Float[jax.Array, "b c t"]:
    """Windows less their mean, over their deviation, of each channel; a flat one is zeros.

    Flat is a channel whose samples are all equal: what is left of it beside its mean is rounding,
    and nothing to divide by.
    """
    centred = signal - signal.mean(-1, keepdims=True)
    flat = (signal == signal[..., :1]).all(-1, keepdims=True)
    std = jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True))
    return jnp.where(flat, 0.0, centred / jnp.where(flat, 1.0, std))


def _own(batch: Batch, key: str) -> jax.Array:
    if key not in batch:
        raise ValueError(
            f"signals are normalised by recording (SignalSpec.moments), and the batch has no "
            f"{key!r} but {sorted(batch)}; batches carry it where Corpus.spec says so"
        )
    return jnp.asarray(batch[key])
