"""Leads of an ECG: from what stands in files to one canonical spelling; and orders of them."""

import functools
import re
from collections.abc import Iterable, Mapping

#: The twelve standard leads as most files have them (PTB-XL, CPSC, PTB).
STANDARD_ORDER = (
    "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
)  # fmt: skip
#: The same in the order that ECG-Bench wants: aVL before aVR.
WANTED_ORDER = (
    "I", "II", "III", "aVL", "aVR", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
)  # fmt: skip
#: Words of the command line; beside them "file", as the files have them.
ORDERS = {"wanted": WANTED_ORDER, "standard": STANDARD_ORDER}
#: The orthogonal leads of Frank that 15-lead recordings (PTB) have, too.
FRANK = ("Vx", "Vy", "Vz")
_MORE_CHEST = ("V7", "V8", "V9", "V3R", "V4R", "V5R", "V6R")
#: Every lead that is known, in canonical spelling.
LEADS = (*STANDARD_ORDER, *FRANK, *_MORE_CHEST)

_CANONICAL = {name.upper(): name for name in LEADS} | {
    # Frank's as HL7 (MDC) and SCP-ECG call them; D for derivation, in Spanish and Portuguese.
    "X": "Vx", "Y": "Vy", "Z": "Vz", "DI": "I", "DII": "II", "DIII": "III",
}  # fmt: skip
_PREFIX = re.compile(r"^(?:MDC[\s_]ECG[\s_]LEAD|E[CK]G[\s_:-]*LEAD|E[CK]G|LEAD)(?:[\s_:-]+)", re.I)


@functools.lru_cache(maxsize=4096)
def parse_lead(label: str) -> str | None:
    """The canonical name of a lead, or None for what is none of those known.

    Understood are ``AVR``, ``avr``, ``v1``, ``Lead I``, ``ECG I``, ``MDC_ECG_LEAD_AVF``, ``DII``,
    ``vx`` and the like, in any case. Never guessed: ``MLII`` is not II and ``-aVR`` not aVR.
    """
    bare = _PREFIX.sub("", label.strip()).strip()
    return _CANONICAL.get(re.sub(r"(?<=[aA][vV])[\s_](?=[rlfRLF]$)", "", bare).upper())


def meant_lead(label: str, rename: Mapping[str, str | None]) -> str | None:
    """:func:`parse_lead`, but for labels that a user's map names: it wins.

    Args:
      label: as the file has it.
      rename: label in capitals -> lead meant, or None to leave it out; see :func:`rename_map`.
    """
    key = label.strip().upper()
    if key not in rename:
        return parse_lead(label)
    target = rename[key]
    return None if target is None else parse_lead(target)


def rename_map(rename: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """A user's map of labels with its keys as :func:`meant_lead` looks them up."""
    return {label.strip().upper(): lead for label, lead in (rename or {}).items()}


def listed_leads(
    labels: Iterable[str], rename: Mapping[str, str | None] | None = None
) -> tuple[str, ...]:
    """What channels of these labels are called in lists, each once: leads, or the label itself."""
    table = rename_map(rename)
    return tuple(dict.fromkeys(meant_lead(label, table) or label.strip() for label in labels))


@functools.lru_cache(maxsize=4096)
def nearest_lead(label: str) -> str | None:
    """The known lead most like an unknown label, or None if none is near."""
    import rapidfuzz

    bare = re.sub(r"[\s_]+", "", _PREFIX.sub("", label.strip())).upper()
    best = rapidfuzz.process.extractOne(
        bare, [name.upper() for name in LEADS], scorer=rapidfuzz.fuzz.ratio, score_cutoff=60
    )
    return _CANONICAL[best[0]] if best else None
