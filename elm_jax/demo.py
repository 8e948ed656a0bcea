"""What a recipe runs on where nothing is named: a simulated corpus, and a small model of it.

Both are made by this project's own commands, in processes of their own, beside the workdir; what is
there already is used again.
"""

import importlib
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from etils import epath

from elm_jax import paths, staging

log = logging.getLogger(__name__)

ECG_S = 10.0  # how long a simulated ECG is


def fill_in(config: Any, workdir: epath.Path, *, already_small: bool) -> None:
    """Names a demo corpus and a demo model in ``config`` where it has, and needs, none.

    A recipe that trains uses the corpus whenever no data are named; one that begins with a model
    makes both with ``:demo`` and ``:smoke``, which set ``config.demo_model``.

    Raises:
      OSError: the corpus or the model could not be made.
    """
    if not config.data.dir and (config.get("demo_model", "") or "encoder" in config):
        use_demo_corpus(config, workdir, already_small=already_small)
    # The demo's overrides may have named one.
    if config.get("demo_model", "") and not config[_model_key(config)]:
        use_demo_model(config, workdir)


def run_command(command: Sequence[str], what: str) -> None:
    """Runs a module of this project in a process of its own, on the CPU.

    Raises:
      OSError: it failed; what went wrong stands on the terminal.
    """
    log.info("python -m %s", " ".join(command))
    # This process may hold the accelerators already, and a TPU serves one process alone; what is
    # made here is small.
    on_cpu = os.environ | {"JAX_PLATFORMS": "cpu"}
    code = subprocess.run([sys.executable, "-m", *command], check=False, env=on_cpu).returncode
    if code:
        raise OSError(f"{what} could not be made (exit code {code}): see the lines above")


def _beside(workdir: epath.Path) -> epath.Path:
    """Where the demo is made: beside the workdir; on this machine, if that is in a bucket."""
    if not paths.is_remote(workdir):
        return workdir.parent
    place = epath.Path(staging.cache_folder()) / "demo"
    log.info("The demo is made on this machine, in %s: its tools write to local disks.", place)
    return place


def use_demo_corpus(config: Any, workdir: epath.Path, *, already_small: bool) -> None:
    """Points the config at a simulated corpus, made beside the workdir if need be.

    ``config.data.demo_corpus`` is "nights" for nights of sleep, of ``config.data.demo_people``
    people who sleep for ``config.data.demo_hours`` (None: as people do); "ecg" for ECGs with
    reports, of so many people, in windows of ``config.data.demo_window_s`` (without it 10 s, the
    whole ECG) and ten folds; else it is the demo corpus of routine EEG.
    ``config.data.demo_split`` shares out its training people, for recipes that need validation
    people; without it, two thirds train and one third is tested on.
    ``config.data.demo_signal`` names what the signals of routine EEG are ("eegpt"); without it they
    are ELM's, in windows of the recipe.
    ``config.data.demo_channels`` are the channels of each of several such corpora, all of the same
    people, as ``--channels`` of ``data_prep.prepare`` takes them: the first becomes
    ``config.data.dir``, the others ``config.data.more``.

    Raises:
      OSError: the corpus could not be made.
    """
    from configs import common

    recipe, split = _recipe_of(config), config.data.get("demo_split", "")
    corpus, kind, name = _kind_of(recipe, config.data)
    name = f"{name}_valid" if split else name
    montages = recipe.data.get("demo_channels") or ("",)
    montages = montages if recipe is config else montages[:1]  # a finished model reads one
    log.info("No data named (config.data.dir is empty): using the built-in demo corpus.")
    log.info("All of it is SIMULATED. To use your own, see README.md, 'Your own data'.")
    if not already_small:
        log.info("config.demo replaces parts of the recipe (in full in config.json):")
        for key, value in config.demo.items():
            shown = value.to_json_best_effort() if hasattr(value, "items") else str(value)
            log.info("  %s: %s", key, textwrap.shorten(shown, 160))
        common.apply_overrides(config, config.demo.to_dict())
    shared = ["--demo_people", str(config.data.demo_people), *kind]
    shared += ["--split", split] if split else []
    made = []
    for channels in montages:
        listed = channels.count(",") + 1 if "," in channels else 0
        out = _beside(workdir) / (f"{name}_{listed}ch" if listed else name)
        own = ["--channels", channels] if channels else []
        command = ["data_prep.prepare", corpus, "--out", str(out), *shared, *own]
        run_command(command, "the demo corpus")
        made.append(str(out))
    with config.unlocked():
        config.data.dir = made[0]
        if len(made) > 1:
            config.data.more = tuple(made[1:])


def _kind_of(recipe: Any, data: Any) -> tuple[str, list[str], str]:
    """Which corpus, options that say what it holds, and a name of its own."""
    people = f"{data.demo_people}p"
    corpus = recipe.data.get("demo_corpus", "routine")
    if corpus == "nights":
        hours = data.get("demo_hours", None)
        if not hours:
            return "simulated_nights", [], f"demo_nights_{people}"
        kind = ["--demo_hours", f"{hours:g}"]
        return "simulated_nights", kind, f"demo_nights_{people}_{hours:g}h"
    if corpus == "ecg":
        window_s = recipe.data.get("demo_window_s", ECG_S)
        if window_s == ECG_S:
            return "simulated_ecg", [], f"demo_ecg_{people}"
        return "simulated_ecg", ["--window_s", f"{window_s:g}"], f"demo_ecg_{people}_{window_s:g}s"
    if corpus != "routine":
        known = "'routine', 'nights', 'ecg'"
        raise ValueError(f"config.data.demo_corpus is {corpus!r}; known: {known}")
    # A signal by name has a window of its own.
    signal = recipe.data.get("demo_signal", "")
    kind = ["--signal", signal] if signal else ["--window_s", f"{recipe.signal.window_s:g}"]
    return "demo", kind, f"demo_corpus_{people}_{signal or kind[1] + 's'}"


def _recipe_of(config: Any) -> Any:
    """The recipe that says what signals are wanted: of a finished model's, the one it trains."""
    if "signal" in config:
        return config
    recipe = config.demo_model.partition(":")[0]
    return importlib.import_module(f"configs.{recipe}").get_config()


def use_demo_model(config: Any, workdir: epath.Path) -> None:
    """Points the config at a small model, trained beside the workdir on the same data if need be.

    A training starts from it (``config.init_from``), a mode of a finished model runs on it.

    Raises:
      OSError: it could not be trained.
    """
    import configs

    recipe, _, size = config.demo_model.partition(":")
    path = epath.Path(configs.__file__).with_name(f"{recipe}.py")
    out = _beside(workdir) / f"{size}_model_{recipe}_{epath.Path(config.data.dir).name}"
    key = _model_key(config)
    log.info("No model named (config.%s is empty): training the %s model first.", key, size)
    command = ["elm_jax.main", "--config", f"{path}:{size}"]
    # Its process is none of a run's that has several: the environment may say so.
    command += [f"--config.data.dir={config.data.dir}", "--workdir", str(out), "--nodistributed"]
    run_command(command, f"the {size} model")
    with config.unlocked():
        config[key] = str(out)


def _model_key(config: Any) -> str:
    return "model" if "model" in config else "init_from"
