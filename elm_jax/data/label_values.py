"""What a label's value is: a word, a number, a list of several, or missing.

A label is asked for by its name, or by one of its values:

    abnormal              what the recording has
    task=rest             1 where the value is "rest", 0 where it is another
    superclass=MI         1 where the list of values holds "MI", 0 where it does not
    diagnosis=AF|AFIB     1 where any of these is the value, or in the list

A list says of every value that is not in it that it is not there: an empty one says no to all. What
is absent, None, empty text or NaN is missing, and says nothing.
"""

import math
from numbers import Number
from typing import Any

import numpy as np

NO_VALUE = "[]"  # how the empty list is written


class LabelValueError(ValueError):
    """A value that is no word, no number and no list of these."""


def as_word(value: Any) -> str:
    """A label's value as it is compared: lower case, whole numbers without a point."""
    return str(value).strip().lower().removesuffix(".0")


def is_list(value: Any) -> bool:
    """Whether a label has several values (or none) at once."""
    return isinstance(value, list | tuple | set | frozenset | np.ndarray)


def is_missing(value: Any) -> bool:
    """Whether a value says nothing; an empty list does."""
    if is_list(value):
        return False
    return (
        value is None
        or value == ""
        or (isinstance(value, float | np.floating) and math.isnan(value))
    )


def parse(label: str) -> tuple[str, str | None]:
    """A label's name, and the value asked for (None: whatever it is)."""
    name, equals, wanted = label.partition("=")
    return name, wanted if equals else None


def values_of(value: Any) -> tuple[Any, ...]:
    """The values of a label: those of a list, or the one.

    Raises:
      LabelValueError: it is missing, a mapping, or a list of anything but words and numbers.
    """
    found = tuple(value) if is_list(value) else (value,)
    wrong = [v for v in found if is_list(v) or is_missing(v) or not isinstance(v, str | Number)]
    if wrong:
        raise LabelValueError(
            f"{value!r} is no label: expected a word, a number, or a list of these, found "
            f"{wrong[0]!r} ({type(wrong[0]).__name__})" + (" in it" if is_list(value) else "")
        )
    return found


def holds(value: Any, wanted: str) -> float:
    """1.0 where a value is, or a list holds, the one wanted (or any of ``A|B``); 0.0, or NaN.

    Raises:
      LabelValueError: a value that is no label.
    """
    if is_missing(value):
        return math.nan
    asked = {as_word(wanted), *map(as_word, wanted.split("|"))}
    return float(any(as_word(v) in asked for v in values_of(value)))


def in_words(value: Any) -> str:
    """A value that is not missing as one text: ``CD + MI`` of a list, ``[]`` of an empty one."""
    if not is_list(value):
        return str(value)
    return " + ".join(sorted(map(str, values_of(value)))) or NO_VALUE


def counted_at(value: Any) -> list[str]:
    """What a value is counted as: itself, each of a list, "[]" of an empty one, "none" of None."""
    if is_list(value):
        return sorted({str(v) for v in values_of(value)}) or [NO_VALUE]
    return ["none" if value is None else str(value)]
