"""The encoder ``ecg_image`` from its settings, and image towers that begin with published weights.

    config.encoder = dict(
        name="ecg_image",
        image="paper",  # paper | paper_12x1 | stacked
        image_size=224,  # pixels, or (rows, columns); None: the tower's
        tower=dict(name="clip", weights="openai/clip-vit-base-patch32"),  # vit | clip | siglip
    )

``tower.weights`` is a Hugging Face directory or id; its sizes, and how pixels are normalised, are
then written into the config as it runs, so that a finished model is read without that directory.
Without it the tower begins with random weights, in the sizes that ``tower`` gives (those of the
published base model where it does not); the log says which.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from elm_jax.axes import Params
from elm_jax.convert.vit import LoadedVit, load_vit
from elm_jax.convert.vit_config import PUBLISHED_PIXELS
from elm_jax.data.spec import UNITS_PER_V, SignalSpec, SpecError
from elm_jax.images.picture import EcgPicture
from elm_jax.models.ecg_image import EcgImage
from elm_jax.models.vit_config import VitConfig, VitConfigError, pair, published
from elm_jax.text_source import find_model

log = logging.getLogger(__name__)

NAME = "ecg_image"  # config.encoder.name
WEIGHTS = "config.encoder.tower.weights"
# Settings of config.encoder.tower that are no sizes of the network.
_BESIDE = ("name", "weights", "pixel_mean", "pixel_std", "resample")
# What may differ from a tower whose weights are taken over; its own pooling is then left out.
RATES = ("dropout", "attention_dropout", "drop_path", "init_std")
POOLING = "pooling"


def ecg_image(
    *,
    spec: SignalSpec,
    tower: Mapping[str, Any],
    image: str = "paper",
    image_size: Any = None,
    interpolate_positions: bool = False,
    speed_mm_per_s: float = 25.0,
    gain_mm_per_mv: float = 10.0,
    dtype: Any = None,
    remat: str = "none",
) -> EcgImage:
    """The encoder for signals of ``spec``.

    Args:
      spec: the signal; its channels must hold the twelve leads, by their names.
      tower: its family (``name``), sizes (:class:`VitConfig`), ``pixel_mean``, ``pixel_std``.
      image: form of the image.
      image_size: its size in pixels, one number or (rows, columns); None: the tower's.
      interpolate_positions: take an image of another size than the tower's positions are of.
      speed_mm_per_s: of the paper.
      gain_mm_per_mv: of traces on paper.
      dtype: what the tower computes in.
      remat: what the backward pass computes again.

    Raises:
      SpecError: the signal cannot be turned back into millivolts.
      ImageError: it is not one of twelve leads, or cannot be drawn in this size.
      VitConfigError: settings of the tower that are unknown, missing or do not fit.
    """
    if tower.get("weights") and "width" not in tower:
        raise VitConfigError(
            f"{WEIGHTS}={tower['weights']!r} and no sizes: settle() has not been called, or a "
            "config was changed by hand"
        )
    config = tower_config(tower, image_size)
    size = config.image_size if image_size is None else pair(image_size)
    if size != config.image_size and not interpolate_positions:
        raise VitConfigError(
            f"config.encoder.image_size={size}, but the tower's positions are of images of "
            f"{config.image_size} pixels: set config.encoder.interpolate_positions=True, or "
            "that size"
        )
    pixels = PUBLISHED_PIXELS[config.kind]
    mean, std = (
        tuple(tower.get(f"pixel_{name}") or getattr(pixels, name)) for name in ("mean", "std")
    )
    per_value, at_zero = millivolts(spec)
    picture = EcgPicture(
        image,
        size,
        tuple(spec.channels),
        spec.sfreq_hz,
        spec.window_samples,
        speed_mm_per_s,
        gain_mm_per_mv,
        tower.get("resample") or pixels.resample,
    )
    return EcgImage(
        picture, config, per_value, at_zero, mean, std, interpolate_positions, dtype, remat
    )


def tower_config(tower: Mapping[str, Any], image_size: Any = None) -> VitConfig:
    """Sizes of ``config.encoder.tower``; its positions are of ``image_size`` where it has none.

    Raises:
      VitConfigError: an unknown family or setting, or sizes that do not fit each other.
    """
    if "name" not in tower:
        raise VitConfigError("config.encoder.tower lacks name; known: 'vit', 'clip', 'siglip'")
    sizes = {k: v for k, v in tower.items() if k not in _BESIDE}
    if image_size is not None:
        sizes.setdefault("image_size", pair(image_size))
    return published(tower["name"], **sizes)


def millivolts(spec: SignalSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel, millivolts a network value, and millivolts at network value 0.

    Raises:
      SpecError: network values that do not say how many millivolts they are.
    """
    if spec.unit not in UNITS_PER_V:
        raise SpecError(
            f"config.encoder {NAME!r} draws millivolts; SignalSpec.unit is {spec.unit!r}: no "
            f"voltage (known: {sorted(UNITS_PER_V)})"
        )
    if spec.moments != "fixed":
        raise SpecError(
            f"config.encoder {NAME!r} draws millivolts; normalised by the mean and deviation of "
            f"each {spec.moments}, signals no longer tell them (SignalSpec.moments): set "
            "config.data.normalisation='corpus' or 'none'"
        )
    mv_per_unit = UNITS_PER_V["mV"] / UNITS_PER_V[spec.unit]
    mean, std = (np.broadcast_to(v, len(spec.channels)) for v in (spec.mean, spec.std))
    per_value, at_zero = (v / spec.scale * mv_per_unit for v in (std, mean))
    return tuple(per_value.tolist()), tuple(at_zero.tolist())


