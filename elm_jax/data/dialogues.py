"""Questions and answers about recordings: lines of a file that ``data_prep.dialogues`` wrote.

One JSON object a line:

    {"id": "ecgqa_ptbxl/template/train/120012", "source": "ecgqa_ptbxl", "corpus": "ptbxl",
     "recordings": ["00127_lr"], "people": ["ptbxl:9154"], "split": "train",
     "turns": [{"role": "user", "text": "Does this ECG show ..."}, {"role": "assistant", ...}],
     "answers": ["no"], "question_type": "single-verify", "published_split": "valid",
     "published": {"template_id": 26, ...}}

Recordings are named as in the prepared directory, in the order in which the dialogue speaks of
them; ``split`` is theirs there, so nobody is asked about in one split and trained on in another.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.data.manifest import SPLITS, RecordingRow

ROLES = ("system", "user", "assistant")


class DialogueError(ValueError):
    """A file of dialogues that cannot be read, or does not belong to the recordings."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one side says.

    Attributes:
      role: "system", "user" or "assistant".
      text: without markers of where a signal or an image goes.
    """

    role: str
    text: str


@dataclasses.dataclass(frozen=True)
class Dialogue:
    """A dialogue about one or more recordings.

    Attributes:
      id: unique in its file.
      source: the published set that it is of, as ``python -m data_prep.dialogues`` calls it.
      corpus: the corpus that its recordings are of.
      recordings: their names in the prepared directory.
      people: whose they are, one for each recording.
      split: of all of them.
      turns: user and assistant in turn, the assistant last; a system turn may come first.
      answers: what the assistant should say, each by itself; of a question with several answers,
        several.
      question_type: as published; None where nothing is said.
      published_split: that its publishers put it into, which may be another one; None where they
        say nothing.
      published: further fields of the published entry, JSON-ready.
    """

    id: str
    source: str
    corpus: str
    recordings: tuple[str, ...]
    people: tuple[str, ...]
    split: str
    turns: tuple[Turn, ...]
    answers: tuple[str, ...]
    question_type: str | None = None
    published_split: str | None = None
    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """One line of the file, without the line's end."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str, *, source: str) -> "Dialogue":
        """Reads :meth:`to_json` back, strictly.

        Args:
          line: the line.
          source: "path:line number", for messages.

        Raises:
          DialogueError: a field is missing, unknown, or of another kind.
        """
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DialogueError(f"{source}: not JSON ({error}); write the file again") from error
        if not isinstance(values, dict):
            raise DialogueError(f"{source}: expected a JSON object, found {line.strip()[:40]!r}")
        known = {field.name for field in dataclasses.fields(cls)}
        if known != set(values):
            raise DialogueError(
                f"{source}: lacks {sorted(known - set(values))}, has unknown "
                f"{sorted(set(values) - known)}; python -m data_prep.dialogues writes such files"
            )
        for name in ("id", "source", "corpus"):
            _require(isinstance(values[name], str), values, name, "text", source)
        for name in ("recordings", "people", "answers"):
            _require(_are_texts(values[name]), values, name, "a list of texts", source)
            values[name] = tuple(values[name])
        _require(values["split"] in SPLITS, values, "split", f"one of {SPLITS}", source)
        own = values["published_split"]
        _require(own in (None, *SPLITS), values, "published_split", f"one of {SPLITS}", source)
        kind = values["question_type"]
        _require(kind is None or isinstance(kind, str), values, "question_type", "text", source)
        _require(isinstance(values["published"], dict), values, "published", "an object", source)
        _require(
            len(values["recordings"]) == len(values["people"]) > 0,
            values, "people", "one for each of the recordings, and at least one recording", source,
        )  # fmt: skip
        values["turns"] = _turns_of(values["turns"], source)
        return cls(**values)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _require(fine: bool, values: Mapping[str, Any], name: str, expected: str, source: str) -> None:
    if not fine:
        raise DialogueError(
            f"{source}: {name!r} is {str(values[name])[:60]!r}; expected {expected}"
        )


def _turns_of(values: Any, source: str) -> tuple[Turn, ...]:
    if not (isinstance(values, list) and all(_is_turn(v) for v in values)):
        raise DialogueError(
            f"{source}: 'turns' is {str(values)[:60]!r}; expected a list of objects of 'role' and "
            "'text', both texts"
        )
    turns = tuple(Turn(**value) for value in values)
    if wrong := what_is_wrong(turns):
        raise DialogueError(f"{source}: 'turns': {wrong}")
    return turns


def _is_turn(value: Any) -> bool:
    return (
        isinstance(value, dict) and set(value) == {"role", "text"} and _are_texts([*value.values()])
    )


def what_is_wrong(turns: Sequence[Turn]) -> str:
    """Why turns are no dialogue; empty where they are one."""
    roles = [turn.role for turn in turns]
    if unknown := sorted(set(roles) - set(ROLES)):
        return f"unknown role {unknown[0]!r}; expected {ROLES}"
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        return f"roles are {roles}; expected user and assistant in turn, the assistant last"
    if silent := [n for n, turn in enumerate(turns, 1) if not turn.text.strip()]:
        return f"turn {silent[0]} ({roles[silent[0] - 1]}) says nothing"
    return ""


def iterate_dialogues(path: epath.PathLike, split: str | None = None) -> Iterator[Dialogue]:
    """The dialogues of a file, one by one.

    Args:
      path: the file, local or remote.
      split: only these; None gives all.

    Raises:
      DialogueError: an unknown split, no such file, a line that cannot be read, or an id that
        comes twice; the message has the line's number.
    """
    if split is not None and split not in SPLITS:
        raise DialogueError(f"split is {split!r}; known: {SPLITS}")
    path, seen = paths.of(path), set()
    with paths.told():
        if not path.is_file():
            raise DialogueError(f"{path}: no such file; python -m data_prep.dialogues writes it")
        with path.open("r", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                source = f"{path}:{number}"
                dialogue = Dialogue.from_json(line, source=source)
                if dialogue.id in seen:
                    raise DialogueError(f"{source}: id {dialogue.id!r} comes twice")
                seen.add(dialogue.id)
                if split in (None, dialogue.split):
                    yield dialogue


def read_dialogues(path: epath.PathLike, split: str | None = None) -> list[Dialogue]:
    """All of :func:`iterate_dialogues`."""
    return list(iterate_dialogues(path, split))


def recording_indices(
    dialogues: Sequence[Dialogue], recordings: Sequence[RecordingRow], *, source: str = "dialogues"
) -> list[tuple[int, ...]]:
    """Where the recordings of each dialogue stand in a list, which must agree with it.

    Args:
      dialogues: all about recordings of this list.
      recordings: of a prepared directory.
      source: the file of the dialogues, for messages.

    Raises:
      DialogueError: a recording is not in the list, or has another person or split there: the
        dialogues were written for another preparation, and could leak.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(recordings):
        places[row.recording].append(place)
    found = []
    for dialogue in dialogues:
        for name, person in zip(dialogue.recordings, dialogue.people, strict=True):
            own = [recordings[place] for place in places.get(name, ())]
            if [(row.person, row.split) for row in own] != [(person, dialogue.split)]:
                there = ", ".join(f"{row.person} in {row.split}" for row in own) or "not there"
                raise DialogueError(
                    f"{source}: dialogue {dialogue.id!r} is about recording {name!r} of {person} "
                    f"in split {dialogue.split}; among the recordings it is {there}. Write the "
                    "dialogues for this directory: python -m data_prep.dialogues ... --records DIR"
                )
        found.append(tuple(places[name][0] for name in dialogue.recordings))
    return found
