"""CODE-15% (Ribeiro et al. 2021, Zenodo 4916206): 345,779 ECGs of telehealth in Minas Gerais.

``exams.csv`` and parts ``exams_part0.hdf5``, ... with the arrays ``exam_id`` [n] and ``tracings``
[n, 4096, 12] at 400 Hz. Exams last 10 s or 7 s, and zeros around them fill the array: they are
taken off here (ECG-Bench keeps them, as signal). There is no written report; six diagnoses become
sentences with ``--ecg_text statements`` (ECG-Bench has a placeholder for a text).

The unit is not settled: the publishers say that values are "at the scale 1e-4V" and, in the same
sentence, that volts are to be multiplied by 1000, which makes them millivolts. They are taken for
millivolts, as the CinC Challenge 2025 does; others measured amplitudes twice those of other
corpora. ``--code15_unit_mv`` says another value.
"""

import argparse
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from data_prep.corpora.base import CorpusError, Source, find_files
from data_prep.corpora.ecg import EcgCorpus
from data_prep.corpora.record_tables import Row, Tally, number_in, read_rows
from elm_jax.data.hdf5_safe import Hdf5Error, dataset, open_hdf5

if TYPE_CHECKING:
    from elm_jax.signals.ecg.recording import EcgRecording

EXAMS = "exams.csv"
SFREQ_HZ = 400.0
#: Of the last axis of ``tracings``, as the publishers call them.
STORED_LEADS = (
    "DI", "DII", "DIII", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6",
)  # fmt: skip
#: Column of ``exams.csv`` -> what it means, in words.
DIAGNOSES = {
    "1dAVb": "first degree AV block",
    "RBBB": "right bundle branch block",
    "LBBB": "left bundle branch block",
    "SB": "sinus bradycardia",
    "ST": "sinus tachycardia",
    "AF": "atrial fibrillation",
}
# Samples of whole exams (7 s, 10 s) and of an array without padding.
_USUAL_SAMPLES = (2800, 4000, 4096)
_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_COLUMNS = ("exam_id", "patient_id", "age", "is_male", "normal_ecg", *DIAGNOSES)
# Not in every copy: the challenge's tables leave them out.
_MORE_COLUMNS = ("nn_predicted_age", "death", "timey")

# Part and row in which an exam lies.
_Place = tuple[int, int]


