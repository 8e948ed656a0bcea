"""Small files in the published layouts of corpora that are no EDF; imported by the tests here."""

import argparse
import struct

import h5py
import numpy as np
import scipy.io

from data_prep.corpora import corpus_class


def eeg(rng, rows, samples):
    """EEG-like noise in uV that ends where it began."""
    noise = rng.normal(size=(rows, samples)).cumsum(axis=1)
    return (noise - np.linspace(0, 1, samples) * noise[:, -1:]) * 3


def seed_session(folder, name, rng, *, clips=3, seconds=12, **more):
    """A session of SEED's Preprocessed_EEG: {variable: 62 x time} in uV at 200 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {f"djc_eeg{k + 1}": eeg(rng, 62, seconds * 200 + k) for k in range(clips)} | more
    scipy.io.savemat(folder / f"{name}.mat", values)
    return values


def cnt_file(path, names, signal_uv, sfreq_hz):
    """A Neuroscan .cnt file of 32-bit samples, 0.01 uV a step, without events."""
    n_channels, n_samples = signal_uv.shape
    header = bytearray(900 + 75 * n_channels)
    events_at = len(header) + 4 * signal_uv.size
    header[225:247] = b"01/01/00  00:00:00    "
    for at, kind, value in [
        (370, "<H", n_channels), (376, "<H", sfreq_hz), (864, "<i", n_samples),
        (886, "<i", events_at), (890, "<f", n_samples / sfreq_hz),
    ]:  # fmt: skip
        struct.pack_into(kind, header, at, value)
    for k, name in enumerate(names):
        at = 900 + 75 * k
        header[at : at + len(name)] = name.encode()
        struct.pack_into("<ff", header, at + 19, k % 7 + 1, k // 7 + 1)  # a place on the head
        struct.pack_into("<f", header, at + 59, 204.8)
        struct.pack_into("<f", header, at + 71, 0.01)
    data = np.rint(signal_uv.T * 100).astype("<i4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(header) + data + struct.pack("<Bii", 1, 0, 0))


def m3cv_part(root, part, rows, rng, columns="EpochID,SubjectID,Session,Task,Usage", skip=()):
    """A part of M3CV: its table, and an epoch file a row but for the epochs in ``skip``."""
    (root / part).mkdir(parents=True, exist_ok=True)
    lines = [columns, *(",".join(map(str, row)) for row in rows)]
    (root / f"{part}_Info.csv").write_text("\n".join(lines) + "\n")
    for row in rows:
        if row[0] not in skip:
            epoch = np.concatenate([eeg(rng, 64, 1000), np.zeros((1, 1000))])
            scipy.io.savemat(root / part / f"{row[0]}.mat", {"epoch_data": epoch})


def bbci_file(path, names, signal_uv, sfreq_hz, cues=()):
    """A BBCI file as MATLAB 7.3 saves it; cues are (ms, class counted from 1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:

        def texts(name, words):
            """References to arrays of characters."""
            references = np.empty((len(words), 1), h5py.ref_dtype)
            for k, word in enumerate(words):
                text = np.array([[ord(c)] for c in word], np.uint16)
                references[k, 0] = file.create_dataset(f"#refs#/{name}{k}", data=text).ref
            file.create_dataset(name, data=references)

        texts("nfo/clab", names)
        texts("nfo/className", ["Right Hand", "Left Hand", "Rest", "Feet"])
        for k, row in enumerate(signal_uv):
            file.create_dataset(f"ch{k + 1}", data=row[None])
        file.create_dataset("nfo/fs", data=[[float(sfreq_hz)]])
        file.create_dataset("nfo/T", data=[[float(signal_uv.shape[1])]])
        file.create_dataset("mrk/time", data=np.array([[t for t, _ in cues]], float))
        one_hot = np.eye(4)[[int(n) - 1 for _, n in cues]] if cues else np.zeros((0, 4))
        file.create_dataset("mrk/y", data=one_hot)
        file.create_dataset("mrk/event/desc", data=np.array([[n for _, n in cues]], float))


def listed(name, folder, **more):
    """The corpus and its sources by name."""
    given = {"institution": None, "split_by": "person", "cut": "recordings", "event_labels": None}
    args = argparse.Namespace(input=folder, **given | more)
    corpus = corpus_class(name)()
    return corpus, sorted(corpus.sources(args), key=lambda s: s.recording)
