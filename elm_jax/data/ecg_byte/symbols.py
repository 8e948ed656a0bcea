"""ECG-Byte's symbols: 26 levels between a record's smallest and largest value, and back.

``floor(26 (x - min) / (max - min + 1e-6))``, at most 25, with one minimum and maximum of all leads;
leads follow one another (Han et al., MLHC 2025, as ECG-Bench computes it).
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from elm_jax.axes import Float

SYMBOLS = 26
LETTERS = "abcdefghijklmnopqrstuvwxyz"
EPSILON_MV = 1e-6
LARGEST_MV = 1e6  # a kilovolt: what is beyond is another unit
#: As files of tokenizers say it; what they say must be this.
NORMALISATION = {
    "kind": "min and max of a record, over all leads",
    "levels": SYMBOLS,
    "epsilon_mv": EPSILON_MV,
    "order": "lead after lead",
}


class SymbolError(ValueError):
    """A signal that has no symbols, or symbols that are no signal; says which and why."""


class Symbols(NamedTuple):
    """A record as symbols, and what makes a signal of them again.

    Attributes:
      symbols: 0 to 25, lead after lead.
      minimum_mv: smallest value of the record.
      maximum_mv: largest value.
    """

    symbols: UInt8[np.ndarray, " ct"]
    minimum_mv: float
    maximum_mv: float


def is_flat(signal_mv: np.ndarray) -> bool:
    """Whether no lead ever moves and all lie at the same value: there is nothing to tell."""
    return bool(signal_mv.size and signal_mv.min() == signal_mv.max())


def to_symbols(signal_mv: Float[np.ndarray, "c t"], *, source: str = "signal") -> Symbols:
    """The symbols of a record.

    Computed in float64, whatever the signal's type. (The reference computes in the signal's own
    type: a value within rounding of the border of two levels may fall on its other side.)

    Args:
      signal_mv: the leads, in millivolts.
      source: what messages call it.

    Raises:
      SymbolError: it is empty, flat, holds values that are not finite, or such as no ECG has.
    """
    if not signal_mv.size:
        raise SymbolError(f"{source}: shape {signal_mv.shape} holds no sample")
    signal = signal_mv.astype(np.float64)
    bad = ~np.isfinite(signal)
    if bad.any():
        lead, sample = np.argwhere(bad)[0]
        raise SymbolError(
            f"{source}: {int(bad.sum())} values are not finite (the first: lead {lead}, sample "
            f"{sample}); cut them out before (python -m data_prep.prepare does)"
        )
    minimum, maximum = float(signal.min()), float(signal.max())
    if max(-minimum, maximum) > LARGEST_MV:
        raise SymbolError(
            f"{source}: values from {minimum:g} to {maximum:g} are no millivolts; expected at most "
            f"{LARGEST_MV:g}: check the unit"
        )
    if minimum == maximum:
        raise SymbolError(
            f"{source}: every value is {minimum:g} mV; a flat record has no symbols: leave it out"
        )
    level = np.floor(SYMBOLS * ((signal - minimum) / (maximum - minimum + EPSILON_MV)))
    level = np.minimum(level, SYMBOLS - 1)
    return Symbols(level.astype(np.uint8).ravel(), minimum, maximum)


def quantum_mv(minimum_mv: float, maximum_mv: float) -> float:
    """The height of one level."""
    return (maximum_mv - minimum_mv + EPSILON_MV) / SYMBOLS


def to_signal(
    symbols: Integer[np.ndarray, " ct"], minimum_mv: float, maximum_mv: float, *, leads: int
) -> Float[np.ndarray, "c t"]:
    """The signal of symbols: each at the middle of its level.

    It is off by at most half of :func:`quantum_mv` (1/52 of ``max - min + 1e-6``), and by the
    rounding to float32. (The reference multiplies by 26 on the way there and divides by 25 on the
    way back, so that it is off by up to a whole level.)

    Args:
      symbols: 0 to 25, lead after lead.
      minimum_mv: of the record.
      maximum_mv: of the record.
      leads: how many there are.

    Raises:
      SymbolError: no range, no symbols, symbols beyond 25, or not as many of every lead.
    """
    if not (np.isfinite([minimum_mv, maximum_mv]).all() and minimum_mv < maximum_mv):
        raise SymbolError(
            f"minimum_mv={minimum_mv}, maximum_mv={maximum_mv}: expected two finite values, the "
            "first below the second, as encoding gave them"
        )
    if not len(symbols) or len(symbols) % leads:
        raise SymbolError(
            f"{len(symbols)} symbols do not divide into {leads} leads of equal length; they are "
            "of another number of leads, or ids are missing"
        )
    if symbols.min() < 0 or symbols.max() >= SYMBOLS:
        raise SymbolError(
            f"symbols reach from {symbols.min()} to {symbols.max()}, expected 0 to {SYMBOLS - 1}"
        )
    level = symbols.reshape(leads, -1) + 0.5
    return (minimum_mv + level * quantum_mv(minimum_mv, maximum_mv)).astype(np.float32)


def to_text(symbols: Integer[np.ndarray, " n"]) -> str:
    """The symbols as letters, a to z."""
    return (np.asarray(symbols, np.uint8) + ord("a")).tobytes().decode("ascii")


def shortened(letters: str) -> str:
    """Letters for the eye, runs by their length: ``ooooon`` is ``o5n``."""
    runs = ((letter, len(list(run))) for letter, run in itertools.groupby(letters))
    return "".join(letter if n == 1 else f"{letter}{n}" for letter, n in runs)


def from_text(letters: str) -> UInt8[np.ndarray, " n"]:
    """Symbols of letters.

    Raises:
      SymbolError: something else than a to z.
    """
    if strange := sorted(set(letters) - set(LETTERS)):
        raise SymbolError(f"expected the letters a to z, found {strange[:5]}")
    return np.frombuffer(letters.encode("ascii"), np.uint8) - np.uint8(ord("a"))
