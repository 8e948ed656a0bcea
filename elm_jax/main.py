"""The command: ``python -m elm_jax.main --config configs/elm_5s.py --workdir runs/NAME``."""

import contextlib
import importlib
import logging
import os

# Before TensorFlow and transformers are imported: without these they greet on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# transformers gives tokenizers here; that it finds no PyTorch is as it should be.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from absl import app, flags
from etils import epath
from ml_collections import config_flags

from elm_jax import (
    command_line,
    demo,
    determinism,
    distributed,
    lock,
    own_data,
    paths,
    preemption,
)

log = logging.getLogger("elm_jax.main")

# Where each mode is; imported when it runs.
MODES = {
    "train": ("elm_jax.seeds", "train"),  # once, or once a seed
    "evaluate": ("elm_jax.evaluate", "evaluate"),
    "embed": ("elm_jax.embed", "embed"),
    "query": ("elm_jax.query.ask", "query"),
}

CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe: configs/NAME.py[:demo|:smoke].")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is written; resumed if it exists.")
PROCESSES = distributed.define_flags()
DETERMINISTIC = flags.DEFINE_bool("deterministic", False, "Ask GPUs for the same bits every time.")
PROFILE = flags.DEFINE_string("profile", "", "FIRST:LAST: a trace of these training steps.")
flags.mark_flags_as_required(["config", "workdir"])


def run(workdir: epath.Path) -> None:
    """Fills in the demo, keeps TensorFlow, if it is used, off the devices, and runs the mode."""
    config = CONFIG.value
    command_line.without_evals(config)
    if config.mode not in MODES:
        raise ValueError(f"config.mode is {config.mode!r}; known: {sorted(MODES)}")
    argument = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[2]
    distributed.process_zero_first(lambda: own_data.fill_in(config, workdir))
    distributed.process_zero_first(
        lambda: demo.fill_in(config, workdir, already_small=bool(argument))
    )

    from elm_jax.data.read_ahead import reader_of

    if reader_of(config) == "tf_data":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.config.set_visible_devices([], "TPU")

    if determinism.asked_for():
        determinism.check()
    module, function = MODES[config.mode]
    with lock.alone(workdir) if config.mode == "train" else contextlib.nullcontext():
        getattr(importlib.import_module(module), function)(config, workdir)


def take_words(words: list[str]) -> None:
    """Words after the flags are the texts of a query; other modes take none."""
    if not words:
        return
    if "query" not in CONFIG.value:
        command_line.fail(f"unknown arguments: {words}")
    CONFIG.value.query.texts = tuple(words)


def take_profile(steps: str) -> None:
    """``--profile`` stands for ``--config.profile``, which only training has."""
    if not steps:
        return
    if "profile" not in CONFIG.value:
        command_line.fail("--profile traces training steps; this recipe does not train")
    CONFIG.value.profile = steps


def main(argv) -> int:
    """Reads the flags, prepares JAX, and hands over; returns the exit code."""
    preemption.listen()
    return distributed.end_together(lambda: run_or_stop(argv))


def run_or_stop(argv) -> int:
    """As :func:`prepare_and_run`; being told to stop has an exit code of its own."""
    try:
        return prepare_and_run(argv)
    except preemption.Preempted as told:
        log.warning("%s; the same command goes on from there", told)
        return preemption.PREEMPTED


def prepare_and_run(argv) -> int:
    """The flags' values, JAX, the log, the mode."""
    take_words(argv[1:])
    take_profile(PROFILE.value)
    try:
        workdir = paths.require_folder(paths.absolute(WORKDIR.value))
    except OSError as error:
        command_line.fail(f"--workdir: {error}")

    if DETERMINISTIC.value:
        determinism.switch_on()

    import jax

    try:
        distributed.initialize(PROCESSES())
    except distributed.ClusterError as error:
        command_line.fail(error)
    preemption.listen()  # once more: jax.distributed takes SIGTERM
    jax.config.update("jax_compilation_cache_dir", str(workdir.parent / ".jax_cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

    from elm_jax import host_memory
    from elm_jax.progress import setup_logging

    host_memory.give_back_after_compiling()

    try:
        setup_logging(workdir)
    except OSError as error:
        command_line.fail(f"--workdir {workdir} cannot be written: {error}")
    return command_line.report_mistakes(
        lambda: distributed.naming_lost_peers(lambda: run(workdir)), workdir
    )


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse_flags)
