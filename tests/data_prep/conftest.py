import numpy as np
import pytest
from layouts import edf_bytes


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
