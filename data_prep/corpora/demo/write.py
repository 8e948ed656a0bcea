"""Writes the demo corpus: EDF files in TUH's layout and naming, and their reports file."""

import json
import pathlib

import numpy as np

from data_prep.corpora.base import CorpusError
from data_prep.corpora.demo.exams import Exam, draw_exams
from data_prep.corpora.demo.geometry import ELECTRODES
from data_prep.corpora.demo.simulate import SFREQ_HZ, simulate
from data_prep.corpora.demo.wording import write_report

# Raised whenever the simulation or the wording changes: another version is another corpus.
VERSION = 1
REPORTS_NAME = "reports.jsonl"
SETTINGS_NAME = "demo_corpus.json"
# 0.1 microvolts a step, as many amplifiers have it.
PHYSICAL_RANGE_UV = (-3276.8, 3276.7)


def write_demo_corpus(
    out_dir: pathlib.Path | str, *, people: int = 96, seed: int = 0
) -> pathlib.Path:
    """Writes simulated recordings and their reports; nothing is done where they are already.

    ``out_dir`` gets ``edf/000/<person>/s001_2000/01_tcp_ar/<person>_s001_t000.edf`` (250 Hz, one
    or two recordings of 76 to 100 s a person), ``reports.jsonl`` (a line a recording with report,
    file, person, split, age, sex, ``simulated`` and a yes or no for every finding) and, last,
    ``demo_corpus.json`` with the settings. The same settings give the same bytes.

    Args:
      out_dir: folder to make or to fill.
      people: simulated people, two or more; every third is for testing.
      seed: another seed gives other people.

    Returns:
      The path of the reports file.

    Raises:
      CorpusError: the folder holds a demo corpus of other settings, or other EDF files.
    """
    out_dir = pathlib.Path(out_dir)
    settings = {"simulated": True, "people": people, "seed": seed, "version": VERSION}
    reports, marker = out_dir / REPORTS_NAME, out_dir / SETTINGS_NAME
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != settings:
            raise CorpusError(
                f"{out_dir} holds a demo corpus of {found}, expected {settings}: remove that "
                "folder, or name another one with --input"
            )
        return reports
    exams = draw_exams(people, seed)
    known = {relative_path(exam) for exam in exams}
    for path in sorted(out_dir.rglob("*.edf")):
        # Only an interrupted earlier call may have left files here.
        if path.relative_to(out_dir).as_posix() not in known:
            raise CorpusError(
                f"{path} is not of the demo corpus: give an empty or new folder with --input"
            )
    lines = [json.dumps(_write_exam(out_dir, exam, seed), sort_keys=False) for exam in exams]
    reports.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    marker.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return reports


def relative_path(exam: Exam) -> str:
    """Where an exam's EDF file lies, as TUH lays them out."""
    session = exam.recording.split("_")[1]
    return f"edf/000/{exam.person}/{session}_2000/01_tcp_ar/{exam.recording}.edf"


def _write_exam(out_dir: pathlib.Path, exam: Exam, seed: int) -> dict:
    file = relative_path(exam)
    path = out_dir / file
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_edf(path, exam, simulate(exam, seed))
    return {
        "recording": exam.recording,
        "person": exam.person,
        "file": file,
        "split": exam.split,
        "simulated": True,
        "age": exam.age,
        "sex": exam.sex,
        **exam.labels(),
        "report": write_report(exam, seed),
    }


def _write_edf(path: pathlib.Path, exam: Exam, channels_uv: dict[str, np.ndarray]) -> None:
    import edfio

    signals = [
        edfio.EdfSignal(
            np.clip(channels_uv[name], *PHYSICAL_RANGE_UV).astype(np.float64),
            SFREQ_HZ,
            label=f"EEG {name}-REF" if name != "PHOTIC" else "PHOTIC-REF",
            physical_dimension="uV",
            physical_range=PHYSICAL_RANGE_UV,
            transducer_type="SIMULATED",
        )
        for name in (*ELECTRODES[:21], "EKG1", *ELECTRODES[21:], "PHOTIC")
    ]
    # TUH's files carry these channels of one sample a second; here they stay empty.
    signals += [
        edfio.EdfSignal(np.zeros(exam.duration_s), 1, label=label, physical_range=(-1, 1))
        for label in ("IBI", "BURSTS", "SUPPR")
    ]
    patient = edfio.Patient(
        code=exam.person, sex=exam.sex, name="SIMULATED", additional=(f"Age:{exam.age}",)
    )
    edf = edfio.Edf(
        signals,
        patient=patient,
        recording=edfio.Recording(equipment_code="SIMULATED"),
        data_record_duration=1.0,
    )
    edf.write(path)
