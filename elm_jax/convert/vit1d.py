"""Names of the masked autoencoders ST-MEM, MTAE and MLAE <-> ours, as rule tables.

All three have the same names, but for special tokens: ``sep_embedding`` and ``lead_embeddings`` are
ST-MEM's, ``cls_embedding`` that of the other two. A whole autoencoder knows its patch embedding by
two names; an encoder alone has no ``encoder.`` before its own.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from elm_jax.convert.eegpt import linear_rules, norm_rules
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, StateDict
from elm_jax.models.vit1d import HEAD_WIDTH

NAME = "vit1d"  # config.encoder.name
ENCODER = "encoder."  # before the encoder's names in a whole autoencoder
SECOND_NAME = "to_patch_embedding."  # of an autoencoder, for encoder.to_patch_embedding.*
EXCUSES = (Excuse(r"to_patch_embedding\..*", "the encoder's own patch embedding by a second name"),)
# What tells whether tensors are an encoder's of this kind.
_MARKS = ("pos_embedding", "to_patch_embedding.2.weight", "block0.attn.fn.to_qkv.weight")


def block_rules(torch: str, ours: str) -> list[ConvertRule]:
    """Rules of all transformer blocks of a stack: ``torch`` has a group for their number."""
    ours = f"{ours}/layer_{{0}}"
    parts = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
    qkv = rf"{torch}\.attn\.fn\.to_qkv"
    return [
        *norm_rules(rf"{torch}\.attn\.norm", f"{ours}/attention_norm"),
        ConvertRule(rf"{qkv}\.weight", tuple(f"{p}/kernel" for p in parts), "dense"),
        ConvertRule(rf"{qkv}\.bias", tuple(f"{p}/bias" for p in parts)),
        *linear_rules(rf"{torch}\.attn\.fn\.to_out\.0", f"{ours}/attention/out"),
        *norm_rules(rf"{torch}\.ff\.norm", f"{ours}/mlp_norm"),
        *linear_rules(rf"{torch}\.ff\.fn\.net\.0", f"{ours}/mlp/up"),
        *linear_rules(rf"{torch}\.ff\.fn\.net\.3", f"{ours}/mlp/down"),
    ]


def encoder_rules(prefix: str = ENCODER) -> list[ConvertRule]:
    """Rules of the encoder.

    Args:
      prefix: what stands before the PyTorch names.
    """
    torch, ours = prefix.replace(".", r"\."), "encoder/params"
    embed = rf"{torch}to_patch_embedding"
    return [
        ConvertRule(rf"{torch}pos_embedding", f"{ours}/position_embed", "row"),
        ConvertRule(rf"{torch}cls_embedding", f"{ours}/class_token"),
        ConvertRule(rf"{torch}sep_embedding", f"{ours}/separator_token"),
        ConvertRule(rf"{torch}lead_embeddings\.(\d+)", f"{ours}/lead_embed/lead_{{0}}"),
        *norm_rules(rf"{embed}\.1", f"{ours}/patch_embed/norm"),
        *linear_rules(rf"{embed}\.2", f"{ours}/patch_embed/out"),
        *norm_rules(rf"{embed}\.3", f"{ours}/patch_embed/out_norm"),
        *block_rules(rf"{torch}block(\d+)", ours),
        *norm_rules(rf"{torch}norm", f"{ours}/norm"),
    ]


_DECODER = "decoder/params"
DECODER_RULES = [
    ConvertRule(r"mask_embedding", f"{_DECODER}/mask_token", "rows"),
    ConvertRule(r"decoder_pos_embed", f"{_DECODER}/position_embed", "row"),
    *linear_rules(r"to_decoder_embedding", f"{_DECODER}/embed"),
    *block_rules(r"decoder_blocks\.(\d+)", _DECODER),
    *norm_rules(r"decoder_norm", f"{_DECODER}/norm"),
    *linear_rules(r"decoder_head", f"{_DECODER}/out"),
]


# -- what the tensors themselves tell -------------------------------------------------------------


def prefix_of(names: Collection[str]) -> str | None:
    """What stands before an encoder's names; None where there is no such encoder."""
    for prefix in (ENCODER, ""):
        if all(prefix + mark in names for mark in _MARKS):
            return prefix
    return None


def has_decoder(names: Collection[str]) -> bool:
    """Whether tensors are a whole autoencoder's."""
    return "decoder_head.weight" in names


