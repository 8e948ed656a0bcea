"""Who a model has seen: people as hashes, so that a checkpoint can be asked and cannot be read.

A person is ``institution:id`` everywhere in this project. What a checkpoint keeps of one is

    sha256("elm_jax person" NUL institution NUL id): its first 16 hex digits, by institution

with the same constant in every checkpoint, or two of them could not be compared.

What hashing does: ids do not stand in checkpoints, reports and model cards in plain sight, and a
list of hashes says nothing to whoever has no ids to try. What it does not: whoever *has* an id can
ask whether that person was trained on (that is its purpose), and ids of a narrow pattern can all be
tried; eight letters, as in TUH's ``aaaaaaaa``, take a graphics card minutes. Where it must not be
known that a certain person is in the data, the model must not be given away, hashes or not. The
institutions and the number of people of each stand there in plain text.
"""

import dataclasses
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths
from elm_jax.axes import Int
from elm_jax.data.manifest import MANIFEST_FILE, Manifest

FORMAT = 1
CONSTANT = "elm_jax person"
#: Whose ids name recordings of whom nobody knows whose they are, such as published windows without
#: people: that they are not on a list says nothing.
UNNAMED = "unknown_person"
DIGITS = 16  # 64 bits: two of a million people share a hash with a chance of 3e-8


class PeopleError(ValueError):
    """Ids or stored people that cannot be used."""


def hash_of(institution: str, person: str) -> str:
    """The stored form of a person of an institution."""
    text = "\0".join((CONSTANT, institution, person))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _halves(person: str) -> tuple[str, str]:
    """Institution and id; the first is empty where ``person`` names none."""
    text = unicodedata.normalize("NFC", person.strip())  # one form for ü, as in preparation
    institution, colon, own = text.partition(":")
    return (institution, own) if colon else ("", text)


