"""WFDB records (PhysioNet): a text header (.hea) and the files of samples that it names.

The samples are read by the package ``wfdb``. What it passes over in silence is looked at here, in
the header's own text: a gain of 0 (uncalibrated: 200 steps per unit stand in, as the format's
documentation has it), a rate that is missing (250 Hz likewise) or is no number, files that are
missing or end early, names of files that point elsewhere, checksums.
"""

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.ecg.recording import EcgRecording, factors_mv, select_leads, wanted_rows

# Bytes of a sample in each format of fixed size; compressed ones are not here.
_BYTES = {
    "8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3,
    "311": 4 / 3,
}  # fmt: skip
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::\d+)?(?:\+(\d+))?")  # 16x2:skew+24
_GAIN = re.compile(r"([+-]?[\d.]+(?:[eE][+-]?\d+)?)(\([+-]?\d+\))?(/\S+)?")
_RATE = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ASSUMED_GAIN, _ASSUMED_HZ = 200.0, 250.0


def require_wfdb() -> Any:
    """The package, imported.

    Raises:
      ImportError: it is not installed; says how.
    """
    try:
        import wfdb
    except ImportError as error:
        raise ImportError(
            "reading WFDB records (.hea) needs the package wfdb: pip install 'elm_jax[ecg]'"
        ) from error
    return wfdb


def header_path(path: str | os.PathLike) -> pathlib.Path:
    """The header of a record, which may be named by it, by a file of samples, or by neither.

    ``00001_lr``, ``00001_lr.hea`` and ``00001_lr.dat`` are one record.
    """
    path = pathlib.Path(path)
    if path.suffix == ".hea":
        return path
    named = path.with_name(f"{path.name}.hea")
    return named if named.exists() or not path.suffix else path.with_suffix(".hea")


@dataclasses.dataclass(frozen=True)
class HeaderText:
    """The lines of a header that say more than ``wfdb`` tells.

    Attributes:
      record: tokens of the line of the record.
      signals: tokens of the line of each signal (or segment).
      comments: what follows "#", line by line, without empty lines.
    """

    record: tuple[str, ...]
    signals: tuple[tuple[str, ...], ...]
    comments: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "HeaderText":
        """Takes a header's text apart."""
        lines, comments = [], []
        for line in text.splitlines():
            content, hash_, comment = line.partition("#")
            if hash_ and comment.strip():
                comments.append(comment.strip())
            if content.strip():
                lines.append(tuple(content.split()))
        return cls(lines[0] if lines else (), tuple(lines[1:]), tuple(comments))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of samples, each once."""
        return tuple(dict.fromkeys(tokens[0] for tokens in self.signals if tokens[0] != "~"))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the signals are called; "" for one without a name."""
        return tuple(" ".join(tokens[8:]) for tokens in self.signals)

    @property
    def segmented(self) -> bool:
        """Whether the record is of several segments, each a record of its own."""
        return bool(self.record) and "/" in self.record[0]


