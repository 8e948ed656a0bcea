"""What the command line says of a user's mistake: one short message, no wall of traceback."""

import ast
import difflib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import ConfigDict, config_flags

from elm_jax import paths

log = logging.getLogger("elm_jax.main")

MISTAKE = 2  # exit code of a config, a path or data that do not fit
INTERRUPTED = 130


def fail(message: object) -> None:
    """Ends the process with a message and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(MISTAKE)


class OrNone(flags.ArgumentParser):
    """Reads "None", which switches off a number or a section of a config, and else as another does.

    Args:
      otherwise: reads everything else.
    """

    def __init__(self, otherwise: Callable[[str], Any]):
        self._otherwise = otherwise

    def parse(self, argument: Any) -> Any:
        """The value of a ``--config.KEY=argument``; a default, which is no text, stays."""
        if not isinstance(argument, str):
            return argument
        return None if argument == "None" else self._otherwise(argument)


def accept_none() -> None:
    """``--config.validation=None``, ``--config.optimizer.schedule.total_epochs=None``, ...

    And a value for what a recipe has left at None: ``--config.optimizer.schedule.total_steps=10``.
    """
    for kind, read in (
        (float, flags.FloatParser().parse),
        (int, flags.IntegerParser().parse),
        (ConfigDict, _section),
        (type(None), _literal),
    ):
        config_flags.register_flag_parser_for_type(kind, OrNone(read))


def without_evals(config: ConfigDict) -> None:
    """``--config.evals=None`` leaves out every eval; how they would run stays said.

    The section holds settings of all evals beside them, which other rooms read.
    """
    if "evals" in config and config.evals is None:
        with config.unlocked():
            config.evals = ConfigDict(dict(rows_per_batch=64, trained_on_people="refuse"))


def _literal(argument: str) -> Any:
    """A number, a tuple, a mapping, a text in quotes: as Python writes them."""
    try:
        value = ast.literal_eval(argument)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"{argument!r} is no value: expected one as Python writes it (3, 0.5, (1, 2), "
            "'{\"name\": ...}'), a text in quotes of its own, or None"
        ) from error
    return ConfigDict(value) if isinstance(value, dict) else value


def _section(argument: str) -> ConfigDict:
    value = _literal(argument)
    if not isinstance(value, ConfigDict):
        raise ValueError(
            f"{argument!r} is no section of a config: expected a mapping, '{{\"name\": ...}}', or "
            "None, which switches it off"
        )
    return value


def parse_flags(argv: Sequence[str]) -> list[str]:
    """What absl reads from the flags; an unknown config key or a wrong value is one line."""
    accept_none()
    try:
        return flags.FLAGS(argv)
    except AttributeError as error:  # config_flags: a key that the (locked) config does not have
        fail(_unknown_keys(argv) or error)
    except flags.Error as error:
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        # config_flags puts the traceback into the message. What get_config itself refuses needs
        # none; a recipe that does not run at all keeps it, for who wrote it.
        refused = "Traceback" in str(error) and isinstance(cause, ValueError)
        fail(cause if refused else error)


def _unknown_keys(argv: Sequence[str]) -> str:
    """A line for every ``--config.KEY`` that the recipe lacks, with the nearest ones it has."""
    words = [word.removeprefix("-") for word in argv]
    flag, recipe = next((w, w.partition("=")[2]) for w in words if re.match("-?config(=|$)", w))
    recipe = recipe or words[words.index(flag) + 1]
    known = _paths(flags.FLAGS["config"].parser.parse(recipe))
    given = [w.partition("=")[0].lstrip("-").removeprefix("config.") for w in words]
    given = [g for g, w in zip(given, words, strict=True) if re.match(r"-?config\.", w)]
    lines = []
    for key in given:
        if key not in known:
            near = [f"config.{k}" for k in difflib.get_close_matches(key, known, n=3)]
            top = [k for k in known if "." not in k]
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {top}"
            lines.append(f"{recipe} has no key config.{key}; {hint}")
    return "\n".join(lines)


def _paths(config: Any) -> list[str]:
    """``encoder``, ``encoder.name``, ...: every key of a config, its branches too."""
    found = []
    for key, value in config.items():
        found.append(key)
        if hasattr(value, "items"):
            found += [f"{key}.{below}" for below in _paths(value)]
    return found


def report_mistakes(run: Callable[[], None], workdir: epath.Path) -> int:
    """Runs; a config, file or value that does not fit becomes a message and exit code 2.

    Each check of this project raises ValueError or OSError with what was found and what to do. The
    traceback goes to the log file. Other exceptions are faults of the program and pass.
    """
    try:
        run()
    except KeyboardInterrupt:
        log.error("stopped; the same command goes on from the last checkpoint in %s", workdir)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        log.error("error: %s", paths.explain(error) or error, exc_info=True)
        log.error("(where in the program: %s)", workdir / "train.log")
        return MISTAKE
    except Exception as error:  # a store's clients have errors of their own
        if (told := paths.explain(error)) is None:
            raise
        log.error("error: %s", told, exc_info=True)
        return MISTAKE
    return 0
