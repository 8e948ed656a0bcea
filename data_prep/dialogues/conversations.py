r"""Sets of conversations about ECGs, stored as LLaVA's training data is.

They are lists of entries such as

    {"id": "40689238", "ecg": "files/p1000/p10000032/s40689238/40689238",
     "conversations": [{"from": "human", "value": "<ecg>\nWhat does this ECG show?"},
                       {"from": "gpt", "value": "A sinus rhythm."}]}

Pretrain-MIMIC and ECG-Instruct-45k (ECG-Chat, arXiv:2408.08849) name a record of MIMIC-IV-ECG so;
ECGInstruct (PULSE, arXiv:2410.19008) names the image of one, of several corpora; ECG-Grounding
(GEM, arXiv:2503.06073) names both; ECGBench (PULSE) has a subset a task, whose name says of which
corpus its images are.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from data_prep.dialogues.base_records import BaseRecord, Unusable, record_of_path
from data_prep.dialogues.published import (
    Layout,
    Published,
    conversation,
    shown,
    without,
    word_in,
)
from elm_jax.data.dialogues import DialogueError
from elm_jax.data.manifest import SPLITS

# Subset of ECGBench -> the corpus of its images; the others' are of no published recordings.
SUBSETS = {
    "ptb-test": "ptbxl",
    "ptb-test-report": "ptbxl",
    "ecgqa-test": "ptbxl",
    "cpsc-test": "cpsc2018",
    "csn-test": "csn",
    "csn-test-no-cot": "csn",
    "code15-test": "code15",
    "g12-test": "georgia",
    "g12-test-no-cot": "georgia",
    "arena": None,
    "mmmu-ecg": None,
}


class Conversations(Layout):
    """Conversations about one ECG each.

    Attributes:
      split: that all of the set was published as; None where the files' names say it, or nothing.
    """

    split: str | None = None

    def __init__(self, name: str, fields: tuple[str, ...], corpus: str | None = None):
        """Describes a set.

        Args:
          name: its word on the command line.
          fields: that may name the record; the first that an entry has does.
          corpus: of all records; None where the folders of the path say it.
        """
        super().__init__(name)
        self.fields, self.corpus = fields, corpus

    def read(self, entry: Mapping[str, Any], number: int, path: pathlib.PurePath) -> Published:
        """See :meth:`Layout.read`."""
        kind = self.question_type(entry, path)
        turns, answers = conversation(entry.get("conversations"), "conversations")
        return Published(
            name=self.entry_name(entry, number, path),
            records=(self.record(entry, kind),),
            turns=turns,
            answers=answers,
            question_type=kind,
            split=self.split or word_in(path, SPLITS),
            fields=without(entry, ("id", "conversations")),
        )

    def question_type(self, entry: Mapping[str, Any], path: pathlib.PurePath) -> str | None:
        """What ECGInstruct says in its metadata; None where nothing is said."""
        metadata = entry.get("metadata")
        kind = metadata.get("type") if isinstance(metadata, Mapping) else None
        return kind if isinstance(kind, str) else None

    def entry_name(self, entry: Mapping[str, Any], number: int, path: pathlib.PurePath) -> str:
        """Its ``id``; of one without, the file and its number there.

        Raises:
          Unusable: the id is no name.
        """
        value = entry.get("id")
        if value is None or value == "":
            return f"{path.stem}/{number}"
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unusable("dialogue_broken", f"'id': expected a name, found {shown(value)}")
        return str(value)

    def record(self, entry: Mapping[str, Any], kind: str | None) -> BaseRecord:
        """The record that an entry is about.

        Raises:
          Unusable: none is named.
        """
        return record_of_path(self.path_of(entry), self.corpus)

    def path_of(self, entry: Mapping[str, Any]) -> str:
        """What names the record.

        Raises:
          Unusable: nothing does, or it is no text.
        """
        name = next((name for name in self.fields if entry.get(name) is not None), None)
        if name is None:
            raise Unusable(
                "record_not_named", f"expected {' or '.join(self.fields)}, found {sorted(entry)}"
            )
        if not isinstance(entry[name], str):
            raise Unusable(
                "dialogue_broken", f"{name!r}: expected a path, found {shown(entry[name])}"
            )
        return entry[name]


class EcgBench(Conversations):
    """ECGBench: as PULSE publishes it, a folder or file a subset; or joined, with their names.

    ``cpsc-test/test-00000-of-00002.parquet``, ``cpsc-test.json``, or ECG-Bench's list of all, whose
    entries have the subset in ``name``. All of it is for tests.
    """

    split = "test"

    def __init__(self, name: str):
        super().__init__(name, ("image_path", "file_path", "image"))

    def question_type(self, entry: Mapping[str, Any], path: pathlib.PurePath) -> str | None:
        """The subset.

        Raises:
          DialogueError: it cannot be told.
        """
        named = [entry.get("name"), path.stem, *(part.name for part in path.parents)]
        for name in named:
            if isinstance(name, str) and name in SUBSETS:
                return name
        raise DialogueError(
            f"{path}: neither its entries' 'name' nor its path says which subset of ECGBench it "
            f"is; expected one of {', '.join(SUBSETS)}"
        )

    def entry_name(self, entry: Mapping[str, Any], number: int, path: pathlib.PurePath) -> str:
        """The same, in its subset: each numbers its entries anew."""
        return f"{self.question_type(entry, path)}/{super().entry_name(entry, number, path)}"

    def record(self, entry: Mapping[str, Any], kind: str | None) -> BaseRecord:
        """See :meth:`Conversations.record`."""
        if SUBSETS[kind] is None:
            raise Unusable("record_not_named", f"{kind}: its images are of no published recordings")
        return record_of_path(self.path_of(entry), SUBSETS[kind])
