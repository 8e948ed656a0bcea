"""A run's folder: what is written where, and where a run starts from.

``config.json``: the config as run. ``checkpoints/``: Orbax. ``metrics.jsonl``: one object a logged
step, with the same as events under ``tensorboard/``. ``summary.json``, ``scores/EVAL.csv`` (a row a
recording) and ``figures/*.png``: the results. ``train.log``: the log. ``tokenizer/``: a vocabulary
learnt here, if any. ``evaluation/``: the results of ``config.mode=evaluate``.
"""

import copy
import csv
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax.checkpoint import Checkpoints
from elm_jax.data.spec import SignalSpec
from elm_jax.evals import figures
from elm_jax.evals.base import EvalResult
from elm_jax.metrics import read_metrics
from elm_jax.optim import RunLength
from elm_jax.state import TrainState

log = logging.getLogger(__name__)

# A run that goes on must be the same experiment; logging, evals, the schedule, ... may change.
SAME_ON_RESUME = ("seed", "signal", "text", "sampler", "encoder", "objective", "optimizer")
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


def require_same_model(config: Any, saved: Mapping[str, Any], where: str) -> None:
    """Raises unless ``config`` builds the model of a checkpoint's config, as evaluation needs.

    Where the text tower lies (``text.tower.path``) may differ between machines.

    Raises:
      ValueError: lists every difference.
    """
    new, saved = copy.deepcopy(plain_config(config)), copy.deepcopy(dict(saved))
    for c in (new, saved):
        c["text"]["tower"].pop("path", None)
    lines = [d for k in SAME_MODEL for d in differences(saved.get(k), new.get(k), f"config.{k}")]
    if lines:
        listing = "\n  ".join(lines)
        raise ValueError(
            f"{where} holds another model:\n  {listing}\nGive the config that it was trained with "
            "(config.json in its workdir)."
        )


def _require_same_run(config: Any, saved: Mapping[str, Any], where: str) -> None:
    new = plain_config(config)
    # A run may be made longer, so the schedule is left out.
    saved, new = (
        c | {"optimizer": {k: v for k, v in c["optimizer"].items() if k != "schedule"}}
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


def restore(
    config: Any, checkpoints: Checkpoints, state: TrainState, spec: SignalSpec
) -> tuple[TrainState, str]:
    """The state to start from, and in words where it came from.

    Order: the workdir's own checkpoints, ``config.resume``, ``config.init_from``, scratch.

    Raises:
      SpecError, ValueError: what is found there is of another signal or config.
    """
    hint = "These checkpoints were trained on differently prepared shards; use those shards."
    sources = [(checkpoints, "resumed")] if checkpoints.latest_step() is not None else []
    if not sources and config.resume:
        sources = [(Checkpoints(config.resume, read_only=True), "resumed")]
    for source, word in sources:
        about = source.describe()
        about.spec.require_same(spec, source=f"config.data.dir={config.data.dir}", hint=hint)
        _require_same_run(config, about.config, str(source.path))
        return source.restore(state), f"{word} from {source.path} at step {about.step}"
    if config.init_from:
        source = Checkpoints(config.init_from, read_only=True)
        about = source.describe()
        about.spec.require_same(
            spec, source=f"config.data.dir={config.data.dir}", hint=hint, ignore=("mean", "std")
        )
        step = state.step
        started = source.restore_model(state).replace(step=step)
        return started, f"parameters from {source.path} at step {about.step}"
    return state, "from scratch"


def describe(
    config: Any, workdir: epath.Path, corpus: Any, state: TrainState, origin: str, length: RunLength
) -> None:
    """Writes config.json and says in the log what is about to run."""
    if jax.process_index() == 0:
        text = json.dumps(plain_config(config), indent=1)
        (workdir / "config.json").write_text(text + "\n")
    manifest = corpus.manifest
    counts = manifest.counts.get("train", {})
    kind = "SIMULATED" if manifest.simulated else "real"
    size = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(state.params))
    log.info("data     %s: %s (%s signals)", config.data.dir, manifest.corpus, kind)
    log.info(
        "         train: %s people, %s recordings, %s windows of %g s",
        counts.get("people"),
        counts.get("recordings"),
        counts.get("windows"),
        corpus.spec.window_s,
    )
    log.info("model    %s + %s, %s parameters", config.encoder.name, config.text.tower.name, size)
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


def summary(
    config: Any,
    corpus: Any,
    results: Mapping[str, EvalResult],
    *,
    step: int,
    loss: float | None,
    seconds: float,
) -> dict[str, Any]:
    """The content of summary.json."""
    manifest = corpus.manifest
    out: dict[str, Any] = {
        "simulated": manifest.simulated,
        "corpus": manifest.corpus,
        "data_dir": config.data.dir,
        "seed": config.seed,
        "step": step,
        "loss": loss,
        "seconds": round(seconds, 1),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "counts": {k: dict(v) for k, v in manifest.counts.items()},
    }
    for name, result in results.items():
        out[name] = {**result.scalars, **result.tables}
        if result.notes:
            out[name]["notes"] = list(result.notes)
    return out


def write_results(
    folder: epath.Path,
    content: Mapping[str, Any],
    results: Mapping[str, EvalResult],
    *,
    simulated: bool,
) -> None:
    """Writes summary.json, scores and figures into ``folder``; prints the results in short.

    ``folder`` is the run's own after training; an evaluation has one beside, so that the training's
    results stay. Training curves are drawn where ``folder`` has metrics.
    """
    if jax.process_index():
        return
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(content, indent=1) + "\n")
    rows = read_metrics(folder)
    drawn = figures.training_curves(rows, simulated=simulated) if rows else {}
    for result in results.values():
        drawn |= result.figures
    for stem, figure in drawn.items():
        with (folder / "figures" / f"{stem}.png").open("wb") as f:
            figure.savefig(f, format="png", dpi=120)
    for name, result in results.items():
        _write_scores(folder / "scores" / f"{name}.csv", result.scores)
        _print_result(name, result, simulated=simulated)
    log.info("written  %s: %s", folder, ", ".join(sorted(p.name for p in folder.iterdir())))
    log.info("         figures: %s", ", ".join(f"{stem}.png" for stem in drawn))


def _write_scores(path: epath.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _print_result(name: str, result: EvalResult, *, simulated: bool) -> None:
    tag = " (simulated)" if simulated else ""
    if "auroc" in result.scalars:
        low, high = result.scalars["auroc_low"], result.scalars["auroc_high"]
        value = result.scalars["auroc"]
        log.info("%-10s AUROC %.3f [%.3f, %.3f]%s", name, value, low, high, tag)
    for rows in result.tables.values():
        for row in rows:
            interval = f"[{row['low']:.3f}, {row['high']:.3f}]"
            text = f"{row['finding']:<24} {row['value']:.3f} {interval}"
            log.info("  %s  %d with, %d without", text, row["positives"], row["negatives"])
    for note in result.notes:
        log.info("%-10s not computed: %s", name, note)
