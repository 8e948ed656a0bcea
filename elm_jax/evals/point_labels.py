"""What points of a map are coloured by: classes, numbers, or nothing."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.label_values import as_word, holds, in_words, is_missing, parse
from elm_jax.data.labels import LabelError, label_names, window_labels
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.targets import NEGATIVE, POSITIVE

MOST_CLASSES = 12  # more cannot be told apart by colour
OTHERS = "others"


class PointLabels(NamedTuple):
    """One label of every point.

    Attributes:
      name: of the label.
      classes: in the order of the legend; empty: numbers.
      value: number of the class, or the number itself; NaN where it is missing.
    """

    name: str
    classes: tuple[str, ...]
    value: Float[np.ndarray, " n"]


def point_labels(values: Iterable[Any], name: str, order: Sequence[str] = ()) -> PointLabels:
    """Classes of words, of yes and no, and of whole numbers below ten; other numbers stay numbers.

    Of a label that is a list every combination of values is a class, ``CD + MI``. Of many classes
    the commonest are kept; the rest are "others".

    Args:
      values: of each point; None, NaN or "" is missing.
      name: of the label, or ``label=value`` for one value against the others (of a list: whether
        it holds the value).
      order: of classes, where they have one that the alphabet does not know.
    """
    values, (title, wanted) = list(values), parse(name)
    if wanted is not None:
        is_it = [holds(v, wanted) for v in values]
        return PointLabels(name, (f"not {name}", name), _array(is_it))
    words = [None if is_missing(v) else in_words(v).strip().removesuffix(".0") for v in values]
    found = {as_word(w) for w in words if w is not None}
    if found and found <= POSITIVE | NEGATIVE:
        yes = [None if w is None else float(as_word(w) in POSITIVE) for w in words]
        return PointLabels(title, (f"not {name}", name), _array(yes))
    numbers = [None if w is None else _number(w) for w in words]
    if all(n is not None and math.isfinite(n) for n, w in zip(numbers, words, strict=True) if w):
        known = {n for n in numbers if n is not None}
        if not known <= set(range(10)):
            return PointLabels(title, (), _array(numbers))
    return _as_classes(words, title, order)


def _as_classes(words: Sequence[str | None], title: str, order: Sequence[str]) -> PointLabels:
    shown: dict[str, str] = {}
    count: dict[str, int] = {}
    for word in (w for w in words if w is not None):
        key = as_word(word)
        shown.setdefault(key, word)
        count[key] = count.get(key, 0) + 1
    given = [as_word(c) for c in order if as_word(c) in count]
    keys = [*given, *sorted(set(count) - set(given))]
    if len(keys) > MOST_CLASSES:
        common = sorted(keys, key=lambda k: -count[k])[: MOST_CLASSES - 1]
        keys = [k for k in keys if k in common]
    classes = [shown[k] for k in keys]
    if len(keys) < len(count):
        classes.append(OTHERS)
    number = {k: float(i) for i, k in enumerate(keys)}
    last = float(len(keys))
    codes = [None if w is None else number.get(as_word(w), last) for w in words]
    return PointLabels(title, tuple(classes), _array(codes))


def of_windows(
    recordings: Sequence[RecordingRow], windows: Windows, name: str, order: Sequence[str] = ()
) -> PointLabels:
    """A label of every window: its event's, else its recording's.

    Raises:
      LabelError: no recording has such a label.
    """
    return point_labels(window_labels(recordings, windows, parse(name)[0]), name, order)


def of_recordings(
    recordings: Sequence[RecordingRow], name: str, order: Sequence[str] = ()
) -> PointLabels:
    """A label of every recording; missing where only its events have one, which may differ.

    Raises:
      LabelError: no recording has such a label, nor has an event.
    """
    label, known = parse(name)[0], label_names(recordings)
    if label not in known:
        raise LabelError(f"no recording has a label {label!r}; known: {', '.join(known) or 'none'}")
    return point_labels([row.labels.get(label) for row in recordings], name, order)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.asarray([np.nan if v is None else v for v in values], float)
