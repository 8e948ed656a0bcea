"""The demo corpus as ``prepare`` sees it."""

import argparse
import pathlib

from data_prep.corpora.base import Corpus, CorpusError, Source
from data_prep.corpora.demo.write import SETTINGS_NAME, write_demo_corpus
from data_prep.reports_file import ReportEntry, read_reports_file
from elm_jax.paths import is_remote

INSTITUTION = "demo"
NOT_LABELS = {"simulated", "split"}


class Demo(Corpus):
    """Writes the simulated EDF files where they are not yet, then reads them like any others.

    They go to ``--input`` if given, else beside ``--out``. Split and people are the corpus's own:
    two thirds of the people for training, one third for testing. ``--demo_people`` and
    ``--demo_seed`` say how many there are and which.
    """

    name = "demo"
    simulated = True

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings of the reports file, after writing them if need be.

        Raises:
          CorpusError: a dry run, which writes nothing, or a part over files that are not there
            yet; or a remote --out and nothing said of where they are to be.
        """
        settings = demo_settings(args)
        folder = demo_folder(args, **settings)
        if getattr(args, "dry_run", False) and not (folder / SETTINGS_NAME).exists():
            raise CorpusError(
                f"{folder}: the demo corpus is not written yet, and a dry run writes nothing; run "
                "without --dry_run first"
            )
        if getattr(args, "part", None) and not (folder / SETTINGS_NAME).exists():
            raise CorpusError(
                f"{folder}: the demo corpus is not written yet, and parts that run at once would "
                "write over one another; write it once: python -c 'from data_prep.corpora.demo "
                f"import write_demo_corpus as w; w({str(folder)!r}, people={settings['people']}, "
                f"seed={settings['seed']})'"
            )
        reports = write_demo_corpus(folder, **settings)
        return [_source(entry, folder) for entry in read_reports_file(reports)]


def demo_settings(args: argparse.Namespace) -> dict[str, int]:
    """``people`` and ``seed``, from the command line where it has them."""
    people, seed = getattr(args, "demo_people", None), getattr(args, "demo_seed", None)
    return {"people": 96 if people is None else people, "seed": seed or 0}


def demo_folder(args: argparse.Namespace, *, people: int, seed: int) -> pathlib.Path:
    """Where the EDF files are or will be."""
    if args.input is not None:
        return pathlib.Path(args.input)
    if is_remote(args.out):
        raise CorpusError(
            f"--out {args.out}: the demo's recordings are written beside --out, which is remote; "
            "name a folder of this machine for them by --input"
        )
    return pathlib.Path(args.out).resolve().parent / f"demo_edf_{people}people_seed{seed}"


def _source(entry: ReportEntry, folder: pathlib.Path) -> Source:
    return Source(
        recording=entry.recording,
        person=f"{INSTITUTION}:{entry.person}",
        path=folder / entry.file,
        file=entry.file,
        reports=entry.reports,
        labels={k: v for k, v in entry.labels.items() if k not in NOT_LABELS},
        split=entry.labels["split"],
    )
