"""Numbers computed from every window's own signal, without a model."""

from collections.abc import Callable

import numpy as np

from elm_jax.axes import Float
from elm_jax.evals.base import EvalData
from elm_jax.processes import gather


def of_windows(
    data: EvalData, split: str, function: Callable[[np.ndarray], np.ndarray]
) -> Float[np.ndarray, "n d"]:
    """``function`` of every window of a split: from signals ``[b c t]`` in the stored unit."""
    steps = data.manifest.steps_per_unit
    rows = [gather(function(batch["signal"] / steps)) for batch in data.batches(split)]
    return np.concatenate(rows)[: len(data.windows(split))]


def amplitude(signal: Float[np.ndarray, "n c t"]) -> Float[np.ndarray, "n d"]:
    """Least, largest and mean value, standard deviation and range of every channel: five each.

    What a signal's size alone says; of twelve leads 60 numbers.
    """
    least, largest = signal.min(axis=-1), signal.max(axis=-1)
    columns = (least, largest, signal.mean(axis=-1), signal.std(axis=-1), largest - least)
    return np.concatenate(columns, axis=1)
