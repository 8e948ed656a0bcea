"""EEGPT's and DARE-EEG's published parameter names <-> ours, as rule tables.

The names are those of both papers' pretraining code and of ``braindecode.models.EEGPT``, which has
the encoder (``target_encoder``), the channel projection and the probe of them. Attention's query,
key and value lie in one tensor there, in that order.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse

ENCODER = "target_encoder"  # the momentum twin: what every downstream use takes
# Modules that masked pretraining alone has.
PRETRAINING = ("predictor", "reconstructor", "view_projector")
EXCUSES = (
    Excuse(r"chans_id", "the channels' numbers: they follow from their names"),
    Excuse(
        r"(predictor|reconstructor)\.time_embed\.freqs",
        "rotary frequencies: constants that the number of heads determines",
    ),
    Excuse(r"loss_mc\.temperature", "the contrast's temperature: a setting of the objective"),
)


def linear_rules(torch: str, ours: str, kernel: str = "dense") -> list[ConvertRule]:
    """Rules of one linear layer, or of a convolution that is one (``kernel``: its transform)."""
    return [
        ConvertRule(rf"{torch}\.weight", f"{ours}/kernel", kernel),
        ConvertRule(rf"{torch}\.bias", f"{ours}/bias"),
    ]


def norm_rules(torch: str, ours: str) -> list[ConvertRule]:
    """Rules of one ``nn.LayerNorm``."""
    return [
        ConvertRule(rf"{torch}\.weight", f"{ours}/scale"),
        ConvertRule(rf"{torch}\.bias", f"{ours}/bias"),
    ]


def block_rules(torch: str, ours: str) -> list[ConvertRule]:
    """Rules of all transformer blocks of a stack: ``torch.0``, ... <-> ``ours/layer_0``, ..."""
    torch, ours = rf"{torch}\.(\d+)", f"{ours}/layer_{{0}}"
    parts = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
    return [
        *norm_rules(rf"{torch}\.norm1", f"{ours}/attention_norm"),
        ConvertRule(rf"{torch}\.attn\.qkv\.weight", tuple(f"{p}/kernel" for p in parts), "dense"),
        ConvertRule(rf"{torch}\.attn\.qkv\.bias", tuple(f"{p}/bias" for p in parts)),
        *linear_rules(rf"{torch}\.attn\.proj", f"{ours}/attention/out"),
        *norm_rules(rf"{torch}\.norm2", f"{ours}/mlp_norm"),
        *linear_rules(rf"{torch}\.mlp\.fc1", f"{ours}/mlp/up"),
        *linear_rules(rf"{torch}\.mlp\.fc2", f"{ours}/mlp/down"),
    ]


def encoder_rules(
    torch: str = ENCODER, ours: str = "encoder/params", *, patch_norm: bool = False
) -> list[ConvertRule]:
    """Rules of the encoder; normed patches are embedded by a linear layer, plain by a convolution.

    Args:
      torch: what stands before the names.
      ours: the path of our encoder.
      patch_norm: whether patches are normed.
    """
    return [
        ConvertRule(rf"{torch}\.summary_token", f"{ours}/summary_token", "row"),
        *linear_rules(
            rf"{torch}\.patch_embed\.proj",
            f"{ours}/patch_embed",
            "dense" if patch_norm else "patch",
        ),
        ConvertRule(rf"{torch}\.chan_embed\.weight", f"{ours}/channel_embed/embedding"),
        *block_rules(rf"{torch}\.blocks", ours),
        *norm_rules(rf"{torch}\.norm", f"{ours}/norm"),
    ]


def predictor_rules(torch: str = "predictor", ours: str = "predictor/params") -> list[ConvertRule]:
    """Rules of pretraining's predictor."""
    return [
        ConvertRule(rf"{torch}\.mask_token", f"{ours}/mask_token", "rows"),
        *linear_rules(rf"{torch}\.predictor_embed", f"{ours}/embed"),
        *block_rules(rf"{torch}\.predictor_blocks", ours),
        *norm_rules(rf"{torch}\.predictor_norm", f"{ours}/norm"),
        *linear_rules(rf"{torch}\.predictor_proj", f"{ours}/out"),
    ]


