"""Training from several seeds: a run each, in a folder of its own, and their scores side by side.

    --config.seeds='(0, 1, 2)'

writes WORKDIR/seed_0, seed_1, ... (each a whole run) and, in WORKDIR itself, ``summary.json``,
tables, figures and the page of all of them. Who is in which split stays the same: a seed changes
initial weights, the order of batches, and what is dropped.

The same command goes on after a stop: finished seeds are read, not run again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from elm_jax import results, run_dir
from elm_jax import train as training
from elm_jax.data.modality import simulated_word
from elm_jax.evals.over_seeds import aggregated

log = logging.getLogger(__name__)

# Of a run's summary, what all seeds share.
SHARED = ("simulated", "corpus", "data_dir", "mode", "device", "counts", "signal", "people")


def train(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Trains ``config`` once, or once for every seed of ``config.seeds``.

    Returns:
      What was written to ``summary.json``.

    Raises:
      ValueError: seeds that repeat or are no whole numbers; else as :func:`elm_jax.train.train`.
    """
    seeds = tuple(config.get("seeds") or ())
    if not seeds:
        return training.train(config, workdir)
    _require_seeds(seeds)
    found = {seed: _one(config, workdir / f"seed_{seed}", seed) for seed in seeds}
    run_dir.write_config(config, workdir)
    return _together(found, workdir)


def _require_seeds(seeds: Sequence[Any]) -> None:
    if len(set(seeds)) != len(seeds) or any(not isinstance(s, int) or s < 0 for s in seeds):
        raise ValueError(f"config.seeds must be different whole numbers from 0, found {seeds}")


def _one(config: Any, folder: epath.Path, seed: int) -> dict[str, Any]:
    """The summary of one seed's run, which is made if it is not there."""
    own = config.copy_and_resolve_references()
    with own.unlocked(), own.ignore_type():
        own.seed, own.seeds = seed, ()
    if (summary := _finished(own, folder)) is not None:
        log.info("seed     %d is finished: %s", seed, folder)
        return summary
    log.info("seed     %d: %s", seed, folder)
    return training.train(own, folder)


def _finished(config: Any, folder: epath.Path) -> dict[str, Any] | None:
    """The summary of a run that ended with this very config; None where there is none."""
    if not (folder / "summary.json").exists():
        return None
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    now = config.copy_and_resolve_references()
    run_dir.adopt(now, saved)
    changed = run_dir.differences(saved, run_dir.plain_config(now), "config")
    if changed:
        log.info("seed     %d has another config now (%s)", config.seed, changed[0])
        return None
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def _together(found: Mapping[int, Mapping[str, Any]], workdir: epath.Path) -> dict[str, Any]:
    """Tables and figures over all seeds, written into ``workdir``."""
    first = next(iter(found.values()))
    simulated = bool(first["simulated"])
    what = simulated_word(simulated, first["signal"].get("modality", ""))
    evals = {}
    for name in first["evals"]:
        parts = {seed: summary.get(name, {}) for seed, summary in found.items()}
        result = aggregated(name, parts, simulated=what)
        if result is not None:
            evals[name] = result
    losses = [summary["loss"] for summary in found.values() if summary["loss"] is not None]
    content = {key: first[key] for key in SHARED} | {
        "seed": list(found),
        "step": [summary["step"] for summary in found.values()],
        "loss": sum(losses) / len(losses) if losses else None,
        "seconds": round(sum(summary["seconds"] for summary in found.values()), 1),
        "model": {"source": str(workdir)},
        "evals": list(evals),
        "notes": ["A run a seed, in " + ", ".join(f"seed_{seed}" for seed in found)],
    }
    content |= {name: results.of_eval(result) for name, result in evals.items()}
    return results.write_results(workdir, content, evals, simulated=simulated)
