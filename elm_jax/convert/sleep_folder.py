"""``SleepStagerChambon2018`` of braindecode: its state dict, and folders that it saves; both ways.

The class does not say whether its outputs are classes or an embedding. They are taken as the
model's one vector (``features``); whoever asks for ``n_outputs`` gets a classifier.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax.axes import Key
from elm_jax.convert import braindecode_files, elm, filling, folder, heads, sleep_conv
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse, LoadReport
from elm_jax.convert.filling import CLASSIFIER, FRESH_HEAD
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import StateDict
from elm_jax.convert.sleep_config import EMBEDS, PAIRS, STAGER, config_of, recipe_of, spec_of
from elm_jax.convert.sleep_conv import NAME, OLD_OUTPUT, OUTPUT
from elm_jax.convert.tensor_files import COUNTERS, counters_of

is_folder = STAGER.claims_folder


# -- reading --------------------------------------------------------------------------------------


def read_folder(directory: epath.PathLike, *, n_outputs: int | None = None) -> ModelParts:
    """Reads what ``SleepStagerChambon2018.save_pretrained`` or ``push_to_hub`` wrote.

    Args:
      directory: with ``config.json`` and weights.
      n_outputs: classes wanted: the output layer becomes a classifier, a new one unless it has
        so many outputs. (braindecode refuses another number.)

    Raises:
      FileNotFoundError: a file is missing.
      ConvertError: another class or newer arguments, or tensors that do not fit them.
      UnreadableWeights: the weights are broken or unsafe.
    """
    state, config = braindecode_files.read(directory, STAGER)
    return from_state(state, config, n_outputs=n_outputs, source=str(directory))


def from_state(
    state: StateDict,
    config: Mapping[str, Any],
    *,
    n_outputs: int | None = None,
    source: str = "state dict",
) -> ModelParts:
    """A model from a state dict and all arguments of braindecode's class.

    Args:
      state: arrays by name: of the class (the older ``fc.1`` for its output layer too), or of the
        siamese network around it (``emb``, ``clf.1``).
      config: the arguments.
      n_outputs: see :func:`read_folder`.
      source: for messages.

    Raises:
      ConvertError: tensors that do not fit the arguments, or an ``n_outputs`` of a siamese network.
    """
    prefix = sleep_conv.prefix_of(state) or ""
    if prefix and n_outputs is not None:
        raise ConvertError(
            f"{source}: n_outputs={n_outputs} asks for a classifier in place of the output layer, "
            "whose vectors this network compares: fine-tune the loaded model instead"
        )
    fresh = n_outputs is not None and (config["return_feats"] or n_outputs != config["n_outputs"])
    spec, assumed = spec_of(config, source=source)
    objective = PAIRS if prefix and "clf.1.weight" in state else EMBEDS
    recipe = recipe_of(config, objective=objective, classes=n_outputs, source=source)
    stored = sleep_conv.encoder_rules(prefix)
    rules = [*stored, *(sleep_conv.PAIR_HEAD_RULES if objective is PAIRS else [])]
    excuses = list(elm.EXCUSES)
    if n_outputs is not None:
        rules = [*_without_output(stored), *([] if fresh else heads.head_rules(recipe, {}))]
        state = dict(state) if fresh else _as_head(state, recipe, config)
    if fresh:
        asked = f"the stored output layer: n_outputs={n_outputs} asks for another"
        excuses += [Excuse(r"(final_layer|fc)\.1\..*", asked)]
    params, model_state, report = filling.fill(
        state,
        recipe,
        spec,
        rules,
        draw_head=_linear_head if fresh else None,
        excuses=excuses,
        source=source,
    )
    counters = {name.removeprefix(prefix): n for name, n in counters_of(report).items()}
    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=params,
        model_state=model_state,
        assumed=assumed,
        report=report,
        source=source,
        extra={COUNTERS: counters} | ({FRESH_HEAD: n_outputs} if fresh else {}),
    )


def _without_output(rules: list[ConvertRule]) -> list[ConvertRule]:
    return [rule for rule in rules if "/out/" not in rule.paths[0]]


def _as_head(state: StateDict, recipe: Mapping[str, Any], config: Mapping[str, Any]) -> StateDict:
    """A state dict whose output layer is a head on tokens, under the names that heads have."""
    found = {}
    for name, value in state.items():
        if name in (f"{OUTPUT}.weight", f"{OLD_OUTPUT}.weight") and value.ndim == 2:
            width = config["n_conv_chs"] * sleep_conv.channels_of(state)
            times = value.shape[1] // width
            if times * width == value.shape[1]:  # else its shape is what is reported
                value = sleep_conv.by_time(value, times)
            name = HEAD_WEIGHT
        elif name in (f"{OUTPUT}.bias", f"{OLD_OUTPUT}.bias"):
            name = HEAD_BIAS
        found[name] = value
    return found


HEAD_WEIGHT = "final_layer.out.parametrizations.weight.original"
HEAD_BIAS = "final_layer.out.bias"


def _linear_head(objective: Any, shapes: Mapping[str, Any], key: Key) -> Mapping[str, Any]:
    tokens = jnp.zeros((1, 1, shapes["out"]["kernel"].shape[0]))
    keys = {"params": key, "dropout": key}
    return objective.classifier.init(keys, tokens, train=False)["params"]


# -- writing --------------------------------------------------------------------------------------


def write_folder(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    leave_out: Collection[str] = (),
    overwrite: bool = False,
) -> LoadReport:
    """Writes what ``SleepStagerChambon2018.from_pretrained(directory)`` reads strictly.

    Args:
      parts: the model.
      directory: to make; an existing one must be braindecode's, with ``overwrite``.
      leave_out: modules that braindecode has no place for and that may go, by name: the
        ``classifier`` of pairs.
      overwrite: replace the model that is there.

    Returns:
      what became of every tensor, as found when the folder was read back.

    Raises:
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ConvertError: something of the model that braindecode's class does not have.
    """
    parts, excused = of_class(folder.as_numpy(parts), leave_out)
    config = config_of(parts)
    classes = config["n_outputs"] if parts.recipe["objective"].get("labels") else None

    def read(path: epath.PathLike) -> ModelParts:
        return read_folder(path, n_outputs=classes)

    return braindecode_files.write(
        parts,
        directory,
        of=STAGER,
        config=config,
        state=state_of(parts),
        read=read,
        excused=excused,
        overwrite=overwrite,
    )


def of_class(parts: ModelParts, leave_out: Collection[str]) -> tuple[ModelParts, dict[str, str]]:
    """What of a model braindecode's class has, and the excused paths of the rest.

    Raises:
      ConvertError: another encoder; or modules without a place that were not named.
    """
    if (name := parts.recipe["encoder"]["name"]) != NAME:
        raise ConvertError(f"{parts.source}: braindecode's {STAGER.name} is no {name!r}")
    classes = bool(parts.recipe["objective"].get("labels"))
    own = ("encoder", "adapter", "signal_projector", *((CLASSIFIER,) if classes else ()))
    elsewhere = "a folder (--to folder) or a file (NAME.pt)"
    params, excused = braindecode_files.without(
        parts, own, leave_out=leave_out, of=STAGER, elsewhere=elsewhere
    )
    recipe = dict(parts.recipe)
    if not classes:
        recipe["objective"] = dict(EMBEDS)
    return dataclasses.replace(parts, params=params, recipe=recipe), excused


def state_of(parts: ModelParts, prefix: str = "") -> dict[str, np.ndarray]:
    """The state dict of braindecode's class, or of the siamese network around it.

    Args:
      parts: the model.
      prefix: of the encoder's names; with :data:`elm_jax.convert.sleep_conv.SIAMESE` the
        classifier of pairs comes too.

    Raises:
      ConvertError: parameters that it has no name for.
    """
    rules = sleep_conv.encoder_rules(prefix) + heads.head_rules(parts.recipe, parts.params)
    collections = {"params": parts.params, **parts.model_state}
    tree = {
        module: {name: own[module] for name, own in collections.items() if module in own}
        for module in parts.params
    }
    state = elm.with_counters(tree, rules)
    for name, count in (parts.extra.get(COUNTERS) or {}).items():
        if prefix + name in state:
            state[prefix + name] = np.asarray(count, np.int64)
    if HEAD_WEIGHT in state:
        weight = state.pop(HEAD_WEIGHT)
        width = parts.params["encoder"]["conv_1"]["bias"].shape[0] * len(parts.spec.channels)
        state[f"{OUTPUT}.weight"] = sleep_conv.by_filter(weight, weight.shape[1] // width)
        state[f"{OUTPUT}.bias"] = state.pop(HEAD_BIAS)
    return state
