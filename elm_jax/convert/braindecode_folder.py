"""Folders that ``braindecode.models.EEGPT`` saves, here or on the Hugging Face hub: both ways.

config.json                                   the arguments of the class
model.safetensors, and or pytorch_model.bin   its state dict

The original weights are reached so, too: braindecode hosts them in this layout.
"""

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np
from etils import epath

from elm_jax.channels import DICTIONARY, channel_id
from elm_jax.convert import (
    braindecode_config,
    braindecode_files,
    eegpt,
    eegpt_parts,
    engine,
    folder,
    heads,
    network,
)
from elm_jax.convert.braindecode_arguments import channel_of
from elm_jax.convert.braindecode_config import DEFAULTS, EEGPT
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport
from elm_jax.convert.filling import FRESH_HEAD
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import StateDict
from elm_jax.models.adapters import TEN_TWENTY

# A final layer of the user's own that is one linear layer: its place in braindecode's Sequential.
_OWN_HEAD = eegpt.linear_rules(r"final_layer\.1", "classifier/params/out")


is_folder = EEGPT.claims_folder


# -- reading --------------------------------------------------------------------------------------


def read_folder(directory: epath.PathLike, *, n_outputs: int | None = None) -> ModelParts:
    """Reads what ``EEGPT.save_pretrained`` or ``push_to_hub`` of braindecode wrote.

    Args:
      directory: with ``config.json`` and weights.
      n_outputs: classes wanted; another number than is stored gives a new head, as in braindecode.

    Raises:
      FileNotFoundError: a file is missing.
      ConvertError: another class or newer arguments, tensors that do not fit them, channels that
        the dictionary lacks or numbers of channels that do not belong to their names.
      UnreadableWeights: the weights are broken or unsafe.
    """
    state, config = braindecode_files.read(directory, EEGPT)
    return from_state(state, config, n_outputs=n_outputs, source=str(directory))


def from_state(
    state: StateDict,
    config: dict[str, Any],
    *,
    n_outputs: int | None = None,
    source: str = "state dict",
) -> ModelParts:
    """A model from the state dict and all arguments of braindecode's EEGPT.

    Args:
      state: arrays by name.
      config: see :class:`elm_jax.convert.braindecode_arguments.BraindecodeClass`.
      n_outputs: see :func:`read_folder`.
      source: for messages.

    Raises:
      ConvertError: see :func:`read_folder`.
    """
    fresh = n_outputs is not None and (
        n_outputs != config["n_outputs"] or config["return_encoder_output"]
    )
    if fresh:
        new = dict(n_outputs=n_outputs, return_encoder_output=False, final_layer=None)
        config = config | new
    if config["return_encoder_output"] and config["chan_proj_type"] != "none":
        raise ConvertError(
            f"{source}: it has a channel projection and no head; n_outputs=... gives it one"
        )
    sizes = eegpt.encoder_settings(state, source=source)
    spec, assumed = braindecode_config.spec_of(config, source=source)
    recipe = braindecode_config.recipe_of(
        config,
        patch_norm=sizes["patch_norm"],
        dictionary_size=sizes["dictionary_size"],
        source=source,
    )
    _require_numbers(state, config, spec.channels, source)
    old_head = Excuse(
        r"final_layer\..*", f"the stored head: n_outputs={n_outputs} asks for another"
    )
    params, model_state, report = eegpt_parts.fill(
        state,
        recipe,
        spec,
        _rules(recipe, config, fresh_head=fresh),
        fresh_head=fresh,
        excuses=[old_head] if fresh else [],
        source=source,
    )
    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=params,
        model_state=model_state,
        assumed=assumed,
        report=report,
        source=source,
        extra={FRESH_HEAD: n_outputs} if fresh else {},
    )


def _rules(
    recipe: dict[str, Any], config: dict[str, Any], *, fresh_head: bool
) -> list[ConvertRule]:
    encoder = eegpt.encoder_rules(patch_norm=recipe["encoder"]["patch_norm"])
    head = _OWN_HEAD if config["final_layer"] is not None else heads.head_rules(recipe, {})
    head = [] if fresh_head else head  # what is stored is not what is asked for
    return [*encoder, *heads.adapter_rules(recipe), *head]


def _require_numbers(
    state: StateDict, config: dict[str, Any], channels: tuple[str, ...], source: str
) -> None:
    """Raises unless the stored numbers of the channels are those of their names."""
    if "chans_id" not in state:
        return
    names = TEN_TWENTY if config["chan_proj_type"] != "none" else channels
    found, expected = state["chans_id"].reshape(-1).tolist(), [channel_id(n) for n in names]
    if found != expected:
        raise ConvertError(
            f"{source}: chans_id, the numbers of the channels in the dictionary, are {found}; the "
            f"channels {', '.join(names)} have {expected}"
        )


# -- writing --------------------------------------------------------------------------------------


def write_folder(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    leave_out: Collection[str] = (),
    overwrite: bool = False,
) -> LoadReport:
    """Writes a model that ``braindecode.models.EEGPT.from_pretrained(directory)`` reads strictly.

    Of a masked pretraining it is the momentum twin that goes, as ``target_encoder``.

    Args:
      parts: the model.
      directory: to make; an existing one must be braindecode's, with ``overwrite``.
      leave_out: modules that braindecode has no place for and that may go, by name.
      overwrite: replace the model that is there.

    Returns:
      what became of every tensor, as found when the folder was read back.

    Raises:
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ConvertError: something of the model that braindecode's class does not have.
    """
    parts, excused = _of_class(folder.as_numpy(parts), leave_out)
    return braindecode_files.write(
        parts,
        directory,
        of=EEGPT,
        config=config_of(parts),
        state=state_of(parts),
        read=read_folder,
        excused=excused,
        overwrite=overwrite,
    )


