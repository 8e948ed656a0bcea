"""Who is in train, valid and test: by person, seeded, written down.

People are ranked by a hash of (seed, person) and the ranking is cut at the fractions. So sizes are
exact, the order of files or the other corpora do not matter, and a person who joins pushes at most
one other person over each of the two cuts. (Hashing each person into a split on its own would move
nobody, but gives a corpus of 12 people a fair chance of no test people at all.)
"""

import fnmatch
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.corpora.base import SPLITS, CorpusError, Source
from data_prep.findings import finding

DEFAULT_FRACTIONS = {"train": 0.67, "valid": 0.0, "test": 0.33}
BY = ("person", "recording")


def parse_fractions(text: str) -> dict[str, float]:
    """Reads ``train=0.8,valid=0.1,test=0.1``; a split left out gets nothing.

    Raises:
      ValueError: an unknown split, a fraction that is no number or negative, a sum that is not 1.
    """
    fractions = dict.fromkeys(SPLITS, 0.0)
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in fractions or not equals:
            raise ValueError(f"--split {text!r}: expected train=0.8,valid=0.1,test=0.1")
        try:
            fractions[name] = float(value)
        except ValueError as error:
            raise ValueError(f"--split {text!r}: {value!r} is not a number") from error
    total = sum(fractions.values())
    if min(fractions.values()) < 0 or not math.isclose(total, 1, abs_tol=1e-6):
        raise ValueError(f"--split {text!r}: fractions must be 0 or more and sum to 1, not {total}")
    return fractions


def _rank(people: Iterable[str], seed: int) -> list[str]:
    return sorted(set(people), key=lambda p: (hashlib.sha256(f"{seed}\0{p}".encode()).digest(), p))


