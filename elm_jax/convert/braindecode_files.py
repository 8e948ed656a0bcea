"""Folders in the layout that braindecode's classes save: written, and read back before they stand.

config.json          the arguments of the class
model.safetensors    its state dict
load_report.json     what became of every tensor
README.md            what signals it takes: the arguments do not say how they were prepared
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths
from elm_jax.convert import card, folder
from elm_jax.convert.braindecode_arguments import VERSION, BraindecodeClass
from elm_jax.convert.engine import ConvertError, LoadReport
from elm_jax.convert.parts import ModelParts


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
