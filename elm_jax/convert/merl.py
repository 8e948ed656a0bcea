"""MERL's published names <-> ours: its ResNet-1D, its ECG head and its text projector, as rules.

The names are those of its class ``ECGCLIP``, which has the network under ``ecg_encoder``; a file of
the network alone has no prefix.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from elm_jax.convert import eegpt, elm
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, StateDict
from elm_jax.models.resnet1d import DEPTHS

NAME = "resnet1d"  # config.encoder.name
ENCODER = "ecg_encoder."  # before the network's names in ECGCLIP
UNUSED = "linear"  # the network's classifier of ten classes, which nothing calls
CLASSES = 10
_ANY_PREFIX = r"(?:ecg_encoder\.)?"
EXCUSES = (
    *elm.EXCUSES,
    Excuse(rf"{_ANY_PREFIX}linear\.(weight|bias)", "the network's own classifier: never called"),
    Excuse(
        r"lm_model\..*",
        "the text tower: MERL reads its pooler, which text towers here do not have",
    ),
)


def encoder_rules(prefix: str = ENCODER) -> list[ConvertRule]:
    """Rules of the network.

    Args:
      prefix: what stands before the PyTorch names.
    """
    torch = prefix.replace(".", r"\.")
    block, ours = rf"{torch}layer(\d+)\.(\d+)\.", "block_{0}_{1}"
    rules = _conv_norm(rf"{torch}conv1", rf"{torch}bn1", "stem")
    for i in ("1", "2", "3"):
        rules += _conv_norm(f"{block}conv{i}", f"{block}bn{i}", f"{ours}/conv{i}")
    return rules + _conv_norm(rf"{block}shortcut\.0", rf"{block}shortcut\.1", f"{ours}/skip")


def _conv_norm(conv: str, norm: str, ours: str) -> list[ConvertRule]:
    return [
        ConvertRule(rf"{conv}\.weight", f"encoder/params/{ours}/kernel", "conv"),
        *elm.norm_rules(norm, "encoder", f"{ours}/norm"),
    ]


_HEAD = "projector/params"
_QKV = [f"{_HEAD}/pool/attention/{name}" for name in ("query", "key", "value")]
_VIEWS = [
    ConvertRule(r"linear1\.weight", f"{_HEAD}/first/kernel", "dense"),
    ConvertRule(r"linear2\.weight", f"{_HEAD}/second/kernel", "dense"),
]
ATTENTION_RULES = [
    *eegpt.linear_rules(r"downconv", f"{_HEAD}/down", "pointwise"),
    ConvertRule(r"att_pool_head\.positional_embedding", f"{_HEAD}/pool/position", "row"),
    ConvertRule(r"att_pool_head\.cls_token", f"{_HEAD}/pool/class_token", "rows"),
    ConvertRule(
        r"att_pool_head\.mhsa\.in_proj_weight", tuple(f"{p}/kernel" for p in _QKV), "dense"
    ),
    ConvertRule(r"att_pool_head\.mhsa\.in_proj_bias", tuple(f"{p}/bias" for p in _QKV)),
    *eegpt.linear_rules(r"att_pool_head\.mhsa\.out_proj", f"{_HEAD}/pool/attention/out"),
    *eegpt.linear_rules(r"att_pool_head\.c_proj", f"{_HEAD}/pool/out"),
    *_VIEWS,
]
MLP_RULES = [
    *elm.linear_rules(r"proj_e\.0", "projector", "hidden"),
    *elm.norm_rules(r"proj_e\.1", "projector", "norm"),
    *elm.linear_rules(r"proj_e\.3", "projector", "out"),
    *elm.norm_rules(r"proj_e\.4", "projector", "out_norm"),
    *_VIEWS,
]


def is_head(projector: Mapping[str, Any]) -> bool:
    """Whether a signal projector's parameters are those of MERL's head."""
    return "second" in projector


def head_rules(projector: Mapping[str, Any]) -> list[ConvertRule]:
    """Rules of MERL's head, by its parameters."""
    return ATTENTION_RULES if "pool" in projector else MLP_RULES


