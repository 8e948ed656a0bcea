"""Tasks in words: classes that are there or not, each on its own, with texts that speak for it.

A question has one answer; of a task's classes a recording may have several, or none. Nothing speaks
against a class: its score is the cosine of the recording with its texts, as in MERL (Liu et al.
2024, arXiv 2403.06659). A task is given in this form (config, YAML or JSON):

    ptbxl_super:
      task: superclass                  # the label, a list of values
      classes:
        NORM:                           # its value; or 'values': several that mean it
          short: [normal ECG]           # one variant of its texts, another, ...
          enriched: ["Sinus rhythm with P, QRS and T of normal form.", ...]
        MI: [myocardial infarction]     # texts alone, where there are no variants

Several texts of a class are averaged (the normalised mean of their projections). MERL's file of
texts (class -> text) speaks for a task that is there already: ``ptbxl_super=CKEPE_prompt.json``.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.label_values import as_word
from elm_jax.data.shards import RecordingRow
from elm_jax.evals.base import binary_labels
from elm_jax.evals.zero_shot.questions import (
    AnswerClass,
    known_keys,
    require,
    texts_of,
)

TASK_KEYS = ("task", "classes")
VARIANTS = ("short", "enriched")


@dataclasses.dataclass(frozen=True)
class Task:
    """Classes of one label, each scored by itself.

    Attributes:
      name: of the task.
      label: which label of the recordings has the classes: a list of values, or one.
      classes: their names, texts and values.
      variant: of the texts; empty where there is one only.
    """

    name: str
    label: str
    classes: tuple[AnswerClass, ...]
    variant: str = ""

    @property
    def key(self) -> str:
        """Name and variant: what figures and scalars are called."""
        return "_".join(filter(None, (self.name, self.variant)))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(c.name for c in self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Each class as a label: ``superclass=NORM``; the classes of a probe."""
        return tuple(f"{self.label}={'|'.join(c.values)}" for c in self.classes)

    def truth(self, recordings: Sequence[RecordingRow]) -> Float[np.ndarray, "n k"]:
        """1, 0, or NaN where a recording has no such label, of every class.

        Raises:
          ValueError: a value that is no label; names the recording.
        """
        columns = [binary_labels(recordings, label) for label in self.labels]
        return np.stack(columns, axis=1)

    def reworded(self, texts: Mapping[str, Any], variant: str, where: str) -> "Task":
        """The same classes, spoken for by other texts: of their name, or of one of their values.

        Raises:
          PromptError: classes without a text; names them.
        """
        given = {as_word(name): text for name, text in texts.items()}
        found = []
        for c in self.classes:
            names = [as_word(name) for name in (c.name, *c.values)]
            text = next((given[name] for name in names if name in given), ())
            text = (text,) if isinstance(text, str) else text
            found.append(texts_of(text, f"{where}: class {c.name!r}"))
        lacking = [c.name for c, own in zip(self.classes, found, strict=True) if not own]
        require(not lacking, f"{where}: no text for {lacking} of the task {self.name!r}")
        classes = tuple(
            dataclasses.replace(c, prompts=own) for c, own in zip(self.classes, found, strict=True)
        )
        return Task(self.name, self.label, classes, variant)


def parse_task(name: str, content: Mapping[str, Any], source: str) -> dict[str, Task]:
    """The variants of a task, by name ("" where it has one only), from its form in a file.

    Args:
      name: of the task.
      content: in the form above.
      source: where it stands, for messages.

    Raises:
      PromptError: no classes, a class without texts or without a variant that others have, an
        empty text, a text twice in a class, an unknown key, a value that two classes claim.
    """
    where = f"{source}: task {name!r}"
    known_keys(content, TASK_KEYS, where)
    label, classes = content["task"], content.get("classes")
    require(isinstance(label, str) and label.strip(), f"{where}: 'task' must name a label")
    require(isinstance(classes, Mapping) and classes, f"{where}: 'classes' must map names to texts")
    made = {key: _parse_class(key, own, where) for key, own in classes.items()}
    variants = list(dict.fromkeys(v for _, texts in made.values() for v in texts))
    for key, (_, texts) in made.items():
        lacking = [v or "prompts" for v in variants if v not in texts]
        require(not lacking, f"{where}, class {key!r}: has no {lacking}, which other classes have")
    _no_value_twice(made, where)
    return {
        variant: Task(
            name,
            label,
            tuple(
                AnswerClass(key, texts[variant], values) for key, (values, texts) in made.items()
            ),
            variant,
        )
        for variant in variants
    }


def _parse_class(
    name: Any, content: Any, where: str
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Values, and texts by variant."""
    hint = f"{where}: the class {name!r} must be text; put it in quotes"
    require(isinstance(name, str) and name.strip(), hint)
    where = f"{where}, class {name!r}"
    if not isinstance(content, Mapping):
        content = {"prompts": content}
    known_keys(content, ("values", "prompts", *VARIANTS), where)
    texts = {
        "" if key == "prompts" else key: texts_of(content[key], f"{where}: {key}")
        for key in ("prompts", *VARIANTS)
        if key in content
    }
    require(len(texts) == 1 or "" not in texts, f"{where}: give 'prompts' or variants, not both")
    require(texts and all(texts.values()), f"{where}: a class needs texts; it has none")
    values = content.get("values", (name,))
    listed = isinstance(values, Sequence) and not isinstance(values, str) and values
    require(listed, f"{where}: 'values' must be a list")
    return tuple(str(v) for v in values), texts


def _no_value_twice(made: Mapping[str, tuple], where: str) -> None:
    owner: dict[str, str] = {}
    for key, (values, _) in made.items():
        for value in map(as_word, values):
            other = owner.setdefault(value, key)
            require(other == key, f"{where}: the value {value!r} is of {other!r} and of {key!r}")


def has_label(task: Task, recordings: Sequence[RecordingRow]) -> bool:
    """Whether any recording has the task's label."""
    return any(task.label in row.labels for row in recordings)