def _of_class(parts: ModelParts, leave_out: Collection[str]) -> tuple[ModelParts, dict[str, str]]:
    """What of a model braindecode's class has, and the excused paths of the rest."""
    require_class(parts)
    objective = dict(parts.recipe["objective"])
    twin = parts.model_state.get("target", {}).get("encoder")
    own = ("encoder", "adapter", *(("classifier",) if objective.get("labels") else ()))
    params, excused = braindecode_files.without(
        parts, own, leave_out=leave_out, of=EEGPT, elsewhere="a folder (--to folder)"
    )
    if twin is not None:
        excused |= {
            f"params/encoder/{path}": "its momentum twin goes, as target_encoder"
            for path in engine.flatten(params["encoder"])
        }
        params["encoder"] = twin
    if "classifier" not in params:
        objective = dict(braindecode_config.NO_HEAD)
    changes: dict[str, Any] = dict(
        params=params,
        model_state={"batch_stats": {}},
        recipe=dict(parts.recipe) | {"objective": objective},
    )
    return dataclasses.replace(parts, **changes), excused


def require_class(parts: ModelParts) -> None:
    """Raises unless a model's encoder is EEGPT's.

    Raises:
      ConvertError: it is another.
    """
    name = parts.recipe["encoder"]["name"]
    if name != "eeg_transformer":
        raise ConvertError(f"{parts.source}: braindecode's EEGPT is no {name!r}")


def config_of(parts: ModelParts) -> dict[str, Any]:
    """The arguments of braindecode's class for a model.

    Raises:
      ConvertError: it has no argument for something of the model; names all of them.
    """
    module = network.build_network(parts.recipe, parts.spec).encoder
    objective, spec = parts.recipe["objective"], parts.spec
    adapter, labels = objective.get("adapter"), objective.get("labels") or {}
    config = {theirs: getattr(module, ours) for theirs, ours in braindecode_config.ENCODER.items()}
    config |= dict(
        n_outputs=max(1, len(labels.get("classes") or ())) if labels else None,
        chs_info=[channel_of(name) for name in spec.channels],
        n_times=spec.window_samples,
        sfreq=spec.sfreq_hz,
        return_encoder_output=not labels,
        chan_proj_type="none",
    )
    if adapter:
        config["chan_proj_type"] = _PROJECTIONS.get(adapter["name"], "")
        config["chan_conv_max_norm"] = adapter.get("max_norm", 1.0)
    if problems := _problems(parts, module, config):
        listing = "\n  ".join(problems)
        raise ConvertError(f"{parts.source}: braindecode's EEGPT has no argument for\n  {listing}")
    return DEFAULTS | config


_PROJECTIONS = {ours: theirs for theirs, ours in braindecode_config.PROJECTIONS.items()}


def _problems(parts: ModelParts, module: Any, config: dict[str, Any]) -> list[str]:
    """What of a model braindecode's arguments cannot say."""
    objective, head = parts.recipe["objective"], parts.recipe["objective"].get("head")
    adapter, labels = objective.get("adapter") or {}, objective.get("labels") or {}
    rows = len(adapter.get("channels", parts.spec.channels))
    plain = braindecode_config.HEAD
    checks = {
        "normed patches (a class of the user's own there)": module.patch_norm,
        f"a table of {module.dictionary_size} electrodes": module.dictionary_size
        != max(len(DICTIONARY), rows),
        f"adapter {adapter.get('name')!r}": adapter and not config["chan_proj_type"],
        "an adapter to other electrodes than the 19 of the 10-20 system": adapter
        and tuple(adapter.get("channels", ())) != TEN_TWENTY,
        "an adapter that changes the number of samples": adapter.get("samples"),
        "an adapter whose convolution is not constrained": adapter.get("name") == "conv"
        and config["chan_conv_max_norm"] is None,
        f"head {(head or {}).get('name')!r}": labels and (head or {}).get("name") != plain["name"],
        f"a two-stage head with {head}": head
        and head["name"] == plain["name"]
        and any(_as_list(head.get(k, plain[k])) != plain[k] for k in ("hidden", "max_norm")),
        f"outputs in a unit of their own ({labels})": labels.get("kind") == "regression"
        and (labels.get("mean", 0.0), labels.get("std", 1.0)) != (0.0, 1.0),
        "a projector": "signal_projector" in parts.params,
    }
    return [problem for problem, there in checks.items() if there]


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def state_of(parts: ModelParts) -> dict[str, np.ndarray]:
    """The state dict of braindecode's class for a model.

    Raises:
      ConvertError: parameters that it has no name for.
    """
    recipe = parts.recipe
    rules = eegpt.encoder_rules(patch_norm=recipe["encoder"].get("patch_norm", False))
    rules = [*rules, *heads.adapter_rules(recipe), *heads.head_rules(recipe, parts.params)]
    state = engine.to_torch(eegpt_parts.by_module(parts.params), rules)
    channels = TEN_TWENTY if recipe["objective"].get("adapter") else parts.spec.channels
    numbers = np.asarray([channel_id(name) for name in channels], np.int64)
    return state | {"chans_id": numbers[None]}
