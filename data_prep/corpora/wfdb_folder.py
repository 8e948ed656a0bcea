"""Any folder of ECGs in WFDB's format: every header is a recording, its comments are kept.

Comments are what PhysioNet's corpora write into their headers: the clinical summary of the PTB
diagnostic database (``# Reason for admission: Myocardial infarction``), age, sex and diagnoses of
the Challenges (``#Dx: 426783006``).
"""

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any

from data_prep.corpora.base import Source, find_files
from data_prep.corpora.ecg import EcgCorpus
from data_prep.corpora.feature_arrays import person_in
from data_prep.corpora.snomed import diagnoses
from data_prep.csv_tables import number
from data_prep.places import input_path

# What says that nothing is known.
_NOTHING = re.compile(r"|n/?a|none|nan|unknow[ns]|not available|-|\?", re.IGNORECASE)
_SEXES = {"f": "female", "m": "male", "female": "female", "male": "male"}


class WfdbFolder(EcgCorpus):
    """Headers (.hea) at any depth; a recording is named by its path without the suffix.

    Who its person is comes from ``--reports``, ``--people`` or ``--person_pattern``; without them
    each recording is a person of its own.
    """

    name = "wfdb_folder"
    example = "patient001/s0010_re.hea"
    own_texts = ("report", "statements")
    default_text = "report"

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the headers; those of single segments belong to the record that names them."""
        from elm_jax.signals.defects import UnusableRecording
        from elm_jax.signals.ecg.wfdb_file import HeaderText, read_header_text

        folder = input_path(args.input)
        institution, found, segments = args.institution or self.institution, [], set()
        for path in find_files(folder, self.file_suffixes):
            recording = path.relative_to(folder).with_suffix("").as_posix()
            try:
                text = read_header_text(path, path.relative_to(folder).as_posix())
            except UnusableRecording:
                text = HeaderText((), (), ())  # preparing it says what is wrong
            if text.segmented:
                segments |= {path.with_name(f"{name}.hea") for name in text.files}
            labels, statements = comment_labels(text.comments)
            found.append(
                self.wfdb_source(
                    recording,
                    f"{institution}:{person_in(recording, args.person_pattern)}",
                    path,
                    folder,
                    labels=labels,
                    reports=self.texts(args, report=summary(text.comments), statements=statements),
                )
            )
        return [s for s in found if folder / s.file not in segments]

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Whose part of a name is the person, too."""
        pattern = {"person_pattern": args.person_pattern} if args.person_pattern else {}
        return super().stated_options(args) | pattern


def summary(comments: Sequence[str]) -> str:
    """The comments as a text, without lines whose value says that nothing is known."""
    return "\n".join(line for line in comments if line.endswith(":") or not _says_nothing(line))


def comment_labels(comments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Labels out of ``key: value`` lines, and the names of diagnoses.

    ``age`` is a number and ``sex`` "female" or "male"; ``Dx`` becomes the list ``diagnosis``; the
    first of two lines of one key is used; what says that nothing is known is not there.
    """
    labels: dict[str, Any] = {}
    statements: list[str] = []
    for line in comments:
        key, colon, value = (part.strip() for part in line.partition(":"))
        name = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
        if not colon or not name or name in labels or _is_nothing(value):
            continue
        if name == "dx":
            found = diagnoses(value.split(","))
            labels["diagnosis"] = [item.name for item in found]
            statements = [item.description for item in found]
        elif name in ("sex", "gender"):
            if (sex := _SEXES.get(value.lower())) is not None:
                labels["sex"] = sex
        elif name == "age":
            age = number(value)
            if isinstance(age, int | float) and math.isfinite(age) and age >= 0:
                labels["age"] = age
        else:
            labels[name] = number(value)
    return labels, statements


def _says_nothing(line: str) -> bool:
    _, colon, value = line.partition(":")
    return bool(colon) and _is_nothing(value)


def _is_nothing(value: str) -> bool:
    return _NOTHING.fullmatch(value.strip()) is not None
