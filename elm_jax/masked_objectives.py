"""From ``config.objective`` to a masked pretraining objective around an encoder.

    config.objective = dict(
        name="masked_dual",                       # EEGPT; "dual_aligned": DARE-EEG, a second view
        predictor=dict(depth=2), reconstructor=dict(depth=4),
        momentum=(0.996, 1.0), total_steps=None,  # None: the run's, see build.settle_length
    )

Predictor and reconstructor have the encoder's sizes and rates where their sections do not say.

    config.objective = dict(
        name="masked_recon",                      # ST-MEM, MTAE, MLAE: a masked autoencoder
        decoder=dict(width=256, depth=4, heads=4), hidden_share=0.75,
    )
    config.objective = dict(name="masked_image", hidden_share=0.75)  # SimMIM, of ECG images
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from elm_jax.construct import construct, declared
from elm_jax.models.ecg_image import EcgImage
from elm_jax.models.masked_heads import Predictor, Reconstructor
from elm_jax.models.view_projector import ViewProjector
from elm_jax.models.vit1d import ViT1d
from elm_jax.models.vit1d_decoder import MaskedDecoder
from elm_jax.objectives.dual_aligned import DualAligned
from elm_jax.objectives.masked_dual import MaskedDual
from elm_jax.objectives.masked_image import MaskedImage
from elm_jax.objectives.masked_recon import MaskedRecon

# What both heads take over from the encoder.
_OF_ENCODER = (
    "width", "heads", "summary_tokens", "patch_size", "mlp_ratio", "dropout", "attention_dropout",
    "drop_path", "init_std", "qkv_bias", "norm_eps", "dictionary_size", "dtype", "remat",
)  # fmt: skip
# What a masked autoencoder's decoder takes over.
_OF_VIT = (
    "head_width", "mlp_ratio", "dropout", "attention_dropout", "drop_path", "norm_eps", "dtype",
    "remat",
)  # fmt: skip
_OF_VIEWS = (
    "view_overlap", "overlap_jitter", "temperature", "mask_alignment", "mask_alignment_weight",
    "activation_weight", "similarity",
)  # fmt: skip


def masked_dual(settings: Mapping[str, Any], encoder: nn.Module) -> MaskedDual:
    """EEGPT's objective.

    Args:
      settings: ``config.objective``.
      encoder: what learns.

    Raises:
      ValueError: an encoder that cannot be shown a part of the signal, unknown or missing settings.
    """
    if not getattr(encoder, "by_name", False):
        raise ValueError(
            f"config.objective {settings['name']!r} hides channels and time patches from the "
            f"encoder; {type(encoder).__name__} cannot be shown a part: set "
            "config.encoder.name='eeg_transformer'"
        )
    settings = dict(settings)
    sizes = {name: getattr(encoder, name) for name in _OF_ENCODER}
    heads = {}
    for name, kind in (("predictor", Predictor), ("reconstructor", Reconstructor)):
        given = declared(kind, sizes) | dict(settings.pop(name, None) or {})
        heads[name] = construct(kind, given, f"config.objective.{name}")
    if "momentum" in settings:
        settings["momentum"] = tuple(settings["momentum"])
    return construct(MaskedDual, settings, "config.objective", encoder=encoder, **heads)


def dual_aligned(settings: Mapping[str, Any], encoder: nn.Module) -> DualAligned:
    """DARE-EEG's objective; ``projection`` are the sizes of the projection of a view.

    Args:
      settings: ``config.objective``.
      encoder: what learns.

    Raises:
      ValueError: as :func:`masked_dual`.
    """
    settings = dict(settings)
    projector = ViewProjector(tuple(settings.pop("projection", (512, 256))), dtype=encoder.dtype)
    views = {name: settings.pop(name) for name in _OF_VIEWS if name in settings}
    if "view_overlap" in views:
        views["view_overlap"] = tuple(views["view_overlap"])
    masked = masked_dual(settings, encoder)
    return construct(
        DualAligned, views, "config.objective", masked=masked, view_projector=projector
    )


def masked_recon(settings: Mapping[str, Any], encoder: nn.Module) -> MaskedRecon:
    """A masked autoencoder around an encoder of patches.

    Args:
      settings: ``config.objective``.
      encoder: what learns.

    Raises:
      ValueError: an encoder without patches, unknown or missing settings.
    """
    if not isinstance(encoder, ViT1d):
        raise ValueError(
            f"config.objective {settings['name']!r} hides patches from the encoder; "
            f"{type(encoder).__name__} has none: set config.encoder.name='vit1d'"
        )
    settings = dict(settings)
    given = {name: getattr(encoder, name) for name in _OF_VIT}
    given |= dict(settings.pop("decoder", None) or {})
    decoder = construct(MaskedDecoder, given, "config.objective.decoder")
    return construct(MaskedRecon, settings, "config.objective", encoder=encoder, decoder=decoder)


def masked_image(settings: Mapping[str, Any], encoder: nn.Module) -> MaskedImage:
    """SimMIM around an encoder of images.

    Args:
      settings: ``config.objective``.
      encoder: what learns.

    Raises:
      ValueError: an encoder of something else, unknown settings.
    """
    if not isinstance(encoder, EcgImage):
        raise ValueError(
            f"config.objective {settings['name']!r} hides patches of an image; "
            f"{type(encoder).__name__} draws none: set config.encoder.name='ecg_image'"
        )
    return construct(MaskedImage, settings, "config.objective", encoder=encoder)
