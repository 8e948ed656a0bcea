"""The model card of a saved folder."""

from typing import Any

from elm_jax.convert import ecg_image
from elm_jax.convert.parts import ELM_AUTHORS, ModelParts
from elm_jax.data.people import People
from elm_jax.data.spec import SignalSpec
from elm_jax.models.resnet1d import DEPTHS, EXPANSION
from elm_jax.models.vit1d import SIZES

LICENCE_NOTES = {
    "": "The weights' licence is for whoever trained them to state.",
    ELM_AUTHORS: (
        "The encoder's weights come from the release of ELM's authors (Gijsen & Ritter, ICML "
        "2025), who state no licence: do not redistribute these files."
    ),
}

_TEMPLATE = """\
---
library_name: elm_jax
tags: [{modality}, biosignals]
---
# {title}

{about}

Not a medical device.

## The signal that it takes

| | |
|--|--|
{signal}

Network values are {values}, the signal in {unit}.{assumed}

## Who it was trained on

{people}

## Use

JAX (`pip install elm_jax`):

```python
import elm_jax
model = elm_jax.load_pretrained("{place}")
vectors = model.embed("{recording}")      # one row a window, through the same preprocessing
print(vectors.features.shape, vectors.start_s)
```

PyTorch (2.0 or later, with `safetensors`; in this folder, nothing to install):

```python
import {torch_file}, preprocess, torch
spec = preprocess.load_spec(".")
windows, start_s = preprocess.network_windows(signal, names, sfreq_hz, spec, unit="{unit}")
features, projection = {torch_file}.load(".")(torch.from_numpy(windows))
```

`python verify.py` recomputes a stored probe and fails if this is not the model that was saved.
{text}
## Licence

{licence} The code files in this folder are part of elm_jax, Apache-2.0.

Weights: sha256 `{digest}` over all parameters and batch statistics.
"""


# By SignalSpec.moments.
_VALUES = {
    "fixed": "`(signal * scale - mean) / std`",
    "recording": "`(signal - mean) / std` of each channel in all of its recording",
    "window": "`(signal - mean) / std` of each channel in each window",
}


# What a file of a modality may be called, where it is no EDF.
_RECORDINGS = {"ecg": "records500/00000/00001_hr"}


def _resnet_width(encoder: dict[str, Any]) -> int:
    own = DEPTHS[encoder.get("depth", 18)]
    stages = len(encoder.get("blocks") or own.blocks)
    return (encoder.get("width", 64) << (stages - 1)) * (EXPANSION if own.bottleneck else 1)


# By config.encoder.name: whose architecture it is, the file that knows it in PyTorch, its width.
_ENCODERS = {
    "conv_eeg": (
        "ELM, Gijsen & Ritter, ICML 2025",
        "elm_torch",
        lambda encoder: sum(branch[1] for branch in encoder.get("kernels", ())),
    ),
    "eeg_transformer": (
        "EEGPT, Wang et al., NeurIPS 2024",
        "eeg_torch",
        lambda encoder: encoder.get("width", 512) * encoder.get("summary_tokens", 4),
    ),
    "resnet1d": (
        "MERL, Liu et al., ICML 2024",
        "ecg_torch",
        _resnet_width,
    ),
    "vit1d": (
        "a masked autoencoder's: ST-MEM, Na et al., ICLR 2024; MTAE and MLAE, Zhang et al., IEEE "
        "TIM 2023",
        "ecg_torch",
        lambda encoder: encoder.get("width") or SIZES[encoder.get("size", "base")].width,
    ),
    "ecg_image": (
        "an image tower on pictures of ECGs: ViT, Dosovitskiy et al., ICLR 2021; CLIP, Radford et "
        "al., ICML 2021; SigLIP, Zhai et al., ICCV 2023",
        "image_torch",
        ecg_image.features_of,
    ),
    "sleep_conv": (
        "Chambon et al., IEEE TNSRE 2018",
        "sleep_torch",
        lambda encoder: encoder.get("outputs"),
    ),
    "mlp": (
        "a multilayer perceptron",
        "mlp_torch",
        lambda encoder: encoder.get("outputs") or [*encoder.get("hidden", (64,))][-1],
    ),
}