def reconstructor_rules(
    torch: str = "reconstructor", ours: str = "reconstructor/params"
) -> list[ConvertRule]:
    """Rules of pretraining's reconstructor."""
    return [
        ConvertRule(rf"{torch}\.mask_token", f"{ours}/mask_token", "row"),
        *linear_rules(rf"{torch}\.reconstructor_embed", f"{ours}/embed"),
        ConvertRule(rf"{torch}\.chan_embed\.weight", f"{ours}/channel_embed/embedding"),
        *block_rules(rf"{torch}\.reconstructor_blocks", ours),
        *norm_rules(rf"{torch}\.reconstructor_norm", f"{ours}/norm"),
        *linear_rules(rf"{torch}\.reconstructor_proj", f"{ours}/out"),
    ]


VIEW_PROJECTOR = [
    *linear_rules(r"loss_mc\.projection_head\.0", "view_projector/params/hidden"),
    *linear_rules(r"loss_mc\.projection_head\.2", "view_projector/params/out"),
]


def model_rules(*, patch_norm: bool, twin: bool) -> list[ConvertRule]:
    """The whole table of a model: its encoder, and what masked pretraining put behind it.

    Args:
      patch_norm: whether patches are normed.
      twin: the model has a momentum twin. That is the published ``target_encoder`` then, and the
        encoder that learns is ``encoder``; without one the model's encoder is the target.
    """
    encoder = encoder_rules(patch_norm=patch_norm)
    if twin:
        encoder = [
            *encoder_rules(ours="encoder/target", patch_norm=patch_norm),
            *encoder_rules("encoder", patch_norm=patch_norm),
        ]
    return [*encoder, *predictor_rules(), *reconstructor_rules(), *VIEW_PROJECTOR]


# -- what the tensors themselves tell -------------------------------------------------------------


def encoder_settings(
    state: Mapping[str, np.ndarray], prefix: str = ENCODER, *, source: str = "state dict"
) -> dict[str, Any]:
    """The sizes of an encoder that its tensors' shapes show, as keywords of ``EegTransformer``.

    All but the number of heads, the stride of patches and the rates: no shape shows these.

    Raises:
      ConvertError: the tensors are no such encoder.
    """
    try:
        embed = state[f"{prefix}.patch_embed.proj.weight"]
        _, tokens, width = state[f"{prefix}.summary_token"].shape
        hidden = state[f"{prefix}.blocks.0.mlp.fc1.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise ConvertError(
            f"{source}: not an encoder in EEGPT's layout under {prefix!r}: {error}"
        ) from error
    depth = 1 + max(
        int(name.removeprefix(f"{prefix}.blocks.").split(".")[0])
        for name in state
        if name.startswith(f"{prefix}.blocks.")
    )
    return dict(
        width=width,
        depth=depth,
        summary_tokens=tokens,
        patch_size=embed.shape[-1],
        patch_norm=embed.ndim == 2,
        mlp_ratio=hidden / width,
        qkv_bias=f"{prefix}.blocks.0.attn.qkv.bias" in state,
        dictionary_size=len(state.get(f"{prefix}.chan_embed.weight", ())),
    )


def rotary_frequencies(width: int, heads: int, *, base: float = 1e4) -> np.ndarray:
    """``time_embed.freqs`` of the published predictor and reconstructor."""
    turned = width // heads // 2
    powers = np.arange(0, turned, 2, dtype=np.float32)[: turned // 2] / np.float32(turned)
    return (1.0 / np.float32(base) ** powers).astype(np.float32)


def heads_of(frequencies: np.ndarray, width: int, *, source: str = "state dict") -> int:
    """The number of heads that rotary frequencies were made for: nothing else shows it.

    Args:
      frequencies: ``time_embed.freqs`` of a predictor or reconstructor.
      width: of its tokens.
      source: for messages.

    Raises:
      ConvertError: no number of heads gives these frequencies.
    """
    for heads in range(1, width + 1):
        if width % heads:
            continue
        expected = rotary_frequencies(width, heads)
        if expected.shape == frequencies.shape and np.allclose(expected, frequencies, rtol=1e-5):
            return heads
    raise ConvertError(
        f"{source}: no number of heads of a model {width} wide has the {len(frequencies)} rotary "
        f"frequencies that are stored"
    )
