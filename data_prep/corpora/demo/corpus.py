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
    makes_input = True

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings of the reports file, after writing them if need be.

        Raises:
          CorpusError: a dry run, which writes nothing, or a part over files that are not there
            yet; or a remote --out and nothing said of where they are to be.
        """
        settings = demo_settings(args)
        name = f"demo_edf_{settings['people']}people_seed{settings['seed']}"
        folder = folder_beside(args, name)
        command = (
            "python -c 'from data_prep.corpora.demo import write_demo_corpus as w; "
            f"w({str(folder)!r}, people={settings['people']}, seed={settings['seed']})'"
        )
        require_written(args, folder / SETTINGS_NAME, "the demo corpus is", command)
        reports = write_demo_corpus(folder, **settings)
        return [_source(entry, folder) for entry in read_reports_file(reports)]


def demo_settings(args: argparse.Namespace) -> dict[str, int]:
    """``people`` and ``seed``, from the command line where it has them."""
    people, seed = getattr(args, "demo_people", None), getattr(args, "demo_seed", None)
    return {"people": 96 if people is None else people, "seed": seed or 0}


def folder_beside(args: argparse.Namespace, name: str) -> pathlib.Path:
    """Where simulated files are or will be: ``--input``, or a folder of this name beside ``--out``.

    Raises:
      CorpusError: ``--out`` is remote, and nothing says where they are to be.
    """
    if args.input is not None:
        return pathlib.Path(args.input)
    if is_remote(args.out):
        raise CorpusError(
            f"--out {args.out}: the demo's recordings are written beside --out, which is remote; "
            "name a folder of this machine for them by --input"
        )
    return pathlib.Path(args.out).resolve().parent / name


def require_written(
    args: argparse.Namespace, marker: pathlib.Path, what: str, command: str
) -> None:
    """Ends where simulated files are not there yet and this step must not write them.

    Args:
      args: of the command line.
      marker: the file that is written last.
      what: the files, with their verb, for the message.
      command: what writes them.

    Raises:
      CorpusError: a dry run, which writes nothing, or one of several parts.
    """
    if marker.exists():
        return
    if getattr(args, "dry_run", False):
        raise CorpusError(
            f"{marker.parent}: {what} not written yet, and a dry run writes nothing; run without "
            "--dry_run first"
        )
    if getattr(args, "part", None):
        raise CorpusError(
            f"{marker.parent}: {what} not written yet, and parts that run at once would write over "
            f"one another; write it once: {command}"
        )


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
