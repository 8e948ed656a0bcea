"""The command: ``python -m elm_jax.main --config configs/elm_5s.py --workdir runs/NAME``."""

import importlib
import logging
import os
import pathlib
import subprocess
import sys
import textwrap

# Before TensorFlow and transformers are imported: without these they greet on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# transformers gives tokenizers here; that it finds no PyTorch is as it should be.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from absl import app, flags
from etils import epath
from ml_collections import config_flags

from elm_jax import command_line

log = logging.getLogger("elm_jax.main")

# Where each mode is; imported when it runs.
MODES = {
    "train": ("elm_jax.train", "train"),
    "evaluate": ("elm_jax.evaluate", "evaluate"),
    "embed": ("elm_jax.embed", "embed"),
    "query": ("elm_jax.query", "query"),
}

CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe: configs/NAME.py[:demo|:smoke].")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is written; resumed if it exists.")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Call jax.distributed.initialize() first.")
flags.mark_flags_as_required(["config", "workdir"])


def use_demo_corpus(config, workdir: epath.Path, *, already_small: bool) -> None:
    """Points the config at the simulated demo corpus, made beside the workdir if need be.

    Raises:
      OSError: the corpus could not be made.
    """
    from configs import common

    window_s = _demo_window_s(config)
    out = workdir.parent / f"demo_corpus_{config.data.demo_people}p_{window_s:g}s"
    log.info("No data named (config.data.dir is empty): using the built-in demo corpus.")
    log.info("Its EEG and reports are SIMULATED. To use your own, see README.md, 'Your own data'.")
    if not already_small:
        log.info("config.demo replaces parts of the recipe (in full in config.json):")
        for key, value in config.demo.items():
            log.info("  %s: %s", key, textwrap.shorten(value.to_json_best_effort(), 160))
        common.apply_overrides(config, config.demo.to_dict())
    command = ["data_prep.prepare", "demo", "--out", str(out)]
    command += ["--demo_people", str(config.data.demo_people)]
    command += ["--window_s", f"{window_s:g}"]
    log.info("python -m %s", " ".join(command))
    code = subprocess.run([sys.executable, "-m", *command], check=False).returncode
    if code:
        raise OSError(f"the demo corpus could not be made (exit code {code}): see the lines above")
    with config.unlocked():
        config.data.dir = str(out)


def _demo_window_s(config) -> float:
    """The window of the recipe, or of the one that a finished model's recipe trains."""
    if "signal" not in config:
        recipe = config.demo_model.partition(":")[0]
        config = importlib.import_module(f"configs.{recipe}").get_config()
    return config.signal.window_s


def use_demo_model(config, workdir: epath.Path) -> None:
    """Points the config at a small model, trained beside the workdir on the same data if need be.

    A training starts from it (``config.init_from``), a mode of a finished model runs on it.

    Raises:
      OSError: it could not be trained.
    """
    import configs

    recipe, _, size = config.demo_model.partition(":")
    path = pathlib.Path(configs.__file__).with_name(f"{recipe}.py")
    out = workdir.parent / f"{size}_model_{recipe}_{epath.Path(config.data.dir).name}"
    key = _model_key(config)
    log.info("No model named (config.%s is empty): training the %s model first.", key, size)
    command = ["elm_jax.main", "--config", f"{path}:{size}"]
    command += [f"--config.data.dir={config.data.dir}", "--workdir", str(out)]
    log.info("python -m %s", " ".join(command))
    code = subprocess.run([sys.executable, "-m", *command], check=False).returncode
    if code:
        raise OSError(f"the small model could not be trained (exit code {code}): see above")
    with config.unlocked():
        config[_model_key(config)] = str(out)


def _model_key(config) -> str:
    return "model" if "model" in config else "init_from"


def run(workdir: epath.Path) -> None:
    """Finds data if none is named, keeps TensorFlow off the devices, and dispatches on the mode."""
    config = CONFIG.value
    if config.mode not in MODES:
        raise ValueError(f"config.mode is {config.mode!r}; known: {sorted(MODES)}")
    demo_model = config.get("demo_model", "")
    if not config.data.dir and (demo_model or "encoder" in config):
        argument = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[2]
        use_demo_corpus(config, workdir, already_small=bool(argument))
    demo_model = config.get("demo_model", "")  # the demo's overrides may have named one
    if demo_model and not config[_model_key(config)]:
        use_demo_model(config, workdir)

    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.set_visible_devices([], "TPU")

    module, function = MODES[config.mode]
    getattr(importlib.import_module(module), function)(config, workdir)


def take_words(words: list[str]) -> None:
    """Words after the flags are the texts of a query; other modes take none."""
    if not words:
        return
    if "query" not in CONFIG.value:
        command_line.fail(f"unknown arguments: {words}")
    CONFIG.value.query.texts = tuple(words)


def main(argv) -> int:
    """Reads the flags, prepares JAX, and hands over; returns the exit code."""
    take_words(argv[1:])
    workdir = command_line.absolute(WORKDIR.value)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        command_line.fail(f"--workdir: {error}")

    import jax

    if DISTRIBUTED.value:
        jax.distributed.initialize()
    jax.config.update("jax_compilation_cache_dir", str(workdir.parent / ".jax_cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

    from elm_jax.progress import setup_logging

    setup_logging(workdir)
    return command_line.report_mistakes(lambda: run(workdir), workdir)


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse_flags)
