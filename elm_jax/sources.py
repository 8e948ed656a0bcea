"""Where finished models come from: every kind of source, read into parts and not yet built."""

import copy
from collections.abc import Mapping
from typing import Any

from etils import epath

from elm_jax import paths, staging
from elm_jax.checkpoint import Checkpoints, Described
from elm_jax.convert import folder, hub, network, probe, released
from elm_jax.convert.parts import SELECTED_ON, ModelParts
from elm_jax.convert.probe import Probe

CHECKPOINTS = "checkpoints"


def read_parts(
    path_or_hub_id: epath.PathLike,
    *,
    config: epath.PathLike | None = None,
    step: int | None = None,
) -> ModelParts:
    """Reads any kind of source that :func:`load_pretrained` takes, without building its network."""
    path = paths.of(path_or_hub_id)
    with paths.told():
        there = path.exists()
    if not there:
        if paths.is_remote(path):
            raise FileNotFoundError(f"no file or folder {path}; {paths.LOG_IN}")
        return folder.read_folder(hub.fetch_hub_folder(str(path_or_hub_id)))
    if path.is_file():
        if path.suffix not in released.WEIGHTS:
            raise ValueError(
                f"{path}: expected a weights file ({', '.join(released.WEIGHTS)}) or a folder"
            )
        return released.read_released(path, config=config)
    if folder.is_folder(path):
        return folder.read_folder(path)
    workdir, step_there = _workdir_of(path)
    if workdir is not None:
        return _read_workdir(workdir, step_there if step is None else step)
    if any(p.suffix in released.WEIGHTS for p in path.iterdir()):
        return released.read_released(path, config=config)
    raise FileNotFoundError(
        f"{path} holds no model: expected a workdir (with {CHECKPOINTS}/), a saved model (with "
        "config.json and model.safetensors), or a released .pt with its YAML; found "
        f"{sorted(p.name for p in path.iterdir())[:10]}"
    )


def _workdir_of(path: epath.Path) -> tuple[epath.Path | None, int | None]:
    """The workdir that ``path`` is, or is the checkpoints or a step of; and the step."""
    path = paths.absolute(path)
    if (path / CHECKPOINTS).is_dir():
        return path, None
    if path.name == CHECKPOINTS:
        return path.parent, None
    if path.parent.name == CHECKPOINTS and path.name.isdigit():
        return path.parent.parent, int(path.name)
    return None, None


def _read_workdir(workdir: epath.Path, step: int | None) -> ModelParts:
    checkpoints = Checkpoints(workdir, read_only=True)
    about = checkpoints.describe(checkpoints.chosen_step() if step is None else step)
    tree = checkpoints.read_model(about.step)
    tokenizer = workdir / "tokenizer"
    extra = about.extra
    recipe = recipe_of(about.config)
    chosen = {} if about.selected_on is None else {SELECTED_ON: about.selected_on.to_json()}
    return ModelParts(
        spec=about.spec,
        recipe=recipe,
        params=tree["params"],
        model_state=tree["model_state"],
        trained_on=None if about.trained_on is None else about.trained_on.to_json(),
        text_tower_dir=staging.local_folder(tokenizer) if tokenizer.is_dir() else None,
        assumed=tuple(extra.get("assumed", ())),
        origin=extra.get("origin", ""),
        extra=extra.get("extra", {}) | {"step": about.step} | chosen,
        probe=_probe_of(workdir, about, recipe["dtype"]),
        source=str(workdir),
    )


def _probe_of(workdir: epath.Path, about: Described, dtype: str) -> Probe | None:
    """A trained checkpoint has its probe with it, a converted workdir in a file; old ones none."""
    if stored := about.extra.get("probe"):
        source = f"{workdir}, step {about.step}"
        return probe.from_outputs(stored, about.spec, dtype=dtype, source=source)
    file = workdir / "probe.npz"
    return probe.read(file, dtype=dtype) if file.is_file() else None


def recipe_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a training config that say what the network is."""
    recipe = {name: copy.deepcopy(config.get(name)) for name in network.SECTIONS}
    if not (recipe["objective"] or {}).get("text_projection"):
        recipe["text"] = None
    return recipe
