"""Electrode names: from what stands in files to one canonical spelling.

Canonical are the 10-20 names in their old form where two exist (T3, T4, T5, T6, as the published
montage has them), so ``T7`` is ``T3`` and ``P8`` is ``T6``.
"""

import dataclasses
import functools
import re
from typing import Literal

_ROWS = ("Fp", "AF", "F", "FT", "FC", "T", "C", "TP", "CP", "P", "PO", "O", "I")
_EXTRA = ("Nz", "A1", "A2", "M1", "M2", "Pg1", "Pg2", "Sp1", "Sp2")
RENAMED = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
#: Every electrode that is known, in canonical spelling (10-10 names, ears, mastoids).
ELECTRODES: tuple[str, ...] = tuple(
    name
    for name in (*(f"{row}{col}" for row in _ROWS for col in ("z", *range(1, 11))), *_EXTRA)
    if name not in RENAMED
)
_TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()
_CANONICAL = {name.upper(): name for name in ELECTRODES} | RENAMED

# What follows the hyphen and is a reference, not an electrode of a derivation. Ears and mastoids
# keep their identity: Fp1-A1 and F4-A2 have different references.
_REFERENCES = {
    "REF": "REF", "LE": "LE", "LER": "LE", "LINKED": "LE", "AVG": "AVG", "AV": "AVG", "AVE": "AVG",
    "AVERAGE": "AVG", "AR": "AVG", "CAR": "AVG", "A1": "A1", "A2": "A2", "M1": "M1", "M2": "M2",
    "A1A2": "LE", "A1+A2": "LE", "(A1+A2)/2": "LE", "A12": "LE", "AA": "LE",
    "M1M2": "M1+M2", "M1+M2": "M1+M2", "(M1+M2)/2": "M1+M2",
}  # fmt: skip
#: Ears and mastoids.
EARS = ("A1", "A2", "M1", "M2")
_PREFIX = re.compile(r"^(?:EEG|POL)(?:[\s:_-]+|(?=\())", re.IGNORECASE)
_OTHER = re.compile(
    r"^(?:E[CK]G|E[OM]G|L?ROC|R?LOC|RLC|LUC|RESP|PHOTIC|IBI|BURST|SUPPR|PULSE|SPO2|SAO2|OSAT|HR$|"
    r"PR$|ETCO2|TEMP|EVENT|STATUS|STIM|TRIG|MARK|MK$|ANNOT|EDF ANNOT|BDF ANNOT|DC\s*\d|AUX|VNS|"
    r"ABD|CHEST|THOR|FLOW|SNORE|SOUND|BAT|DIF|X\d+$|E$|\$|\d+$|-+$|\.+$)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class ParsedName:
    """What a channel label says.

    Attributes:
      kind: "electrode", "bipolar" (a derivation of two), "other" (known, but not scalp EEG) or
        "unknown".
      name: canonical, "F7" or "Fp1-F7"; for "other" and "unknown" the label itself, stripped.
      reference: canonical name of the stated reference of an electrode, or None.
    """

    kind: Literal["electrode", "bipolar", "other", "unknown"]
    name: str
    reference: str | None = None

    @property
    def listed(self) -> str:
        """What lists of channels call it; see :func:`listed_name`."""
        return listed_name(self.name, self.reference)


def listed_name(name: str, reference: str | None) -> str:
    """A channel's name for people to read: one ear against the other is ``"A2-A1"``, not ``"A2"``.

    Args:
      name: canonical.
      reference: of an electrode, where it is stated.
    """
    return f"{name}-{reference}" if name in EARS and reference in EARS else name


def canonical_electrode(name: str) -> str | None:
    """The canonical spelling of a bare electrode name, or None: ``"FP1" -> "Fp1"``."""
    return _CANONICAL.get(name.strip().strip(".").upper())


@functools.lru_cache(maxsize=4096)
def parse_label(label: str) -> ParsedName:
    """Reads a channel label of any of the usual spellings; never fails.

    Understood are ``EEG FP1-REF``, ``EEG FP1-LE``, ``EEG Fp1``, ``Fp1.``, ``FP1``, ``Fp1-A2``,
    ``POL T7``, ``T7-AVG``, ``FP1-F7`` and the like.
    """
    bare = _PREFIX.sub("", label.strip()).strip().rstrip(". ")
    compact = re.sub(r"\s+", "", bare).replace("–", "-")
    electrode = canonical_electrode(compact)
    if electrode:
        return ParsedName("electrode", electrode)
    left, _, right = compact.partition("-")
    # A reader that found a label twice may have numbered it: T8-P8-1.
    right = re.sub(r"-\d+$", "", right)
    plus, minus = canonical_electrode(left), canonical_electrode(right)
    if plus and right.upper() in _REFERENCES:
        return ParsedName("electrode", plus, _REFERENCES[right.upper()])
    if plus and minus and plus != minus:
        return ParsedName("bipolar", f"{plus}-{minus}")
    if not bare or _OTHER.match(bare):
        return ParsedName("other", label.strip())
    return ParsedName("unknown", label.strip())


@functools.lru_cache(maxsize=4096)
def nearest_known(label: str) -> str | None:
    """The known electrode name most like an unknown label, or None if none is near."""
    import rapidfuzz

    bare = re.sub(r"\s+", "", _PREFIX.sub("", label.strip())).partition("-")[0].upper()
    # The first of equals wins: those of the 10-20 system.
    choices = dict.fromkeys([name.upper() for name in _TEN_TWENTY] + list(_CANONICAL))
    best = rapidfuzz.process.extractOne(
        bare, list(choices), scorer=rapidfuzz.fuzz.ratio, score_cutoff=60
    )
    return _CANONICAL[best[0]] if best else None
