"""Published entries and prepared recordings become dialogues; what does not is listed."""

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from data_prep.dialogues.base_records import PreparedRecords, Unusable
from data_prep.dialogues.entries import entries_of
from data_prep.dialogues.published import Layout, Published, shown
from data_prep.findings import finding
from elm_jax.data.dialogues import Dialogue, Turn
from elm_jax.data.manifest import SPLITS

NO_TYPE = "(no type)"


@dataclasses.dataclass
class Joining:
    """A set being joined, and what came of it.

    Attributes:
      layout: of the set.
      records: prepared.
      text: what is done to each text.
      counts: (question type, split) -> dialogues.
      published_splits: (the set's own split, ours) -> dialogues, where the set has splits.
      own_splits: person -> the set's own splits of what is asked about him or her.
      kinds: kind of finding -> entries.
      examples: kind of finding -> the first one, as text.
      findings: is given each finding.
    """

    layout: Layout
    records: PreparedRecords
    findings: Callable[[Mapping[str, Any]], None]
    text: Callable[[str], str] = str
    counts: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    published_splits: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    own_splits: dict[str, set[str]] = dataclasses.field(default_factory=lambda: defaultdict(set))
    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)
    _said: set[bytes] = dataclasses.field(default_factory=set)
    _names: Counter[str] = dataclasses.field(default_factory=Counter)

    def dialogues(self, given: Sequence[str]) -> Iterator[Dialogue]:
        """The dialogues of the files of a set, in their order.

        Raises:
          DialogueError: a file is missing, damaged, or not of this set.
        """
        for file, path in self.layout.files(given):
            for number, entry in entries_of(file):
                where = f"{path}:{number}"
                try:
                    dialogue = self._join(entry, number, path, where)
                except Unusable as reason:
                    self._list(where, reason.kind, str(reason))
                    continue
                kind = dialogue.question_type or NO_TYPE
                self.counts[kind, dialogue.split] += 1
                if own := dialogue.published_split:
                    self.published_splits[own, dialogue.split] += 1
                yield dialogue

    def _list(self, where: str, kind: str, detail: str) -> None:
        self.kinds[kind] += 1
        self.examples.setdefault(kind, f"{where}: {detail}")
        self.findings(finding(where, kind, detail))

    def say_kinds(self) -> str:
        """What was left out and an example of each kind, a line each, for a message."""
        return "".join(
            f"\n  {n} {kind}, such as {self.examples[kind]}" for kind, n in self.kinds.most_common()
        )

    def _join(self, entry: Any, number: int, path: Any, where: str) -> Dialogue:
        if not isinstance(entry, Mapping):
            raise Unusable("dialogue_broken", f"expected an object, found {shown(entry)}")
        published = self.layout.read(entry, number, path)
        rows = [self.records.find(record) for record in published.records]
        if published.split:
            for row in rows:
                self.own_splits[row.person].add(published.split)
        splits = sorted({row.split for row in rows})
        if len(splits) > 1:
            detail = ", ".join(f"{row.recording} of {row.person} in {row.split}" for row in rows)
            raise Unusable("dialogue_of_several_splits", detail)
        return Dialogue(
            id=self._id(published, where),
            source=self.layout.name,
            corpus=published.records[0].corpus,
            recordings=tuple(row.recording for row in rows),
            people=tuple(row.person for row in rows),
            split=splits[0],
            turns=tuple(Turn(turn.role, self.text(turn.text)) for turn in published.turns),
            answers=tuple(map(self.text, published.answers)),
            question_type=published.question_type,
            published_split=published.split,
            published=published.fields,
        )

    def _id(self, published: Published, where: str) -> str:
        """A name that no other has; what is published twice is left out the second time.

        Raises:
          Unusable: the same was said of the same records under the same name.
        """
        name = f"{self.layout.name}/{published.name}"
        said = json.dumps([name, published.records, [(t.role, t.text) for t in published.turns]])
        digest = hashlib.blake2b(said.encode(), digest_size=16).digest()
        if digest in self._said:
            raise Unusable("dialogue_repeated", name)
        self._said.add(digest)
        unique = name
        while unique in self._names:
            self._names[name] += 1
            unique = f"{name}#{self._names[name]}"
        self._names[unique] = 1
        if unique != name:
            self._list(where, "dialogue_id_repeated", f"{name}: kept as {unique}")
        return unique


def people_rows(joining: Joining) -> Iterator[tuple[str, str, str]]:
    """(recording, person, split) for ``data_prep.prepare --people``: by the set's own splits.

    Of everybody who is asked about, all recordings. Who is in several of its splits is put into
    the one that is evaluated on: test before valid, valid before train.
    """
    for _, row in joining.records.by_record.values():
        if own := joining.own_splits.get(row.person):
            yield row.recording, row.person, max(own, key=SPLITS.index)


def report_lines(dialogues: Iterator[Dialogue], layout: Layout) -> Iterator[dict[str, Any]]:
    """Lines of a reports file for ``data_prep.prepare --reports``: what is said of each recording.

    Of dialogues about one recording: the answers, or, where they say nothing by themselves, each
    question with its answer.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for dialogue in dialogues:
        if len(dialogue.recordings) == 1:
            texts[dialogue.recordings[0]] += _texts(dialogue, layout)
    for recording, said in sorted(texts.items()):
        yield {"recording": recording, "report": list(dict.fromkeys(said))}


def _texts(dialogue: Dialogue, layout: Layout) -> Iterator[str]:
    question = ""
    for turn in dialogue.turns:
        if turn.role == "user":
            question = turn.text
        elif turn.role == "assistant":
            yield turn.text if layout.answers_stand_alone else f"{question} {turn.text}"
