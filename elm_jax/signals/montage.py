"""Montages: which rows a model sees, and how they come from a recording's channels."""

import dataclasses
from collections.abc import Sequence

from elm_jax.signals.names import parse_label

#: The 20 derivations of the TCP montage in the order in which ELM was published.
TCP20 = (
    "Fp1-F7", "F7-T3", "T3-T5", "T5-O1", "Fp2-F8", "F8-T4", "T4-T6", "T6-O2",
    "T3-C3", "C3-Cz", "Cz-C4", "C4-T4",
    "Fp1-F3", "F3-C3", "C3-P3", "P3-O1", "Fp2-F4", "F4-C4", "C4-P4", "P4-O2",
)  # fmt: skip

MONTAGES = ("tcp20", "electrodes", "average")
#: As ``MontageRow.minus``: the mean of the ``plus`` channels of all rows.
MEAN = -1


@dataclasses.dataclass(frozen=True)
class MontageRow:
    """``sign * (channel[plus] - channel[minus])``; ``minus`` None takes the channel as it is."""

    name: str
    plus: int
    minus: int | None
    sign: int


def needed_channels(rows: Sequence[str]) -> frozenset[str]:
    """Every canonical channel name that could help to build these rows."""
    wanted = set()
    for name in (_canonical(r) for r in rows):
        left, _, right = name.partition("-")
        wanted |= {name, left, right, f"{right}-{left}"} if right else {name}
    return frozenset(wanted)


def _canonical(row: str) -> str:
    parsed = parse_label(row)
    if parsed.kind not in ("electrode", "bipolar"):
        raise ValueError(f"SignalSpec.channels has {row!r}, which is no electrode or derivation")
    return parsed.name


def montage_rows(
    montage: str, rows: Sequence[str], channels: Sequence[str]
) -> tuple[list[MontageRow], list[str]]:
    """:func:`derive` for a montage; the rows of "average" are less the mean of them all.

    Raises:
      ValueError: an unknown montage, or a derivation where electrodes are averaged.
    """
    if montage not in MONTAGES:
        raise ValueError(f"SignalSpec.montage is {montage!r}; known here: {MONTAGES}")
    found, missing = derive(rows, channels)
    if montage != "average":
        return found, missing
    if derivations := [row for row in rows if "-" in _canonical(row)]:
        raise ValueError(
            f"the montage 'average' is of electrodes; SignalSpec.channels has {derivations}"
        )
    return [dataclasses.replace(row, minus=MEAN) for row in found], missing


def channels_of(rows: Sequence[MontageRow]) -> list[int]:
    """The channels that the rows are computed from, in ascending order."""
    return sorted({i for r in rows for i in (r.plus, r.minus) if i is not None and i != MEAN})


def derive(rows: Sequence[str], channels: Sequence[str]) -> tuple[list[MontageRow], list[str]]:
    """How to compute each row from the channels that there are.

    A derivation is the difference of its electrodes if both are there; else it is taken as the
    file has it (a file exported in the bipolar montage), turned round if it has the reverse.

    Args:
      rows: names wanted, electrodes or derivations.
      channels: canonical names of the recording's channels.

    Returns:
      the rows that can be built, and the names that are missing: electrodes where the recording
      has electrodes, whole derivations where it has none of the two.
    """
    index = {name: i for i, name in enumerate(channels)}
    found, missing = [], []
    for row in rows:
        name = _canonical(row)
        left, _, right = name.partition("-")
        if right and left in index and right in index:
            found.append(MontageRow(row, index[left], index[right], 1))
        elif name in index:
            found.append(MontageRow(row, index[name], None, 1))
        elif right and f"{right}-{left}" in index:
            found.append(MontageRow(row, index[f"{right}-{left}"], None, -1))
        else:
            missing.append(name)
    return found, _missing_names(missing, index)


def _missing_names(rows: list[str], index: dict[str, int]) -> list[str]:
    bipolar_file = any("-" in name for name in index) and not any("-" not in n for n in index)
    if bipolar_file:
        return rows
    electrodes = (e for row in rows for e in row.split("-") if e not in index)
    return list(dict.fromkeys(electrodes))


def sums_of_others(rows: Sequence[MontageRow]) -> dict[int, list[tuple[int, int]]]:
    """The rows that are sums of earlier ones: {row: [(earlier row, its sign)]}.

    A derivation closes a ring if earlier rows lead from one of its electrodes to the other; what
    lies on the shortest such way adds up to it. The rows that are left depend on none.
    """
    ways: dict[int, list[tuple[int, int, int]]] = {}  # electrode -> (next one, row, sign)
    sums = {}
    for i, row in enumerate(rows):
        if row.minus is None:
            continue
        way = _way(ways, row.plus, row.minus)
        if way is not None:
            sums[i] = [(other, sign * row.sign) for other, sign in way]
            continue
        ways.setdefault(row.plus, []).append((row.minus, i, row.sign))
        ways.setdefault(row.minus, []).append((row.plus, i, -row.sign))
    return sums


def _way(ways, start: int, goal: int) -> list[tuple[int, int]] | None:
    """Rows and signs that add up to ``start - goal``, by breadth-first search; None without."""
    found: dict[int, list[tuple[int, int]]] = {start: []}
    queue = [start]
    for at in queue:
        for after, row, sign in ways.get(at, ()):
            if after not in found:
                found[after] = [*found[at], (row, sign)]
                queue.append(after)
    return found.get(goal)
