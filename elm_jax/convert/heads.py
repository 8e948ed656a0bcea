"""Classifiers and channel adapters as PyTorch has them, by the names they have in a config.

A layer whose weights are constrained keeps the free ones, under the name that
``torch.nn.utils.parametrize`` gives them. The channel projection and the two-stage probe have the
names of ``braindecode.models.EEGPT``; the others those of the modules in ``eeg_torch.py``.
"""

from collections.abc import Mapping
from typing import Any

from elm_jax.convert import eegpt, elm, sleep_conv
from elm_jax.convert.engine import ConvertError, ConvertRule

ADAPTER, HEAD = "adapter", "classifier"


def constrained_rules(torch: str, ours: str, kernel: str = "dense") -> list[ConvertRule]:
    """Rules of a linear layer, or a convolution that is one, with constrained weights."""
    return [
        ConvertRule(rf"{torch}\.parametrizations\.weight\.original", f"{ours}/kernel", kernel),
        ConvertRule(rf"{torch}\.bias", f"{ours}/bias"),
    ]


_ADAPTERS = {
    "conv": constrained_rules(r"chan_proj\.proj", f"{ADAPTER}/params/proj", "pointwise"),
    "linear": elm.linear_rules(r"chan_proj\.proj", ADAPTER, "proj"),
    "conv_stack": [
        *constrained_rules(
            r"chan_proj\.mix_(\d+)", f"{ADAPTER}/params/mix_{{0}}", "pointwise"
        ),
        *elm.norm_rules(r"chan_proj\.norm_(\d+)", ADAPTER, "norm_{0}"),
        *constrained_rules(r"chan_proj\.filter", f"{ADAPTER}/params/filter", "depthwise"),
        *elm.norm_rules(r"chan_proj\.filter_norm", ADAPTER, "filter_norm"),
    ],
    "none": [],
}  # fmt: skip
_MLP = [
    *constrained_rules(r"final_layer\.hidden_(\d+)", f"{HEAD}/params/hidden_{{0}}"),
    *eegpt.norm_rules(r"final_layer\.norm_(\d+)", f"{HEAD}/params/norm_{{0}}"),
    *constrained_rules(r"final_layer\.out", f"{HEAD}/params/out"),
    *elm.linear_rules(r"final_layer\.pool\.attention", HEAD, "pool/attention"),
]
_HEADS = {
    "two_stage": [
        *constrained_rules(r"final_layer\.probe1", f"{HEAD}/params/probe1"),
        *constrained_rules(r"final_layer\.probe2", f"{HEAD}/params/probe2"),
    ],
    "linear": constrained_rules(r"final_layer\.out", f"{HEAD}/params/out"),
    "mlp": _MLP,
    "attention": _MLP,
}


def adapter_rules(recipe: Mapping[str, Any]) -> list[ConvertRule]:
    """Rules of ``config.objective.adapter``; none where there is none.

    Raises:
      ConvertError: an adapter without rules.
    """
    return _of(_ADAPTERS, recipe["objective"].get("adapter"), "adapter")


def head_rules(recipe: Mapping[str, Any], params: Mapping[str, Any]) -> list[ConvertRule]:
    """Rules of a classifier: of ``config.objective.head``, or of ELM's where that is not given.

    That of relative positioning has the names of braindecode's example.

    Raises:
      ConvertError: a head without rules.
    """
    if recipe["objective"].get("name") == "relative_position":
        return sleep_conv.PAIR_HEAD_RULES
    head = recipe["objective"].get("head")
    if head is None:
        return elm.classifier_rules(sum(name.startswith("hidden_") for name in params))
    return _of(_HEADS, head, "head")


def _of(
    tables: Mapping[str, list[ConvertRule]], settings: Mapping[str, Any] | None, kind: str
) -> list[ConvertRule]:
    if not settings:
        return []
    if settings.get("name") not in tables:
        raise ConvertError(
            f"no rules to export {kind} {settings.get('name')!r}; known: {sorted(tables)}"
        )
    return tables[settings["name"]]
