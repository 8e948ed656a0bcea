"""Hugging Face directories of ViT, CLIP and SigLIP <-> our image tower."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from etils import epath

from elm_jax import staging
from elm_jax.convert import engine, vit_config
from elm_jax.convert.engine import Excuse
from elm_jax.convert.reader import StateDict, read_hf_weights
from elm_jax.convert.vit_config import PUBLISHED_PIXELS, Pixels
from elm_jax.convert.vit_rules import EXCUSES, POOLED_BY, POOLS, PREFIX, RULES
from elm_jax.models.vit import Vit
from elm_jax.models.vit_config import VitConfig


class LoadedVit(NamedTuple):
    """An image tower from a directory.

    Attributes:
      config: its sizes.
      variables: ``{"params": ...}`` for ``Vit(config)``.
      report: what became of every tensor.
      pixels: how its images are normalised.
      pixels_from: where that stands.
    """

    config: VitConfig
    variables: dict[str, Any]
    report: engine.LoadReport
    pixels: Pixels
    pixels_from: str


def load_vit(directory: epath.PathLike, *, pooling: str = "") -> LoadedVit:
    """Reads ``config.json``, weights and preprocessor of a Hugging Face directory.

    Of ViT with or without its pooler, or with a head; of CLIP or SigLIP the whole or its vision
    model, with or without ``visual_projection``.

    Args:
      directory: the folder.
      pooling: another of its family's than it has; what its own needs is then left out.

    Raises:
      FileNotFoundError: a file is missing.
      VitConfigError: another network.
      UnreadableWeights: a broken or unsafe weights file.
      ConvertError: a tensor does not fit; all of them are named.
    """
    source, directory = str(directory), staging.local_folder(directory)
    path = directory / "config.json"
    values, state = vit_config.read_json(path), read_hf_weights(directory)
    state, config = _plain(values, state, source)
    if pooling:
        config = dataclasses.replace(config, pooling=pooling)
    variables, report = from_hf(config, state, source=source)
    pixels, where = vit_config.read_pixels(directory, config.kind)
    return LoadedVit(config, variables, report, pixels, where)


def names_tower(text: str) -> bool:
    """Whether the text of a ``config.json`` is that of an image tower."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("model_type") in vit_config.TYPES


def _plain(values: Mapping[str, Any], state: StateDict, source: str) -> tuple[StateDict, VitConfig]:
    """Tensors without the prefix that their class puts before them, and what the tower is."""
    prefixes = sorted(set(PREFIX.values()))
    plain: StateDict = {}
    for name, value in state.items():
        prefix = next((p for p in prefixes if name.startswith(p)), "")
        plain[name.removeprefix(prefix)] = value
    if len(plain) != len(state):
        raise engine.ConvertError(
            f"{source}: names occur with and without one of the prefixes {prefixes}"
        )
    return plain, vit_config.from_hf(values, set(plain), source=f"{source}/config.json")


def from_hf(
    config: VitConfig, state: StateDict, *, source: str = "state dict"
) -> tuple[dict[str, Any], engine.LoadReport]:
    """Converts tensors, without prefix, into Vit variables.

    Raises:
      ConvertError: a tensor does not fit.
    """
    rules, excuses = RULES[config.kind], list(EXCUSES[config.kind])
    if config.pooling not in POOLED_BY:
        rules = [rule for rule in rules if not re.match(POOLS, rule.torch)]
        excuses.append(Excuse(rf"{POOLS}.*", f"tokens are pooled by {config.pooling!r} here"))
    return engine.from_torch(state, rules, shapes(config), excuses=excuses, source=source)


def shapes(config: VitConfig) -> Any:
    """The variables of ``Vit(config)`` as shapes and types."""
    image = jax.ShapeDtypeStruct((1, *config.image_size, 3), jnp.float32)
    return jax.eval_shape(
        lambda image: Vit(config).init(jax.random.key(0), image, train=False), image
    )


def to_hf(config: VitConfig, variables: Mapping[str, Any]) -> StateDict:
    """Tensors by the names that files on the hub have: with their class's prefix."""
    state = engine.to_torch({"params": variables["params"]}, RULES[config.kind])
    if config.kind == "vit":
        return state  # of ViTModel, which puts none before its own
    outside = "visual_projection.weight"
    return {(n if n == outside else PREFIX[config.kind] + n): v for n, v in state.items()}


def save_vit(
    directory: str | pathlib.Path,
    config: VitConfig,
    variables: Mapping[str, Any],
    pixels: Pixels | None = None,
) -> None:
    """Writes ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.

    ``ViTModel``, ``CLIPVisionModel`` (with a projection ``CLIPVisionModelWithProjection``) and
    ``SiglipVisionModel`` of transformers open it; a ViT without pooler with
    ``add_pooling_layer=False``.
    """
    import safetensors.numpy

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Not save_file: that leaves a file which only its owner may read.
    content = safetensors.numpy.save(to_hf(config, variables), metadata={"format": "pt"})
    (directory / "model.safetensors").write_bytes(content)
    own = pixels or PUBLISHED_PIXELS[config.kind]
    files = {
        "config.json": vit_config.to_hf(config),
        "preprocessor_config.json": vit_config.pixels_to_hf(config, own),
    }
    for name, values in files.items():
        (directory / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
