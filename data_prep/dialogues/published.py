"""What the layouts of published sets have in common: an entry becomes a :class:`Published`."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_prep.corpora.base import walk_files
from data_prep.dialogues.base_records import BaseRecord, Unusable
from data_prep.dialogues.entries import SUFFIXES
from elm_jax.data.dialogues import DialogueError, Turn, what_is_wrong

# Where an image or a signal goes.
_MARKER = re.compile(r"\s*<\s*(?:ecg|image)\s*>\s*", re.IGNORECASE)
# What some turns begin with (": Yes, there is ..."). ECG-Bench takes "A:" for a speaker, too, and
# answers that choose A lose their letter.
_SPEAKER = re.compile(
    r"\s*(?:(?:user|assistant|human|gpt|model|system)?\s*[:：]\s*)+", re.IGNORECASE
)
_IMAGE = re.compile(r"\bimage\b", re.IGNORECASE)
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
          "model": "assistant", "system": "system"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Published:
    """An entry of a published set.

    Attributes:
      name: of the entry in its set.
      records: that it is about, in the order in which it speaks of them.
      turns: what is said.
      answers: what the assistant should say, each by itself.
      question_type: as published, or None.
      split: that its publishers put it into; None where they say nothing.
      fields: what else is published of it, JSON-ready.
    """

    name: str
    records: tuple[BaseRecord, ...]
    turns: tuple[Turn, ...]
    answers: tuple[str, ...]
    question_type: str | None
    split: str | None
    fields: dict[str, Any]


class Layout:
    """How a published set is stored. Subclasses say what an entry of it is.

    Attributes:
      name: its word on the command line.
      answers_stand_alone: whether an answer says something without its question: a report does,
        "yes" does not.
    """

    answers_stand_alone = True

    def __init__(self, name: str):
        self.name = name

    def files(self, given: Sequence[str]) -> Iterator[tuple[pathlib.Path, pathlib.PurePath]]:
        """Files of the set, and for each the path that says what is in it.

        Args:
          given: files, or folders that are looked through.

        Raises:
          DialogueError: there is none.
        """
        found = False
        for path in map(pathlib.Path, given):
            if not path.is_dir():
                if not self.is_other(path):
                    yield path, path
                    found = True
                continue
            for file in walk_files(path, SUFFIXES):
                if self.holds(within := file.relative_to(path)):
                    yield file, within
                    found = True
        if not found:
            raise DialogueError(
                f"--input {' '.join(given)}: holds no file of {self.name} ({', '.join(SUFFIXES)})"
            )

    def is_other(self, path: pathlib.PurePath) -> bool:
        """Whether a file's path says that it is of another part than the one asked for."""
        return False

    def holds(self, path: pathlib.PurePath) -> bool:
        """Whether a file that lies in a folder given as input is one of the set."""
        return not self.is_other(path)

    def read(self, entry: Mapping[str, Any], number: int, path: pathlib.PurePath) -> Published:
        """Reads an entry.

        Args:
          entry: an object of the file.
          number: of it in the file.
          path: of the file.

        Raises:
          Unusable: it is damaged, or names no record.
          DialogueError: the file is not of this set.
        """
        raise NotImplementedError


def word_in(path: pathlib.PurePath, words: Sequence[str], *, folders: bool = False) -> str | None:
    """The word that stands in a file's name; else, where asked, the nearest folder called so."""
    parts = re.split(r"[^a-z]+", path.stem.lower())
    parts += [part.name.lower() for part in path.parents] if folders else []
    return next((part for part in parts if part in words), None)


def field(entry: Mapping[str, Any], name: str, kind: type | tuple[type, ...], what: str) -> Any:
    """A field of an entry.

    Raises:
      Unusable: it is missing or of another kind.
    """
    value = entry.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        found = shown(value) if name in entry else f"nothing among {sorted(entry)}"
        raise Unusable("dialogue_broken", f"{name!r}: expected {what}, found {found}")
    return value


def shown(value: Any) -> str:
    """A value as messages have it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def texts_of(value: Any, name: str) -> tuple[str, ...]:
    """A text, or a list of texts, as texts.

    A list of single characters is a text that was taken for a list of texts (as in ECGBench's
    ecgqa-test), and becomes that text. Of capitals alone it could as well be choices, A and B.

    Raises:
      Unusable: it is none of them, is empty, or could be either.
    """
    texts = [value] if isinstance(value, str) else value
    if not (isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)):
        raise Unusable("dialogue_broken", f"{name}: expected text or texts, found {shown(value)}")
    if len(texts) > 1 and all(len(text) == 1 for text in texts):
        if all(text.isupper() for text in texts):
            raise Unusable("dialogue_broken", f"{name}: {shown(texts)} is one word or many answers")
        texts = ["".join(texts)]
    if not all(text.strip() for text in texts):
        raise Unusable("dialogue_broken", f"{name}: expected text, found an empty one")
    return tuple(texts)


def conversation(value: Any, name: str) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Turns and answers of a list of ``{"from": ..., "value": ...}``, as LLaVA's data has it.

    Raises:
      Unusable: it is no such list, or no dialogue.
    """
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise Unusable("dialogue_broken", f"{name!r}: expected turns, found {shown(value)}")
    turns, answers = [], []
    for number, said in enumerate(value, 1):
        who = field(said, "from", str, "a role")
        if (role := _ROLES.get(who.strip().lower())) is None:
            raise Unusable("dialogue_broken", f"turn {number}: unknown role {who!r}")
        texts = texts_of(said.get("value"), f"value of turn {number}")
        texts = tuple(filter(None, map(plain, texts)))
        turns.append(Turn(role, joined(texts)))
        answers += texts if role == "assistant" else ()
    if wrong := what_is_wrong(turns):
        raise Unusable("dialogue_broken", f"{name!r}: {wrong}")
    return tuple(turns), tuple(answers)


def plain(text: str) -> str:
    """A text without markers of signals and images, and without the speaker before it."""
    text = _MARKER.sub("\n", text).strip()
    return _SPEAKER.sub("", text, count=1) if _SPEAKER.match(text) else text


def joined(answers: Sequence[str]) -> str:
    """Several answers as one text; the blank that ECG-Bench puts between them cannot be undone."""
    return "; ".join(answers)


def signal_for_image(text: str) -> str:
    """A text that speaks of a signal where it spoke of an image, as ECG-Bench trains on it."""
    return _IMAGE.sub(lambda found: "Signal" if found[0][0].isupper() else "signal", text)


def without(entry: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The further fields of an entry."""
    return {name: value for name, value in entry.items() if name not in names}
