"""Small corpora of ECGs in published layouts; imported by the tests here."""

import csv

import numpy as np

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
MIMIC_COLUMNS = (
    "subject_id", "study_id", "cart_id", "ecg_time", *(f"report_{i}" for i in range(18)),
    "bandwidth", "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end",
    "p_axis", "qrs_axis", "t_axis",
)  # fmt: skip


def ecg_mv(leads=STANDARD, sfreq_hz=500.0, seconds=10.0, seed=0):
    """One peak a second, of another height in each lead: 0.1 mV more from lead to lead."""
    time_s = np.arange(int(seconds * sfreq_hz)) / sfreq_hz
    beat = np.exp(-0.5 * (((time_s % 1) - 0.5) / 0.02) ** 2)
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(leads), time_s.size))
    height = np.array([0.5 + 0.1 * STANDARD.index(name) for name in leads])
    return height[:, None] * beat + noise


def write_wfdb(path, signal_mv, leads, *, sfreq_hz=500, per_mv=1000, mat=False, comments=()):
    """``path`` (without a suffix) gets .hea and .dat, or .mat as PhysioNet has it; NaN: -2^15."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.where(np.isnan(signal_mv), -32768, np.rint(np.nan_to_num(signal_mv) * per_mv))
    steps = steps.astype("<i2")
    name = path.name + (".mat" if mat else ".dat")
    n = steps.shape[1]
    lines = [f"{path.name} {len(leads)} {sfreq_hz} {n}"]
    for lead, row in zip(leads, steps, strict=True):
        checksum = int(row.sum(dtype=np.int64)) % 65536
        fmt = "16+24" if mat else "16"
        lines.append(f"{name} {fmt} {per_mv}(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"#{text}" for text in comments]
    path.with_name(f"{path.name}.hea").write_text("\n".join(lines) + "\n")
    # A MATLAB 4 matrix "val": int16, as many rows as leads.
    head = np.array([30, len(leads), n, 0, 4], "<i4").tobytes() + b"val\0" if mat else b""
    path.with_name(name).write_bytes(head + steps.T.tobytes())


def write_csv(path, columns, rows):
    """A table with a first line of names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])


def mimic_path(subject, study):
    """As ``record_list.csv`` has it."""
    return f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"


def mimic_row(subject, study, reports=(), **measured):
    """One row of ``machine_measurements.csv``."""
    values = {"subject_id": subject, "study_id": study, "cart_id": 1, "rr_interval": 800} | measured
    values |= {f"report_{i}": text for i, text in enumerate(reports)}
    return [values.get(name, "") for name in MIMIC_COLUMNS]


def mimic_list(folder, records):
    """Writes ``record_list.csv`` of (subject, study) pairs, or of whole rows."""
    columns = ("subject_id", "study_id", "file_name", "ecg_time", "path")
    rows = [
        row if len(row) == 5 else (*row, row[1], "2180-07-23 08:44:00", mimic_path(*row))
        for row in records
    ]
    write_csv(folder / "record_list.csv", columns, rows)


CODE15_COLUMNS = (
    "exam_id", "age", "is_male", "nn_predicted_age", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF",
    "patient_id", "death", "timey", "normal_ecg", "trace_file",
)  # fmt: skip


def code15_row(exam, patient, *found, **values):
    """One row of ``exams.csv``; ``found`` are columns of diagnoses."""
    row = {"exam_id": exam, "patient_id": patient, "age": 61, "is_male": "True"}
    row |= {"nn_predicted_age": 58.5, "normal_ecg": "False", "trace_file": "exams_part0.hdf5"}
    row |= {name: str(name in found) for name in CODE15_COLUMNS[4:10]} | values
    return [row.get(name, "") for name in CODE15_COLUMNS]


def padded(signal_mv, before, after):
    """``[samples, leads]`` with rows of zeros around it, as CODE-15% stores exams."""
    return np.pad(signal_mv.T.astype(np.float32), ((before, after), (0, 0)))


def write_code15_part(path, exams, tracings, **storage):
    """One part: ``exam_id`` and ``tracings``."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("exam_id", data=np.asarray(exams))
        file.create_dataset("tracings", data=np.stack(tracings), **storage)
