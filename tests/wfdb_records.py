"""Small WFDB records and corpora of ECGs in their published layouts, written by hand."""

import csv
import pathlib

import numpy as np

TWELVE = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def beats(n_leads=12, seconds=10.0, sfreq_hz=100.0, seed=0, rate_hz=1.2):
    """Millivolts ``[c, t]`` on the grid of a gain of 1000: spikes of 1 mV, every lead another."""
    t = np.arange(round(seconds * sfreq_hz)) / sfreq_hz
    phase = (t * rate_hz + 0.1 * seed) % 1.0
    qrs, wave = np.exp(-(((phase - 0.4) / 0.02) ** 2)), np.exp(-(((phase - 0.7) / 0.06) ** 2))
    rng = np.random.default_rng(seed)
    heights = rng.uniform(0.4, 1.2, n_leads)[:, None]
    noise = rng.normal(0, 0.01, (n_leads, len(t)))
    return np.round((heights * (qrs + 0.3 * wave) + noise) * 1000) / 1000


def write_record(
    folder, name, signal_mv, labels=TWELVE, sfreq_hz=100, *, gain="1000/mV", mat=False, comments=(),
    checksum=True, steps_per_mv=1000,
):  # fmt: skip
    """Writes NAME.hea with NAME.dat (or .mat, as the challenges have it); NaN is WFDB's -32768."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.where(np.isnan(signal_mv), -32768, np.round(np.nan_to_num(signal_mv) * steps_per_mv))
    steps = steps.astype("<i2")
    file, fmt = (f"{name}.mat", "16+24") if mat else (f"{name}.dat", "16")
    content = steps.T.tobytes()
    if mat:  # MATLAB 4: a matrix "val" of int16
        content = np.array([30, *steps.shape, 0, 4], "<i4").tobytes() + b"val\0" + content
    (folder / file).write_bytes(content)
    sums = steps.astype(np.int64).sum(axis=1) % 65536 if checksum else np.zeros(len(steps), int)
    lines = [f"{name} {len(steps)} {sfreq_hz:g} {steps.shape[1]}"] + [
        f"{file} {fmt} {gain} 16 0 {row[0]} {total if checksum else ''} 0 {label}".rstrip()
        for row, total, label in zip(steps, sums, labels, strict=True)
    ]
    text = "\n".join([*lines, *(f"#{line}" for line in comments)]) + "\n"
    (folder / f"{name}.hea").write_text(text)
    return folder / f"{name}.hea"


STATEMENTS = (
    ("NORM", "normal ECG", 1.0, "", "", "NORM", "NORM"),
    ("IMI", "inferior myocardial infarction", 1.0, "", "", "MI", "IMI"),
    ("NDT", "non-diagnostic T abnormalities", 1.0, 1.0, "", "STTC", "STTC"),
    ("LVOLT", "low QRS voltages", "", 1.0, "", "", ""),
    ("SR", "sinus rhythm", "", "", 1.0, "", ""),
)
#: ecg_id -> what differs from the first row.
ROWS = {
    1: {},
    2: {"scp_codes": "{'NDT': 0.0, 'IMI': 35.0}", "sex": "1", "strat_fold": "9", "age": "300.0"},
    3: {"scp_codes": "{'SR': 0.0}", "strat_fold": "10", "report": "", "age": ""},
    4: {"patient_id": "11.0", "scp_codes": "{'NORM': 80.0, 'NEW': 0.0}", "strat_fold": "2"},
}
_FIRST = {
    "patient_id": "10.0", "age": "56.0", "sex": "0", "height": "", "weight": "63.0",
    "site": "0.0", "device": "CS-12   E", "report": "sinusrhythmus, normales ekg",
    "scp_codes": "{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}", "heart_axis": "LAD",
    "validated_by_human": "True", "baseline_drift": " , V6", "pacemaker": "", "strat_fold": "1",
}  # fmt: skip


def write_ptbxl(folder, rows=ROWS, rates=(100, 500), **more):
    """PTB-XL's two tables and the records of ``rows``; ``more`` is for :func:`write_record`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"scp_statements.csv": statements_table(), "ptbxl_database.csv": []}
    columns = ["ecg_id", *_FIRST, "filename_lr", "filename_hr"]
    tables["ptbxl_database.csv"].append(columns)
    for ecg_id, changes in rows.items():
        person = {"patient_id": f"{20 + ecg_id}.0"} if changes else {}
        files = {f"filename_{s}": f"records{n}/00000/{ecg_id:05d}_{s}" for n, s in _SUFFIXES}
        row = {"ecg_id": str(ecg_id)} | _FIRST | person | files | changes
        tables["ptbxl_database.csv"].append([row[name] for name in columns])
        for rate, suffix in _SUFFIXES:
            if rate in rates:
                x = beats(sfreq_hz=rate, seed=ecg_id)
                parent = folder / f"records{rate}" / "00000"
                write_record(parent, f"{ecg_id:05d}_{suffix}", x, sfreq_hz=rate, **more)
    for name, lines in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return folder


_SUFFIXES = ((100, "lr"), (500, "hr"))


def statements_table():
    """The lines of a small scp_statements.csv."""
    head = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class",
            "diagnostic_subclass")  # fmt: skip
    return [head, *STATEMENTS]
