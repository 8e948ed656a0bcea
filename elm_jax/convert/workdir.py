"""A model as a workdir of ours: what ``config.init_from`` and ``load_pretrained`` open."""

import copy
import pathlib
import shutil
from typing import Any

import jax.numpy as jnp
from etils import epath

from elm_jax import paths
from elm_jax.checkpoint import Checkpoints
from elm_jax.convert import network, probe, tower
from elm_jax.convert.engine import ConvertError, LoadReport, flatten
from elm_jax.convert.folder import as_numpy, replacing, write_json, write_report
from elm_jax.convert.parts import ModelParts, weights_sha256
from elm_jax.data.people import People
from elm_jax.state import TrainState

REPORT = "load_report.json"  # beside checkpoints/: a workdir that was converted, not trained


def write_workdir(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    predict: probe.Predict | None = None,
    overwrite: bool = False,
) -> LoadReport:
    """Writes a model as a checkpoint of step 0, without an optimiser's state.

    Args:
      parts: the model.
      directory: to make; an existing one must be a converted workdir, with ``overwrite``.
      predict: of the model's network, if that is built already; else it is built for the probe.
      overwrite: replace the converted workdir that is there.

    Returns:
      what became of every tensor of the source.

    Raises:
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ConvertError: what was written reads back differently.
      ProbeMismatch: ``parts`` came with a probe that they do not fulfil.
    """
    target = paths.absolute(directory)
    parts = as_numpy(parts)
    report = parts.report or _as_it_is(parts)
    ours = (target / REPORT).is_file() and not (target / "metrics.jsonl").exists()
    with replacing(target, ours=ours, overwrite=overwrite) as unique:
        (unique / "probe.npz").write_bytes(network.make_probe(parts, predict).to_bytes())
        recipe, extra = _with_tower(parts, unique, target)
        signal = {k: v for k, v in parts.spec.to_dict().items() if k not in ("mean", "std")}
        config = recipe | {"signal": signal}
        if not paths.is_remote(target):
            _save(parts, unique, config, extra)
        write_json(unique / "config.json", config)
        write_report(unique / REPORT, report, None)
    if paths.is_remote(target):  # where checkpoints are laid out otherwise
        _save(parts, target, config, extra)
    return report


def _save(parts: ModelParts, unique: epath.PathLike, config: dict, extra: dict) -> None:
    checkpoints = Checkpoints(unique, keep_last=1, keep_best=0)
    about = {"assumed": list(parts.assumed), "origin": parts.origin, "extra": extra}
    checkpoints.save(
        TrainState(jnp.zeros((), jnp.int32), parts.params, parts.model_state, ()),
        config=config,
        spec=parts.spec,
        loss=None,
        trained_on=People.from_json(parts.trained_on, source=parts.source),
        extra=about,
    )
    checkpoints.close()
    tree = Checkpoints(unique, read_only=True).read_model()
    if weights_sha256(tree["params"], tree["model_state"]) != parts.weights_sha256:
        raise ConvertError(f"{unique}: the checkpoint reads back differently")


def _as_it_is(parts: ModelParts) -> LoadReport:
    """The report of a source that has our own names and layout."""
    leaves = flatten({"params": parts.params, "model_state": parts.model_state})
    return LoadReport(parts.source, matched={path: path for path in leaves})


def _with_tower(
    parts: ModelParts, unique: pathlib.Path, target: epath.Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recipe and extra settings; the text tower's files go where a run keeps them."""
    recipe, extra = copy.deepcopy(parts.recipe), dict(parts.extra)
    if recipe["text"] is None:
        return recipe, extra
    section = recipe["text"]["tower"]
    if tower.AS_TRAINED in extra:
        section = recipe["text"]["tower"] = extra.pop(tower.AS_TRAINED)
    if section["name"] == "scratch_bert":
        if parts.text_tower_dir is None:
            raise ConvertError(f"{parts.source}: the vocabulary of its text tower is gone")
        tower.copy_tokenizer(parts.text_tower_dir, unique / "tokenizer")
    elif (place := tower.folder_of(section["path"])) is not None:
        shutil.copytree(place, unique / tower.FOLDER)
        section["path"] = str(target / tower.FOLDER)
    return recipe, extra
