"""Where finished models come from: every kind of source, read into parts and not yet built.

A new kind is a reader, and a line in :data:`FOLDERS` or :data:`WEIGHTS`.
"""

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from etils import epath

from elm_jax import paths, staging
from elm_jax.checkpoint import Checkpoints, Described
from elm_jax.convert import (
    braindecode_folder,
    ecg_file,
    ecg_image,
    folder,
    hub,
    masked_checkpoint,
    network,
    probe,
    released,
    sleep_file,
    sleep_folder,
)
from elm_jax.convert.parts import CHANNELS_SEEN, SELECTED_ON, ModelParts
from elm_jax.convert.probe import Probe
from elm_jax.convert.reader import WeightsFile, read_weights_file

CHECKPOINTS = "checkpoints"


class Asked(NamedTuple):
    """What is said beside the place; a reader that has no use for something refuses it.

    Attributes:
      config: settings of a weights file.
      step: of a workdir.
      n_outputs: classes, of a kind whose head can be rebuilt.
    """

    config: epath.PathLike | None = None
    step: int | None = None
    n_outputs: int | None = None


class FolderKind(NamedTuple):
    """A kind of folder.

    Attributes:
      what: in words.
      claims: whether a folder is of this kind.
      read: a folder of this kind.
      takes: fields of :class:`Asked` that ``read`` looks at.
    """

    what: str
    claims: Callable[[epath.Path], bool]
    read: Callable[[epath.Path, Asked], ModelParts]
    takes: tuple[str, ...] = ()


class WeightsKind(NamedTuple):
    """A kind of weights file, told by the names of its tensors.

    Attributes:
      what: in words.
      claims: whether tensors of these names are of this kind.
      read: a file of this kind: its path and what it holds.
      takes: see :class:`FolderKind`.
    """

    what: str
    claims: Callable[[Collection[str]], bool]
    read: Callable[[epath.Path, WeightsFile, Asked], ModelParts]
    takes: tuple[str, ...] = ()


def read_parts(
    path_or_hub_id: epath.PathLike,
    *,
    config: epath.PathLike | None = None,
    step: int | None = None,
    n_outputs: int | None = None,
) -> ModelParts:
    """Reads any kind of source that :func:`load_pretrained` takes, without building its network."""
    asked = Asked(config, step, n_outputs)
    path = paths.of(path_or_hub_id)
    with paths.told():
        there = path.exists()
    if not there:
        if paths.is_remote(path):
            raise FileNotFoundError(f"no file or folder {path}; {paths.LOG_IN}")
        path = paths.of(hub.fetch_hub_folder(str(path_or_hub_id), _on_hub))
        return _read_folder(path, asked)
    if path.is_file():
        if path.suffix not in released.WEIGHTS:
            raise ValueError(
                f"{path}: expected a weights file ({', '.join(released.WEIGHTS)}) or a folder"
            )
        return _read_weights(path, asked)
    return _read_folder(path, asked)


def _read_folder(path: epath.Path, asked: Asked) -> ModelParts:
    kind = next((kind for kind in FOLDERS if kind.claims(path)), None)
    if kind is not None:
        _require_taken(kind, asked, path)
        return kind.read(path, asked)
    if any(p.suffix in released.WEIGHTS for p in path.iterdir()):
        return _read_weights(released.weights_in(path), asked)
    raise FileNotFoundError(
        f"{path} holds no model: expected {'; '.join(kind.what for kind in FOLDERS)}; or a file of "
        f"weights; found {sorted(p.name for p in path.iterdir())[:10]}"
    )


def _read_weights(path: epath.Path, asked: Asked) -> ModelParts:
    weights = read_weights_file(path)
    kind = next(kind for kind in WEIGHTS if kind.claims(weights.state))
    _require_taken(kind, asked, path)
    return kind.read(path, weights, asked)


def _require_taken(kind: FolderKind | WeightsKind, asked: Asked, path: epath.Path) -> None:
    """Raises where something is asked for that this kind does not know.

    Raises:
      ValueError: names it.
    """
    given = [name for name, value in asked._asdict().items() if value is not None]
    if foreign := [name for name in given if name not in kind.takes]:
        raise ValueError(f"{path} is {kind.what}: {', '.join(foreign)} means nothing there")


def _on_hub(path: epath.PathLike) -> bool:
    """Whether a folder that came from the hub is one that can be read."""
    return any(kind.claims(paths.of(path)) for kind in FOLDERS)


def _is_workdir(path: epath.Path) -> bool:
    return _workdir_of(path)[0] is not None


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


def _read_workdir(path: epath.Path, asked: Asked) -> ModelParts:
    workdir, step = _workdir_of(path)
    step = step if asked.step is None else asked.step
    checkpoints = Checkpoints(workdir, read_only=True)
    about = checkpoints.describe(checkpoints.chosen_step() if step is None else step)
    tree = checkpoints.read_model(about.step)
    tokenizer = workdir / "tokenizer"
    extra = about.extra
    recipe = recipe_of(about.config)
    chosen = {} if about.selected_on is None else {SELECTED_ON: about.selected_on.to_json()}
    chosen |= {k: v for k, v in extra.items() if k == CHANNELS_SEEN}
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


FOLDERS = (
    FolderKind(
        "a saved model (config.json and model.safetensors)",
        folder.is_folder,
        lambda path, asked: folder.read_folder(path),
    ),
    FolderKind(f"a workdir (with {CHECKPOINTS}/)", _is_workdir, _read_workdir, takes=("step",)),
    FolderKind(
        "a folder of braindecode's EEGPT (its config.json and model.safetensors)",
        braindecode_folder.is_folder,
        lambda path, asked: braindecode_folder.read_folder(path, n_outputs=asked.n_outputs),
        takes=("n_outputs",),
    ),
    FolderKind(
        "a folder of braindecode's SleepStagerChambon2018 (likewise)",
        sleep_folder.is_folder,
        lambda path, asked: sleep_folder.read_folder(path, n_outputs=asked.n_outputs),
        takes=("n_outputs",),
    ),
    FolderKind(
        "an image tower of Hugging Face",
        ecg_image.is_tower,
        lambda path, asked: ecg_image.refuse_tower(path),
    ),
)
WEIGHTS = (
    WeightsKind(
        "a pretraining checkpoint of EEGPT or DARE-EEG",
        masked_checkpoint.claims,
        lambda path, weights, asked: masked_checkpoint.read(
            path, weights, config=asked.config, n_outputs=asked.n_outputs
        ),
        takes=("config", "n_outputs"),
    ),
    WeightsKind(
        "weights of braindecode's SleepStagerChambon2018, or of the siamese network around it",
        sleep_file.claims,
        lambda path, weights, asked: sleep_file.read(
            path, weights=weights, config=asked.config, n_outputs=asked.n_outputs
        ),
        takes=("config", "n_outputs"),
    ),
    WeightsKind(
        "weights of MERL, ST-MEM, MTAE or MLAE",
        ecg_file.claims,
        lambda path, weights, asked: ecg_file.read(path, weights=weights, config=asked.config),
        takes=("config",),
    ),
    WeightsKind(
        "a file of ELM's authors' layout, with its YAML",
        lambda names: True,  # what reads it names the tensors that do not fit
        lambda path, weights, asked: released.read_released(path, asked.config, weights=weights),
        takes=("config",),
    ),
)
