"""The NMT Scalp EEG Dataset (Khan et al. 2022): each recording normal or abnormal.

    nmt_scalp_eeg_dataset/{normal,abnormal}/{train,eval}/0000024.edf
    nmt_scalp_eeg_dataset/Labels.csv        recordname,label,age,gender,loc

Its recordings are of as many people. Labels: ``pathology``, ``abnormal``, ``age``, ``sex``.

The files state microvolts and hold values 100 times too small for them. They are multiplied by
``--nmt_unit_factor`` before anything else, as the manifest's options say; a recording that is EEG
as stated, and would not be after the factor, is skipped.
"""

import argparse
import dataclasses
import functools
import pathlib
from typing import Any

from data_prep.corpora.base import Corpus, CorpusError, Source
from data_prep.csv_tables import number, plain_name, read_csv_table
from data_prep.findings import finding
from data_prep.report_texts import TextError

SPLITS = {"train": "train", "eval": "test"}
PATHOLOGIES = ("normal", "abnormal")
TABLE = "labels.csv"
_COLUMNS = ("recordname", "label", "age", "gender", "loc")
_SEXES = {"male": "M", "m": "M", "female": "F", "f": "F"}


class Nmt(Corpus):
    """Published splits: train, and eval (test here)."""

    name = "nmt"
    institution = "nmt"
    example = "normal/train/0000024.edf"
    settles_splits = True
    counted_label = "pathology"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings; what the folders do not say is in the table.

        Raises:
          CorpusError: no recording lies in the layout, or the table is not the published one.
        """
        table = _Labels(pathlib.Path(args.input))
        found = self.collect(args, lambda path, file: self._source(path, file, table, args))
        if table.path is None:
            detail = "no such file: ages and sexes are unknown, folders say the rest"
            self.findings.append(finding("Labels.csv", "recording_without_label", detail))
        for name in table.unused():
            self.findings.append(finding(table.path.name, "label_without_recording", name))
        return found

    def _source(
        self, path: pathlib.Path, file: str, table: "_Labels", args: argparse.Namespace
    ) -> Source | None:
        loc, pathology = (folder.name for folder in path.absolute().parents[:2])
        if pathology not in PATHOLOGIES or loc not in SPLITS:
            return self.leave_out(file, "not_in_layout", "not in {normal,abnormal}/{train,eval}")
        stated = table.row(path)
        if stated is None and table.path is not None:
            detail = f"{table.path.name} has no such recordname"
            self.findings.append(finding(file, "recording_without_label", detail))
        for column, here in (("label", pathology), ("loc", loc)):
            said = (stated or {}).get(column, here)
            if said != here:
                other = said if said in (*PATHOLOGIES, *SPLITS) else "something else"
                detail = f"the folder says {here}, {table.path.name} {other}"
                return self.leave_out(file, "label_conflict", detail)
        return Source(
            recording=path.stem,
            person=f"{args.institution or self.institution}:{path.stem}",
            path=path,
            file=file,
            labels={
                "pathology": pathology,
                "abnormal": int(pathology == "abnormal"),
                "eval_set": f"NMT_{loc}",
            }
            | _age_and_sex(stated or {}),
            split=SPLITS[loc],
            extra={"unit_factor": args.nmt_unit_factor},
        )

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """The factor of the unit."""
        return {"nmt_unit_factor": args.nmt_unit_factor}

    def mend(self, source: Source):
        """Multiplies by the factor."""
        return functools.partial(apply_unit_factor, factor=source.extra["unit_factor"])


def apply_unit_factor(recording, factor: float):
    """The recording times a factor, which must not be what takes it out of EEG's range.

    Raises:
      UnusableRecording: its amplitude is EEG's as stated, and would not be after the factor.
    """
    from elm_jax.signals import stretches
    from elm_jax.signals.defects import Defect, UnusableRecording
    from elm_jax.signals.plan import TYPICAL_UV

    if factor == 1:
        return recording
    changes = stretches.changes(recording.signal_uv, recording.sfreq_hz)
    amplitudes_uv = sorted(stretches.amplitude(row) for row in changes)
    typical_uv, (low, high) = amplitudes_uv[len(amplitudes_uv) // 2], TYPICAL_UV
    if low <= typical_uv <= high < typical_uv * factor:
        detail = (
            f"typical amplitude {typical_uv:.3g} uV as stated, {typical_uv * factor:.3g} uV times "
            f"{factor:g}: a copy in which the unit is mended? --nmt_unit_factor 1"
        )
        raise UnusableRecording(Defect(recording.file, "unit_not_wrong", detail))
    return dataclasses.replace(
        recording,
        signal_uv=recording.signal_uv * recording.signal_uv.dtype.type(factor),
        unit=f"{recording.unit} x {factor:g}",
    )


def _age_and_sex(row: dict[str, str]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    age = number(row.get("age", ""))
    if isinstance(age, int | float):
        labels["age"] = age
    if sex := _SEXES.get(row.get("gender", "")):
        labels["sex"] = sex
    return labels


class _Labels:
    """``Labels.csv`` of the release, beside the folders ``normal`` and ``abnormal`` or above.

    Attributes:
      path: of the table; None if there is none.
    """

    def __init__(self, folder: pathlib.Path):
        self.path = self._find(folder)
        self._rows = self._read() if self.path else {}
        self._used: set[str] = set()

    @staticmethod
    def _find(folder: pathlib.Path) -> pathlib.Path | None:
        # --input may be the release, one of its folders, or a folder that holds the release.
        places = [folder, folder.absolute().parent, folder.absolute().parent.parent]
        places += sorted(p for p in folder.glob("*") if p.is_dir())
        for place in filter(pathlib.Path.is_dir, places):
            for file in sorted(place.iterdir()):
                if file.name.lower() == TABLE and file.is_file():
                    return file
        return None

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            table = read_csv_table(self.path)
        except TextError as error:
            raise CorpusError(str(error)) from error
        names = {column.lower(): column for column in table.columns}
        if missing := [column for column in _COLUMNS if column not in names]:
            raise CorpusError(
                f"{self.path}: lacks the columns {', '.join(missing)}; expected NMT's "
                f"{', '.join(_COLUMNS)}"
            )
        rows: dict[str, dict[str, str]] = {}
        for cells, line in zip(table.rows, table.lines, strict=True):
            row = {column: cells[names[column]].strip().lower() for column in _COLUMNS}
            name = _name(row.pop("recordname"))
            if rows.setdefault(name, row) != row:
                raise CorpusError(
                    f"{self.path}:{line}: {name!r} has another label, age, gender or loc than in "
                    "an earlier line"
                )
        return rows

    def row(self, path: pathlib.Path) -> dict[str, str] | None:
        """The row of a recording, or None."""
        name = _name(path.name)
        self._used.add(name)
        return self._rows.get(name)

    def unused(self) -> list[str]:
        """Names of rows that fit no recording."""
        return sorted(set(self._rows) - self._used)


def _name(text: str) -> str:
    """``0000024.edf``, ``0000024.EDF`` and ``0000024`` are one recording."""
    return plain_name(text).lower().removesuffix(".edf")