def read_header_text(path: pathlib.Path, file: str) -> HeaderText:
    """Reads a header's lines; no signal is looked at.

    Raises:
      UnusableRecording: no such file, or no header; ``defect`` says why.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        detail = error.strerror or "not readable"
        raise UnusableRecording(Defect(file, "unreadable_file", detail)) from error
    text = HeaderText.of(raw.decode("utf-8", errors="replace"))
    if len(text.record) < 2 or not re.fullmatch(r"\d+", text.record[1]):
        raise _bad(file, "its first line does not begin with a record's name and a count")
    if len(text.record) > 2 and not _RATE.match(text.record[2]):
        raise _bad(file, "the sampling rate is not a number")
    if len(text.record) > 3 and not re.fullmatch(r"\d+", text.record[3]):
        raise _bad(file, "the number of samples is not a count")
    signals = int(text.record[1])
    if not text.segmented and len(text.signals) != signals:
        raise _bad(file, f"{signals} signals are stated, and {len(text.signals)} described")
    if wrong := [name for name in text.files if _elsewhere(name)]:
        raise _bad(file, f"{len(wrong)} of its files lie outside of its folder: not opened")
    return text


def read_wfdb(
    path: str | os.PathLike,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
    leads: Collection[str] | None = None,
) -> EcgRecording:
    """Reads a WFDB record.

    Args:
      path: the record's name, its header, or one of its files of samples.
      rename: channel label in the file -> lead meant (None: leave it out).
      file: the name to say in defects; the header's own name if None.
      leads: canonical names to load; every lead if None.

    Raises:
      UnusableRecording: the record can not be read, or has no leads; ``defect`` says why.
      ImportError: ``wfdb`` is not installed.
    """
    wfdb = require_wfdb()
    header = header_path(path)
    file = header.name if file is None else file
    text = read_header_text(header, file)
    if text.segmented:
        return _joined(header, text, rename, file, leads)
    name = os.fspath(header.with_name(header.name.removesuffix(".hea")).absolute())
    selection = select_leads(text.labels, rename, file)
    wanted = wanted_rows(selection, leads)
    samples, defects = _length(header, text, file)
    signal, units, more = _samples(wfdb, name, text, list(wanted.values()), samples, file)
    factors, unit, unit_defects = factors_mv(tuple(wanted), units, file)
    signal *= np.asarray(factors, np.float32)[:, None]
    sfreq_hz, rate_defects = _rate(text, file)
    return EcgRecording(
        signal_mv=signal,
        leads=tuple(wanted),
        sfreq_hz=sfreq_hz,
        defects=(*rate_defects, *defects, *selection.defects, *more, *unit_defects),
        file=file,
        unit=unit,
        found=tuple(selection.picked),
        unknown=selection.unknown,
        comments=text.comments,
    )


def _bad(file: str, detail: str) -> UnusableRecording:
    return UnusableRecording(Defect(file, "bad_header", detail))


def _elsewhere(name: str) -> bool:
    return name != pathlib.PurePath(name).name or name in (".", "..") or "\\" in name


def _joined(
    header: pathlib.Path,
    text: HeaderText,
    rename: Mapping[str, str | None] | None,
    file: str,
    leads: Collection[str] | None,
) -> EcgRecording:
    """A record of segments: one after another, NaN where one, or a lead of one, is not there."""
    sfreq_hz, defects = _rate(text, file)
    parts: list[tuple[int, EcgRecording]] = []
    total = 0
    for tokens in text.signals:
        if len(tokens) < 2 or not re.fullmatch(r"\d+", tokens[1]):
            raise _bad(file, f"segment {tokens[0]} has no length")
        name, length = tokens[0], int(tokens[1])
        if name != "~" and length:  # the first one of variable layout has none: it only describes
            own, path = f"{file}: {name}", header.with_name(f"{name}.hea")
            if read_header_text(path, own).segmented:
                raise _bad(file, f"segment {name} is of segments itself")
            try:
                part = read_wfdb(path, rename=rename, file=own, leads=leads)
            except UnusableRecording as verdict:
                if verdict.defect.kind != "no_leads":
                    raise
                total += length
                continue
            if part.sfreq_hz != sfreq_hz:
                raise _bad(file, f"segment {name} has {part.sfreq_hz:g} Hz, not {sfreq_hz:g}")
            part.signal_mv = part.signal_mv[:, :length]
            parts.append((total, part))
        total += length
    if not parts:
        raise UnusableRecording(Defect(file, "header_only", "none of its segments has samples"))
    names = tuple(dict.fromkeys(name for _, part in parts for name in part.leads))
    signal = np.full((len(names), total), np.nan, np.float32)
    for start, part in parts:
        for name, row in zip(part.leads, part.signal_mv, strict=True):
            signal[names.index(name), start : start + len(row)] = row
    return EcgRecording(
        signal_mv=signal,
        leads=names,
        sfreq_hz=sfreq_hz,
        defects=(*defects, *(d for _, part in parts for d in part.defects)),
        file=file,
        unit=parts[0][1].unit,
        found=tuple(dict.fromkeys(name for _, part in parts for name in part.found)),
        unknown={k: v for _, part in parts for k, v in part.unknown.items()},
        comments=text.comments,
    )


def _rate(text: HeaderText, file: str) -> tuple[float, list[Defect]]:
    stated = text.record[2] if len(text.record) > 2 else ""
    match = _RATE.match(stated)
    sfreq_hz = float(match[0]) if match else _ASSUMED_HZ
    if not 0 < sfreq_hz < math.inf:
        raise _bad(file, "the sampling rate is not positive")
    if match:
        return sfreq_hz, []
    detail = f"none is stated: {_ASSUMED_HZ:g} Hz, as the format's documentation has it"
    return sfreq_hz, [Defect(file, "rate_assumed", detail)]


def _length(header: pathlib.Path, text: HeaderText, file: str) -> tuple[int | None, list[Defect]]:
    """How many samples to read, and what is said where that is not what the header states.

    None where the header does not state it: all that are there.
    """
    frame = dict.fromkeys(text.files, 0.0)
    start = dict.fromkeys(text.files, 0)
    for name, *more in text.signals:
        match = _FORMAT.fullmatch(more[0]) if more else None
        if match is None:
            raise _bad(file, "the format of a signal is not stated as a number")
        fmt, per_frame, skip = match.groups()
        frame[name] += _BYTES.get(fmt, math.nan) * int(per_frame or 1)
        start[name] = int(skip or 0)
    held = []
    for name, per_frame in frame.items():
        try:
            size = (header.parent / name).stat().st_size
        except OSError as error:
            detail = f"{name}: {error.strerror or 'not readable'}"
            raise UnusableRecording(Defect(file, "signal_missing", detail)) from error
        if not math.isnan(per_frame):
            held.append(int((size - start[name]) / per_frame + 1e-9))
    stated = int(text.record[3]) if len(text.record) > 3 else None
    if held and min(held) < 1:
        raise UnusableRecording(Defect(file, "header_only", "its files hold not one sample"))
    if not held or stated is None or stated <= min(held):
        return stated, []
    detail = f"{stated} samples are stated, its files hold {min(held)}: {min(held)} are read"
    return min(held), [Defect(file, "truncated_record", detail)]


def _samples(
    wfdb: Any, name: str, text: HeaderText, rows: list[int], n: int | None, file: str
) -> tuple[Float32[np.ndarray, "c t"], list[str], list[Defect]]:
    """Rows in the units that the header states, NaN where a sample is marked as invalid."""
    try:
        record = wfdb.rdrecord(name, physical=False, sampto=n, channels=rows)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OSError) as error:
        detail = f"the samples could not be read ({type(error).__name__})"
        raise UnusableRecording(Defect(file, "signal_unreadable", detail)) from error
    if record.d_signal is None or record.d_signal.shape[1] != len(rows):
        raise _bad(file, "its lines of signals are not understood")
    defects = _check_sums(record, text, rows, file)
    assumed = [i for i, row in enumerate(rows) if _uncalibrated(text.signals[row])]
    for i in assumed:
        record.adc_gain[i] = _ASSUMED_GAIN
    if assumed:
        named = ", ".join(record.sig_name[i] or f"channel {rows[i] + 1}" for i in assumed)
        detail = f"{named}: {_ASSUMED_GAIN:g} steps per {record.units[assumed[0]]} stand in"
        defects.append(Defect(file, "gain_assumed", detail))
    if not all(math.isfinite(gain) and gain for gain in record.adc_gain):
        raise _bad(file, "a gain is not a number")
    signal = record.dac(return_res=32).T
    return np.ascontiguousarray(signal, np.float32), list(record.units), defects


def _uncalibrated(tokens: tuple[str, ...]) -> bool:
    """Whether the line of a signal states no gain, or 0."""
    match = _GAIN.fullmatch(tokens[2]) if len(tokens) > 2 else None
    if len(tokens) > 2 and match is None:
        return False
    return match is None or float(match[1]) == 0


def _check_sums(record: Any, text: HeaderText, rows: list[int], file: str) -> list[Defect]:
    """Lists signals whose samples are not those of the header's checksum, where it has one."""
    whole = len(record.d_signal) == (int(text.record[3]) if len(text.record) > 3 else -1)
    if not whole or any(n != 1 for n in record.samps_per_frame):
        return []  # cut short, which is listed, or averaged over frames: not what was summed
    found, wrong = record.calc_checksum(), []
    for i, row in enumerate(rows):
        stated = text.signals[row][6] if len(text.signals[row]) > 6 else ""
        if re.fullmatch(r"[+-]?\d+", stated) and int(stated) % 65536 != found[i] % 65536:
            wrong.append(record.sig_name[i] or f"channel {row + 1}")
    if not wrong:
        return []
    detail = f"{', '.join(wrong)}: not the samples that the header was written for; used"
    return [Defect(file, "checksum_wrong", detail)]