def text_rules(projector: Mapping[str, Any], ours: str = "projector") -> list[ConvertRule]:
    """Rules of MERL's text projector; of a single layer, as CLIP's, the last alone.

    Args:
      projector: its parameters.
      ours: what stands before our paths.
    """
    if "hidden" not in projector:
        return [ConvertRule(r"proj_t\.0\.weight", f"{ours}/params/out/kernel", "dense")]
    return [
        *elm.linear_rules(r"proj_t\.0", ours, "hidden"),
        *elm.linear_rules(r"proj_t\.2", ours, "out"),
    ]


# -- what the tensors themselves tell -------------------------------------------------------------


def prefix_of(names: Collection[str]) -> str | None:
    """What stands before a network's names; None where there is no such network."""
    for prefix in (ENCODER, ""):
        if all(prefix + name in names for name in ("conv1.weight", "layer1.0.conv1.weight")):
            return prefix
    return None


def encoder_settings(state: StateDict, prefix: str, *, source: str) -> dict[str, Any]:
    """Depth, width and, where no published depth has them, blocks: keywords of ``ResNet1d``.

    Raises:
      ConvertError: stages or blocks are missing.
    """
    numbers: dict[int, set[int]] = {}
    for name in state:
        parts = name.removeprefix(prefix).split(".")
        if parts[0].startswith("layer") and parts[0][5:].isdigit() and parts[1].isdigit():
            numbers.setdefault(int(parts[0][5:]), set()).add(int(parts[1]))
    blocks = tuple(len(numbers[stage]) for stage in sorted(numbers))
    whole = [sorted(numbers[stage]) == list(range(len(numbers[stage]))) for stage in numbers]
    if sorted(numbers) != list(range(1, len(numbers) + 1)) or not all(whole):
        raise ConvertError(f"{source}: stages or blocks of the network are missing: {numbers}")
    bottleneck = f"{prefix}layer1.0.conv3.weight" in state
    depth = next((d for d, own in DEPTHS.items() if own == (blocks, bottleneck)), None)
    width = len(state[f"{prefix}conv1.weight"])
    found: dict[str, Any] = dict(depth=depth or (50 if bottleneck else 18), width=width)
    return found if depth else found | dict(blocks=list(blocks))


def require_positions(state: StateDict, prefix: str, samples: int, *, source: str) -> None:
    """Raises unless windows of ``samples`` give as many tokens as attention pooling has positions.

    Raises:
      ConvertError: says which windows would.
    """
    position = state.get("att_pool_head.positional_embedding")
    if position is None:
        return
    stages = {name.removeprefix(prefix).split(".")[0] for name in state}
    stride = 2 ** len([name for name in stages if name.startswith("layer")])  # and the stem's
    tokens = position.shape[-2] - 1
    if -(-samples // stride) != tokens:
        raise ConvertError(
            f"{source}: its attention pooling has positions of {tokens} tokens, windows of "
            f"{samples} samples give {-(-samples // stride)}: say n_times, from "
            f"{stride * (tokens - 1) + 1} to {stride * tokens}, in its YAML or --config"
        )


def head_settings(state: StateDict) -> dict[str, Any]:
    """``config.objective`` of ECGCLIP, but for the number of heads (published: 4)."""
    attends = "downconv.weight" in state
    text = None
    if "proj_t.0.weight" in state:
        names = [n for n in ("proj_t.0.weight", "proj_t.2.weight") if n in state]
        text = [len(state[name]) for name in names]
    head: dict[str, Any] = dict(pooling="attention" if attends else "mlp")
    if not attends:
        head["hidden"] = len(state["proj_e.0.weight"])
    return dict(
        name="paired_contrast", loss="merl", temperature=0.07,
        signal_projection=[len(state["linear1.weight"])], text_projection=text, signal_head=head,
    )  # fmt: skip


def features_of(encoder: Mapping[str, Any]) -> int:
    """The width of a network's tokens, by its parameters."""
    stages = max(int(name.split("_")[1]) for name in encoder if name.startswith("block_"))
    block = encoder[f"block_{stages}_0"]
    return block["conv3" if "conv3" in block else "conv2"]["kernel"].shape[-1]


def with_unused(state: StateDict, prefix: str, features: int) -> dict[str, np.ndarray]:
    """A state dict with the classifier that the published network has and never calls: zeros."""
    return dict(state) | {
        f"{prefix}{UNUSED}.weight": np.zeros((CLASSES, features), np.float32),
        f"{prefix}{UNUSED}.bias": np.zeros(CLASSES, np.float32),
    }
