"""A streaming reader of EDF, EDF+C, EDF+D and BDF: needed channels only, a megabyte at a time."""

import pathlib
import re
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from etils import epath
from jaxtyping import Float32

from elm_jax import paths
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.header import ChannelHeader, EdfHeader, parse_header

_CHUNK_BYTES = 1 << 20
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15\d+(?:\.\d*)?)?\x14")


def open_edf(path: pathlib.Path, file: str) -> tuple[BinaryIO, EdfHeader]:
    """Opens a file and parses its header.

    Raises:
      UnusableRecording: the file can not be opened or is not a readable EDF or BDF.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise _unreadable(error, file) from None
    try:
        return stream, _header(stream, file)
    except BaseException:
        stream.close()
        raise


def read_header(path: epath.PathLike, file: str) -> EdfHeader:
    """The header of a file, which may be remote: its first bytes are all that is fetched.

    Raises:
      UnusableRecording: the file can not be opened or is not a readable EDF or BDF.
      RemoteError: the store could not be asked.
    """
    try:
        with paths.told(), paths.of(path).open("rb") as stream:
            return _header(stream, file)
    except paths.RemoteError:
        raise  # says nothing of the file
    except OSError as error:
        raise _unreadable(error, file) from None


def _unreadable(error: OSError, file: str) -> UnusableRecording:
    detail = error.strerror or type(error).__name__
    return UnusableRecording(Defect(file, "unreadable_file", detail))


def _header(stream: BinaryIO, file: str) -> EdfHeader:
    raw = stream.read(256)
    digits = raw[252:256].strip()
    n_channels = int(digits) if digits.isdigit() else 0
    raw += stream.read(256 * min(n_channels, 9999))
    stream.seek(0, 2)
    return parse_header(raw, stream.tell(), file)


def _digital(block: np.ndarray, channel: ChannelHeader, sample_bytes: int) -> np.ndarray:
    """Samples [records, per record] of one channel out of [records, bytes]."""
    start = channel.byte_in_record
    raw = block[:, start : start + channel.samples_per_record * sample_bytes]
    if sample_bytes == 2:
        return raw.view("<i2")
    parts = raw.reshape(len(block), -1, 3).astype(np.int32)
    value = parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16
    return (value ^ 0x800000) - 0x800000  # the sign of 24 bits


def _blocks(stream: BinaryIO, header: EdfHeader, file: str):
    """Yields (first record, uint8 [records, record_bytes])."""
    stream.seek(header.data_start)
    per_chunk = max(1, _CHUNK_BYTES // header.record_bytes)
    buffer = np.empty(min(per_chunk, header.n_records) * header.record_bytes, np.uint8)
    for first in range(0, header.n_records, per_chunk):
        count = min(per_chunk, header.n_records - first)
        view = buffer[: count * header.record_bytes]
        if stream.readinto(memoryview(view)) != len(view):
            detail = f"reading stopped at record {first}"
            raise UnusableRecording(Defect(file, "unreadable_file", detail))
        yield first, view.reshape(count, header.record_bytes)


def read_samples(
    stream: BinaryIO,
    header: EdfHeader,
    channels: Sequence[ChannelHeader],
    factors: Sequence[float],
    file: str,
) -> tuple[Float32[np.ndarray, "c t"], list[float] | None]:
    """Reads channels of one common rate.

    Args:
      stream: the open file.
      header: its header.
      channels: which to read; all with the same samples per record.
      factors: microvolts per physical unit, one a channel.
      file: the name to say in defects.

    Returns:
      the signals in microvolts, and the onset of every record in seconds for an EDF+D file (else
      None).

    Raises:
      UnusableRecording: reading failed, or an EDF+D file does not tell its records' times.
    """
    width = channels[0].samples_per_record
    out = np.empty((len(channels), header.n_records * width), np.float32)
    scales = [
        (np.float32(c.gain * f), np.float32(c.offset * f))
        for c, f in zip(channels, factors, strict=True)
    ]
    onsets: list[float] | None = [] if header.discontinuous else None
    for first, block in _blocks(stream, header, file):
        span = slice(first * width, (first + len(block)) * width)
        for target, channel, (gain, offset) in zip(out, channels, scales, strict=True):
            part = target[span].reshape(len(block), width)
            np.multiply(
                _digital(block, channel, header.sample_bytes), gain, out=part, casting="unsafe"
            )
            if offset:
                part += offset
        if onsets is not None:
            onsets += _record_onsets(block, header, first, file)
    return out, onsets


def read_annotation_bytes(stream: BinaryIO, header: EdfHeader, file: str) -> list[bytes]:
    """The bytes of the annotation channels, one string a record and channel, in their order.

    Args:
      stream: the open file.
      header: its header.
      file: the name to say in defects.

    Raises:
      UnusableRecording: reading failed.
    """
    found = []
    if not header.annotations:
        return found
    for _, block in _blocks(stream, header, file):
        for record in block:
            for channel in header.annotations:
                start = channel.byte_in_record
                stop = start + channel.samples_per_record * header.sample_bytes
                found.append(record[start:stop].tobytes())
    return found


def _record_onsets(block: np.ndarray, header: EdfHeader, first: int, file: str) -> list[float]:
    """The time at which each record begins; the text of annotations is never looked at."""
    if not header.annotations:
        detail = "the file says EDF+D and has no annotation channel"
        raise UnusableRecording(Defect(file, "record_times_unreadable", detail))
    channel = header.annotations[0]
    start = channel.byte_in_record
    stop = start + channel.samples_per_record * header.sample_bytes
    onsets = []
    for row, record in enumerate(block):
        match = _ONSET.match(record[start:stop].tobytes())
        if not match:
            detail = f"record {first + row} does not begin with its time"
            raise UnusableRecording(Defect(file, "record_times_unreadable", detail))
        onsets.append(float(match.group(1)))
    return onsets


def contiguous_runs(
    onsets: list[float] | None, header: EdfHeader, width: int, file: str
) -> tuple[list[tuple[int, int]], list[float], list[Defect]]:
    """Stretches of records without an interruption.

    Args:
      onsets: of every record in seconds; None if the file is continuous.
      header: the file's header.
      width: samples per record.
      file: the name to say in defects.

    Returns:
      [start, stop) in samples, the time at which each begins (0 for the first record), defects.
    """
    if onsets is None:
        return [(0, header.n_records * width)], [0.0], []
    tolerance_s = 0.5 * header.record_s / width
    times = np.asarray(onsets) - onsets[0]
    lateness_s = np.diff(times) - header.record_s
    breaks = np.flatnonzero(np.abs(lateness_s) > tolerance_s) + 1
    edges = [0, *breaks.tolist(), header.n_records]
    defects = []
    for at in breaks.tolist():
        late_s, end_s = float(lateness_s[at - 1]), float(times[at - 1]) + header.record_s
        kind = "record_gap" if late_s > 0 else "records_out_of_order"
        detail = f"record {at} begins {abs(late_s):.3f} s {'late' if late_s > 0 else 'early'}"
        defects.append(Defect(file, kind, detail, start_s=end_s, stop_s=float(times[at])))
    runs = [(a * width, b * width) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return runs, [float(times[a]) for a in edges[:-1]], defects
