"""Small corpora in published layouts, and what to do with them; imported by the tests here."""

import json

import numpy as np

from data_prep.prepare import main

ELECTRODES = (
    "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2"
).split()  # fmt: skip


def edf_bytes(
    signal_uv,
    labels=tuple(f"EEG {e}" for e in ELECTRODES),
    sfreq_hz=100,
    *,
    patient="X X X X",
    recording="Startdate X X X X",
    date="01.01.85",
    transducer="",
    prefilter="",
    annotation=None,
):
    """An EDF file of one-second records; with an annotation, EDF+C."""
    n_records = signal_uv.shape[1] // sfreq_hz
    rows = [
        [label, transducer, "uV", "-3276.8", "3276.7", "-32768", "32767", prefilter, str(sfreq_hz)]
        for label in labels
    ]
    tal_samples = 60
    if annotation is not None:
        rows.append(["EDF Annotations", "", "", "-1", "1", "-32768", "32767", "", str(tal_samples)])
    widths = [16, 80, 8, 8, 8, 8, 8, 80, 8]
    fields = [
        ("0", 8), (patient, 80), (recording, 80), (date, 8), ("00.00.00", 8),
        (str(256 * (len(rows) + 1)), 8), ("EDF+C" if annotation is not None else "", 44),
        (str(n_records), 8), ("1", 8), (str(len(rows)), 4),
    ]  # fmt: skip
    fields += [(row[k], w) for k, w in enumerate(widths) for row in rows]
    fields += [("", 32) for _ in rows]
    header = "".join(text.ljust(width)[:width] for text, width in fields).encode("latin-1")
    digital = np.rint(signal_uv * 10).astype("<i2")
    out = [header]
    for r in range(n_records):
        out.append(digital[:, r * sfreq_hz : (r + 1) * sfreq_hz].tobytes())
        if annotation is not None:
            tal = f"+{r}\x14\x14\x00"
            if r == 1:
                tal += f"+{r}.5\x14{annotation}\x14\x00"
            out.append(tal.encode().ljust(2 * tal_samples, b"\0"))
    return b"".join(out)


LE = tuple(
    f"EEG {e}-LE"
    for e in "FP1 FP2 F7 F3 FZ F4 F8 T3 C3 CZ C4 T4 T5 P3 PZ P4 T6 O1 O2".split()
)  # fmt: skip
REF = tuple(name.replace("-LE", "-REF") for name in LE)


def prepare(corpus, folder, out, *more):
    """The command in this process; its exit status."""
    words = [corpus, "--input", folder, "--out", out, "--workers", 0, "--min_shards", 1, *more]
    return main([str(word) for word in words])


def rec(path, *rows, end="\n"):
    """A .rec file of (start, stop, code), each marked on channels 0 and 5."""
    lines = [f"{c},{a:.4f},{b:.4f},{code}" for c in (0, 5) for a, b, code in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def csv_bi(path, *rows, duration="60.00", end="\n", version="csv_v1.0.0"):
    """A .csv_bi file of (start, stop, label)."""
    lines = [
        f"# version = {version}", f"# bname = {path.stem}", f"# duration = {duration} secs",
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt", "#",
        "channel,start_time,stop_time,label,confidence",
        *(f"TERM,{a:.4f},{b:.4f},{label},1.0000" for a, b, label in rows),
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def kinds(manifest):
    """Kinds of the manifest's defects, sorted."""
    return sorted(defect["kind"] for defect in manifest.defects)


def records(directory, split):
    """(start_s, labels, int16 signal) of every stored record of a split."""
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(directory).as_data_source(split=split)
    return [(float(r["start_s"]), json.loads(r["labels"]), np.asarray(r["signal"])) for r in source]


def whole(path):
    """A recording prepared without any cut, int16: windows must be parts of it."""
    from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, prepare_file

    (piece,), _ = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    return np.rint(piece.signal * np.float32(32)).astype(np.int16)
