"""M3CV (Huang et al. 2022): 106 people, two days, six paradigms, in epochs of 4 s.

    aistudio/Enrollment_Info.csv      EpochID,SubjectID,Session,Task,Usage    (day 1)
    aistudio/Calibration_Info.csv     the same columns                        (day 2)
    aistudio/Testing_Info.csv                                                 (day 2)
    aistudio/Enrollment/epoch000001.mat     epoch_data: 65 x 1000, uV at 250 Hz, row 65 markers

The competition's other release calls the columns ``subject``, ``session`` and ``condition``. The
epochs of one person, session and task are one recording, each a gap-free stretch of its own; labels
are ``task`` (its number) and ``part`` (the folder). About 57,000 files are read: list and prepare
them from a disk.

- People are ``m3cv:sub021``. The competition's parts ask who somebody is and so share their people:
  they are no split here, and people are split by the seed. Epochs of the test part whose person was
  kept secret are left out: whoever they are may be in training.
- The release names no rows. The order taken is that of torcheeg's table (64 electrodes of an
  Easycap, the recording's reference FCz last); it is the only one that public code states.
- The epochs are filtered (0.01-200 Hz, a notch at 50 Hz), referenced to TP9 and TP10, and cleaned
  of eye movements by their publisher. EEGPT's published script can read them and leaves them out.
"""

import argparse
import pathlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import ArrayCorpus, none_found, read_mat, require_shape
from data_prep.corpora.base import CorpusError, Source, find_files
from data_prep.csv_tables import read_csv_table
from data_prep.findings import finding
from data_prep.places import input_path
from data_prep.report_texts import TextError

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

CHANNELS = (
    "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 FZ CZ PZ FC1 FC2 CP1 CP2 FC5 FC6 CP5 CP6 "
    "FT9 FT10 TP9 TP10 F1 F2 C1 C2 P1 P2 AF3 AF4 FC3 FC4 CP3 CP4 PO3 PO4 F5 F6 C5 C6 P5 P6 "
    "AF7 AF8 FT7 FT8 TP7 TP8 PO7 PO8 FPZ CPZ POZ OZ FCZ"
).split()
SFREQ_HZ = 250.0
EPOCH_SAMPLES = 1000
PARTS = ("Enrollment", "Calibration", "Testing")

# What is meant -> column names of the two releases, in small letters.
_COLUMNS = {
    "epoch": ("epochid",),
    "person": ("subjectid", "subject"),
    "session": ("session",),
    "task": ("task", "condition"),
}
_UNKNOWN_PEOPLE = ("", "none", "nan", "unknown", "intruder", "0", "-1")


class M3cv(ArrayCorpus):
    """A person's epochs of one session and task as a recording."""

    name = "m3cv"
    institution = "m3cv"
    example = "aistudio/Enrollment_Info.csv with aistudio/Enrollment/epoch000001.mat"
    counted_label = "task"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    channels = tuple(CHANNELS)

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings out of the tables.

        Raises:
          CorpusError: no table, a table without its columns, or no epoch that a table names.
        """
        folder = input_path(args.input)
        tables = {
            part: path
            for path in find_files(folder, (".csv",))
            for part in PARTS
            if path.name.lower() == f"{part}_Info.csv".lower()
        }
        found = []
        for part, table in tables.items():
            found += self._of_part(part, table, folder, args)
        if not found:
            raise none_found(self, folder)
        return found

    def _of_part(
        self, part: str, table: pathlib.Path, folder: pathlib.Path, args: argparse.Namespace
    ) -> list[Source]:
        name = table.relative_to(folder).as_posix()
        where = table.parent / part
        sizes = {p.name: p.stat().st_size for p in where.glob("*.mat")} if where.is_dir() else {}
        groups: dict[tuple[str, str, str], list[list[Any]]] = {}
        unknown, missing = 0, 0
        for row in _rows(table):
            file = f"{row['epoch'].removesuffix('.mat')}.mat"
            if row["person"].lower() in _UNKNOWN_PEOPLE:
                unknown += 1
            elif file not in sizes:
                missing += 1
            else:
                key = (row["person"], row["session"], row["task"])
                groups.setdefault(key, []).append([file, sizes[file]])
        if unknown:
            detail = f"{unknown} epochs whose person is kept secret"
            self.findings.append(finding(name, "person_unknown", detail))
        if missing:
            detail = f"{missing} epochs of the table have no file in {part}"
            self.findings.append(finding(name, "file_missing", detail))
        institution = args.institution or self.institution
        return [
            Source(
                recording=f"{part}_{person}_{session or 'session'}_{task}",
                person=f"{institution}:{person}",
                path=where / epochs[0][0],
                file=(where / epochs[0][0]).relative_to(folder).as_posix(),
                labels={"task": task, "part": part} | ({"session": session} if session else {}),
                kind="mat",
                extra={"epochs": sorted(epochs)},
            )
            for (person, session, task), epochs in groups.items()
        ]

    def read(self, source: Source) -> "Recording":
        """All epochs of a person, session and task."""
        from elm_jax.signals.recording import from_arrays

        trials = []
        for name, _ in source.extra["epochs"]:
            file = (pathlib.PurePosixPath(source.file).parent / name).as_posix()
            x = read_mat(source.path.parent / name, "epoch_data", file)
            if x.ndim == 2 and x.shape[0] == len(CHANNELS) + 1:
                x = x[:-1]  # the last row holds markers
            require_shape(x, (len(CHANNELS), EPOCH_SAMPLES), file, "epoch_data without its markers")
            trials.append(x.astype("float32"))
        return from_arrays(trials, CHANNELS, SFREQ_HZ, "uV", rename=self.meant, file=source.file)


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The table's cells by what they mean; a column that one release lacks gives "".

    Raises:
      CorpusError: it is no table, or lacks epochs, people or tasks.
    """
    try:
        table = read_csv_table(path)
    except TextError as error:
        raise CorpusError(str(error)) from error
    by_name = {column.strip().lower(): column for column in table.columns}
    columns = {
        meant: next((by_name[name] for name in names if name in by_name), None)
        for meant, names in _COLUMNS.items()
    }
    if missing := [" or ".join(_COLUMNS[m]) for m in ("epoch", "task") if columns[m] is None]:
        raise CorpusError(
            f"{path}: lacks the columns {', '.join(missing)}; expected M3CV's EpochID, SubjectID, "
            "Session, Task"
        )
    return [
        {meant: row[column].strip() if column else "" for meant, column in columns.items()}
        for row in table.rows
    ]