def require_one_embedding(state: StateDict, source: str) -> None:
    """Raises unless both names of the patch embedding are of the same values.

    Raises:
      ConvertError: names those that differ.
    """
    second = [name for name in state if name.startswith(SECOND_NAME)]
    pairs = [(name, ENCODER + name) for name in second if ENCODER + name in state]
    differ = [name for name, first in pairs if not np.array_equal(state[name], state[first])]
    if differ and has_decoder(state):
        raise ConvertError(
            f"{source}: {', '.join(differ)} should be the encoder's own by a second name, and have "
            "other values"
        )


def with_second_names(state: StateDict) -> dict[str, np.ndarray]:
    """A state dict as the classes of a whole autoencoder load it strictly."""
    own = ENCODER + SECOND_NAME
    return dict(state) | {n.removeprefix(ENCODER): v for n, v in state.items() if n.startswith(own)}


def _blocks(names: Collection[str], prefix: str) -> int:
    """How many blocks ``prefix0.``, ``prefix1.`` ... there are."""
    found = {n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)}
    return len({number for number in found if number.isdigit()})


def _stack(state: StateDict, first: str, blocks: str, source: str) -> dict[str, Any]:
    """Width, depth, heads and MLP ratio of a stack of blocks that begins with block ``first``."""
    try:
        inner, width = state[f"{first}.attn.fn.to_qkv.weight"].shape
        hidden = len(state[f"{first}.ff.fn.net.0.weight"])
    except (KeyError, ValueError, TypeError) as error:
        raise ConvertError(f"{source}: no block of attention under {first!r}: {error}") from error
    if inner % (3 * HEAD_WIDTH):
        raise ConvertError(
            f"{source}: {first}.attn.fn.to_qkv.weight has {inner} rows, no whole number of heads "
            f"of {HEAD_WIDTH} for query, key and value"
        )
    return dict(
        width=width, depth=_blocks(state, blocks), heads=inner // (3 * HEAD_WIDTH),
        mlp_ratio=hidden / width,
    )  # fmt: skip


def encoder_settings(state: StateDict, prefix: str, *, source: str) -> dict[str, Any]:
    """What the tensors show of an encoder: ``width``, ``depth``, ``heads`` and ``mlp_ratio``.

    Raises:
      ConvertError: the tensors are no such encoder.
    """
    return _stack(state, f"{prefix}block0", f"{prefix}block", source)


def decoder_settings(state: StateDict, *, source: str) -> dict[str, Any]:
    """The same of the decoder, as ``config.objective.decoder`` has it.

    Raises:
      ConvertError: the tensors are no such decoder.
    """
    return _stack(state, "decoder_blocks.0", "decoder_blocks.", source)


def window_settings(
    state: StateDict, prefix: str, given: Mapping[str, Any], *, source: str
) -> dict[str, Any]:
    """Layout, leads, samples of a patch and of a window.

    Args:
      state: arrays by PyTorch name.
      prefix: what stands before the encoder's names.
      given: settings that the file's YAML tells: ``layout``, ``num_leads``.
      source: for messages.

    Raises:
      ConvertError: the tensors do not tell, or tell otherwise.
    """
    values = len(state[f"{prefix}to_patch_embedding.1.weight"])
    rows = state[f"{prefix}pos_embedding"].shape[-2]
    if f"{prefix}sep_embedding" in state:
        leads = sum(name.startswith(f"{prefix}lead_embeddings.") for name in state)
        found = dict(layout="st_mem", num_leads=leads, patch_size=values)
        found["seq_len"] = (rows - 2) * values
    else:
        found = _with_class_token(values, rows - 1, given, source)
    wrong = {k: (v, found[k]) for k, v in given.items() if k in found and v != found[k]}
    if wrong:
        raise ConvertError(f"{source}: settings say otherwise than the tensors: {wrong}")
    return found


def _with_class_token(
    values: int, patches: int, given: Mapping[str, Any], source: str
) -> dict[str, Any]:
    layout = given.get("layout")
    if layout == "mlae":
        return dict(layout=layout, num_leads=patches, patch_size=None, seq_len=values)
    if layout != "mtae":
        raise ConvertError(
            f"{source}: MTAE and MLAE have the same names: say which it is, layout: mtae or "
            f"layout: mlae, in a YAML beside it or --config (config=...); found layout {layout!r}"
        )
    leads = given.get("num_leads", 12)
    if values % leads:
        raise ConvertError(
            f"{source}: a patch of {values} values holds no whole number of samples of {leads} "
            "leads: say num_leads in its YAML"
        )
    size = values // leads
    return dict(layout=layout, num_leads=leads, patch_size=size, seq_len=patches * size)
