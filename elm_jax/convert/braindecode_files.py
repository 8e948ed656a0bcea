"""Folders in the layout that braindecode's classes save: read; and written, read back first.

config.json          the arguments of the class
model.safetensors    its state dict
load_report.json     what became of every tensor
README.md            what signals it takes: the arguments do not say how they were prepared
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import card, engine, folder
from elm_jax.convert.braindecode_arguments import VERSION, BraindecodeClass
from elm_jax.convert.engine import ConvertError, LoadReport
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import StateDict, read_hf_weights

LEFT_OUT = "left out as asked: braindecode's class has no place for it"


def read(directory: epath.PathLike, of: BraindecodeClass) -> tuple[StateDict, dict[str, Any]]:
    """(state dict, all arguments) of a folder that a class saved.

    Raises:
      FileNotFoundError: a file is missing.
      ConvertError: another class or newer arguments.
      UnreadableWeights: the weights are broken or unsafe.
    """
    directory = staging.local_folder(directory)
    config = of.read(directory / "config.json")
    return read_hf_weights(directory), config


def without(
    parts: ModelParts,
    own: Collection[str],
    *,
    leave_out: Collection[str],
    of: BraindecodeClass,
    elsewhere: str,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters of the modules that a class has a place for, and the excused paths of the rest.

    Args:
      parts: the model.
      own: modules that the class has.
      leave_out: others that may go.
      of: the class.
      elsewhere: what to write instead, for the message.

    Raises:
      ConvertError: modules without a place that were not named.
    """
    params = dict(parts.params)
    extra = [name for name in params if name not in own]
    if lost := [name for name in extra if name not in leave_out]:
        raise ConvertError(
            f"{parts.source}: braindecode's {of.name} has no place for {', '.join(lost)}. Write "
            f"{elsewhere}, or say that it may go: --leave_out {','.join(extra)}"
        )
    gone = engine.flatten({name: params.pop(name) for name in extra})
    return params, {f"params/{path}": LEFT_OUT for path in gone}


def write(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    of: BraindecodeClass,
    config: Mapping[str, Any],
    state: Mapping[str, np.ndarray],
    read: Callable[[epath.PathLike], ModelParts],
    excused: Mapping[str, str],
    overwrite: bool,
) -> LoadReport:
    """Writes a folder of a class; nothing is there until all of it is.

    Args:
      parts: the model, as far as the class has a place for it.
      directory: to make; an existing one must be the class's, with ``overwrite``.
      of: the class.
      config: its arguments.
      state: its state dict.
      read: reads such a folder.
      excused: paths of what was left out of ``parts``, and why.
      overwrite: replace the model that is there.

    Returns:
      what became of every tensor, as found when the folder was read back.

    Raises:
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ConvertError: the folder reads back differently.
    """
    target = paths.absolute(directory)
    ours = of.claims_folder(target)
    with folder.replacing(target, ours=ours, overwrite=overwrite) as unique:
        folder.write_safetensors(dict(state), unique / "model.safetensors")
        folder.write_json(unique / "config.json", dict(config) | {"braindecode_version": VERSION})
        (unique / "README.md").write_text(_card(parts, of), encoding="utf-8")
        back = read(unique)
        if back.weights_sha256 != parts.weights_sha256:
            raise ConvertError(f"{target}: what was written reads back differently")
        back.report.source = parts.source or str(target)
        back.report.excused |= excused
        folder.write_report(unique / "load_report.json", parts.report, back.report)
    return back.report


def _card(parts: ModelParts, of: BraindecodeClass) -> str:
    spec = parts.spec
    scale = f"{spec.scale:g} per {spec.unit}, mean {spec.mean}, std {spec.std}"
    if spec.moments != "fixed":
        scale = f"{spec.unit} less the mean of each {spec.moments} and channel, over its std"
    return (
        "---\nlibrary_name: braindecode\ntags: [eeg]\n---\n"
        f'# {of.name}\n\n`braindecode.models.{of.name}.from_pretrained("FOLDER")` reads this '
        "folder.\n\n"
        f"Input: {', '.join(spec.channels)}; {spec.sfreq_hz:g} Hz, {spec.window_s:g} s, montage "
        f"{spec.montage}, {card.band_of(spec)}; network values are {scale}. braindecode prepares "
        "nothing of this itself.\n"
    )
