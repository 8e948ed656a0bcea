"""Which electrodes a corpus is prepared with, where they are not named: those that models know.

A prepared directory holds one list of channels. Recordings are sorted into sets: those whose
electrodes are the same as far as the dictionary of ``elm_jax.channels`` has them, in whatever order
a file has them. One set is prepared, the commonest unless another is asked for; recordings of the
others are skipped, and listed with the option that prepares them.

Where it is the list of a published model that is taken (``--channels profile``), what recordings
have beside it is listed, too; who names channels knows what is left out.
"""

import argparse
import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.corpora.base import Corpus, CorpusError, Source
from data_prep.findings import finding
from data_prep.places import at_once
from data_prep.signal_options import by_dictionary
from elm_jax import channels as dictionary
from elm_jax.data.spec import SignalSpec
from elm_jax.paths import is_remote
from elm_jax.signals.profiles import BY_NAME


@dataclasses.dataclass(frozen=True)
class ChannelChoice:
    """What came of it.

    Attributes:
      spec: with the channels that were chosen, in the dictionary's order.
      sources: the recordings that have them.
      findings: one a recording that has others.
      options: for the manifest: ``left_out`` (name -> recordings of this set that have it), and
        of a choice by the dictionary ``sets`` (electrodes and recordings of each) and ``set``;
        empty where channels were named.
    """

    spec: SignalSpec
    sources: list[Source]
    findings: list[dict[str, Any]]
    options: dict[str, Any]


def choose_channels(
    corpus: Corpus, sources: list[Source], spec: SignalSpec, args: argparse.Namespace
) -> ChannelChoice:
    """Settles the channels of a preparation.

    Recordings that cannot be read stay among the sources: preparing them says what is wrong.

    Raises:
      CorpusError: no recording has an electrode that is known, or there are not so many sets.
    """
    if not by_dictionary(args):
        listed = args.channels == "profile" and args.signal in BY_NAME
        names = _names(corpus, sources) if listed else {}
        left_out = _left_out(names.values(), spec.channels)
        options = {"channel_choice": {"left_out": left_out}} if left_out else {}
        return ChannelChoice(spec, sources, [], options)
    names = _names(corpus, sources)
    known = {i: frozenset(dictionary.known_channels(n)[0]) for i, n in names.items()}
    sets = _ranked(known.values())
    if not sets:
        raise CorpusError(
            f"no electrode of the {len(sources)} recordings is in the dictionary; found: "
            f"{', '.join(sorted({n for own in names.values() for n in own})[:20]) or 'none'}. Say "
            "what the channels are by --rename, or give --channels LIST"
        )
    if args.channel_set > len(sets):
        raise CorpusError(
            f"--channel_set {args.channel_set}: the recordings have {len(sets)} sets of electrodes"
        )
    chosen = sets[args.channel_set - 1]
    own = [i for i in range(len(sources)) if known.get(i, chosen) == chosen]
    options = {
        "left_out": _left_out([names[i] for i in own if i in names], chosen),
        "sets": [[len(s), sum(k == s for k in known.values())] for s in sets],
        "set": args.channel_set,
    }
    others = [
        _other(sources[i], known[i], chosen, sets)
        for i in range(len(sources))
        if known.get(i, chosen) != chosen
    ]
    ordered = tuple(sorted(chosen, key=dictionary.channel_id))
    return ChannelChoice(
        spec.replace(channels=ordered), [sources[i] for i in own], others,
        {"channel_choice": options},
    )  # fmt: skip


def _names(corpus: Corpus, sources: Sequence[Source]) -> dict[int, tuple[str, ...]]:
    """Number of a source -> names of its channels; without those that cannot be read."""
    from elm_jax.signals.defects import UnusableRecording

    def ask(source: Source) -> tuple[str, ...] | None:
        try:
            return corpus.channel_names(source)
        except UnusableRecording:
            return None

    remote = any(is_remote(source.path) for source in sources)
    found = at_once(ask, sources) if remote else [ask(source) for source in sources]
    return {i: names for i, names in enumerate(found) if names is not None}


def _left_out(names: Iterable[Sequence[str]], used: Iterable[str]) -> dict[str, int]:
    """Name of a channel that is not used -> how many recordings have it."""
    counts = collections.Counter(name for own in names for name in set(own).difference(used))
    return dict(sorted(counts.items()))


def _ranked(known: Any) -> list[frozenset[str]]:
    """The sets, commonest first, then the larger one."""
    counts: Mapping[frozenset[str], int] = collections.Counter(s for s in known if s)
    return sorted(counts, key=lambda s: (-counts[s], -len(s), sorted(s)))


def _other(
    source: Source, own: frozenset[str], chosen: frozenset[str], sets: Sequence[frozenset[str]]
) -> dict[str, Any]:
    lacks, more = sorted(chosen - own), sorted(own - chosen)
    parts = [
        f"{what} {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        for what, names in (("lacks", lacks), ("has more:", more))
        if names
    ]
    how = f"--channel_set {sets.index(own) + 1} prepares its set" if own else "it has none"
    detail = f"{len(own)} known electrodes; {'; '.join(parts)}; {how}"
    return finding(source.file, "other_channels", detail)
