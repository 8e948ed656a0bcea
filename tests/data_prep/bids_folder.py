"""A small BIDS folder of EEG in several formats; imported by the tests here."""

import json

import numpy as np

ELECTRODES = ("Fp1", "Fp2", "C3", "Cz", "C4", "O1", "O2")
RATE_HZ, SECONDS = 250, 20


def raw_of(seed, channels=ELECTRODES, seconds=SECONDS):
    """EEG-like noise as an mne Raw; volts."""
    import mne

    x = np.random.default_rng(seed).normal(size=(len(channels), seconds * RATE_HZ)).cumsum(axis=1)
    x -= np.linspace(0, 1, x.shape[1]) * x[:, -1:]
    info = mne.create_info(list(channels), RATE_HZ, "eeg")
    return mne.io.RawArray(x * 2e-6, info, verbose="ERROR")


def write_set(path, raw):
    """An EEGLAB file that holds its samples itself."""
    import scipy.io

    place = {name: [] for name in ("X", "Y", "Z", "theta", "radius")}
    chanlocs = np.array(
        [tuple([name, "EEG", *place.values()]) for name in raw.ch_names],
        dtype=[(k, object) for k in ("labels", "type", *place)],
    )
    eeg = {
        "data": raw.get_data() * 1e6, "srate": RATE_HZ, "nbchan": len(raw.ch_names),
        "pnts": len(raw.times), "trials": 1, "xmin": 0.0, "xmax": raw.times[-1], "event": [],
        "chanlocs": chanlocs, "setname": "test", "ref": "common", "icawinv": [], "epoch": [],
        "chaninfo": {"nodatchans": []}, "comments": "", "history": "", "etc": [],
    }  # fmt: skip
    scipy.io.savemat(path, {"EEG": eeg}, appendmat=False, oned_as="row")


def write_raw(path, raw):
    """Writes a recording by the suffix of its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".set":
        write_set(path, raw)
    elif path.suffix == ".fif":
        raw.save(path, verbose="ERROR", overwrite=True)
    elif path.suffix == ".vhdr":
        import pybv

        pybv.write_brainvision(
            data=raw.get_data(), sfreq=RATE_HZ, ch_names=raw.ch_names, fname_base=path.stem,
            folder_out=path.parent, unit="µV", overwrite=True,
        )  # fmt: skip
    else:
        import edfio

        signal, file = (
            (edfio.BdfSignal, edfio.Bdf) if path.suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
        )
        rows = [
            signal(1e6 * x, RATE_HZ, label=name, physical_dimension="uV")
            for name, x in zip(raw.ch_names, raw.get_data(), strict=True)
        ]
        file(rows).write(path)


def recording(folder, name, suffix=".edf", seed=0, events=None, channels=ELECTRODES, bad=()):
    """Writes ``sub-01[_ses-a]_task-rest`` with its tables; returns the recording's path."""
    parts = dict(part.split("-") for part in name.split("_"))
    session = [f"ses-{parts['ses']}"] if "ses" in parts else []
    place = folder.joinpath(f"sub-{parts['sub']}", *session, "eeg")
    path = place / f"{name}_eeg{suffix}"
    write_raw(path, raw_of(seed, channels))
    rows = [f"{c}\tEEG\tuV\t{'bad' if c in bad else 'good'}" for c in channels]
    text = "\n".join(["name\ttype\tunits\tstatus", *rows])
    (place / f"{name}_channels.tsv").write_text(text + "\n")
    about = {"TaskName": parts.get("task", ""), "PowerLineFrequency": 50, "SamplingFrequency": 250,
             "EEGReference": "Cz", "SoftwareFilters": "n/a"}  # fmt: skip
    (place / f"{name}_eeg.json").write_text(json.dumps(about))
    if events is not None:
        text = "\n".join(["onset\tduration\ttrial_type", *("\t".join(map(str, e)) for e in events)])
        (place / f"{name}_events.tsv").write_text(text + "\n")
    return path


def describe(folder, participants=None, name="Small study"):
    """Writes what stands at the top: the data set's name and the table of participants."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"Name": name, "BIDSVersion": "1.9.0"}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    if participants is not None:
        rows = ["\t".join(row) for row in [("participant_id", "age", "sex"), *participants]]
        (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
