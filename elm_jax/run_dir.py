"""A run's folder: what is written where, and where a run starts from.

``config.json``: the config as run. ``checkpoints/``: Orbax. ``metrics.jsonl``: one object a logged
step, with the same as events under ``tensorboard/``. ``train.log``: the log. ``tokenizer/``: a
vocabulary learnt here, if any. What ``elm_jax.results`` writes: ``summary.json``, ``report.html``,
``scores/``, ``tables/``, ``figures/``; those of ``config.mode=evaluate`` lie in ``evaluation/``.
"""

import copy
import json
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from elm_jax import image_encoder
from elm_jax.metrics import read_metrics
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState

log = logging.getLogger(__name__)

# A run that goes on must be the same experiment; logging, evals, the schedule, ... may change.
SAME_ON_RESUME = (
    "seed", "signal", "text", "labels", "sampler", "encoder", "objective", "optimizer",
    "validation",
)  # fmt: skip
# Stands in config.encoder.name for the encoder of the model that a run starts from.
OF_INIT_FROM = "of_init_from"
# In config.objective: how long the run is, which the schedule of a momentum follows.
OF_LENGTH = "total_steps"
SAME_MODEL = ("encoder", "objective", "text")


def plain_config(config: Any) -> dict[str, Any]:
    """The config as JSON-ready values."""
    return json.loads(json.dumps(config.to_dict(), default=list))


def differences(old: Any, new: Any, path: str) -> list[str]:
    """Lines for every value that differs between two JSON-like trees."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{path}.{k}")]
    return [] if old == new else [f"{path}: the checkpoint has {old}, the config {new}"]


def adopt(config: Any, saved: Mapping[str, Any]) -> None:
    """Writes into a training config what its run found out.

    That is what ``start.settle``, ``build.settle_labels`` and ``build.settle_length`` wrote while
    it ran.

    Args:
      config: a recipe's, as it was before its run.
      saved: sections of the config as it ran.

    Raises:
      ValueError: the run learnt another label.
    """
    with config.unlocked(), config.ignore_type():
        if config.encoder.name == OF_INIT_FROM:
            config.encoder = ConfigDict(saved["encoder"])
        image_encoder.settle(config, saved["encoder"])
        if config.objective.get(OF_LENGTH, 0) is None:
            config.objective[OF_LENGTH] = (saved.get("objective") or {}).get(OF_LENGTH)
    learnt = (saved.get("objective") or {}).get("labels")
    asked = config.get("labels")
    if not (learnt and asked):
        return
    if (learnt["name"], learnt["kind"]) != (asked.name, asked.kind):
        raise ValueError(
            f"config.labels: the model learnt {learnt['name']!r} ({learnt['kind']}), the config "
            f"asks for {asked.name!r} ({asked.kind})"
        )
    with config.unlocked(), config.objective.ignore_type():
        config.objective.labels = ConfigDict(learnt)
        config.objective.class_weight = saved["objective"].get("class_weight")


def require_same_model(recipe: Mapping[str, Any], saved: Mapping[str, Any], where: str) -> None:
    """Raises unless a config's recipe (see sources.recipe_of) is that of a saved model.

    Where the text tower lies (``text.tower.path``) may differ between machines.

    Raises:
      ValueError: lists every difference.
    """
    recipe, saved = copy.deepcopy(dict(recipe)), copy.deepcopy(dict(saved))
    for sections in (recipe, saved):
        if sections.get("text"):
            sections["text"]["tower"].pop("path", None)
    lines = [d for k in SAME_MODEL for d in differences(saved.get(k), recipe.get(k), f"config.{k}")]
    if lines:
        listing = "\n  ".join(lines)
        raise ValueError(
            f"{where} holds another model:\n  {listing}\nGive the config that it was trained with "
            "(config.json in its workdir)."
        )


def require_same_run(config: Any, saved: Mapping[str, Any], where: str) -> None:
    """Raises unless ``config`` goes on with the run that a checkpoint's config began.

    Raises:
      ValueError: lists every difference.
    """
    new = plain_config(config)
    # A run may be made longer, so the schedule is left out, and what follows its length.
    saved, new = (
        c
        | {"optimizer": {k: v for k, v in c["optimizer"].items() if k != "schedule"}}
        | {"objective": {k: v for k, v in c["objective"].items() if k != OF_LENGTH}}
        for c in (saved, new)
    )
    lines = [
        d for k in SAME_ON_RESUME for d in differences(saved.get(k), new.get(k), f"config.{k}")
    ]
    if lines:
        listing = "\n  ".join(lines)
        raise ValueError(
            f"{where} holds a run of another config:\n  {listing}\nGive another --workdir (and "
            "--config.init_from to start from its weights), or the config it was started with."
        )


def write_config(config: Any, folder: epath.Path) -> None:
    """Writes config.json: the config as run."""
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plain_config(config), indent=1)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def describe(
    config: Any, workdir: epath.Path, corpus: Any, state: TrainState, origin: str, length: RunLength
) -> None:
    """Writes config.json and says in the log what is about to run."""
    write_config(config, workdir)
    size = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(state.params))
    for own in corpus.every:
        counts = own.manifest.counts.get("train", {})
        kind = "SIMULATED" if own.manifest.simulated else "real"
        log.info("data     %s: %s (%s signals)", own.directory, own.manifest.corpus, kind)
        log.info(
            "         train: %s people, %s recordings, %s windows of %g s, %d channels",
            counts.get("people"),
            counts.get("recordings"),
            counts.get("windows"),
            own.spec.window_s,
            len(own.spec.channels),
        )
    parts = [config.encoder.name, *([config.text.tower.name] if config.text else [])]
    log.info("model    %s (%s), %s parameters", config.objective.name, " + ".join(parts), size)
    devices = f"{jax.device_count()} {jax.devices()[0].device_kind}"
    log.info("devices  %s; state %s", devices, origin)
    epochs = length.total_steps / length.steps_per_epoch
    log.info(
        "run      %d steps (%.4g epochs of %d), %d rows a step",
        length.total_steps,
        epochs,
        length.steps_per_epoch,
        length.rows_per_step,
    )


def last_loss(workdir: epath.Path) -> float | None:
    """The loss of the last logged step."""
    rows = read_metrics(workdir)
    return rows[-1]["loss"] if rows else None
