import numpy as np
import pytest

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


@pytest.fixture(scope="session")
def write_edf():
    """write_edf(path, seconds=20, seed=0, **fields): EEG-like noise from 19 electrodes."""

    def write(path, seconds=20, seed=0, sfreq_hz=100, **fields):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(19, seconds * sfreq_hz)).cumsum(axis=1)
        noise -= np.linspace(0, 1, noise.shape[1]) * noise[:, -1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(edf_bytes(noise * 2, sfreq_hz=sfreq_hz, **fields))
        return path

    return write


@pytest.fixture
def folder(tmp_path, write_edf):
    """Six recordings of three people, with reports."""
    import json

    lines = []
    for i in range(6):
        write_edf(tmp_path / "edf" / f"r{i}.edf", seconds=20 + i, seed=i)
        lines.append(
            {"file": f"r{i}.edf", "person": f"p{i // 2}", "report": f"IMPRESSION: number {i}."}
        )
    (tmp_path / "reports.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return tmp_path


SHORT = "--drop_start_s 0 --cut_multiple_s 5 --min_duration_s 5 --workers 0 --min_shards 2".split()


@pytest.fixture
def run():
    """run("edf_folder --input ...", extra=path): the command in this process; its exit status."""
    from data_prep.prepare import main

    def call(command, **paths):
        words = command.split()
        for name, value in paths.items():
            words += [f"--{name}", str(value)]
        given = set(words)
        pairs = list(zip(SHORT[::2], SHORT[1::2], strict=True))
        return main(words + [w for pair in pairs if pair[0] not in given for w in pair])

    return call


@pytest.fixture
def contents():
    """contents(dir): {relative path: bytes} of everything below."""

    def read(directory):
        return {
            p.relative_to(directory).as_posix(): p.read_bytes()
            for p in sorted(directory.rglob("*"))
            if p.is_file()
        }

    return read
