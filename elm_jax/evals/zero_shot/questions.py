"""Questions in words: classes as lists of prompts, and which class a recording's label is.

A question is given in one of three forms (config, YAML or JSON; see :mod:`prompt_files`):

    abnormal:                         # a yes/no finding
      positive: [The EEG is abnormal., Pathological activity is seen.]
      negative: [The EEG is normal.]

    stage:                            # two or more classes, named by the values of the label
      awake: [The patient is awake.]
      drowsy: [The patient is drowsy.]
      asleep: [The patient is asleep., Sleep spindles are seen.]

    age_group:                        # in full
      label: age                      # of the recordings; default: the question's name
      templates: ["EEG of {article} {finding}.", "The patient is {article} {finding}."]
      classes:
        adult: {words: {article: [an], finding: [adult]}, from: 18, below: 65}
        elderly: {words: {article: [an], finding: [elderly person]}, from: 65, below: 150}

Every template is filled with every word of a class (``words: [...]`` alone means ``finding``);
``prompts`` of a class are taken as they are. A class's label values are ``values`` (default: its
name), or a range of numbers. ``ignore`` lists values whose recordings are left out.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.label_values import is_list
from elm_jax.data.shards import RecordingRow
from elm_jax.evals.base import binary_labels

YES_NO = ("negative", "positive")  # in this order, so that label 1 is class 1
QUESTION_KEYS = ("label", "templates", "classes", "ignore")
CLASS_KEYS = ("prompts", "words", "values", "from", "below")
_SLOT = re.compile(r"\{([^{}]*)\}")


class PromptError(ValueError):
    """A question that cannot be asked; says which, where, and what is expected."""


@dataclasses.dataclass(frozen=True)
class AnswerClass:
    """One class of a question.

    Attributes:
      name: of the class.
      prompts: texts that speak for it, templates filled.
      values: the label's values that mean it, in lower case; none where it is a range.
      start: numbers from here on (with ``values`` empty) ...
      stop: ... and below this.
    """

    name: str
    prompts: tuple[str, ...]
    values: tuple[str, ...] = ()
    start: float = -math.inf
    stop: float = math.inf

    def means(self, value: Any) -> bool:
        """Whether a label's value is this class."""
        if self.values:
            return plain(value) in self.values
        return self.start <= float(value) < self.stop


@dataclasses.dataclass(frozen=True)
class Question:
    """Two or more classes, of which one is the answer.

    Attributes:
      name: of the question.
      label: which label of the recordings has the answer, or one value of it: ``task=rest``.
      classes: at least two; those of a yes/no finding are :data:`YES_NO`.
      ignore: values of the label, in lower case, that are no answer.
    """

    name: str
    label: str
    classes: tuple[AnswerClass, ...]
    ignore: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(c.name for c in self.classes)

    @property
    def yes_no(self) -> bool:
        """Whether the question is about a finding that is there or not."""
        return self.class_names == YES_NO

    @property
    def positive(self) -> int | None:
        """The class whose probability is *the* score of two classes: the last; None for more."""
        return 1 if len(self.classes) == 2 else None

    def answers(self, recordings: Sequence[RecordingRow]) -> Float[np.ndarray, " n"]:
        """The class number of each recording; NaN where it has no such label.

        Raises:
          ValueError: a value that is none of the classes; names the recording and the value.
        """
        if self.yes_no:
            return binary_labels(recordings, self.label)
        return np.asarray([self._answer(row) for row in recordings], float)

    def _answer(self, row: RecordingRow) -> float:
        value = row.labels.get(self.label)
        if value is None or plain(value) in ("", "nan", *self.ignore):
            return math.nan
        if is_list(value):
            raise PromptError(
                f"label {self.label!r} of recording {row.recording!r} is a list of values, "
                f"{value!r}: the question {self.name!r} has one answer. Ask about each class by "
                f"itself: 'task: {self.label}' (elm_jax/evals/zero_shot/tasks.py)"
            )
        try:
            found = [i for i, c in enumerate(self.classes) if c.means(value)]
        except (TypeError, ValueError):
            found = []
        if not found:
            raise PromptError(
                f"label {self.label!r} of recording {row.recording!r} is {value!r}, which is no "
                f"class of the question {self.name!r}: {', '.join(map(_told, self.classes))}. Add "
                f"it to a class's 'values', or to the question's 'ignore'"
            )
        return float(found[0])


def plain(value: Any) -> str:
    """A label's value as it is compared: in lower case, ``1.0`` as ``1``."""
    return str(value).strip().lower().removesuffix(".0")


def _told(c: AnswerClass) -> str:
    return f"{c.name} ({' '.join(c.values) or f'{c.start:g} to below {c.stop:g}'})"


