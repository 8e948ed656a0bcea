"""Any folder of ECGs in WFDB's format: every header is a recording, its comments are kept.

Comments are what PhysioNet's corpora write into their headers: the clinical summary of the PTB
diagnostic database (``# Reason for admission: Myocardial infarction``), age, sex and diagnoses of
the Challenges (``#Dx: 426783006``).
"""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

from data_prep.corpora.base import Source
from data_prep.corpora.ecg import EcgCorpus
from data_prep.corpora.feature_arrays import person_in
from data_prep.corpora.wfdb_comments import comment_labels, summary
from data_prep.places import input_path

if TYPE_CHECKING:
    from elm_jax.signals.ecg.wfdb_file import HeaderText


class WfdbFolder(EcgCorpus):
    """Headers (.hea) at any depth; a recording is named by its path without the suffix.

    Who its person is comes from ``--reports``, ``--people`` or ``--person_pattern``; without them
    each recording is a person of its own. Its report is the header's comments; statements are the
    diagnoses of a line ``Dx``.
    """

    name = "wfdb_folder"
    example = "patient001/s0010_re.hea"
    own_texts = ("report", "statements")
    default_text = "report"

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the headers; those of segments belong to the record that names them."""
        folder, institution = input_path(args.input), args.institution or self.institution
        segments: set[pathlib.Path] = set()

        def source_of(path: pathlib.Path, file: str) -> Source:
            text = _header(path, file)
            if text.segmented:
                segments.update(path.with_name(f"{name}.hea") for name in text.files)
            labels, described = comment_labels(text.comments)
            recording = path.relative_to(folder).with_suffix("").as_posix()
            return self.wfdb_source(
                recording,
                f"{institution}:{person_in(recording, args.person_pattern)}",
                path,
                folder,
                labels=labels,
                reports=self.texts(args, report=summary(text.comments), statements=described),
            )

        sources = self.collect(args, source_of)
        return [source for source in sources if folder / source.file not in segments]

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Whose part of a name is the person, too."""
        pattern = {"person_pattern": args.person_pattern} if args.person_pattern else {}
        return super().stated_options(args) | pattern


def _header(path: pathlib.Path, file: str) -> "HeaderText":
    from elm_jax.signals.defects import UnusableRecording
    from elm_jax.signals.ecg.wfdb_file import HeaderText, read_header_text

    try:
        return read_header_text(path, file)
    except UnusableRecording:
        return HeaderText((), (), ())  # preparing it says what is wrong
