"""Any folder of EDF or BDF files: every file is a recording, and its own person unless told."""

import argparse

from data_prep.corpora.base import Corpus, Source, find_files
from data_prep.places import input_path


class EdfFolder(Corpus):
    """Files at any depth; a recording is named by its path without the suffix.

    Who a recording's person is comes from the reports file (``person``) or from ``--people``;
    without either, each recording is a person of its own, so people with several recordings must
    be named or they leak between splits.
    """

    name = "edf_folder"
    institution = "local"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files."""
        folder = input_path(args.input)
        institution = args.institution or self.institution
        result = []
        for path in find_files(folder, (".edf", ".bdf")):
            file = path.relative_to(folder)
            recording = file.with_suffix("").as_posix()
            result.append(Source(recording, f"{institution}:{recording}", path, file.as_posix()))
        return result
