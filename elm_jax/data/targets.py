"""What is to be predicted: from stored labels to arrays that a loss reads.

    config.labels = dict(name="abnormal", kind="binary", classes=())

    kind         label                               target of a row
    binary       yes/no, or one value: "task=rest"   [1]: 1, 0, NaN where it is missing
    multiclass   a word or number, one of classes    [1]: the class's number, NaN
    multilabel   ``classes`` are names of yes/no     [k]: 1, 0, NaN each
                 labels, or values: "superclass=MI"
    regression   a number                            [1]: (value - mean) / std, NaN

Windows have their piece's label (an event's), else their recording's.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.label_values import LabelValueError, as_word, holds, is_list, is_missing, parse
from elm_jax.data.labels import window_labels
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows

KINDS = ("binary", "multiclass", "multilabel", "regression")
POSITIVE = {"1", "true", "yes", "abnormal", "pathological", "positive"}
NEGATIVE = {"0", "false", "no", "normal", "healthy", "negative"}


class TargetError(ValueError):
    """Labels that cannot be learnt as asked."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What a model predicts, complete: enough to read its outputs years later.

    Attributes:
      name: the label; in "multilabel" only a title.
      kind: one of ``KINDS``.
      classes: of "multiclass", the values in the order of the outputs; of "multilabel", the labels.
      mean: of a regression's values over the training windows.
      std: likewise.
    """

    name: str
    kind: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise TargetError(f"config.labels.kind is {self.kind!r}; known: {KINDS}")
        if not self.name:
            raise TargetError("config.labels.name is empty: say which label is to be learnt")
        needs = {"multiclass": 2, "multilabel": 1}.get(self.kind, 0)
        if self.classes and (len(self.classes) < needs or not needs):
            raise TargetError(
                f"config.labels.classes is {self.classes} for kind {self.kind!r}, which has "
                f"{f'at least {needs}' if needs else 'none'}"
            )
        if len(set(map(as_word, self.classes))) != len(self.classes):
            raise TargetError(f"config.labels.classes has one twice: {self.classes}")
        if self.kind == "multilabel" and not self.classes:
            raise TargetError(
                "config.labels.classes is empty: list the names of the yes/no labels that are "
                "learnt together, or values of a label that is a list: 'superclass=MI', ..."
            )
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise TargetError(f"config.labels: mean {self.mean} and std {self.std} must be numbers")

    @property
    def outputs(self) -> int:
        """Logits a row."""
        return max(1, len(self.classes))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "config.labels") -> "Target":
        """Reads :meth:`to_dict`'s form, where what is None or absent has its default.

        Raises:
          TargetError: a field is unknown or missing, or values do not go together.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        given = {k: v for k, v in values.items() if v is not None}
        if (unknown := set(given) - set(known)) or (missing := {"name", "kind"} - set(given)):
            problem = f"unknown {sorted(unknown)}" if unknown else f"lacks {sorted(missing)}"
            raise TargetError(f"{where}: {problem}; known: {known}")
        given["classes"] = tuple(str(c) for c in given.get("classes", ()))
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values of every field."""
        return dataclasses.asdict(self) | {"classes": list(self.classes)}

    def of_windows(
        self, recordings: Sequence[RecordingRow], windows: Windows
    ) -> Float[np.ndarray, "n k"]:
        """The target of every window, float32; NaN where its label is missing.

        Raises:
          LabelError: no recording has such a label.
          TargetError: a value that is no label of this kind; names it and a recording with it.
        """
        if self.kind == "multilabel":
            columns = [self._binary(name, recordings, windows) for name in self.classes]
            return np.stack(columns, axis=1).astype(np.float32)
        read = {"binary": self._binary, "multiclass": self._class, "regression": self._number}
        return read[self.kind](self.name, recordings, windows).astype(np.float32)[:, None]

    def _binary(self, name, recordings, windows) -> np.ndarray:
        name, wanted = parse(name)

        def number(value: Any) -> float | None:
            if wanted is not None:
                return holds(value, wanted)
            text = as_word(value)
            return 1.0 if text in POSITIVE else 0.0 if text in NEGATIVE else None

        hint = (
            f"a yes/no label is one of {sorted(POSITIVE)} or {sorted(NEGATIVE)}. For one value "
            f"against the others give the label as '{name}=VALUE', for more kind='multiclass', "
            "for numbers kind='regression'"
        )
        return _translate(name, recordings, windows, number, hint, lists=wanted is not None)

    def _class(self, name, recordings, windows) -> np.ndarray:
        order = {as_word(c): float(i) for i, c in enumerate(self.classes)}
        hint = f"config.labels.classes are {list(self.classes)}"
        return _translate(name, recordings, windows, lambda v: order.get(as_word(v)), hint)

    def _number(self, name, recordings, windows) -> np.ndarray:
        def number(value: Any) -> float | None:
            try:
                value = float(as_word(value))
            except ValueError:
                return None
            return (value - self.mean) / self.std if np.isfinite(value) else None

        return _translate(name, recordings, windows, number, "kind='regression' needs numbers")


def _translate(name, recordings, windows, number, hint: str, *, lists: bool = False) -> np.ndarray:
    """Numbers for the label's values: each distinct value is read once."""
    values = window_labels(recordings, windows, name)
    out, read = np.full(len(values), np.nan), {}
    for i, value in enumerate(values):
        if is_missing(value):
            continue
        key = repr(value) if value.__hash__ is None else value
        if key not in read:
            whose = f"label {name!r} of recording {recordings[windows.recording[i]].recording!r}"
            if is_list(value) and not lists:
                raise TargetError(f"{whose} is {_no_single(name, value)}")
            read[key] = _read(value, number, whose, hint)
        out[i] = read[key]
    return out


