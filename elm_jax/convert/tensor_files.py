"""Which parameters go into which file of PyTorch tensors, under which names."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from elm_jax.convert import ecg_image, eegpt, elm, engine, heads, merl, sleep_conv, vit1d
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport, StateDict

COUNTERS = "batch_counters"  # where a model's description has counters_of() its source
# What lies in a Hugging Face folder of its own.
ELSEWHERE = ("text_tower",)


class Network(NamedTuple):
    """A model as files are chosen for it; leaves are arrays, or anything with a shape.

    Attributes:
      recipe: see :class:`elm_jax.convert.parts.ModelParts`.
      params: by module.
      model_state: ``{collection: {by module}}``.
    """

    recipe: Mapping[str, Any]
    params: Mapping[str, Any]
    model_state: Mapping[str, Any]

    @property
    def collections(self) -> dict[str, Mapping[str, Any]]:
        """``{"params": ..., "batch_stats": ..., ...}``, each by module."""
        return {"params": self.params, **self.model_state}


class TensorFile(NamedTuple):
    """One file.

    Attributes:
      stem: its name without suffix.
      modules: our names of the modules in it -> the names that the rules use for them.
      rules: of a model, to the rule table. Its paths begin with the module, then the collection:
        ``encoder/params/...``.
      excuses: PyTorch names in it that are no parameters.
    """

    stem: str
    modules: Mapping[str, str]
    rules: Callable[[Network], list[ConvertRule]]
    excuses: tuple[Excuse, ...] = elm.EXCUSES


def _projector_rules(network: Network) -> list[ConvertRule]:
    projector = network.params.get("signal_projector")
    if projector is None:
        return []
    if merl.is_head(projector):
        return merl.head_rules(projector)
    return elm.PROJECTOR_RULES if "hidden" in projector else elm.SINGLE_PROJECTOR_RULES


def _conv_eeg_rules(network: Network) -> list[ConvertRule]:
    return elm.ENCODER_RULES + _projector_rules(network) + heads.adapter_rules(network.recipe)


def _eeg_transformer_rules(network: Network) -> list[ConvertRule]:
    encoder = eegpt.model_rules(
        patch_norm=network.recipe["encoder"].get("patch_norm", False),
        twin="target" in network.model_state,
    )
    return encoder + _projector_rules(network) + heads.adapter_rules(network.recipe)


def _sleep_conv_rules(network: Network) -> list[ConvertRule]:
    return (
        sleep_conv.encoder_rules() + _projector_rules(network) + heads.adapter_rules(network.recipe)
    )


def _mlp_rules(network: Network) -> list[ConvertRule]:
    return [
        *elm.linear_rules(r"hidden\.(\d+)", "encoder", "hidden_{0}"),
        *elm.norm_rules(r"norms\.(\d+)", "encoder", "norm_{0}"),
        *elm.linear_rules("out", "encoder", "out"),
        *_projector_rules(network),
        *heads.adapter_rules(network.recipe),
    ]


def _resnet_rules(network: Network) -> list[ConvertRule]:
    return [
        *merl.encoder_rules(),
        *_projector_rules(network),
        *heads.adapter_rules(network.recipe),
    ]


def _vit_rules(network: Network) -> list[ConvertRule]:
    return [
        *vit1d.encoder_rules(),
        *vit1d.DECODER_RULES,
        *_projector_rules(network),
        *heads.adapter_rules(network.recipe),
    ]


def _image_rules(network: Network) -> list[ConvertRule]:
    return [
        *ecg_image.ENCODER_RULES,
        *_projector_rules(network),
        *heads.adapter_rules(network.recipe),
    ]


def _text_projector_rules(network: Network) -> list[ConvertRule]:
    """Those of MERL's and CLIP's, which have no BatchNorm, or of ELM's."""
    projector = network.params["text_projector"]
    has_norm = "norm" in projector
    return elm.TEXT_PROJECTOR_RULES if has_norm else merl.text_rules(projector)


def _logit_rules(network: Network) -> list[ConvertRule]:
    """A contrast's learnt temperature and bias, named as CLIP and SigLIP name them."""
    names = {"log_scale": "logit_scale", "bias": "logit_bias"}
    return [ConvertRule(torch, f"logit/params/{ours}") for ours, torch in names.items()]


def _classifier_rules(network: Network) -> list[ConvertRule]:
    return heads.head_rules(network.recipe, network.params["classifier"])


