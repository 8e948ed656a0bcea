"""Questions from YAML or JSON: those shipped under ``prompts/`` by name, or a user's file by path.

A file maps each question's name to its classes, in the forms of ``questions.py``.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from etils import epath

from elm_jax import paths
from elm_jax.evals.zero_shot.questions import PromptError, Question, parse_question

SHIPPED = pathlib.Path(__file__).resolve().parent / "prompts"


def shipped() -> tuple[str, ...]:
    """Names of the prompt sets that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_questions(
    prompts: Mapping[str, Any], files: Sequence[str] = (), *, source: str = "config"
) -> dict[str, Question]:
    """The questions of some files and of a mapping, by name, files first.

    A question that the user words takes the place of the shipped one of its name; two of the user's
    own, or of two shipped sets, are an error.

    Args:
      prompts: question to classes.
      files: names of shipped sets (see :func:`shipped`), or paths ending in .yaml, .yml or .json.
      source: where ``prompts`` stand, for messages.

    Raises:
      PromptError: an unknown set, a damaged file, a question that cannot be asked, the same
        question twice among the user's or among the shipped, no question at all.
      FileNotFoundError: a file that is not there.
    """
    if isinstance(files, str):
        raise PromptError(f"prompt_files is {files!r}; expected a list of names or paths")
    paths = [_locate(file) for file in files]
    contents = [(str(path), path.parent == SHIPPED, _read(path)) for path in paths]
    found: dict[str, tuple[str, bool, Question]] = {}
    for place, is_shipped, content in [*contents, (source, False, prompts)]:
        for name, classes in content.items():
            question = parse_question(name, classes, place)
            if name not in found or (found[name][1] and not is_shipped):
                found[name] = (place, is_shipped, question)
            elif found[name][1] == is_shipped:
                raise PromptError(f"question {name!r} is in {found[name][0]} and in {place}")
    if not found:
        raise PromptError(
            "no questions: give 'prompts', or 'prompt_files' with paths or some of "
            f"{', '.join(shipped())}"
        )
    return {name: question for name, (_, _, question) in found.items()}


def _locate(file: str) -> epath.PathLike:
    path = paths.of(file)
    if path.suffix in (".yaml", ".yml", ".json"):
        return path
    if file not in shipped():
        raise PromptError(
            f"prompt file {file!r} is neither a path ending in .yaml, .yml or .json nor one of the "
            f"sets that come with the package: {', '.join(shipped())}"
        )
    return SHIPPED / f"{file}.yaml"


def _read(path: epath.PathLike) -> Mapping[str, Any]:
    text = paths.read_text(path)
    try:
        if path.suffix == ".json":
            content = json.loads(text, object_pairs_hook=_no_key_twice)
        else:
            content = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise PromptError(f"{path}: {error}") from error
    if not isinstance(content, Mapping) or not content:
        raise PromptError(f"{path}: expected questions by name, found {type(content).__name__}")
    return content


def _no_key_twice(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """A mapping of pairs; both formats would let the later of two equal keys win in silence."""
    keys = [key for key, _ in pairs]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))} is there twice in one mapping")
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """YAML without code, and without equal keys."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    return _no_key_twice(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
