"""Small corpora in published layouts, and what to do with them; imported by the tests here."""

import json

import numpy as np

from data_prep.prepare import main

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
