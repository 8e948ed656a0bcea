"""Weights of a ``SleepStagerChambon2018``, or of the siamese network around it, as one file.

NAME.pt, ...     the state dict: the class's own names, or ``emb.*`` with or without ``clf.1.*``
NAME.yaml        the arguments of the class, which tensors show in part; ours in a section apart

braindecode's example of relative positioning keeps such a file (``params.pt``) of its best epoch.
"""

import copy
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import network, probe, released, sleep_conv
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import WeightsFile, read_weights_file
from elm_jax.convert.sleep_config import DEFAULTS, STAGER, config_of
from elm_jax.convert.sleep_folder import from_state, of_class, state_of
from elm_jax.data.spec import SignalSpec


def claims(names: Collection[str]) -> bool:
    """Whether tensors of these names are such a network's."""
    return sleep_conv.prefix_of(names) is not None


def read(
    path: epath.PathLike,
    *,
    weights: WeightsFile | None = None,
    config: epath.PathLike | None = None,
    n_outputs: int | None = None,
) -> ModelParts:
    """A model out of such a file.

    Args:
      path: the file.
      weights: what it holds, if that was read already.
      config: YAML or JSON with arguments of the class, ``sfreq`` and ``n_times`` at least; what
        the tensors show need not be said. By default NAME.yaml, or the only YAML beside the file.
      n_outputs: see :func:`elm_jax.convert.sleep_folder.read_folder`.

    Raises:
      ConvertError: no settings, or tensors that do not fit them.
    """
    source = str(path)
    with paths.told():
        weights = read_weights_file(path) if weights is None else weights
        beside = _settings_beside(paths.of(path)) if config is None else paths.of(config)
    values = _read_settings(beside)
    ours = values.pop(released.OUR_SECTION, None)
    prefix = sleep_conv.prefix_of(weights.state) or ""
    shown = sleep_conv.arguments_of(weights.state, prefix, source=source)
    if values.get("chs_info") is not None:
        del shown["n_chans"]
    given = STAGER.checked(values, source=str(beside))
    parts = from_state(weights.state, DEFAULTS | shown | given, n_outputs=n_outputs, source=source)
    if ours is None:
        return parts
    released.require_section(ours, str(beside))
    return _told(parts, ours, path, probed=n_outputs is None)


def _settings_beside(path: epath.Path) -> epath.Path:
    try:
        return released.yaml_beside(path)
    except ConvertError as error:
        raise ConvertError(
            f"{error}; it says arguments of braindecode's {STAGER.name}: sfreq and n_times at least"
        ) from error


def _read_settings(path: epath.Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(staging.local(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConvertError(f"{path}: no YAML: {error}") from error
    if not isinstance(values, Mapping):
        raise ConvertError(f"{path}: expected arguments of {STAGER.name}, found {values!r}")
    return dict(values)


def _told(
    parts: ModelParts, ours: Mapping[str, Any], path: epath.PathLike, *, probed: bool
) -> ModelParts:
    """What a file of ours tells beyond the arguments of the class."""
    spec = SignalSpec.from_dict(ours["spec"], source=f"{path}: {released.OUR_SECTION}.spec")
    shape = (len(spec.channels), spec.window_samples, spec.sfreq_hz)
    expected = (len(parts.spec.channels), parts.spec.window_samples, parts.spec.sfreq_hz)
    if shape != expected:
        raise ConvertError(
            f"{path}: {released.OUR_SECTION}.spec has (channels, samples, Hz) {shape}, the "
            f"arguments of {STAGER.name} say {expected}"
        )
    recipe = dict(parts.recipe) | {"dtype": ours["dtype"]}
    stored = None
    if probed:
        changes = {"objective": copy.deepcopy(ours.get("objective"))}
        recipe = network.require_recipe(recipe | changes, f"{path}: {released.OUR_SECTION}")
        file = paths.of(path).with_suffix(".probe.npz")
        stored = probe.read(file, dtype=ours["dtype"])
        stored.require_window(spec, str(path))
    return dataclasses.replace(
        parts,
        spec=spec,
        recipe=recipe,
        trained_on=ours["trained_on"],
        assumed=tuple(ours["assumed"]),
        probe=stored,
        origin=ours["origin"],
        extra=ours["extra"] | parts.extra,
    )


# -- writing --------------------------------------------------------------------------------------


def kept(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a file has: the classifier of pairs too, that of classes not."""
    pairs = recipe["objective"]["name"] == "relative_position"
    return ("encoder", "classifier") if pairs else ("encoder",)


def state(parts: ModelParts) -> dict[str, np.ndarray]:
    """The state dict: of the siamese network where the model has a classifier of pairs."""
    return state_of(parts, sleep_conv.SIAMESE if "classifier" in parts.params else "")


def settings_of(parts: ModelParts, ours: Mapping[str, Any]) -> dict[str, Any]:
    """The YAML's content: the arguments of the class, and our section."""
    alone, _ = of_class(parts, leave_out=("classifier",))
    section = dict(ours) | {"objective": parts.recipe["objective"]}
    return config_of(alone) | {released.OUR_SECTION: section}
