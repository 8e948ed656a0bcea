"""ECGs in the layout of the PhysioNet/CinC Challenges 2020 and 2021: .hea with diagnoses, and .mat.

A0001 12 500 7500 ...          #Age: 74
A0001.mat 16+24 1000/mV ...    #Sex: Male
                               #Dx: 59118001,426783006
"""

import argparse
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.base import Source
from data_prep.corpora.ecg import EcgCorpus
from data_prep.corpora.snomed import Diagnosis
from data_prep.corpora.wfdb_comments import comment_labels
from data_prep.findings import finding
from data_prep.places import input_path

if TYPE_CHECKING:
    from elm_jax.signals.ecg.wfdb_file import HeaderText

# Of what a header's comments say, these are labels; the others are always unknown.
_LABELS = ("age", "sex", "dx", "diagnosis")


class ChallengeCorpus(EcgCorpus):
    """Recordings with the list ``diagnosis``; whose they are is not published, each is a person's.

    Attributes:
      own: names of diagnoses that the corpus has of its own; see ``snomed.diagnoses``.
    """

    counted_label = "diagnosis"
    own_texts = ("statements",)
    own: Mapping[str, Diagnosis] = MappingProxyType({})

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the headers that :meth:`belongs` takes."""
        folder, unknown = input_path(args.input), {}

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            if not self.belongs(path.stem, args):
                return None
            labels, described = self._said(path, file)
            for name, words in zip(labels.get("diagnosis", ()), described, strict=True):
                if not words:
                    unknown.setdefault(name, file)
            return self.wfdb_source(
                path.stem,
                f"{args.institution or self.institution}:{path.stem}",
                path,
                folder,
                labels=labels,
                reports=self.texts(args, statements=described),
            )

        sources = self.collect(args, source_of)
        for code, file in sorted(unknown.items()):
            self.findings.append(finding(file, "code_unknown", f"{code}: first found here"))
        return sources

    def belongs(self, name: str, args: argparse.Namespace) -> bool:
        """Whether a record of this name is one of those asked for; all are."""
        return True

    def _said(self, path: pathlib.Path, file: str) -> tuple[dict[str, Any], list[str]]:
        from elm_jax.signals.defects import UnusableRecording
        from elm_jax.signals.ecg.wfdb_file import read_header_text

        try:
            text: HeaderText = read_header_text(path, file)
        except UnusableRecording:
            return {}, []  # preparing it says what is wrong
        labels, described = comment_labels(text.comments, self.own)
        return {name: labels[name] for name in _LABELS if name in labels}, described
