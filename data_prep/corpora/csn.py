"""Chapman-Shaoxing-Ningbo: 45,152 ECGs of 10 s (Zheng et al. 2020, PhysioNet ecg-arrhythmia 1.0.0).

WFDB records in folders of a hundred (``WFDBRecords/01/010/JS00001.hea``), whose headers have age,
sex and SNOMED CT codes; ``ConditionNames_SNOMED-CT.csv`` names most of the codes that occur. The
same records as the CinC Challenge 2021 lays them out (``g1/JS00001.hea``, no table) are read, too.
There is no written report; diagnoses become sentences with ``--ecg_text statements``. (ECG-Bench
takes its texts from a question set, and of the records only those that it names.)
"""

import argparse
import collections
import pathlib
import re

from data_prep.corpora.base import Source
from data_prep.corpora.challenge import ChallengeCorpus
from data_prep.corpora.record_tables import Tally, read_rows
from data_prep.corpora.snomed import Diagnosis
from data_prep.places import input_path

NAMES, LIST = "ConditionNames_SNOMED-CT.csv", "RECORDS"
_RECORD = re.compile(r"JS\d{5}")


class Csn(ChallengeCorpus):
    """Any folder with records ``JS00001``, ... below it; each is of another person.

    Diagnoses have the table's acronyms; codes that it does not name have those of the challenges,
    or stay numbers, which are listed.
    """

    name = "csn"
    institution = "csn"
    recording_is_person = True
    example = "WFDBRecords/01/010/JS00001.hea"

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the headers of the layout, with what they say.

        Raises:
          CorpusError: no such folder, no record, or a table that is not as published.
        """
        folder, tally = input_path(args.input), Tally()
        self.own = _names(folder, tally)
        found: dict[str, Source] = {}
        for source in super().records(args):
            first = found.setdefault(source.recording, source)
            if first is not source:
                detail = f"{first.file} has the name, too: that one is used"
                tally.add(LIST, "record_doubled", detail, source.file)
        _check_lists(folder, list(found.values()), tally)
        self.findings += tally.findings()
        return list(found.values())

    def belongs(self, name: str, args: argparse.Namespace) -> bool:
        """By its name: other headers are of other corpora."""
        return _RECORD.fullmatch(name) is not None


def _names(folder: pathlib.Path, tally: Tally) -> dict[str, Diagnosis]:
    """Code -> the table's diagnosis.

    A code that several lines have (myocardial infarction, by wall) is none of them alone.
    """
    table = folder / NAMES
    if not table.exists():
        if folder.is_dir():
            detail = "diagnoses have the abbreviations of the CinC challenges"
            tally.add(NAMES, "sidecar_missing", detail)
        return {}
    named = collections.defaultdict(list)
    columns = ("Acronym Name", "Full Name", "Snomed_CT")
    for row in read_rows(table, columns, "acronym, name and code of each diagnosis"):
        acronym, words, code = (row[name] for name in columns)
        named[code].append(Diagnosis(acronym, words, code))
    return {code: several[0] for code, several in named.items() if len(several) == 1}


def _check_lists(folder: pathlib.Path, found: list[Source], tally: Tally) -> None:
    """What the publisher's lists (one in each folder of records) name, and is not there."""
    stems = collections.defaultdict(set)
    for source in found:
        header = pathlib.PurePosixPath(source.file)
        stems[header.parent].add(header.stem)
    for parent in sorted(stems):
        path = folder / parent / LIST
        if not path.is_file():
            continue
        for name in path.read_text(encoding="utf-8", errors="replace").split():
            if _RECORD.fullmatch(name) and name not in stems[parent]:
                tally.add((parent / LIST).as_posix(), "file_missing", f"{name}.hea")
