"""What the comments of a WFDB header say: a text, and labels out of its ``key: value`` lines."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.corpora.snomed import Diagnosis, diagnoses
from data_prep.csv_tables import number

# What says that nothing is known.
_NOTHING = re.compile(r"|n/?a|none|nan|unknow[ns]|not available|-|\?", re.IGNORECASE)
_SEXES = {"f": "female", "m": "male", "female": "female", "male": "male"}


def summary(comments: Sequence[str]) -> str:
    """The comments as a text, without lines whose value says that nothing is known."""
    said = (line for line in comments if line.endswith(":") or not _says_nothing(line))
    return "\n".join(" ".join(line.split()) for line in said)


def comment_labels(
    comments: Sequence[str], own: Mapping[str, Diagnosis] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Labels out of ``key: value`` lines, and the diagnoses of a line ``Dx`` in words.

    ``age`` is a number and ``sex`` "female" or "male"; ``Dx`` becomes the lists ``diagnosis``
    (names) and ``dx`` (codes, as stated); the first of two lines of one key is used; what says that
    nothing is known is not there.

    Args:
      comments: lines, without "#".
      own: names of diagnoses that a corpus has of its own; see :func:`snomed.diagnoses`.

    Returns:
      the labels, and a description of each ``diagnosis``: "" of one that is not known.
    """
    labels: dict[str, Any] = {}
    described: list[str] = []
    for line in comments:
        key, colon, value = (part.strip() for part in line.partition(":"))
        name = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
        if not colon or not name or name in labels or _is_nothing(value):
            continue
        if name == "dx":
            stated = [part.strip() for part in value.split(",") if part.strip()]
            found = diagnoses(stated, own)
            labels |= {"dx": stated, "diagnosis": [item.name for item in found]}
            described = [item.description for item in found]
        elif name in ("sex", "gender"):
            if (sex := _SEXES.get(value.lower())) is not None:
                labels["sex"] = sex
        elif name == "age":
            age = number(value)
            if isinstance(age, int | float) and math.isfinite(age) and age >= 0:
                labels["age"] = age
        else:
            labels[name] = number(value)
    return labels, described


def _says_nothing(line: str) -> bool:
    _, colon, value = line.partition(":")
    return bool(colon) and _is_nothing(value)


def _is_nothing(value: str) -> bool:
    return _NOTHING.fullmatch(value.strip()) is not None
