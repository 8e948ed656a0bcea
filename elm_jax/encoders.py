"""Encoders by name, and what a whole network leaves open in the signals that it takes.

    config.encoder = dict(name="conv_eeg", ...)

ENCODERS is the table: a new encoder is a module in models/ (models/base.Encoder) and a line here.
"""

from typing import Any

import jax.numpy as jnp

from elm_jax.classifiers import is_adapted, takes_any_window
from elm_jax.construct import construct, declared, lookup
from elm_jax.data.spec import SignalSpec
from elm_jax.image_encoder import ecg_image
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.flat_mlp import FlatMlp
from elm_jax.models.remat import require_known
from elm_jax.models.resnet1d import ResNet1d
from elm_jax.models.sleep_conv import SleepConv
from elm_jax.models.vit1d import ViT1d

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
ENCODERS = {
    "conv_eeg": ConvEeg,
    "ecg_image": ecg_image,
    "eeg_transformer": EegTransformer,
    "mlp": FlatMlp,
    "resnet1d": ResNet1d,
    "sleep_conv": SleepConv,
    "vit1d": ViT1d,
}


def compute_dtype(config: Any) -> Any:
    """What ``config.dtype`` names: the type that models compute in."""
    return lookup(DTYPES, config.dtype, "config.dtype")


def remat(config: Any) -> str:
    """``config.remat``: what the backward pass computes again (a finished model's has none).

    Raises:
      ValueError: an unknown name.
    """
    name = config.get("remat", "none")
    require_known(name)
    return name


# What an encoder that reads channels by name leaves open. All but the first two are how signals
# were made: they change what it sees, not whether it can; differences are said in the log.
BY_NAME = (
    "channels", "window_s", "highpass_hz", "lowpass_hz", "notch_hz", "clip", "resample",
    "slow_source",
)  # fmt: skip


def fields_by_name(config: Any) -> tuple[str, ...]:
    """Fields of a SignalSpec that the encoder of ``config`` leaves open: none, mostly.

    One that is ``by_name`` reads its channels by their names: any that the dictionary has, in any
    order and number, in windows of any whole number of patches.

    Args:
      config: a run's, or the recipe of a finished model, as ``convert.network.as_config`` reads it.
    """
    encoder = lookup(ENCODERS, config.encoder.name, "config.encoder.name")
    return BY_NAME if getattr(encoder, "by_name", False) else ()


def open_fields(config: Any) -> tuple[str, ...]:
    """Fields of a SignalSpec that the whole network of ``config`` leaves open.

    None where an adapter stands ahead of the encoder: it knows channels by their place. The window
    is not open where a head has weights for every token of it.
    """
    adapter = config.objective.get("adapter")
    if is_adapted(adapter and adapter.to_dict()):
        return ()
    head = config.objective.get("head")
    fixed = () if takes_any_window(head and head.to_dict()) else ("window_s",)
    return tuple(name for name in fields_by_name(config) if name not in fixed)


def build_encoder(config: Any, spec: SignalSpec) -> Any:
    """The encoder of ``config.encoder`` for signals of ``spec``.

    Each class is given what it declares of the signal: its channels' number and names, its rate in
    Hz, the samples of a window; or its whole description.
    """
    make = lookup(ENCODERS, config.encoder.name, "config.encoder.name")
    known = dict(
        spec=spec,
        in_channels=len(spec.channels),
        channels=tuple(spec.channels),
        sfreq_hz=spec.sfreq_hz,
        window_samples=spec.window_samples,
        dtype=compute_dtype(config),
        remat=remat(config),
    )
    return construct(make, config.encoder.to_dict(), "config.encoder", **declared(make, known))
