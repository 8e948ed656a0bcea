"""The corpora of Temple University Hospital, in all their published directory generations.

    TUEG v0.6     edf/004/00000692/s01_2010_10_27/a_1.edf
    TUEG v1.x     edf/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004_t000.edf
    TUEG v2.x     edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf
    TUAB v1, v2   edf/train/normal/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004_t000.edf
    TUAB v3       edf/eval/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf
    TUSZ v1.3     edf/dev_test/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf
    TUSZ v1.5     edf/dev/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf
    TUSZ v2       edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf

Reports lie beside the EDFs of a session up to v1.2 (``00000021_s004.txt``) and are found there, in
the session's folder or in the montage's; all files of a session share them. Later releases have
them elsewhere: build a reports file with ``python -m data_prep.reports``.

People are ``tuh:aaaaaaaa``, the same in TUEG, TUAB and TUSZ. The generations number people anew:
v0.6 (``tuh_v06:00000692``), v1 (``tuh:00000021``) and v2 (``tuh:aaaaaaaa``) are not linked here,
since the link is not in the paths; ``--people`` with a table can give it.
"""

import argparse
import os
import pathlib
import re
from typing import Any

from data_prep.corpora.base import Corpus, Source
from data_prep.findings import finding
from data_prep.places import input_path
from data_prep.report_texts import TextError, read_report

INSTITUTION = "tuh"
INSTITUTION_V06 = "tuh_v06"
SPLITS = {"train": "train", "dev": "valid", "dev_test": "valid", "eval": "test"}

_NAME = re.compile(r"(?P<person>[a-z]{8}|\d{8})_(?P<session>s\d{3})(_(?P<token>t\d{3}))?$")
_SESSION = re.compile(r"(?P<session>s\d{2,3})(_\d{4}(_\d{2}_\d{2})?)?$")
_MONTAGE = re.compile(r"\d{2}_tcp_\w+$")
_PERSON_FOLDER = re.compile(r"([a-z]{8}|\d{8})$")
_TOKEN_V06 = re.compile(r"a_\d*$")


class Tueg(Corpus):
    """TUEG, TUAB or TUSZ: person, session and official split are read from the path."""

    name = "tueg"
    institution = INSTITUTION
    example = "edf/000/aaaaaaaa/s001_2015/01_tcp_ar/aaaaaaaa_s001_t000.edf"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings with their session's reports; files outside the layout are listed.

        Raises:
          CorpusError: no file is named as in any of the generations.
        """
        reports = _SessionReports(input_path(args.input), self.findings)
        found = self.collect(
            args, lambda path, file: self._source(path, file, reports, args.institution)
        )
        return unique(found)

    def _source(
        self, path: pathlib.Path, file: str, reports: "_SessionReports", institution: str | None
    ) -> Source | None:
        folders, stem = release_folders(path, file), path.stem
        # A person's folder is known by holding a session's ("abnormal" has eight letters too).
        held = [
            (person, match["session"])
            for person, session in zip(folders, folders[1:], strict=False)
            if _PERSON_FOLDER.match(person) and (match := _SESSION.match(session))
        ]
        named = _NAME.match(stem)
        if named:
            person, session, owner = named["person"], named["session"], INSTITUTION
            recording = stem
            if held and person != held[-1][0]:
                detail = f"folder {held[-1][0]}, file {person}"
                return self.leave_out(file, "person_conflict", detail)
        elif held and _TOKEN_V06.match(stem):
            (person, session), owner = held[-1], INSTITUTION_V06
            recording = f"{person}_{session}_{stem}"
        else:
            return self.leave_out(file, "not_in_layout", "no TUH name and folder")
        labels = {"session": session}
        if named and named["token"]:
            labels["token"] = named["token"]
        montage = [p for p in folders if _MONTAGE.match(p)]
        if montage:
            labels["montage"] = montage[-1]
        pathology = [p for p in folders if p in ("normal", "abnormal")]
        if pathology:
            labels["pathology"] = pathology[-1]
            labels["abnormal"] = int(pathology[-1] == "abnormal")
        official = [p for p in folders if p in SPLITS]
        if official and self.settles_splits:
            labels["eval_set"] = f"{self.name.upper()}_{official[-1]}"
        return Source(
            recording=recording,
            person=f"{institution or owner}:{person}",
            path=path,
            file=file,
            reports=reports.of(path, None if named is None else f"{person}_{session}"),
            labels=labels,
            split=SPLITS[official[-1]] if official else None,
        )


def release_folders(path: pathlib.Path, file: str) -> tuple[str, ...]:
    """The folders that the layout speaks of: those below ``edf``, which may be above --input."""
    folders = path.absolute().parts[:-1]
    if "edf" in folders:
        last = len(folders) - folders[::-1].index("edf")
        return folders[last:]
    return folders[-file.count("/") - 1 :]


class _SessionReports:
    """The texts of a session, each file read once."""

    def __init__(self, root: pathlib.Path, findings: list[dict[str, Any]]):
        self._root, self._findings = root, findings
        self._texts: dict[pathlib.Path, str] = {}
        self._listed: dict[pathlib.Path, list[pathlib.Path]] = {}

    def of(self, path: pathlib.Path, prefix: str | None) -> tuple[str, ...]:
        """Texts that begin with ``prefix``; without one (v0.6) all of the session's folder."""
        folders = [path.parent]
        if _MONTAGE.match(path.parent.name) and _SESSION.match(path.parent.parent.name):
            folders.append(path.parent.parent)
        for folder in folders:
            files = [f for f in self._list(folder) if prefix is None or _is_of(f.stem, prefix)]
            if files:
                return tuple(text for f in files if (text := self._read(f)).strip())
        return ()

    def _list(self, folder: pathlib.Path) -> list[pathlib.Path]:
        if folder not in self._listed:
            self._listed[folder] = sorted(folder.glob("*.txt"))
        return self._listed[folder]

    def _read(self, file: pathlib.Path) -> str:
        if file not in self._texts:
            try:
                self._texts[file] = read_report(file)
            except TextError:
                self._texts[file] = ""
                name = os.path.relpath(file, self._root)
                self._findings.append(finding(name, "report_unreadable", "not a text"))
        return self._texts[file]


def _is_of(stem: str, prefix: str) -> bool:
    return stem == prefix or stem.startswith(f"{prefix}_")


def unique(sources: list[Source]) -> list[Source]:
    """Some sessions are released under two montages: those recordings are named by their path."""
    count: dict[str, int] = {}
    for source in sources:
        count[source.recording] = count.get(source.recording, 0) + 1
    return [
        s if count[s.recording] == 1 else s.replace(recording=s.file.removesuffix(".edf"))
        for s in sources
    ]
