"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, PhysioNet): 800,035 ECGs of 10 s with a machine's reports.

Which records there are stands in ``record_list.csv``, what the machine said of them in
``machine_measurements.csv``: up to eighteen lines a record, and intervals. Planning reads these two
tables and asks whether each file is there; no header is opened.

Departures from ECG-Bench's preparation: records without a row of measurements (10,554 of them), or
with an empty report, are kept, without a text, and counted; lines of a report become sentences
(there they are joined by blanks, so that nothing says where one ends); leads are found by name.
"""

import argparse
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.corpora.base import CorpusError, Source
from data_prep.corpora.ecg import EcgCorpus
from data_prep.corpora.record_tables import Row, Tally, number_in, read_rows
from data_prep.places import input_path

RECORD_LIST, MEASUREMENTS = "record_list.csv", "machine_measurements.csv"
REPORT_COLUMNS = tuple(f"report_{i}" for i in range(18))
#: As the headers have them: aVF before aVL.
STORED_LEADS = (
    "I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6",
)  # fmt: skip
# Column -> label, and the range of what can be: a record lasts 10 s. What is beyond (29999, ...)
# stands for nothing found.
_INTERVALS = {
    name: (f"{name}_ms", 0.0, 10_000.0)
    for name in ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end")
}
_AXES = {name: (f"{name}_deg", -360.0, 360.0) for name in ("p_axis", "qrs_axis", "t_axis")}
_MEASURED = _INTERVALS | _AXES

# Of a listed record: whose it is, and its path without a suffix.
_Listed = tuple[str, str]


class MimicIvEcg(EcgCorpus):
    """The folder that holds ``record_list.csv``, ``machine_measurements.csv`` and ``files``.

    A recording is named by its study. It need not be all of the corpus: records that are listed
    and not there are counted. People are split by seed; the corpus has no split of its own.
    """

    name = "mimic_iv_ecg"
    institution = "mimic"
    example = "files/p1000/p10001725/s41420867/41420867.hea"
    own_texts = ("report",)
    default_text = "report"

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the records that are there, with what the machine says of them.

        Raises:
          CorpusError: a table is missing or not as published, or no record is there.
        """
        folder = input_path(args.input)
        if missing := [n for n in (RECORD_LIST, MEASUREMENTS) if not (folder / n).is_file()]:
            what = f"has no {' and no '.join(missing)}" if folder.is_dir() else "no such folder"
            raise CorpusError(
                f"--input {folder}: {what}; give the folder of MIMIC-IV-ECG, with {RECORD_LIST}, "
                f"{MEASUREMENTS} and files in it"
            )
        tally = Tally()
        listed = _listed(folder, tally)
        found = list(self._sources(folder, listed, args, tally))
        self.findings += tally.findings()
        if not found:
            raise CorpusError(
                f"--input {folder}: {RECORD_LIST} lists records, and none of them is there, such "
                f"as {self.example}. Left out, such as:{self.say_findings()}"
            )
        return found

    def lead_labels(self, source: Source) -> Sequence[str]:
        """The published order; planning opens no header. Reading goes by the header's names."""
        return STORED_LEADS

    def _sources(
        self,
        folder: pathlib.Path,
        listed: dict[str, _Listed],
        args: argparse.Namespace,
        tally: Tally,
    ) -> Iterator[Source]:
        institution, same = args.institution or self.institution, {}

        def source(study: str, labels: dict[str, Any], report: str) -> Source:
            subject, path = listed[study]
            texts = self.texts(args, report=report)
            return Source(
                recording=study,
                person=f"{institution}:{subject}",
                path=folder / f"{path}.dat",
                file=f"{path}.hea",
                # Equal reports are thousands: one text for all of them.
                reports=same.setdefault(texts, texts),
                labels=labels,
                kind="wfdb",
            )

        done: set[str] = set()
        for study, row in _measured_rows(folder, listed, done, tally):
            report = _report(row)
            if not report:
                file = f"{listed[study][1]}.hea"
                tally.add(MEASUREMENTS, "report_empty", f"line {row.line}", file)
            yield source(study, _measured(row, tally), report)
        for study, (_, path) in listed.items():
            if study not in done:
                tally.add(MEASUREMENTS, "row_missing", f"study {study}", f"{path}.hea")
                yield source(study, {}, "")


def _measured_rows(
    folder: pathlib.Path, listed: dict[str, _Listed], done: set[str], tally: Tally
) -> Iterator[tuple[str, Row]]:
    """The first row of each listed study, if it is of the same person; its study goes to ``done``.

    Those of studies that are not there, which is counted already, are passed over.
    """
    columns = ("subject_id", "study_id", *REPORT_COLUMNS, *_MEASURED)
    for row in read_rows(
        folder / MEASUREMENTS, columns, "the reports and measurements of MIMIC-IV-ECG 1.0"
    ):
        study = row["study_id"]
        if study not in listed:
            continue
        if study in done:
            tally.add(MEASUREMENTS, "row_doubled", f"line {row.line}: study {study} once more")
            continue
        done.add(study)
        subject, path = listed[study]
        if row["subject_id"] == subject:
            yield study, row
            continue
        detail = f"line {row.line}: the person is another one than in {RECORD_LIST}"
        tally.add(MEASUREMENTS, "person_conflict", detail, f"{path}.hea")


def _listed(folder: pathlib.Path, tally: Tally) -> dict[str, _Listed]:
    """Study -> person and path of the records of the list that are there."""
    root, listed = os.fspath(folder), {}
    for row in read_rows(
        folder / RECORD_LIST, ("subject_id", "study_id", "path"), "the list of MIMIC-IV-ECG 1.0"
    ):
        study, subject, path = row["study_id"], row["subject_id"], row["path"]
        parts = path.split("/")
        if not study or ".." in parts or path.startswith("/") or len(parts) < 3:
            raise CorpusError(
                f"{folder / RECORD_LIST}:{row.line}: study {study!r} has the path {path!r}, "
                f"expected one such as {MimicIvEcg.example.removesuffix('.hea')}"
            )
        if study in listed:
            tally.add(RECORD_LIST, "row_doubled", f"line {row.line}: study {study} once more")
        elif parts[-3] != f"p{subject}":
            detail = f"line {row.line}: the folder is of another person than the row"
            tally.add(RECORD_LIST, "person_conflict", detail, f"{path}.hea")
        elif not os.path.isfile(f"{root}/{path}.dat"):
            tally.add(RECORD_LIST, "file_missing", f"{path}.dat (line {row.line})")
        else:
            listed[study] = (subject, path)
    return listed


def _report(row: Row) -> str:
    """The lines in their order, a sentence each; empty ones are none."""
    lines = (row[column].rstrip(". ") for column in REPORT_COLUMNS)
    return " ".join(f"{line}." for line in lines if line)


def _measured(row: Row, tally: Tally) -> dict[str, Any]:
    labels = {}
    for column, (label, low, high) in _MEASURED.items():
        text = row[column]
        if not text:
            continue
        value = number_in(text, low, high)
        if value is None:
            detail = f"{column} (line {row.line}) is not between {low:g} and {high:g}"
            tally.add(MEASUREMENTS, "number_unreadable", detail)
        else:
            labels[label] = value
    return labels
