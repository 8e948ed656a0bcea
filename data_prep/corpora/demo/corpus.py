"""The demo corpus as ``prepare`` sees it."""

import argparse
import pathlib
from typing import Any

from data_prep.corpora.base import Corpus, Source
from data_prep.corpora.demo.write import write_demo_corpus
from data_prep.reports_file import read_reports_file

INSTITUTION = "demo"
NOT_LABELS = {"simulated", "split"}


class Demo(Corpus):
    """Writes the simulated EDF files where they are not yet, then reads them like any others.

    They go to ``--input`` if given, else to ``demo_edf`` beside ``--out``. Split and people are the
    corpus's own: two thirds of the people for training, one third for testing.
    """

    name = "demo"
    simulated = True
    settings: dict[str, int] = {"people": 96, "seed": 0}

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings of the reports file, after writing them if need be."""
        folder = demo_folder(args)
        reports = write_demo_corpus(folder, **self.settings)
        return [
            Source(
                recording=entry.recording,
                person=f"{INSTITUTION}:{entry.person}",
                path=folder / entry.file,
                file=entry.file,
                reports=entry.reports,
                labels={k: v for k, v in entry.labels.items() if k not in NOT_LABELS},
                split=entry.labels["split"],
            )
            for entry in read_reports_file(reports)
        ]


def demo_folder(args: Any) -> pathlib.Path:
    """Where the EDF files are or will be."""
    if args.input is not None:
        return pathlib.Path(args.input)
    return pathlib.Path(args.out).resolve().parent / "demo_edf"