def parse_question(name: Any, content: Any, source: str) -> Question:
    """A question from its form in a config, YAML or JSON.

    Args:
      name: of the question.
      content: in one of the forms above.
      source: where it stands, for messages.

    Raises:
      PromptError: fewer than two classes, a class without prompts, an empty prompt, a word or
        prompt used twice, a template that does not fit the words, an unknown key, label values
        that two classes claim.
    """
    where = f"{source}: question {name!r}"
    require(isinstance(name, str) and name.strip(), f"{where}: a question's name must be text")
    require(isinstance(content, Mapping), f"{where}: expected classes, found {content!r}")
    full = "classes" in content
    if full:
        known_keys(content, QUESTION_KEYS, where)
    classes = content["classes"] if full else content
    require(isinstance(classes, Mapping), f"{where}: 'classes' must map names to classes")
    for key in classes:
        hint = f"{where}: the class {key!r} must be text; put it in quotes"
        require(isinstance(key, str) and key.strip(), hint)
    if set(classes) & set(YES_NO) and set(classes) != set(YES_NO):
        counts = {k: len(v) for k, v in classes.items()}
        raise PromptError(
            f"{where}: expected texts under 'positive' and 'negative', found {counts}"
        )
    require(
        len(classes) >= 2,
        f"{where}: expected two or more classes, found {sorted(classes)}",
    )
    names = YES_NO if set(classes) == set(YES_NO) else tuple(classes)
    templates = texts_of(content.get("templates", ()), f"{where}: templates") if full else ()
    made = tuple(_parse_class(n, classes[n], templates, f"{where}, class {n!r}") for n in names)
    ignore = content.get("ignore", ()) if full else ()
    require(not isinstance(ignore, str), f"{where}: 'ignore' must be a list of values")
    _no_text_twice(made, where)
    _no_value_twice(made, names, where)
    label = str(content.get("label", name)) if full else name
    return Question(name, label, made, tuple(plain(v) for v in ignore))


def require(condition: Any, message: str) -> None:
    """Raises PromptError unless the condition holds."""
    if not condition:
        raise PromptError(message)


def known_keys(content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raises PromptError where a mapping has other keys."""
    unknown = sorted(str(k) for k in set(content) - set(known))
    require(not unknown, f"{where}: unknown {unknown}; known: {sorted(known)}")


def texts_of(values: Any, where: str) -> tuple[str, ...]:
    """A list of non-empty texts, blanks collapsed."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    require(listed, f"{where}: expected a list of texts, found {values!r}")
    for i, text in enumerate(values):
        hint = f"{where}: text {i + 1} of {len(values)} is {text!r}"
        require(isinstance(text, str), f"{hint}, expected text: put it in quotes")
        require(text.strip(), f"{hint}: a prompt must not be empty")
    texts = tuple(" ".join(text.split()) for text in values)
    seen: set[str] = set()
    for text in texts:
        require(text.lower() not in seen, f"{where}: {text!r} is there twice")
        seen.add(text.lower())
    return texts


def _parse_class(name: str, content: Any, templates: tuple[str, ...], where: str) -> AnswerClass:
    if not isinstance(content, Mapping):
        content = {"prompts": content}
    known_keys(content, CLASS_KEYS, where)
    words = content.get("words", {})
    words = words if isinstance(words, Mapping) else {"finding": words}
    words = {slot: texts_of(w, f"{where}, words of {slot!r}") for slot, w in words.items()}
    require(not words or templates, f"{where}: words need 'templates' to stand in")
    prompts = texts_of(content.get("prompts", ()), f"{where}: prompts")
    if words:
        prompts += tuple(p for t in templates for p in _fill(t, words, where))
    require(prompts, f"{where}: a class needs prompts, or words and templates; it has none")
    ranged = {"from", "below"} & set(content)
    if not ranged:
        values = content.get("values", (name,))
        require(not isinstance(values, str), f"{where}: 'values' must be a list")
        return AnswerClass(name, prompts, tuple(plain(v) for v in values))
    require("values" not in content, f"{where}: give 'values' or a range, not both")
    start, stop = (float(content.get(k, d)) for k, d in (("from", -math.inf), ("below", math.inf)))
    require(start < stop, f"{where}: the range from {start:g} to below {stop:g} is empty")
    return AnswerClass(name, prompts, (), start, stop)


def _fill(template: str, words: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """A template with every word, or every combination of words, in its slots."""
    slots = list(dict.fromkeys(_SLOT.findall(template)))
    require(slots, f"{where}: template {template!r} has no slot such as {{finding}}")
    missing = [s for s in slots if s not in words]
    require(
        not missing,
        f"{where}: template {template!r} needs words for {missing}; given: {sorted(words)}",
    )
    filled = []
    for choice in itertools.product(*(words[s] for s in slots)):
        word_of = dict(zip(slots, choice, strict=True))
        text = _SLOT.sub(lambda m, w=word_of: w[m[1]], template)
        filled.append(text[0].upper() + text[1:])
    return filled


def _no_text_twice(classes: Sequence[AnswerClass], where: str) -> None:
    """A text in two classes speaks for neither; one that a class has twice weighs double."""
    owner: dict[str, str] = {}
    for name, prompt in ((c.name, p) for c in classes for p in c.prompts):
        other = owner.get(prompt.lower())
        place = f"in class {name!r}" if other == name else f"in {other!r} and {name!r}"
        require(other is None, f"{where}: {prompt!r} is there twice, {place}")
        owner[prompt.lower()] = name


def _no_value_twice(classes: Sequence[AnswerClass], names: Sequence[str], where: str) -> None:
    """Of every value at most one class may be the answer; a yes/no label's values are known."""
    if tuple(names) == YES_NO:
        return
    for a, b in itertools.combinations(classes, 2):
        shared = sorted(set(a.values) & set(b.values))
        require(not shared, f"{where}: values {shared} are of {a.name!r} and of {b.name!r}")
        ranges = not a.values and not b.values
        overlap = ranges and max(a.start, b.start) < min(a.stop, b.stop)
        require(not overlap, f"{where}: the ranges of {a.name!r} and {b.name!r} overlap")