class Code15(EcgCorpus):
    """The folder that holds ``exams.csv`` and the parts, all of them or some.

    A recording is named by its exam. People are split by seed; the corpus has no split of its own.
    """

    name = "code15"
    institution = "code"
    example = "exams_part0.hdf5"
    file_suffixes = (".hdf5",)
    own_texts = ("statements",)

    def __init__(self, *, rename=None):
        super().__init__(rename=rename)
        self.unit_mv = 1.0

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the exams that are in a part and in the table.

        Raises:
          CorpusError: the table is missing or not as published, or no exam is in both.
        """
        self.unit_mv = args.code15_unit_mv
        parts = find_files(args.input, self.file_suffixes)
        table = pathlib.Path(args.input, EXAMS)
        tally = Tally()
        places = _places(parts, pathlib.Path(args.input), tally)
        found = self._sources(table, parts, places, args, tally)
        for exam, (part, row) in places.items():
            tally.add(parts[part].name, "record_not_listed", f"exam {exam} (row {row})")
        self.findings += tally.findings()
        if not found:
            raise CorpusError(
                f"--input {args.input}: no exam is both in {EXAMS} and in a part. Left out, such "
                f"as:{self.say_findings()}"
            )
        return found

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """What a unit of the file is taken for, and that padding is not kept."""
        mine = {"code15_unit_mv": args.code15_unit_mv, "zero_padding": "taken off at both ends"}
        return super().stated_options(args) | mine

    def lead_labels(self, source: Source) -> Sequence[str]:
        """As published: the files do not name them."""
        return STORED_LEADS

    def read(self, source: Source, leads: Sequence[str]) -> "EcgRecording":
        """Reads one row of a part, without its padding; see :meth:`EcgCorpus.read`."""
        from elm_jax.signals.defects import Defect
        from elm_jax.signals.ecg.recording import from_array

        signal = _tracing(source)
        varies = np.flatnonzero((signal != 0).any(axis=0))
        if not varies.size:
            raise _unusable(source, "its row holds zeros alone")
        first, stop = int(varies[0]), int(varies[-1]) + 1
        recording = from_array(
            signal[:, first:stop] * np.float32(source.extra["unit_mv"]),
            STORED_LEADS,
            SFREQ_HZ,
            rename=self.rename,
            file=source.file,
        )
        if stop - first in _USUAL_SAMPLES:
            return recording
        detail = f"{first} before, {signal.shape[1] - stop} after: {stop - first} samples are left"
        defect = Defect(source.file, "padding_removed", detail)
        return dataclasses.replace(recording, defects=(*recording.defects, defect))

    def _sources(
        self,
        table: pathlib.Path,
        parts: Sequence[pathlib.Path],
        places: dict[int, _Place],
        args: argparse.Namespace,
        tally: Tally,
    ) -> list[Source]:
        """The sources; takes those that it finds out of ``places``."""
        institution, found, seen = args.institution or self.institution, [], set()
        for row in read_rows(table, _COLUMNS, "the exams of CODE-15%", optional=_MORE_COLUMNS):
            exam, person = number_in(row["exam_id"], 1, 2**53), row["patient_id"]
            if not isinstance(exam, int) or not person:
                raise CorpusError(
                    f"{table}:{row.line}: exam_id {row['exam_id']!r}, patient_id {person!r}; "
                    "expected numbers above 0: nobody could be told apart without them"
                )
            if exam in seen:
                tally.add(EXAMS, "row_doubled", f"line {row.line}: exam {exam} once more")
                continue
            seen.add(exam)
            place = places.pop(exam, None)
            if place is None:
                tally.add(EXAMS, "file_missing", f"exam {exam} (line {row.line}) is in no part")
                continue
            labels, statements = _labels(row, tally)
            part = parts[place[0]]
            found.append(
                Source(
                    recording=str(exam),
                    person=f"{institution}:{number_in(person, 0, 2**53) or person}",
                    path=part,
                    file=f"{part.name}/{exam}",
                    reports=self.texts(args, statements=statements),
                    labels=labels,
                    kind="code15",
                    extra={"row": place[1], "unit_mv": self.unit_mv},
                )
            )
        return found


def _places(parts: Sequence[pathlib.Path], folder: pathlib.Path, tally: Tally) -> dict[int, _Place]:
    """Exam -> where it lies; reads the numbers of the exams, no signal."""
    places: dict[int, _Place] = {}
    for index, part in enumerate(parts):
        file = part.relative_to(folder).as_posix()
        try:
            with open_hdf5(part) as stored:
                exams = _exams(stored, part)
        except Hdf5Error as error:
            detail = str(error).removeprefix(f"{part}: ")
            tally.add(file, "array_unreadable", detail)
            continue
        for row, exam in enumerate(exams):
            if exam == 0:
                tally.add(file, "padding_row", f"row {row} has the exam 0")
            elif exam in places:
                other = parts[places[exam][0]].name
                detail = f"exam {exam} (row {row}) is in {other}, row {places[exam][1]}, too"
                tally.add(file, "row_doubled", detail)
            else:
                places[exam] = (index, row)
    return places


def _exams(stored: Any, part: pathlib.Path) -> list[int]:
    missing = [name for name in ("exam_id", "tracings") if name not in stored]
    if missing:
        raise Hdf5Error(f"{part}: has no {' and no '.join(map(repr, missing))}")
    exams, tracings = dataset(stored, "exam_id"), dataset(stored, "tracings")
    n, leads = exams.shape[:1], len(STORED_LEADS)
    if exams.ndim != 1 or tracings.ndim != 3 or tracings.shape[::2] != (*n, leads):
        raise Hdf5Error(
            f"{part}: 'exam_id' {exams.shape}, 'tracings' {tracings.shape}; expected [n] and "
            f"[n, samples, {leads}]"
        )
    if exams.dtype.kind not in "iu" or tracings.dtype.kind != "f":
        raise Hdf5Error(
            f"{part}: 'exam_id' {exams.dtype}, 'tracings' {tracings.dtype}; expected whole numbers "
            "and floating point"
        )
    return exams[()].tolist()


def _tracing(source: Source) -> Float32[np.ndarray, "12 t"]:
    try:
        stat = source.path.stat()
        tracings = _opened(source.path, stat.st_mtime_ns, stat.st_size)
        return np.ascontiguousarray(tracings[source.extra["row"]].T, np.float32)
    except (Hdf5Error, OSError, ValueError, IndexError) as error:
        # h5py raises OSError for damage, and ValueError for what it was not built for.
        raise _unusable(source, f"its row could not be read ({type(error).__name__})") from error


@functools.lru_cache(maxsize=32)
def _opened(path: pathlib.Path, changed_ns: int, size: int) -> Any:
    """The tracings of a part, open as long as the process lives: a row takes less than opening."""
    return dataset(open_hdf5(path), "tracings")


def _unusable(source: Source, detail: str) -> Exception:
    from elm_jax.signals.defects import Defect, UnusableRecording

    return UnusableRecording(Defect(source.file, "bad_array", detail))


def _labels(row: Row, tally: Tally) -> tuple[dict[str, Any], list[str]]:
    """The labels of an exam, and its diagnoses in words."""

    def truth(column: str) -> bool | None:
        text = row[column].lower()
        if text and text not in _TRUTHS:
            detail = f"{column} (line {row.line}) is neither True nor False"
            tally.add(EXAMS, "number_unreadable", detail)
        return _TRUTHS.get(text)

    def number(column: str, low: float, high: float) -> int | float | None:
        value = number_in(row[column], low, high)
        if value is None and row[column].lower() not in ("", "nan"):
            detail = f"{column} (line {row.line}) is not between {low:g} and {high:g}"
            tally.add(EXAMS, "number_unreadable", detail)
        return value

    stated = {name: truth(name) for name in DIAGNOSES}
    male, normal = truth("is_male"), truth("normal_ecg")
    labels: dict[str, Any] = {
        "age": number("age", 0, 150),
        "sex": None if male is None else "male" if male else "female",
        "normal_ecg": normal,
        "nn_predicted_age": number("nn_predicted_age", -100, 250),
        "death": truth("death"),
        "follow_up_years": number("timey", 0, 100),
    }
    known = None not in stated.values()
    names = [name for name, value in stated.items() if value]
    # One that is not known leaves open whether the list is complete.
    labels["diagnosis"] = names if known else None
    words = [DIAGNOSES[name] for name in names] or (["normal ECG"] if normal else [])
    return {name: value for name, value in labels.items() if value is not None}, words
