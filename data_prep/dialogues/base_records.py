"""Which record a published name means, and where prepared directories have it.

Questions name the records of the corpora that they were written about in many ways: by a number, by
the path of a signal, by the file of an image that was drawn of it. All of them become a corpus and
its own number or name: ``("ptbxl", "127")``.
"""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from elm_jax.data.dialogues import DialogueError
from elm_jax.data.manifest import MANIFEST_FILE, Manifest, RecordingRow, load_recordings

# Corpus -> what a record is called in it. The group is the number or name; zeros that fill a number
# up go.
_NAMES = {
    "ptbxl": r"0*(\d+)(?:_[lh]r)?",
    "mimic_iv_ecg": r"s?(\d{8})",
    "code15": r"0*(\d+)",
    "cpsc2018": r"([AQ]\d{4})",
    "csn": r"(JS\d{5})",
    "georgia": r"(E\d{5})",
}
CORPORA = tuple(_NAMES)
# Label of a prepared recording that holds it; where there is none, the recording's name does.
_LABELS = {"ptbxl": "ecg_id", "mimic_iv_ecg": "study_id", "code15": "exam_id"}
# How folders of signals and images begin in published paths -> the corpus that they are of.
_FOLDERS = {
    "mimic": "mimic_iv_ecg",
    "ptb": "ptbxl",
    "ecg_ptbxl": "ptbxl",
    "code15": "code15",
    "cod15": "code15",
    "cpsc": "cpsc2018",
    "csn": "csn",
    "champan": "csn",
    "chapman": "csn",
    "georgia": "georgia",
    "g12": "georgia",
}
# 00009_hr-0.png: the first image of record 00009_hr.
_FILE = re.compile(r"(?P<stem>.+?)(?:-\d+)?(?:\.(?:png|jpe?g|hea|dat|mat))?", re.IGNORECASE)


class Unusable(ValueError):
    """An entry or a record that gives no dialogue.

    Attributes:
      kind: of the finding.
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind = kind


class BaseRecord(NamedTuple):
    """A record of a corpus.

    Attributes:
      corpus: its word in ``data_prep.prepare``.
      key: its number or name there, as text.
    """

    corpus: str
    key: str

    def __str__(self) -> str:
        return f"{self.corpus} {self.key}"


def key_of(corpus: str, name: str) -> str | None:
    """The number or name of a record in ``name``; None where it is none of this corpus's."""
    found = re.fullmatch(_NAMES[corpus], name)
    return found[1] if found else None


def record_of_path(path: str, corpus: str | None = None) -> BaseRecord:
    """The record that the path of a signal or an image is of.

    Args:
      path: as published: ``files/p1000/p10000032/s40689238/40689238``,
        ``ptb-xl/records500/00000/00009_hr-0.png``, ``code15_v4/2508875-0.png``.
      corpus: where it is known; else the folders say it.

    Raises:
      Unusable: no corpus is named, or the file is not called as its records are.
    """
    parts = pathlib.PurePosixPath(path.replace("\\", "/")).parts
    if corpus is None:
        named = [
            c for part in parts[:-1] for begin, c in _FOLDERS.items() if part.startswith(begin)
        ]
        if not named:
            raise Unusable("record_not_named", f"{path!r} is in no folder of a known corpus")
        corpus = named[0]
    stem = _FILE.fullmatch(parts[-1])["stem"] if parts else ""
    if (key := key_of(corpus, stem)) is None:
        raise Unusable("record_not_named", f"{path!r} is not called as records of {corpus} are")
    return BaseRecord(corpus, key)


class PreparedRecords:
    """The recordings of prepared directories, found by the record that they were made of.

    Attributes:
      by_record: record -> the directory and the recording.
      left_out: record -> why preparing left it out.
    """

    def __init__(self, directories: Sequence[str]):
        """Reads the lists of recordings; no signal.

        Args:
          directories: prepared directories or their manifests; ``CORPUS=DIR`` says which corpus
            one stands for that was prepared under another name (such as a folder of WFDB files).

        Raises:
          DialogueError: a corpus that no questions are about, a recording that is not called as
            its corpus's records, two recordings of one record, or a person of several splits.
          NotPrepared, ManifestError: a directory that is no (finished) corpus.
        """
        self.by_record: dict[BaseRecord, tuple[str, RecordingRow]] = {}
        self.left_out: dict[BaseRecord, str] = {}
        self._splits: dict[str, tuple[str, str]] = {}
        for given in directories:
            corpus, equals, directory = given.partition("=")
            if not (equals and corpus in CORPORA):
                corpus, directory = "", given
            path = pathlib.PurePath(directory)
            self._add(str(path.parent if path.name == MANIFEST_FILE else path), corpus)

    def _add(self, directory: str, corpus: str) -> None:
        manifest = Manifest.load(directory)
        corpus = corpus or manifest.corpus
        if corpus not in CORPORA:
            raise DialogueError(
                f"--records {directory}: was prepared as {corpus!r}, and questions are about "
                f"{', '.join(CORPORA)}; where it is one of them, say which: --records "
                f"ptbxl={directory}"
            )
        for row in load_recordings(directory):
            record = _record_of(row, corpus, directory)
            if record in self.by_record:
                other, twin = self.by_record[record]
                raise DialogueError(
                    f"--records: {record} is recording {twin.recording!r} of {other} and "
                    f"{row.recording!r} of {directory}; give directories that have it once"
                )
            self.by_record[record] = (directory, row)
            if manifest.split_by == "person":
                self._require_one_split(row, directory)
        for defect in manifest.defects:
            key = key_of(corpus, pathlib.PurePosixPath(defect["file"]).stem)
            if key is not None and (record := BaseRecord(corpus, key)) not in self.by_record:
                self.left_out.setdefault(record, defect["kind"])

    def _require_one_split(self, row: RecordingRow, directory: str) -> None:
        split, other = self._splits.setdefault(row.person, (row.split, directory))
        if split != row.split:
            raise DialogueError(
                f"--records: {row.person} is in split {split} of {other} and in {row.split} of "
                f"{directory}: whoever is trained on would be tested on. Prepare both with one "
                "split (--people with a column 'split')"
            )

    def find(self, record: BaseRecord) -> RecordingRow:
        """The recording of a record.

        Raises:
          Unusable: there is none; says why where that is known.
        """
        if record in self.by_record:
            return self.by_record[record][1]
        if record in self.left_out:
            raise Unusable("record_left_out", f"{record}: {self.left_out[record]}")
        if record.corpus not in self.corpora:
            raise Unusable("corpus_not_given", f"{record}: no --records of {record.corpus}")
        raise Unusable("record_not_prepared", str(record))

    @property
    def corpora(self) -> set[str]:
        """Those that there are recordings of."""
        return {record.corpus for record in self.by_record}


def _record_of(row: RecordingRow, corpus: str, directory: str) -> BaseRecord:
    label = row.labels.get(_LABELS.get(corpus, ""))
    name = row.recording.rpartition("/")[2] if label is None else str(label)
    if (key := key_of(corpus, name)) is None:
        raise DialogueError(
            f"--records {directory}: recording {row.recording!r} is not called as records of "
            f"{corpus} are ({_NAMES[corpus]}), and has no label {_LABELS.get(corpus)!r}"
        )
    return BaseRecord(corpus, key)