_BESIDE = {"signal_projector": "projector", "adapter": "adapter"}
# The first file, by config.encoder.name: the encoder, and what stands before and behind it.
MODELS = {
    "conv_eeg": TensorFile("model", {"encoder": "encoder", **_BESIDE}, _conv_eeg_rules),
    "eeg_transformer": TensorFile(
        "model",
        {name: name for name in ("encoder", *eegpt.PRETRAINING)} | _BESIDE,
        _eeg_transformer_rules,
    ),
    "mlp": TensorFile("model", {"encoder": "encoder", **_BESIDE}, _mlp_rules),
    sleep_conv.NAME: TensorFile("model", {"encoder": "encoder", **_BESIDE}, _sleep_conv_rules),
    merl.NAME: TensorFile("model", {"encoder": "encoder", **_BESIDE}, _resnet_rules),
    vit1d.NAME: TensorFile(
        "model", {"encoder": "encoder", "decoder": "decoder", **_BESIDE}, _vit_rules
    ),
    ecg_image.NAME: TensorFile(
        "model", {"encoder": "encoder", "decoder": "decoder", **_BESIDE}, _image_rules
    ),
}
FURTHER = (
    TensorFile("text_projector", {"text_projector": "projector"}, _text_projector_rules),
    TensorFile("classifier", {"classifier": "classifier"}, _classifier_rules),
    TensorFile("logit", {"logit": "logit"}, _logit_rules),
)
STEMS = ("model", *(file.stem for file in FURTHER))


def files_of(network: Network) -> list[TensorFile]:
    """The files that a model has.

    Raises:
      ConvertError: an encoder without rules, or parameters of a module that no file has a place
        for.
    """
    name = network.recipe["encoder"].get("name")
    if name not in MODELS:
        raise ConvertError(f"no rules to export encoder {name!r}; known: {sorted(MODELS)}")
    files = (MODELS[name], *FURTHER)
    placed = {module for file in files for module in file.modules} | set(ELSEWHERE)
    if lost := sorted(set(network.params) - placed):
        raise ConvertError(f"no rules to export the parameters of {lost}; known: {sorted(placed)}")
    return [file for file in files if set(file.modules) & set(network.params)]


def _tree(file: TensorFile, network: Network) -> dict[str, Any]:
    """The modules of a file as ``{name in the rules: {collection: ...}}``."""
    return {
        inner: {name: own[ours] for name, own in network.collections.items() if ours in own}
        for ours, inner in file.modules.items()
        if ours in network.params
    }


def _prefix(file: TensorFile) -> str:
    """In front of the names in a report, for all files but the first."""
    return "" if file not in FURTHER else f"{file.stem}:"


def counters_of(report: LoadReport) -> dict[str, int]:
    """The batch counters that came with PyTorch tensors, as numbers for a description."""
    counters = {n: v for n, v in report.kept.items() if n.endswith("num_batches_tracked")}
    return {name: int(value) for name, value in counters.items()}


def to_states(
    network: Network, counters: Mapping[str, int] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """A model as state dicts by file stem, batch counters included.

    Args:
      network: the model.
      counters: from :func:`counters_of` its source; what is not in there is written as 0.

    Raises:
      ConvertError: parameters without a rule.
    """
    states = {}
    for file in files_of(network):
        state = elm.with_counters(_tree(file, network), file.rules(network))
        for name in (n for n in state if n.endswith("num_batches_tracked")):
            count = (counters or {}).get(_prefix(file) + name, 0)
            state[name] = np.asarray(count, np.int64)
        states[file.stem] = state
    return states


def from_states(
    states: Mapping[str, StateDict], shapes: Network, *, source: str
) -> tuple[dict[str, Any], dict[str, Any], LoadReport]:
    """(params, model state, report) out of the state dicts that :func:`to_states` gives.

    Args:
      states: by file stem.
      shapes: of the model that is to be filled.
      source: for messages.

    Raises:
      ConvertError: a tensor does not fit, is missing or unknown; or a file of tensors.
    """
    params = {name: value for name, value in shapes.params.items() if name not in ELSEWHERE}
    shapes = shapes._replace(params=params)
    wanted = {file.stem: file for file in files_of(shapes)}
    if set(wanted) != set(states):
        raise ConvertError(
            f"{source}: the settings ask for the tensor files {sorted(wanted)}, found "
            f"{sorted(states)}"
        )
    found: dict[str, dict[str, Any]] = {name: {} for name in shapes.collections}
    joined = LoadReport(source)
    for stem, file in wanted.items():
        tree, report = engine.from_torch(
            states[stem],
            file.rules(shapes),
            _tree(file, shapes),
            excuses=file.excuses,
            source=f"{source}/{stem}.safetensors",
        )
        joined = joined.joined(report, _prefix(file))
        for ours, inner in file.modules.items():
            for name, value in tree.get(inner, {}).items():
                found[name][ours] = value
    return found.pop("params"), found, joined