def model_card(parts: ModelParts, config: dict[str, Any]) -> str:
    """``README.md`` for a folder with this ``config.json``."""
    spec, encoder = parts.spec, parts.recipe["encoder"]
    made_by, torch_file, width = _ENCODERS[encoder["name"]]
    sizes = parts.recipe["objective"].get("signal_projection")
    projection = f", and projections of {sizes[-1]} numbers" if sizes else ""
    numbers = width(encoder)
    features = f"features of {numbers} numbers" if numbers else "features"
    about = (
        f"An encoder of {spec.modality.upper()} windows of {spec.window_s:g} s: "
        f"{features}{projection}. Made with elm_jax (architecture: {made_by})."
    )
    return _TEMPLATE.format(
        title=f"{spec.modality.upper()} encoder, {spec.window_s:g} s windows",
        about=about,
        signal="\n".join(f"| {name} | {value} |" for name, value in _signal_rows(parts)),
        modality=spec.modality,
        recording=_RECORDINGS.get(spec.modality, "recording.edf"),
        unit=spec.unit,
        values=_VALUES[spec.moments],
        assumed=_assumed(parts),
        people=_people(parts),
        place="FOLDER",
        torch_file=torch_file,
        text=_text(parts),
        licence=config["licence_note"],
        digest=config["weights_sha256"],
    )


def _signal_rows(parts: ModelParts) -> list[tuple[str, str]]:
    spec = parts.spec
    return [
        ("rows", f"{len(spec.channels)}, montage {spec.montage}: {', '.join(spec.channels)}"),
        ("band", _filters(spec)),
        ("clipped at", f"{spec.clip:g} {spec.unit}, before resampling"),
        ("rate", f"{spec.sfreq_hz:g} Hz ({spec.resample})"),
        ("window", f"{spec.window_s:g} s, {spec.window_samples} samples"),
        _scaling(spec),
    ]


def _filters(spec: SignalSpec) -> str:
    if spec.modality != "ecg":
        return f"{band_of(spec)}, zero-phase FIR"
    taken = [f"{word} taken out" for word in spec.cleaning]
    is_open = spec.highpass_hz == 0 and spec.lowpass_hz == spec.sfreq_hz / 2
    if not is_open or spec.notch_hz:
        taken.append(f"{band_of(spec)}, Butterworth both ways")
    return "; ".join(taken) or "as recorded"


def _scaling(spec: SignalSpec) -> tuple[str, str]:
    if spec.moments != "fixed":
        return "mean, std", f"those of each {spec.moments} and channel"
    return "scale, mean, std", f"{spec.scale:g}, {_short(spec.mean)}, {_short(spec.std)}"


def band_of(spec: SignalSpec) -> str:
    """The pass band, and what is taken out of it, in words."""
    band = f"{spec.highpass_hz:g} to {spec.lowpass_hz:g} Hz"
    notches = ", ".join(f"{hz:g}" for hz in spec.notch_hz)
    return f"{band} without {notches} Hz" if notches else band


def _short(value: Any) -> str:
    return "one a channel (config.json)" if isinstance(value, tuple) else f"{value:.6g}"


def _assumed(parts: ModelParts) -> str:
    if not parts.assumed:
        return ""
    return f" The weights' source does not tell {' and '.join(parts.assumed)}: these are assumed."


def _people(parts: ModelParts) -> str:
    """Counts only: who they are stays hashed in config.json."""
    people = People.from_json(parts.trained_on, source=parts.source)
    return "Not known." if people is None else f"{people}."[:1].upper() + f"{people}."[1:]


def _text(parts: ModelParts) -> str:
    text, labels = parts.recipe["text"], parts.recipe["objective"].get("labels")
    if labels:
        takes = "of `model.tokens(...)`; " if parts.recipe["objective"].get("head") else ""
        classes = ", ".join(map(str, labels.get("classes") or ())) or "one output"
        return (
            f'\nIts classifier (`elm_torch.load_classifier(".")`, {takes}`logits` in JAX) gives '
            f"`{labels['name']}` ({labels['kind']}: {classes}).\n"
        )
    if parts.recipe["objective"]["name"] == "relative_position":
        return (
            "\nIt was trained to tell whether two windows of a recording are near each other in "
            'time; `elm_torch.load_classifier(".")(features_a, features_b)` gives that logit '
            "in PyTorch.\n"
        )
    if text is None:
        return "\nThis model has no text side: it cannot be asked in words.\n"
    return (
        '\nTexts: the text tower\'s vectors go through `elm_torch.load_text_projector(".")`; the '
        f"tower is `{text['tower'].get('path', 'text_tower')}`, pooled by "
        f"{text['tower']['pooling']!r}. In JAX: `model.encode_text([...])`.\n"
    )
