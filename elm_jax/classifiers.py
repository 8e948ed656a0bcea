"""Heads and adapters by name: what stands behind and before the encoder of a classifier.

    config.objective.head = dict(name="two_stage", hidden=16, dropout=0.5)
    config.objective.adapter = dict(name="conv", channels=("Fp1", "Fp2", ...))

Without a head there is ELM's classifier (``config.objective.hidden`` and ``dropout``) on the
encoder's one vector; without an adapter (None, or ``{"name": "none"}``) the encoder sees the
recording's own channels.
"""

import functools
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from elm_jax.construct import construct, declared, lookup
from elm_jax.data.spec import SignalSpec
from elm_jax.models.adapters import ChannelProjection, ConvStack, Stretch
from elm_jax.models.heads import Classifier, LinearHead, MlpHead, TwoStageHead

HEADS = {
    "linear": LinearHead,
    "two_stage": TwoStageHead,
    "mlp": MlpHead,
    "attention": functools.partial(MlpHead, pooling="attention"),
}
ADAPTERS = {
    "conv": ChannelProjection,
    "linear": functools.partial(ChannelProjection, max_norm=None),
    "conv_stack": ConvStack,
    "none": Stretch,
}


def head_of(settings: dict[str, Any], encoder: nn.Module, outputs: int, dtype: Any) -> nn.Module:
    """The head that ``config.objective`` asks for; its entries are taken out of ``settings``.

    Raises:
      ValueError: an unknown head or setting, or settings of two heads at once.
    """
    head = settings.pop("head", None)
    own = {k: settings.pop(k) for k in ("hidden", "dropout") if k in settings}
    if head is None:
        sizes = (*own.get("hidden", (256,)), outputs)
        return Classifier(sizes, dropout=own.get("dropout", 0.0), dtype=dtype)
    if own:
        raise ValueError(
            f"config.objective: {sorted(own)} are of the classifier without a head; with "
            f"config.objective.head={head['name']!r} give them in config.objective.head"
        )
    where = "config.objective.head"
    make = lookup(HEADS, head["name"], f"{where}.name")
    offered = dict(dtype=dtype, summary_tokens=getattr(encoder, "summary_tokens", 1))
    return construct(make, head, where, outputs=outputs, **declared(make, offered))


def takes_any_window(head: Mapping[str, Any] | None) -> bool:
    """Whether a head pools over time, so that it takes as many tokens as there are.

    Args:
      head: ``config.objective.head``.
    """
    if not head:
        return True
    own = {"linear": "flatten", "mlp": "flatten", "attention": "attention"}
    pooling = head.get("pooling", own.get(head["name"], "flatten"))
    return pooling != "flatten" and not head.get("per_token") and head["name"] != "two_stage"


def is_adapted(adapter: Mapping[str, Any] | None) -> bool:
    """Whether ``config.objective.adapter`` puts anything ahead of the encoder.

    ``{"name": "none"}`` alone does not: what a command line can write in place of an adapter.
    """
    return bool(adapter) and (adapter["name"] != "none" or bool(adapter.get("samples")))


def adapter_of(settings: Mapping[str, Any] | None, dtype: Any) -> nn.Module | None:
    """The adapter of ``config.objective.adapter``; None where there is none.

    Raises:
      ValueError: an unknown adapter or setting, or output channels that are not named one by one.
    """
    if not is_adapted(settings):
        return None
    where = "config.objective.adapter"
    make = lookup(ADAPTERS, settings["name"], f"{where}.name")
    names = settings.get("channels", ())
    if isinstance(names, str) or len(set(names)) != len(names):
        raise ValueError(f"{where}.channels must be different names, found {names}")
    return construct(make, settings, where, **declared(make, dict(dtype=dtype)))


def adapted_spec(spec: SignalSpec, adapter: nn.Module | None) -> SignalSpec:
    """``spec`` with the channels that the encoder sees: those that an adapter gives."""
    if adapter is None:
        return spec
    names = tuple(getattr(adapter, "channels", spec.channels))
    return spec.replace(channels=names, mean=0.0, std=1.0)