@dataclasses.dataclass(frozen=True)
class People:
    """A set of people, kept as hashes by institution.

    Attributes:
      hashes: institution -> hashes.
      unknown: True where there were others as well, of whom nothing is known: a model that started
        from weights whose publisher does not name their people.
    """

    hashes: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    unknown: bool = False

    @classmethod
    def of(cls, people: Iterable[str], *, unknown: bool = False) -> "People":
        """The people of ids ``institution:id``; unknown, too, where some are :data:`UNNAMED`.

        Raises:
          PeopleError: an id without an institution or without an id.
        """
        found: dict[str, set[str]] = {}
        for person in people:
            institution, own = _halves(person)
            if not (institution and own):
                raise PeopleError(
                    f"person is {person!r}; expected 'institution:id', such as 'tuh:aaaaaaaa'"
                )
            found.setdefault(institution, set()).add(hash_of(institution, own))
        hashes = {k: frozenset(v) for k, v in sorted(found.items())}
        return cls(hashes, unknown or UNNAMED in found)

    def __len__(self) -> int:
        return sum(map(len, self.hashes.values()))

    def __bool__(self) -> bool:
        """Whether there is anyone, known or not."""
        return self.unknown or len(self) > 0

    def __contains__(self, person: str) -> bool:
        """Whether this person is known to be among them.

        An id without an institution is tried at each of those that are here: lists that people
        write leave it out, and a doubt must not be settled in favour of a leak.
        """
        institution, own = _halves(person)
        tried = [institution] if institution else self.hashes
        return any(hash_of(i, own) in self.hashes.get(i, ()) for i in tried)

    def overlap(self, people: Iterable[str]) -> list[str]:
        """Those of the (plain) ids who are among these people, each once, in the order given."""
        return [p for p in dict.fromkeys(people) if p in self]

    def union(self, *others: "People") -> "People":
        """All of them; unknown where any of them is."""
        every = (self, *others)
        institutions = sorted({i for people in every for i in people.hashes})
        hashes = {
            i: frozenset().union(*(p.hashes.get(i, frozenset()) for p in every))
            for i in institutions
        }
        return People(hashes, any(p.unknown for p in every))

    @property
    def counts(self) -> dict[str, int]:
        """People of each institution."""
        return {k: len(v) for k, v in sorted(self.hashes.items())}

    def __str__(self) -> str:
        named = ", ".join(f"{n} people of {i}" for i, n in self.counts.items())
        others = "people who are not known"
        if not self.unknown:
            return named or "no people"
        return f"{named} and {others}" if named else others

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, the same for the same people."""
        return {
            "format": FORMAT,
            "hash": f"sha256({CONSTANT} NUL institution NUL id)[:{DIGITS}]",
            "unknown": self.unknown,
            "institutions": {k: sorted(v) for k, v in sorted(self.hashes.items())},
        }

    @classmethod
    def from_json(cls, values: Any, *, source: str = "stored people") -> "People | None":
        """Reads :meth:`to_json`; None (nothing was stored) stays None: not known.

        Raises:
          PeopleError: another format, or damaged; names ``source``.
        """
        if values is None:
            return None
        found = values.get("format") if isinstance(values, Mapping) else values
        if found != FORMAT:
            raise PeopleError(
                f"{source}: people are stored in format {found!r}, expected {FORMAT}; it was "
                "written by another version of elm_jax: use that one"
            )
        institutions, unknown = values.get("institutions"), values.get("unknown")
        if not isinstance(institutions, Mapping) or not isinstance(unknown, bool):
            raise PeopleError(
                f"{source}: people lack 'institutions' or 'unknown'; found {sorted(values)}"
            )
        for institution, hashes in institutions.items():
            bad = [h for h in hashes if not _is_hash(h)]
            if bad:
                raise PeopleError(
                    f"{source}: people of {institution!r}: expected {DIGITS} hex digits each, "
                    f"found {bad[0]!r}; the file is damaged"
                )
        return cls({k: frozenset(v) for k, v in sorted(institutions.items())}, unknown)


NOT_KNOWN = People(unknown=True)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == DIGITS and set(value) <= set("0123456789abcdef")


def union(*people: People | None) -> People:
    """All of them, where None stands for people who are not known."""
    return People().union(*(NOT_KNOWN if p is None else p for p in people))


def flags_of(people: People | None, persons: Sequence[str]) -> Int[np.ndarray, " n"]:
    """For each person 1 (among ``people``), 0 (not), or -1: it cannot be told."""
    others = -1 if people is None or people.unknown else 0
    known = people or People()
    return np.asarray([1 if p in known else others for p in persons], np.int8)


def read_people(path: epath.PathLike, splits: Iterable[str] | None = None) -> tuple[str, ...]:
    """Ids from a prepared directory, its ``manifest.json``, or a list with one id a line.

    Args:
      path: as ``python -m data_prep.prepare --exclude_people`` takes it; in a list, blank lines and
        what follows ``#`` do not count.
      splits: of a prepared directory, only these; None gives all.

    Raises:
      PeopleError: no such file, or a list without ids.
      NotPrepared, ManifestError: a directory that is no (finished) corpus.
    """
    path = paths.of(path)
    if path.is_dir() or path.name == MANIFEST_FILE:
        manifest = Manifest.load(path if path.is_dir() else path.parent)
        wanted = manifest.people if splits is None else splits
        return tuple(sorted({p for s in wanted for p in manifest.people.get(s, ())}))
    if not path.is_file():
        raise PeopleError(f"{path}: no such file or prepared directory")
    try:
        lines = paths.read_text(path).splitlines()
    except UnicodeDecodeError as error:
        raise PeopleError(f"{path}: not UTF-8 ({error}); save the list of ids as UTF-8") from error
    ids = [text for line in lines if (text := line.partition("#")[0].strip())]
    if not ids:
        raise PeopleError(f"{path}: holds no ids; expected one a line, such as tuh:aaaaaaaa")
    return tuple(dict.fromkeys(ids))