def _read(value: Any, number, whose: str, hint: str) -> float:
    try:
        found = number(value)
    except LabelValueError as error:
        raise TargetError(f"{whose}: {error}") from error
    if found is None:
        raise TargetError(f"{whose} is {str(value)!r}; {hint}")
    return found


def _no_single(name: str, value: Any) -> str:
    return (
        f"a list of values, {value!r}: ask for one of them as a yes/no label, '{name}=VALUE', or "
        f"for several with kind='multilabel' and classes=('{name}=VALUE', '{name}=OTHER')"
    )


def with_classes(target: Target, recordings: Sequence[RecordingRow], windows: Windows) -> Target:
    """``target`` with the classes of the training data, where they were not given.

    Raises:
      LabelError, TargetError: no such label, or fewer than two values.
    """
    if target.kind != "multiclass" or target.classes:
        return target
    values = window_labels(recordings, windows, target.name)
    if lists := [v for v in values if is_list(v)]:
        raise TargetError(f"label {target.name!r} is {_no_single(target.name, lists[0])}")
    words = {as_word(v) for v in values if not is_missing(v)}
    if len(words) < 2:
        raise TargetError(
            f"label {target.name!r} has {len(words)} value(s) in the training data "
            f"({sorted(words)}): nothing to tell apart"
        )
    numbers = all(word.lstrip("-").isdigit() for word in words)
    return dataclasses.replace(target, classes=tuple(sorted(words, key=int if numbers else None)))


def with_moments(target: Target, values: Float[np.ndarray, "n 1"]) -> Target:
    """``target`` with mean and deviation of its training ``values``, where they are numbers.

    Raises:
      TargetError: values that do not differ.
    """
    if target.kind != "regression":
        return target
    values = values[np.isfinite(values)].astype(np.float64) * target.std + target.mean
    if not len(values) or not values.std() > 0:
        raise TargetError(
            f"label {target.name!r} has {len(np.unique(values))} value(s) in the training data: "
            "nothing to learn"
        )
    return dataclasses.replace(target, mean=float(values.mean()), std=float(values.std()))


def complete(target: Target, recordings: Sequence[RecordingRow], windows: Windows) -> Target:
    """:func:`with_classes` and :func:`with_moments`, of all windows of the training recordings.

    Raises:
      LabelError, TargetError: as these.
    """
    target = with_classes(target, recordings, windows)
    if target.kind != "regression":
        return target
    return with_moments(target, target.of_windows(recordings, windows))
