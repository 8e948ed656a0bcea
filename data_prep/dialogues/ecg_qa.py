"""ECG-QA (Oh et al. 2023, arXiv:2306.15681): questions about one ECG or two, with their answers.

    ecgqa/ptbxl/template/train/00000.json         a list of questions
    ecgqa/mimic-iv-ecg/paraphrased/test/0.json    the same of MIMIC-IV-ECG

A question has ``ecg_id``, a list of PTB-XL's ecg_id or MIMIC-IV-ECG's study_id; comparisons have
two, in the order in which the question speaks of them.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from data_prep.dialogues.base_records import BaseRecord, Unusable
from data_prep.dialogues.published import (
    Layout,
    Published,
    field,
    joined,
    texts_of,
    without,
    word_in,
)
from elm_jax.data.dialogues import DialogueError, Turn
from elm_jax.data.manifest import SPLITS

FORMS = ("template", "paraphrased")
_FOLDERS = {"ptbxl": "ptbxl", "mimic_iv_ecg": "mimic-iv-ecg"}
_READ = ("question", "answer", "ecg_id", "question_type", "ecg_path")


class EcgQa(Layout):
    """One version of ECG-QA."""

    answers_stand_alone = False

    def __init__(self, name: str, corpus: str, forms: tuple[str, ...] = FORMS):
        """Describes it.

        Args:
          name: its word on the command line.
          corpus: whose records it asks about.
          forms: that are taken, of "template" and "paraphrased".
        """
        super().__init__(name)
        self.corpus, self.forms = corpus, forms

    def is_other(self, path: pathlib.PurePath) -> bool:
        """Whether a file's path is of a form that is not asked for."""
        return word_in(path, FORMS, folders=True) not in (None, *self.forms)

    def holds(self, path: pathlib.PurePath) -> bool:
        """Whether a file's path is of this version, and of a form that is asked for."""
        version = word_in(path, tuple(_FOLDERS.values()), folders=True)
        form = word_in(path, FORMS, folders=True)
        return version in (None, _FOLDERS[self.corpus]) and form in self.forms

    def read(self, entry: Mapping[str, Any], number: int, path: pathlib.PurePath) -> Published:
        """See :meth:`Layout.read`."""
        form, split = (word_in(path, words, folders=True) for words in (FORMS, SPLITS))
        if form is None or split is None:
            raise DialogueError(
                f"{path}: its name and folders say not whether it is of {' or '.join(FORMS)}, and "
                f"of {', '.join(SPLITS)}; expected such as template/train/00000.json"
            )
        question = field(entry, "question", str, "a text")
        kind = field(entry, "question_type", str, "a text")
        answers = texts_of(entry.get("answer"), "'answer'")
        turns = (Turn("user", question.strip()), Turn("assistant", joined(answers)))
        if not turns[0].text:
            raise Unusable("dialogue_broken", "'question': expected a text, found an empty one")
        return Published(
            name=f"{form}/{split}/{field(entry, 'sample_id', int, 'a number')}",
            records=self._records(entry, kind),
            turns=turns,
            answers=answers,
            question_type=kind,
            split=split,
            fields=without(entry, _READ) | {"form": form},
        )

    def _records(self, entry: Mapping[str, Any], kind: str) -> tuple[BaseRecord, ...]:
        ids = field(entry, "ecg_id", list, "a list of numbers")
        expected = 2 if kind.startswith("comparison") else 1
        whole = all(isinstance(i, int) and not isinstance(i, bool) for i in ids)
        if len(ids) != expected or not whole:
            raise Unusable(
                "dialogue_broken",
                f"'ecg_id': expected {expected} of a question of type {kind!r}, found {ids}",
            )
        return tuple(BaseRecord(self.corpus, str(i)) for i in ids)
