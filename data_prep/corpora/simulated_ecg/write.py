"""Writes simulated ECGs in PTB-XL's layout: ``python -m data_prep.corpora.simulated_ecg.write``."""

import argparse
import csv
import dataclasses
import datetime
import io
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from data_prep import durable
from data_prep.corpora.base import CorpusError
from data_prep.corpora.simulated_ecg.exams import Exam, draw_exams
from data_prep.corpora.simulated_ecg.simulate import LEADS, SFREQ_HZ, Tracing, simulate
from data_prep.corpora.simulated_ecg.statements import COLUMNS, statement_rows
from data_prep.corpora.simulated_ecg.wording import write_report
from data_prep.work import run_parallel

# Raised whenever the simulation or the wording changes: another version is another corpus.
VERSION = 1
PEOPLE = 400
SETTINGS_NAME = "simulated_ecg.json"
DATABASE_NAME = "ptbxl_database.csv"
STATEMENTS_NAME = "scp_statements.csv"
STEPS_PER_MV = 1000
_NOTE = "SIMULATED ECG, of no real person"
# Short of this a process more is not worth its start.
_EXAMS_PER_PROCESS = 150
_FAST, _SLOW = 500, 100
# Axis of QRS in degrees from -> the column's word; from -30 to 90 it is the usual one.
_AXES = ((-180, "ARAD"), (-90, "ALAD"), (-30, "LAD"), (0, "MID"), (90, "RAD"), (120, "ARAD"))
_STAGES = {"acute": "Stadium I", "recent": "Stadium II", "old": "Stadium III"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which ECGs are simulated.

    Attributes:
      people: how many; about every seventh has two ECGs.
      seed: another seed gives other people, other signals and other wordings.
    """

    people: int = PEOPLE
    seed: int = 0

    def __post_init__(self):
        if self.seed < 0:
            raise CorpusError(f"seed {self.seed}: expected 0 or more")
        draw_exams(min(self.people, 3), 0)  # refuses too few people

    def stated(self) -> dict[str, Any]:
        """What makes the files, JSON-ready."""
        return {"simulated": True, "version": VERSION} | dataclasses.asdict(self)


def write_ecgs(
    out_dir: pathlib.Path | str, settings: Settings, *, workers: int | None = None
) -> int:
    """Writes simulated ECGs, their reports and statements; nothing where they are already.

    ``out_dir`` gets what PTB-XL 1.0.3 has: ``ptbxl_database.csv`` (its device is "SIMULATED"),
    ``scp_statements.csv``, ``records500/00000/00001_hr.hea`` and ``.dat`` (WFDB, 16 bit, 1000 steps
    a millivolt), ``records100`` the same at 100 Hz; and at last ``simulated_ecg.json`` with the
    settings. The same settings give the same bytes.

    Args:
      out_dir: folder to make or to fill.
      settings: which people.
      workers: processes; None: as many as are worth it; 0: work in this one.

    Returns:
      How many ECGs there are.

    Raises:
      CorpusError: the folder holds ECGs of other settings, or other WFDB files.
    """
    out_dir = pathlib.Path(out_dir)
    exams = draw_exams(settings.people, settings.seed)
    if _is_there(out_dir, settings, exams):
        return len(exams)
    out_dir.mkdir(parents=True, exist_ok=True)
    if workers is None:
        workers = min(len(exams) // _EXAMS_PER_PROCESS, os.cpu_count() or 1)
    rows: dict[int, dict[str, Any]] = dict(
        run_parallel(_write_exam, (out_dir, settings.seed), exams, workers)
    )
    table = [rows[index] for index in range(len(exams))]
    _write_csv(out_dir / STATEMENTS_NAME, [COLUMNS, *statement_rows()])
    _write_csv(out_dir / DATABASE_NAME, [tuple(table[0]), *(tuple(r.values()) for r in table)])
    _write_text(out_dir / SETTINGS_NAME, json.dumps(settings.stated(), indent=1) + "\n")
    return len(exams)


def _is_there(out_dir: pathlib.Path, settings: Settings, exams: Sequence[Exam]) -> bool:
    marker = out_dir / SETTINGS_NAME
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found == settings.stated():
            return True
        raise CorpusError(
            f"{out_dir} holds simulated ECGs of {found}, expected {settings.stated()}: remove that "
            "folder, or name another one with --input"
        )
    known = {f"{_record(exam, rate_hz)}.hea" for exam in exams for rate_hz in (_FAST, _SLOW)}
    for path in sorted(out_dir.rglob("*.hea")):
        # Only an interrupted earlier call may have left files here.
        if path.relative_to(out_dir).as_posix() not in known:
            raise CorpusError(
                f"{path} is not of the simulated ECGs: give an empty or new folder with --input"
            )
    return False


def _record(exam: Exam, rate_hz: int) -> str:
    """Where a record lies: a thousand in a folder."""
    folder = f"records{rate_hz}/{exam.ecg_id // 1000 * 1000:05d}"
    return f"{folder}/{exam.ecg_id:05d}_{'hr' if rate_hz == _FAST else 'lr'}"


def _write_exam(state: tuple[pathlib.Path, int], exam: Exam) -> dict[str, Any]:
    from scipy.signal import resample_poly

    out_dir, seed = state
    tracing = simulate(exam, seed)
    slow_mv = resample_poly(tracing.leads_mv, 1, SFREQ_HZ // _SLOW, axis=1)
    for rate_hz, leads_mv in ((_FAST, tracing.leads_mv), (_SLOW, slow_mv)):
        _write_record(out_dir / _record(exam, rate_hz), leads_mv, rate_hz)
    return _row(exam, tracing, seed)


def _write_record(path: pathlib.Path, leads_mv: Float[np.ndarray, "12 t"], rate_hz: int) -> None:
    """A WFDB record in format 16: all leads of a sample, then the next one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.clip(np.rint(leads_mv * STEPS_PER_MV), -32767, 32767).astype("<i2")
    name = path.name
    lines = [f"{name} {len(LEADS)} {rate_hz} {steps.shape[1]}"]
    for lead, row in zip(LEADS, steps, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        lines.append(f"{name}.dat 16 {STEPS_PER_MV}.0(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    with durable.new_file(path.with_name(f"{name}.dat")) as file:
        file.write_bytes(steps.T.tobytes())
    _write_text(path.with_name(f"{name}.hea"), "\n".join([*lines, f"#{_NOTE}", ""]))


def _row(exam: Exam, tracing: Tracing, seed: int) -> dict[str, Any]:
    """The exam's line of the database, columns as PTB-XL has them; what is not known is empty."""
    axis = _axis_word(tracing.axis_deg)
    day = datetime.datetime(1990, 1, 1, 8) + datetime.timedelta(hours=5 * exam.ecg_id)
    scar = exam.infarction
    noisy = {kind: f" , {','.join(leads)}" for kind, leads in tracing.noisy.items()}
    words = {"PVC": "VES", "PAC": "SVES"}
    return {
        "ecg_id": exam.ecg_id,
        "patient_id": f"{exam.patient_id}.0",
        "age": f"{exam.patient.age}.0",
        "sex": int(exam.patient.sex == "female"),
        "height": "",
        "weight": "",
        "nurse": "",
        "site": "",
        "device": "SIMULATED",
        "recording_date": day.isoformat(" "),
        "report": write_report(exam, axis, seed),
        "scp_codes": str(exam.scp_codes()),
        "heart_axis": axis,
        "infarction_stadium1": _STAGES[scar.stage] if scar else "",
        "infarction_stadium2": "",
        "validated_by": "",
        "second_opinion": False,
        "initial_autogenerated_report": False,
        "validated_by_human": True,
        "baseline_drift": noisy.get("baseline", ""),
        "static_noise": noisy.get("static", ""),
        "burst_noise": noisy.get("burst", ""),
        "electrodes_problems": "",
        "extra_beats": f"{exam.ectopic_beats}{words[exam.ectopic]}" if exam.ectopic else "",
        "pacemaker": "",
        "strat_fold": exam.fold,
        "filename_lr": _record(exam, _SLOW),
        "filename_hr": _record(exam, _FAST),
    }


def _axis_word(axis_deg: float) -> str:
    return [word for start, word in _AXES if axis_deg >= start][-1]


def _write_csv(path: pathlib.Path, rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    _write_text(path, text.getvalue())


def _write_text(path: pathlib.Path, text: str) -> None:
    with durable.new_file(path) as file:
        file.write_bytes(text.encode())


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.corpora.simulated_ecg.write",
        description="Writes simulated ECGs with reports and statements in PTB-XL's layout.",
    )
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for the files")
    add("--people", type=int, default=PEOPLE, metavar="N", help="(default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add("--workers", type=int, metavar="N", help="processes (default: as many as are worth it)")
    args = parser.parse_args(argv)
    try:
        count = write_ecgs(args.out, Settings(args.people, args.seed), workers=args.workers)
    except CorpusError as error:
        print(f"write: {error}", file=sys.stderr)
        return 2
    print(f"{count} SIMULATED ECGs of {args.people} people in {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
