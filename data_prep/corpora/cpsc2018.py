"""The China Physiological Signal Challenge 2018: 6,877 ECGs of 6 to 60 s with nine diagnoses.

Liu et al. 2018, doi:10.1166/jmihi.2018.2442. Read in two layouts: that of the PhysioNet/CinC
Challenge 2020 (``cpsc_2018``: A0001.hea with .mat; and ``cpsc_2018_extra``: Q0001.hea, 3,453 more
with many more diagnoses), and the original one (A0001.mat beside REFERENCE.csv).
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data_prep.corpora.base import CorpusError, Source, walk_files
from data_prep.corpora.challenge import ChallengeCorpus
from data_prep.corpora.snomed import Diagnosis
from data_prep.csv_tables import read_csv_table
from data_prep.places import input_path
from data_prep.report_texts import TextError
from elm_jax.signals.ecg.leads import STANDARD_ORDER

if TYPE_CHECKING:
    from elm_jax.signals.ecg.recording import EcgRecording

#: The nine, in the order of their numbers 1 to 9 in REFERENCE.csv, with the codes that the
#: Challenge 2020 gave them.
NINE = (
    Diagnosis("Normal", "normal sinus rhythm", "426783006"),
    Diagnosis("AF", "atrial fibrillation", "164889003"),
    Diagnosis("I-AVB", "first degree AV block", "270492004"),
    Diagnosis("LBBB", "left bundle branch block", "164909002"),
    Diagnosis("RBBB", "right bundle branch block", "59118001"),
    Diagnosis("PAC", "premature atrial contraction", "284470004"),
    Diagnosis("PVC", "premature ventricular contraction", "164884008"),
    Diagnosis("STD", "ST depression", "429622005"),
    Diagnosis("STE", "ST elevation", "164931005"),
)
_PARTS = {"main": "A", "extra": "Q"}  # part -> first letter of its records
_REFERENCE = "REFERENCE.csv"
_SFREQ_HZ = 500.0


class Cpsc2018(ChallengeCorpus):
    """Recordings by name, such as A0001; ``diagnosis`` is a list of the nine, and of others.

    Other diagnoses have the abbreviations of the Challenge 2020 (complete right bundle branch block
    is CRBBB, and not RBBB), or the number of a code that it does not name.
    """

    name = "cpsc2018"
    institution = "cpsc2018"
    example = "A0001.hea with A0001.mat, or A0001.mat beside REFERENCE.csv"
    own = {item.code: item for item in NINE} | {item.name.upper(): item for item in NINE}

    def records(self, args: argparse.Namespace) -> list[Source]:
        """Lists the headers, or in the original layout the rows of REFERENCE.csv."""
        folder = input_path(args.input)
        tables = walk_files(folder, (_REFERENCE.lower(),)) if folder.is_dir() else []
        if tables and not walk_files(folder, self.file_suffixes):
            return [source for table in tables for source in self._original(table, folder, args)]
        return super().records(args)

    def belongs(self, name: str, args: argparse.Namespace) -> bool:
        """By the first letter of its name; ``--cpsc_part``."""
        wanted = tuple(_PARTS) if args.cpsc_part == "both" else (args.cpsc_part,)
        return name[:1].upper() in {_PARTS[part] for part in wanted}

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Which of the two parts."""
        return super().stated_options(args) | {"cpsc_part": args.cpsc_part}

    def read(self, source: Source, leads: Sequence[str]) -> "EcgRecording":
        """Reads a WFDB record, or the original .mat."""
        if source.kind == "wfdb":
            return super().read(source, leads)
        from elm_jax.signals.ecg.recording import from_array

        signal = _read_original(source.path, source.file)
        return from_array(
            signal, STANDARD_ORDER, _SFREQ_HZ, "mV", rename=self.rename, file=source.file
        )

    def lead_labels(self, source: Source) -> Sequence[str]:
        """Of the original .mat, which has no names: those of its publication."""
        return STANDARD_ORDER if source.kind != "wfdb" else super().lead_labels(source)

    def _original(
        self, table: pathlib.Path, folder: pathlib.Path, args: argparse.Namespace
    ) -> list[Source]:
        """One source a row: its name, and up to three numbers of diagnoses.

        Age and sex stand in the .mat files, which are not opened for a list.
        """
        try:
            rows = read_csv_table(table)
        except TextError as error:
            raise CorpusError(str(error)) from error
        name, *labels = rows.columns
        found = []
        for row, line in zip(rows.rows, rows.lines, strict=True):
            record = row[name].strip()
            path, numbers = table.with_name(f"{record}.mat"), []
            for text in (row[label].strip() for label in labels):
                number = int(text) if text.isdigit() else 0
                if text and not 1 <= number <= len(NINE):
                    raise CorpusError(f"{table}:{line}: diagnosis {text!r}, expected 1 to 9")
                numbers += [number] if text else []
            if not self.belongs(record, args):
                continue
            if not path.is_file():
                self.leave_out(path.relative_to(folder).as_posix(), "file_missing", _REFERENCE)
                continue
            stated = [NINE[number - 1] for number in numbers]
            found.append(
                Source(
                    record,
                    f"{args.institution or self.institution}:{record}",
                    path,
                    path.relative_to(folder).as_posix(),
                    reports=self.texts(args, statements=[item.description for item in stated]),
                    labels={"diagnosis": [item.name for item in stated]},
                    kind="cpsc_mat",
                )
            )
        if not found:
            raise CorpusError(f"{table}: none of its {len(rows.rows)} recordings is there")
        return found


def _read_original(path: pathlib.Path, file: str):
    """The field ``data`` of the structure ``ECG``, millivolts ``[12, t]``.

    Raises:
      UnusableRecording: it is no such file; ``defect`` says what was expected.
    """
    import scipy.io

    from data_prep.corpora.arrays import as_defects, bad_array, mat_errors

    with as_defects(file, "a MATLAB file with the structure ECG", *mat_errors()):
        stored = scipy.io.loadmat(path, variable_names=["ECG"], struct_as_record=False)
        record = stored["ECG"].item()
        signal = getattr(record, "data", None)
    if getattr(signal, "ndim", 0) != 2 or signal.dtype.kind not in "fiu":
        raise bad_array(file, "ECG.data is no array of numbers")
    if len(signal) != len(STANDARD_ORDER) or not signal.shape[1]:
        raise bad_array(file, f"ECG.data is {' x '.join(map(str, signal.shape))}, expected 12 x t")
    return signal
