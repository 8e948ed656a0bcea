"""What options of ``python -m data_prep.ecg_byte`` may be."""

import argparse
import math
from collections.abc import Callable

from elm_jax.signals.ecg.leads import ORDERS, parse_lead


def whole(least: int) -> Callable[[str], int]:
    """A whole number, ``least`` or more."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least}, found {text!r}"
            )
        return int(text)

    return read


def ratio(text: str) -> float:
    """A number that is not negative."""
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text!r}")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, found {text!r}")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}")
    return value


def leads(text: str) -> tuple[str, ...]:
    """Lead names parted by commas, or the word of a known order."""
    words = ORDERS.get(text, tuple(part.strip() for part in text.split(",")))
    names = tuple(filter(None, map(parse_lead, words)))
    if len(set(names)) != len(words):
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(ORDERS)} or leads parted by commas, such as I,II,V1, each once; "
            f"found {text!r}"
        )
    return names
