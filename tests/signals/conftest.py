"""Small EDF files, written byte by byte so that tests can spoil any of them."""

import dataclasses
import pathlib

import numpy as np
import pytest

ELECTRODES = (
    "Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2",
    "F7", "F8", "T3", "T4", "T5", "T6", "Fz", "Cz", "Pz",
)  # fmt: skip
SECRETS = ("Jane", "Smith", "04-MAY-1961", "555-1234", "Dr_Who", "collapsed at home")


def eeg_like(n_channels: int, n: int, sfreq_hz: float, seed: int = 0) -> np.ndarray:
    """About 20 uV of noise with alpha, float64 [c, n]."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((n_channels, n + 50))
    noise = np.apply_along_axis(np.convolve, 1, white, np.exp(-np.arange(51) / 8), "valid") * 6
    t = np.arange(n) / sfreq_hz
    return noise + 15 * np.sin(2 * np.pi * 10 * t + rng.uniform(0, 6, (n_channels, 1)))


@dataclasses.dataclass
class EdfFile:
    """What to write; fields can be overridden with text that no writer would put there."""

    signals_uv: np.ndarray
    sfreq_hz: int = 200
    labels: tuple[str, ...] = tuple(f"EEG {e.upper()}-REF" for e in ELECTRODES)
    unit: str = "uV"
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    unit_uv: float = 1.0  # microvolts per unit
    digital: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    widths: dict[str, str] = dataclasses.field(default_factory=dict)
    reserved: str = ""
    n_records: str | None = None
    date: str = "04.05.21"
    onsets_s: list[float] | None = None
    record_s: str = "1"
    patient: str = "X"
    recording: str = "X"
    annotation: str = ""
    limit_uv: float = 3276.7

    def bytes(self) -> bytes:
        n = self.signals_uv.shape[1] // self.sfreq_hz
        labels = list(self.labels)
        limit = self.limit_uv / self.unit_uv
        digital = np.clip(np.round(self.signals_uv / self.limit_uv * 32767), -32767, 32767)
        digital = digital.astype("<i2")[:, : n * self.sfreq_hz].reshape(len(labels), n, -1)
        records = [digital.transpose(1, 0, 2).reshape(n, -1).view(np.uint8)]
        if self.onsets_s is not None or self.annotation:
            labels.append("EDF Annotations")
            onsets = self.onsets_s if self.onsets_s is not None else range(n)
            tals = [f"+{o:g}\x14\x14\0+{o:g}\x14{self.annotation}\x14\0".encode() for o in onsets]
            tals = [np.frombuffer(t.ljust(120, b"\0"), np.uint8) for t in tals]
            records.append(np.stack(tals))
        fields = [(label, *self._numbers(label, f"{limit:.8g}"[:7])) for label in labels]
        head = (
            "0".ljust(8) + self.patient.ljust(80) + self.recording.ljust(80) + self.date.ljust(8)
            + "10.20.30" + str(256 * (len(labels) + 1)).ljust(8) + self.reserved.ljust(44)
            + (str(n) if self.n_records is None else self.n_records).ljust(8)
            + self.record_s.ljust(8) + str(len(labels)).ljust(4)
        )  # fmt: skip
        for column, width in enumerate((16, 80, 8, 8, 8, 8, 8, 80, 8, 32)):
            head += "".join(f[column][:width].ljust(width) for f in fields)
        return head.encode("latin-1") + np.concatenate(records, axis=1).tobytes()

    def _numbers(self, label: str, limit: str) -> tuple[str, ...]:
        if label == "EDF Annotations":
            return ("", "", "-1", "1", "-32768", "32767", "", "60", "")
        low, high = self.digital.get(label, ("-32767", "32767"))
        width = self.widths.get(label, str(self.sfreq_hz))
        unit = self.units.get(label, self.unit)
        return ("AgAgCl", unit, "-" + limit, limit, low, high, "HP:0.1Hz", width, "")

    def write(self, path: pathlib.Path) -> pathlib.Path:
        path.write_bytes(self.bytes())
        return path


@pytest.fixture
def edf(tmp_path):
    """edf(**changes) writes a 70 s recording of 19 electrodes at 200 Hz and returns its path."""

    def make(name="a.edf", seconds=70, spoil=None, **changes) -> pathlib.Path:
        rate = changes.get("sfreq_hz", 200)
        labels = changes.get("labels", EdfFile.labels)
        changes.setdefault("signals_uv", eeg_like(len(labels), seconds * rate, rate))
        path = EdfFile(**changes).write(tmp_path / name)
        if spoil:
            path.write_bytes(spoil(path.read_bytes()))
        return path

    return make
