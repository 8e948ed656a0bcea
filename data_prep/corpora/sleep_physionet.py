"""Sleep-EDF Expanded, the cassette study, for learning from nights: relative positioning, staging.

    python -m data_prep.prepare sleep_physionet --input ~/mne_data/physionet-sleep-data --out nights

The layout, its stages and what is left out of a night stand in
:mod:`data_prep.corpora.sleep_cassette`. ``--sleep_people 0-5,7`` and ``--nights 1`` choose among
the files. Signals are those of ``--signal sleep``: Fpz-Cz and Pz-Oz in microvolts at their 100 Hz,
low-passed at 30 Hz, in windows of 30 s. Windows of one stage that follow each other are one piece.

Labels of a window: ``event`` (W, N1, N2, N3, R); of a recording: ``night``, ``age`` and ``sex``,
from the file's header, or from the study's table, as ``mne`` ships it, where the header is silent.

A night without a hypnogram, or with one that is no hypnogram, is kept whole and without labels, for
tasks that need none, and listed (``events_unknown``).
"""

import argparse
import csv
import functools
import importlib.resources
import pathlib
from types import MappingProxyType
from typing import Any

from data_prep.corpora.base import Source
from data_prep.corpora.sleep_cassette import SleepCassette, read_patient
from data_prep.findings import finding


class SleepPhysionet(SleepCassette):
    """All nights; consecutive windows of a stage are one piece."""

    name = "sleep_physionet"
    published = MappingProxyType({"signal": "sleep"})
    joins_windows = True

    def how_to_get(self, args: argparse.Namespace) -> str:
        """The command that fetches the nights."""
        return (
            f"{super().how_to_get(args)}. Nights are fetched by: python -m data_prep.download "
            f"sleep_physionet --to {args.input}"
        )

    def person_labels(self, path: pathlib.Path, person: str) -> dict[str, Any]:
        """Age and sex by the header, or else by the study's table."""
        stated = read_patient(path)
        return stated if stated or self.simulated else published_people().get(person, {})

    def without_stages(self, source: Source, kind: str, detail: str) -> Source | None:
        """Such a night is kept whole, and listed."""
        self.findings.append(finding(source.file, "events_unknown", detail))
        return source


def published_table() -> list[dict[str, str]]:
    """A row a file of the study, as ``mne`` has them: ``subject, night, age, sex, sha, fname``."""
    table = importlib.resources.files("mne.datasets.sleep_physionet") / "age_records.csv"
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


@functools.cache
def published_people() -> dict[str, dict[str, Any]]:
    """``{"SC400": {"age": 33, "sex": "female"}}`` of the study."""
    return {
        f"SC4{int(row['subject']):02d}": {"age": int(row["age"]), "sex": row["sex"]}
        for row in published_table()
    }
