"""``SleepStagerChambon2018`` of braindecode and the siamese network around it <-> ours, as rules.

The siamese network is the one of braindecode's example of relative positioning: ``emb`` is the
encoder, ``clf.1`` the linear layer on the distance of two windows' vectors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elm_jax.convert import elm
from elm_jax.convert.engine import ConvertError, ConvertRule

NAME = "sleep_conv"  # config.encoder.name
SIAMESE = "emb."  # what stands before the encoder's names in the siamese network
FIRST = "feature_extractor.0.weight"
OUTPUT = "final_layer.1"
OLD_OUTPUT = "fc.1"  # its older name: braindecode still reads it

_SPATIAL = [
    ConvertRule(r"spatial_conv\.weight", "encoder/params/spatial/kernel", "across"),
    ConvertRule(r"spatial_conv\.bias", "encoder/params/spatial/bias"),
]
PAIR_HEAD_RULES = elm.linear_rules(r"clf\.1", "classifier", "out")


def encoder_rules(prefix: str = "") -> list[ConvertRule]:
    """Rules of the encoder, its output layer included; paths begin with ``encoder``.

    Args:
      prefix: what stands before the PyTorch names, such as :data:`SIAMESE`.
    """
    rules = [
        *_SPATIAL,
        *_temporal_rules(0, 0),
        *_temporal_rules(4, 1),
        *elm.linear_rules(OUTPUT.replace(".", r"\."), "encoder", "out"),
        *elm.linear_rules(OLD_OUTPUT.replace(".", r"\."), "encoder", "out"),  # read, never written
    ]
    ahead = prefix.replace(".", r"\.")
    return [rule._replace(torch=ahead + rule.torch) for rule in rules]


def _temporal_rules(place: int, number: int) -> list[ConvertRule]:
    """A temporal convolution at a place of their ``nn.Sequential``, and the BatchNorm behind it."""
    conv, ours = rf"feature_extractor\.{place}", f"encoder/params/conv_{number}"
    return [
        ConvertRule(rf"{conv}\.weight", f"{ours}/kernel", "along"),
        ConvertRule(rf"{conv}\.bias", f"{ours}/bias"),
        *elm.norm_rules(rf"feature_extractor\.{place + 1}", "encoder", f"norm_{number}"),
    ]


def prefix_of(names: Any) -> str | None:
    """What stands before an encoder's names; None where there is no such encoder."""
    return next((prefix for prefix in ("", SIAMESE) if prefix + FIRST in names), None)


# -- what the tensors themselves tell -------------------------------------------------------------


def arguments_of(
    state: Mapping[str, np.ndarray], prefix: str = "", *, source: str = "state dict"
) -> dict[str, Any]:
    """The arguments of braindecode's class that the tensors' shapes show.

    Neither durations nor the rate, the window, the rate of dropout and the activation: no shape
    shows these.

    Raises:
      ConvertError: the tensors are no such encoder.
    """
    first = state.get(prefix + FIRST)
    if first is None or first.ndim != 4:
        raise ConvertError(
            f"{source}: not an encoder of braindecode's SleepStagerChambon2018: {prefix + FIRST} "
            f"is {'missing' if first is None else first.shape}"
        )
    outputs = [
        state[f"{prefix}{name}.bias"].shape[0]
        for name in (OUTPUT, OLD_OUTPUT)
        if f"{prefix}{name}.bias" in state
    ]
    told = dict(
        n_chans=channels_of(state, prefix),
        n_conv_chs=first.shape[0],
        apply_batch_norm=f"{prefix}feature_extractor.1.running_mean" in state,
        return_feats=not outputs,
    )
    return told | ({"n_outputs": outputs[0]} if outputs else {})


def channels_of(state: Mapping[str, np.ndarray], prefix: str = "") -> int:
    """How many channels an encoder takes; with one it has no spatial convolution."""
    spatial = state.get(f"{prefix}spatial_conv.weight")
    return 1 if spatial is None else len(spatial)


# -- an output layer that is a classifier of ours --------------------------------------------------


def by_time(weight: np.ndarray, times: int) -> np.ndarray:
    """An output layer's weights ``[k, d * n]``, their columns time by time: ``[k, n * d]``.

    braindecode flattens features filter by filter, and tokens of ours are flattened time by time.
    """
    outputs, _ = weight.shape
    return weight.reshape(outputs, -1, times).swapaxes(1, 2).reshape(outputs, -1)


def by_filter(weight: np.ndarray, times: int) -> np.ndarray:
    """The inverse of :func:`by_time`."""
    outputs, _ = weight.shape
    return weight.reshape(outputs, times, -1).swapaxes(1, 2).reshape(outputs, -1)
