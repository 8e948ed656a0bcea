"""Questions and tasks from YAML or JSON: those shipped under ``prompts/``, or a user's by path.

A file maps each question's name to its classes, in the forms of ``questions.py``, and each task's
in that of ``tasks.py``. ``TASK=FILE`` is a file of texts alone, class -> text, for a task that is
known already: ``ptbxl_super=CKEPE_prompt.json`` asks with MERL's texts.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from etils import epath

from elm_jax import paths
from elm_jax.evals.zero_shot.questions import PromptError, Question, parse_question
from elm_jax.evals.zero_shot.tasks import Task, parse_task

# A question, or the variants of a task.
_Asked = Question | dict[str, Task]

_WORDED = re.compile(r"([\w-]+)=(.+)")  # no path: those have dots and slashes

SHIPPED = pathlib.Path(__file__).resolve().parent / "prompts"


def shipped() -> tuple[str, ...]:
    """Names of the prompt sets that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_questions(
    prompts: Mapping[str, Any],
    files: Sequence[str] = (),
    *,
    source: str = "config",
    variants: Sequence[str] = ("short",),
) -> dict[str, Question | Task]:
    """The questions and tasks of some files and of a mapping, files first.

    A question that the user words takes the place of the shipped one of its name; two of the user's
    own, or of two shipped sets, are an error. Tasks are likewise.

    Args:
      prompts: question or task to classes.
      files: names of shipped sets (see :func:`shipped`), paths ending in .yaml, .yml or .json, or
        ``TASK=PATH``.
      source: where ``prompts`` stand, for messages.
      variants: which texts of tasks that have several, each a task of its own here.

    Returns:
      Questions by name, tasks by name and variant (``ptbxl_super_short``).

    Raises:
      PromptError: an unknown set, a damaged file, a question that cannot be asked, the same
        question twice among the user's or among the shipped, no question at all.
      FileNotFoundError: a file that is not there.
    """
    if isinstance(files, str):
        raise PromptError(f"prompt_files is {files!r}; expected a list of names or paths")
    worded = [m.groups() for file in files if (m := _WORDED.fullmatch(file))]
    paths = [_locate(file) for file in files if not _WORDED.fullmatch(file)]
    contents = [(str(path), path.parent == SHIPPED, _read(path)) for path in paths]
    found: dict[str, tuple[str, bool, _Asked]] = {}
    for place, is_shipped, content in [*contents, (source, False, prompts)]:
        for name, classes in content.items():
            asked = _parse(name, classes, place)
            if name not in found or (found[name][1] and not is_shipped):
                found[name] = (place, is_shipped, asked)
            elif found[name][1] == is_shipped:
                raise PromptError(f"question {name!r} is in {found[name][0]} and in {place}")
    if not found and not worded:
        raise PromptError(
            "no questions: give 'prompts', or 'prompt_files' with paths or some of "
            f"{', '.join(shipped())}"
        )
    out: dict[str, Question | Task] = {}
    for name, (place, _, asked) in found.items():
        several = isinstance(asked, dict)
        out |= _chosen(asked, variants, f"{place}: task {name!r}") if several else {name: asked}
    known = {name: asked for name, (_, _, asked) in found.items() if isinstance(asked, dict)}
    for task, file in worded:
        reworded = _reworded(task, file, known)
        if reworded.key in out:
            raise PromptError(f"prompt_files: {task}={file} is {reworded.key!r}, which is there")
        out[reworded.key] = reworded
    return out


def _parse(name: Any, content: Any, place: str) -> _Asked:
    if isinstance(content, Mapping) and "task" in content:
        if not (isinstance(name, str) and name.strip()):
            raise PromptError(f"{place}: task {name!r}: a task's name must be text")
        return parse_task(name, content, place)
    return parse_question(name, content, place)


def _chosen(task: Mapping[str, Task], variants: Sequence[str], where: str) -> dict[str, Task]:
    """The variants asked for; the only one where it is of no variant."""
    if isinstance(variants, str) or not variants:
        raise PromptError(f"variants is {variants!r}; expected a list such as ('short',)")
    if "" in task:
        return {task[""].key: task[""]}
    if unknown := [v for v in variants if v not in task]:
        raise PromptError(f"{where}: has no texts {unknown}; those are {', '.join(task)}")
    return {task[v].key: task[v] for v in variants}


def _reworded(name: str, file: str, known: Mapping[str, Mapping[str, Task]]) -> Task:
    """A task, of these or of the shipped set of its name, with the texts of a file."""
    path = _locate(file)
    if name not in known and name in shipped():
        content = _read(SHIPPED / f"{name}.yaml").get(name, {})
        known = {name: parse_task(name, content, name)} if "task" in content else {}
    if name not in known:
        tasks = [n for n in shipped() if "task" in _read(SHIPPED / f"{n}.yaml").get(n, {})]
        raise PromptError(
            f"prompt_files: {name}={file}: there is no task {name!r}; shipped: {', '.join(tasks)}"
        )
    first = next(iter(known[name].values()))
    return first.reworded(_read(path), path.stem, str(path))


def shipped_task(name: str) -> Task:
    """A task that comes with the package, such as "ptbxl_super", in its short texts.

    Raises:
      PromptError: there is no such set, or it is no task.
    """
    found = load_questions({}, (name,)).get(f"{name}_short")
    if not isinstance(found, Task):
        raise PromptError(f"prompt set {name!r} is no task")
    return found


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