# -- published weights ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _load(weights: str, pooling: str) -> LoadedVit:
    """The tower of a directory or id, pooled so ("": in its own way)."""
    return load_vit(
        find_model(
            weights,
            key=WEIGHTS,
            otherwise="To begin with random weights, leave it empty.",
        ),
        pooling=pooling,
    )


def weights_of(config: Any) -> str:
    """``config.encoder.tower.weights``; empty where there is none."""
    if config.encoder.name != NAME:
        return ""
    return (config.encoder.get("tower") or {}).get("weights") or ""


def settle(config: Any, saved: Mapping[str, Any] | None) -> None:
    """Writes the sizes of a published tower into ``config.encoder.tower``.

    Args:
      config: of a run.
      saved: the encoder of the run that is resumed or was finished, which had settled it.

    Raises:
      VitConfigError: ``config.encoder.tower`` gives another size than the tower has.
    """
    weights = weights_of(config)
    if not weights:
        return
    own = {k: v for k, v in config.encoder.tower.to_dict().items() if v is not None}
    saved_tower = (saved or {}).get("tower") or {}
    if saved_tower.get("weights") == weights:
        found = dict(saved_tower)
    else:
        loaded = _load(weights, own.get(POOLING) or "")
        found = loaded.config.to_dict() | {
            "name": loaded.config.kind,
            "pixel_mean": list(loaded.pixels.mean),
            "pixel_std": list(loaded.pixels.std),
            "resample": loaded.pixels.resample,
        }
        _require_same(own, found, weights)
        log.info("encoder  pixels are normalised as %s says", loaded.pixels_from)
    with config.unlocked(), config.ignore_type():
        config.encoder.tower = ConfigDict(_tuples(found | own))


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _require_same(own: Mapping[str, Any], found: Mapping[str, Any], weights: str) -> None:
    free = (*RATES, POOLING, *_BESIDE[1:])
    sizes = {k: v for k, v in own.items() if k in found and k not in free}
    plain = {k: list(pair(v)) if k == "image_size" else v for k, v in sizes.items()}
    wrong = {k: v for k, v in plain.items() if v != found[k]}
    if wrong:
        told = ", ".join(f"{k}={v} (it has {found[k]})" for k, v in wrong.items())
        raise VitConfigError(
            f"config.encoder.tower is not the tower of {WEIGHTS}={weights!r}: {told}; leave sizes "
            f"out beside weights; what may differ: {RATES}, pooling, pixel_mean, pixel_std, "
            "resample, and config.encoder.image_size with interpolate_positions=True"
        )


def overlay(
    config: Any, encoder: Any, then: Callable[[Params], Params], *, resumed: bool
) -> Callable[[Params], Params]:
    """Writes the published tower over fresh parameters, then whatever ``then`` writes.

    Args:
      config: of a run, settled.
      encoder: of the run.
      then: another overlay.
      resumed: the run's own parameters follow and replace all.
    """
    weights = weights_of(config)
    if config.encoder.name != NAME:
        return then
    log.info("encoder  draws %s", encoder.picture)
    if resumed:
        return then
    if not weights:
        log.info("encoder  the image tower begins with random weights (%s is empty)", WEIGHTS)
        return then

    def apply(params: Params) -> Params:
        loaded = _load(weights, config.encoder.tower.get(POOLING) or "")
        tower = loaded.variables["params"]
        if jax.tree.map(np.shape, tower) != jax.tree.map(np.shape, params["encoder"]["tower"]):
            raise VitConfigError(f"{weights}: not the tower of config.encoder.tower")
        log.info("encoder  image tower %s from %s", loaded.config.kind, loaded.report)
        return then(dict(params) | {"encoder": dict(params["encoder"]) | {"tower": tower}})

    return apply
