"""``config.json`` and ``preprocessor_config.json`` of Hugging Face's image towers."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from elm_jax.models.vit_config import VitConfig, VitConfigError, pair, published

# Our field -> Hugging Face's.
_SHARED = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "activation": "hidden_act",
    "norm_eps": "layer_norm_eps",
}
_NAMES = {
    "vit": _SHARED | {
        "qkv_bias": "qkv_bias",
        "pooler_width": "pooler_output_size",
        "pooler_activation": "pooler_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
        "init_std": "initializer_range",
    },
    "clip": _SHARED | {"attention_dropout": "attention_dropout"},
    "siglip": _SHARED | {"attention_dropout": "attention_dropout"},
}  # fmt: skip
# model_type -> the family, and whether the tower is a section of the file.
TYPES = {
    "vit": ("vit", False),
    "clip": ("clip", True),
    "clip_vision_model": ("clip", False),
    "siglip": ("siglip", True),
    "siglip_vision_model": ("siglip", False),
}


class Pixels(NamedTuple):
    """How a tower's images are normalised: ``(pixel - mean) / std``, pixels from 0 to 1.

    Attributes:
      mean: of red, green and blue.
      std: likewise.
      resample: how images were resized for it: "bilinear" or "bicubic".
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: str


# Those of the published preprocessors, where a folder has none.
_HALF = (0.5, 0.5, 0.5)
PUBLISHED_PIXELS = {
    "vit": Pixels(_HALF, _HALF, "bilinear"),
    "clip": Pixels(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic"
    ),
    "siglip": Pixels(_HALF, _HALF, "bicubic"),
}
# Pillow's numbers.
_RESAMPLE = {2: "bilinear", 3: "bicubic"}


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
      FileNotFoundError: no such file.
      VitConfigError: no JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is no Hugging Face model directory: no {path}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VitConfigError(f"{path}: no JSON: {error}") from error
    if not isinstance(values, dict):
        raise VitConfigError(f"{path}: expected an object, found {type(values).__name__}")
    return values


def from_hf(values: Mapping[str, Any], names: set[str], *, source: str) -> VitConfig:
    """The tower that a ``config.json`` describes.

    What it does not say is as in transformers' configuration class of that family. Whether there is
    a pooler or a projection is told by the tensors.

    Args:
      values: of ``config.json``.
      names: of the tensors, without the tower's prefix.
      source: for messages.

    Raises:
      VitConfigError: another network.
    """
    found = values.get("model_type")
    if found not in TYPES:
        raise VitConfigError(f"{source}: model_type is {found!r}; known: {sorted(TYPES)}")
    kind, inside = TYPES[found]
    own = values.get("vision_config", {}) if inside else values
    if not isinstance(own, Mapping):
        raise VitConfigError(f"{source}: vision_config is no object")
    if own.get("num_channels", 3) != 3:
        raise VitConfigError(f"{source}: num_channels is {own['num_channels']}; only 3 is built")
    given = {ours: own[theirs] for ours, theirs in _NAMES[kind].items() if theirs in own}
    if "patch_size" in given:
        rows, columns = pair(given["patch_size"])
        if rows != columns:
            raise VitConfigError(f"{source}: patch_size is {given['patch_size']}; only squares are")
        given["patch_size"] = rows
    if "image_size" in given:
        given["image_size"] = pair(given["image_size"])
    return published(kind, **given, **_told_by_tensors(kind, values, own, names))


def _told_by_tensors(
    kind: str, values: Mapping[str, Any], own: Mapping[str, Any], names: set[str]
) -> dict[str, Any]:
    if kind == "vit":
        return dict(pooling="dense" if "pooler.dense.weight" in names else "class")
    if kind == "siglip":
        return dict(pooling="attention" if own.get("vision_use_head", True) else "mean")
    if "visual_projection.weight" not in names:
        return {}
    # A whole CLIP has the width of both towers' projections outside of their sections.
    return dict(projection=values.get("projection_dim", 512))


_CLASSES = {
    "vit": "ViTModel",
    "clip": "CLIPVisionModel",
    "clip_projected": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
}


def to_hf(config: VitConfig) -> dict[str, Any]:
    """The same as transformers' configuration class of the family writes it."""
    model_type = {"vit": "vit"}.get(config.kind, f"{config.kind}_vision_model")
    rows, columns = config.image_size
    named = {theirs: getattr(config, ours) for ours, theirs in _NAMES[config.kind].items()}
    named |= {"image_size": rows if rows == columns else [rows, columns], "num_channels": 3}
    name = config.kind
    if config.kind == "vit":
        named["pooler_output_size"] = config.pooler_width or config.width
    if config.kind == "siglip":
        named["vision_use_head"] = config.pooling == "attention"
    if config.projection is not None:
        name, named["projection_dim"] = "clip_projected", config.projection
    return {"model_type": model_type, "architectures": [_CLASSES[name]], **named}


def read_pixels(directory: pathlib.Path, kind: str) -> tuple[Pixels, str]:
    """How a folder says that images are normalised, and where it says so.

    Raises:
      VitConfigError: pixels are scaled otherwise than from 0..255 to 0..1, or a value is no colour.
    """
    whole, own = directory / "processor_config.json", directory / "preprocessor_config.json"
    if own.is_file():
        path, values = own, read_json(own)
    elif whole.is_file() and "image_processor" in (both := read_json(whole)):
        path, values = whole, both["image_processor"]
    else:
        return PUBLISHED_PIXELS[kind], f"{directory} has none: those of the published {kind}"
    factor = values.get("rescale_factor", 1 / 255)
    if not values.get("do_rescale", True) or not math.isclose(factor, 1 / 255, rel_tol=1e-3):
        raise VitConfigError(
            f"{path}: do_rescale={values.get('do_rescale', True)}, rescale_factor={factor}; only "
            "1/255 is built: pixels from 0 to 1"
        )
    usual = PUBLISHED_PIXELS[kind]
    mean, std = (values.get(f"image_{name}", getattr(usual, name)) for name in ("mean", "std"))
    if not values.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    try:
        mean, std = (tuple(float(v) for v in x) for x in (mean, std))
    except (TypeError, ValueError) as error:
        raise VitConfigError(f"{path}: image_mean={mean}, image_std={std}: no colours") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise VitConfigError(f"{path}: image_mean={mean}, image_std={std}: expected three colours")
    resample = values.get("resample", usual.resample)
    if resample not in (*_RESAMPLE, *_RESAMPLE.values()):
        raise VitConfigError(f"{path}: resample is {resample!r}; known: {_RESAMPLE}")
    return Pixels(mean, std, _RESAMPLE.get(resample, resample)), str(path)


def pixels_to_hf(config: VitConfig, pixels: Pixels) -> dict[str, Any]:
    """``preprocessor_config.json`` of a tower whose images are drawn at its own size."""
    kinds = {"vit": "ViT", "clip": "CLIP", "siglip": "Siglip"}
    rows, columns = config.image_size
    return {
        "image_processor_type": f"{kinds[config.kind]}ImageProcessor",
        "do_resize": True,
        "size": {"height": rows, "width": columns},
        "resample": {v: k for k, v in _RESAMPLE.items()}[pixels.resample],
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(pixels.mean),
        "image_std": list(pixels.std),
    }