def assign(people: Iterable[str], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Person -> split.

    Cuts lie at the rounded cumulated fractions. Where there are enough people, every split with a
    fraction gets at least one.
    """
    ranked = _rank(people, seed)
    names = [s for s in SPLITS if fractions.get(s, 0) > 0]
    cuts, cumulated = [0], 0.0
    for name in names:
        cumulated += fractions[name]
        cuts.append(round(cumulated * len(ranked)))
    cuts[-1] = len(ranked)
    if len(ranked) >= len(names):
        for i in range(1, len(names)):
            cuts[i] = max(cuts[i], cuts[i - 1] + 1)
        for i in range(len(names) - 1, 0, -1):
            cuts[i] = min(cuts[i], cuts[i + 1] - 1)
    return {
        person: name
        for name, a, b in zip(names, cuts, cuts[1:], strict=False)
        for person in ranked[a:b]
    }


def settle_splits(sources: Sequence[Source]) -> tuple[list[Source], list[dict[str, Any]]]:
    """Leaves people of several published splits in the one that is evaluated on.

    A published test set stays whole, so that scores on it compare with others'; a person's other
    recordings go, so that nobody is trained on who is tested. Validation goes before training.

    Returns:
      the sources that stay, and a finding for each that went.
    """
    order = {"test": 0, "valid": 1, "train": 2}
    best: dict[str, str] = {}
    for source in sources:
        if source.split is not None:
            known = best.setdefault(source.person, source.split)
            best[source.person] = min(known, source.split, key=order.__getitem__)
    kept, findings = [], []
    for source in sources:
        split = best.get(source.person)
        if source.split is None or source.split == split:
            kept.append(source)
        else:
            detail = f"person {source.person} is published in {source.split} and in {split}"
            findings.append(finding(source.file, "split_conflict", detail))
    return kept, findings


def hold_out(sources: Sequence[Source], people: str) -> list[Source]:
    """The sources with these people as the test set and all others to train on.

    Args:
      sources: what there is; published splits are overruled.
      people: ids as the corpus has them, with or without their institution, between commas.

    Raises:
      CorpusError: an id of nobody, or nobody is left to train on.
    """
    wanted = [text.strip() for text in people.split(",") if text.strip()]
    known = {s.person for s in sources} | {s.person.partition(":")[2] for s in sources}
    if unknown := [name for name in wanted if name not in known]:
        some = ", ".join(sorted({s.person.partition(":")[2] for s in sources})[:12])
        raise CorpusError(f"--test_people {people}: nobody is {unknown[0]!r}; there are {some}")
    held = {s.person for s in sources if {s.person, s.person.partition(":")[2]} & set(wanted)}
    if not held or held == {s.person for s in sources}:
        raise CorpusError(f"--test_people {people}: leaves nobody to {'train' if held else 'test'}")
    return [s.replace(split="test" if s.person in held else "train") for s in sources]


def split_people(
    sources: Sequence[Source], fractions: Mapping[str, float] | None, seed: int
) -> dict[str, str]:
    """Person -> split for a corpus, whose publisher may have fixed some or all of it.

    A person with a published split keeps it, except that fractions asked for with a ``valid``
    share take ``valid / (train + valid)`` of the published training people for it, where the
    publisher has no validation people. Everybody else is assigned by ``fractions`` (default:
    :data:`DEFAULT_FRACTIONS`).

    Raises:
      CorpusError: a person is in two published splits.
    """
    published: dict[str, str] = {}
    for source in sources:
        if source.split is None:
            continue
        known = published.setdefault(source.person, source.split)
        if known != source.split:
            raise CorpusError(
                f"{source.file}: person {source.person} is in the published splits {known} and "
                f"{source.split}; give a table with a column 'split' by --people to settle it"
            )
    return _complete(published, {s.person for s in sources}, fractions, seed)


def _complete(
    published: Mapping[str, str],
    members: Iterable[str],
    fractions: Mapping[str, float] | None,
    seed: int,
) -> dict[str, str]:
    """Who is published where, validation taken from training if asked for, and all others."""
    published = dict(published)
    if fractions and "valid" not in published.values():
        share = fractions.get("valid", 0.0) + fractions.get("train", 0.0)
        train = [p for p, s in published.items() if s == "train"]
        if train and fractions.get("valid", 0.0) > 0:
            parts = {"train": fractions["train"] / share, "valid": fractions["valid"] / share}
            published |= assign(train, parts, seed)
    free = set(members) - set(published)
    return assign(free, fractions or DEFAULT_FRACTIONS, seed) | published


def split_recordings(
    sources: Sequence[Source], fractions: Mapping[str, float] | None, seed: int, by: str
) -> dict[str, str]:
    """Recording -> split.

    By "person", a person's recordings stay together (:func:`split_people`). By "recording", each
    goes on its own, by the same rules: where there is one person, or where people are known
    beforehand and it is their other sessions that a model is for. Scores then say nothing about
    people who are new.

    Raises:
      CorpusError: a person is in two published splits, and the split is by person.
    """
    if by == "person":
        of_person = split_people(sources, fractions, seed)
        return {source.recording: of_person[source.person] for source in sources}
    given = {s.recording: s.split for s in sources if s.split is not None}
    return _complete(given, {s.recording for s in sources}, fractions, seed)


def named_splits(sources: Sequence[Source], patterns: Mapping[str, Sequence[str]]) -> list[Source]:
    """Gives recordings the split whose pattern their name fits; all others are for training.

    Args:
      sources: the recordings.
      patterns: split -> patterns of whole names, as a shell has them (``*R12``).

    Raises:
      CorpusError: a pattern fits no recording, or a recording fits those of two splits.
    """
    if not any(patterns.values()):
        return list(sources)
    result, used = [], set()
    for source in sources:
        fits = {
            (split, pattern)
            for split, some in patterns.items()
            for pattern in some
            if fnmatch.fnmatchcase(source.recording, pattern)
        }
        if len(splits := {split for split, _ in fits}) > 1:
            raise CorpusError(f"{source.recording}: is named for {' and '.join(sorted(splits))}")
        used |= fits
        result.append(source.replace(split=next(iter(splits), "train")))
    for split, some in patterns.items():
        for pattern in some:
            if (split, pattern) not in used:
                first = min(source.recording for source in sources)
                raise CorpusError(
                    f"--{split}_recordings {pattern}: fits no recording; they are named such as "
                    f"{first!r}, and a pattern is of the whole name: *R12"
                )
    return result
