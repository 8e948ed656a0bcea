"""The 62 electrodes that EEGPT and DARE-EEG know by name, and the numbers those names stand for.

An encoder that reads channels *by name* has one learnt vector an entry of ``DICTIONARY``; which
electrodes a recording has, and in which order, is then a matter of its names alone. Names outside
the dictionary (AFz, T9, T10, Iz, ears, an ECG) are never guessed: preparation drops and lists them
(:func:`known_channels`), the model refuses them (:func:`channel_ids`).
"""

from collections.abc import Iterable

from elm_jax.signals.names import nearest_known, parse_label

#: The published order (``CHANNEL_DICT`` of both papers' code; braindecode's is equal): an entry's
#: place is its row in the tables of learnt vectors.
DICTIONARY: tuple[str, ...] = tuple(
    "FP1 FPZ FP2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 "
    "FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 "
    "PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ O2".split()
)
_IDS = {parse_label(name).name: number for number, name in enumerate(DICTIONARY)}


class UnknownChannels(ValueError):
    """Names that the dictionary lacks, or one electrode under two names."""


def channel_id(name: str) -> int | None:
    """The dictionary's number of one channel, or None: ``"Fp1"``, ``"FP1."``, ``"EEG FP1-REF"``.

    Names of the old and the new 10-20 system are the same electrode: ``T3`` is ``T7``. A derivation
    of two electrodes (``Fp1-F7``) has no number.
    """
    parsed = parse_label(name)
    return _IDS.get(parsed.name) if parsed.kind == "electrode" else None


def known_channels(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(kept, dropped)``: names that the dictionary has and names that it lacks, as given.

    Both keep their order. Whoever drops channels says which.
    """
    names = tuple(names)
    kept = tuple(name for name in names if channel_id(name) is not None)
    return kept, tuple(name for name in names if channel_id(name) is None)


def channel_ids(names: Iterable[str]) -> tuple[int, ...]:
    """The dictionary's number of each name, in the order given.

    Raises:
      UnknownChannels: the dictionary lacks some; the message names all of them, with the nearest
        known name of a misspelt one, and says what to do. Or two names mean one electrode.
    """
    names = tuple(names)
    ids = [channel_id(name) for name in names]
    unknown = [_described(name) for name, number in zip(names, ids, strict=True) if number is None]
    if unknown:
        raise UnknownChannels(
            f"{len(unknown)} of {len(names)} channels are not among the {len(DICTIONARY)} "
            f"electrodes that this model knows by name: {', '.join(unknown)}. Leave them out or "
            "correct their names; elm_jax.channels.DICTIONARY lists the known ones"
        )
    repeated = sorted(
        {name for name, number in zip(names, ids, strict=True) if ids.count(number) > 1}
    )
    if repeated:
        raise UnknownChannels(
            f"one electrode stands under several names: {repeated}; keep one each"
        )
    return tuple(number for number in ids if number is not None)


def _described(name: str) -> str:
    """A name that the dictionary lacks, with the likely intended one where it is a misspelling."""
    kind = parse_label(name).kind
    if kind == "electrode":
        return f"{name!r} (an electrode, but without a learnt vector)"
    if kind == "bipolar":
        return f"{name!r} (a derivation; single electrodes are needed)"
    near = nearest_known(name) if kind == "unknown" else None
    return f"{name!r} (is {near!r} meant?)" if near in _IDS else repr(name)
