"""The header of EDF, EDF+ and BDF files: parsed strictly, quoted never.

The patient's and the recording's text fields are skipped over: they are not even decoded.
"""

import dataclasses
import datetime
import math
import re

from elm_jax.signals.defects import Defect, UnusableRecording

_FIXED = 256
_MAX_RATE_HZ = 100_000.0
_MAX_CHANNELS = 4096
_MAX_RECORD_S = 1e6
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # label, transducer, unit, 4 numbers, filter, n, spare
_NO_DURATION = "the duration of a record is not a positive time"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclasses.dataclass(frozen=True)
class ChannelHeader:
    """One signal of the file; physical = gain * digital + offset, in ``unit``."""

    label: str
    unit: str
    samples_per_record: int
    byte_in_record: int
    digital_min: float
    digital_max: float
    gain: float
    offset: float
    fault: tuple[str, str] | None  # (kind of defect, detail) if the channel can not be used


@dataclasses.dataclass(frozen=True)
class EdfHeader:
    """What is needed of a header to read the samples."""

    channels: tuple[ChannelHeader, ...]
    annotations: tuple[ChannelHeader, ...]
    n_records: int
    record_s: float
    record_bytes: int
    data_start: int
    sample_bytes: int
    discontinuous: bool
    defects: tuple[Defect, ...]

    def rate_hz(self, channel: ChannelHeader) -> float:
        """Sampling rate of a channel."""
        return channel.samples_per_record / self.record_s


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").replace("\x00", " ").strip()


def _number(raw: bytes) -> float | None:
    """A finite number, or None; a decimal comma is understood, as some exporters write it."""
    text = _text(raw).replace(",", ".")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _whole(raw: bytes) -> int | None:
    value = _number(raw)
    return int(value) if value is not None and value == int(value) else None


def _unusable(file: str, kind: str, detail: str) -> UnusableRecording:
    return UnusableRecording(Defect(file, kind, detail))


def _date_possible(date: bytes, time: bytes) -> bool:
    match = re.fullmatch(r"(\d\d)[.:/ -](\d\d)[.:/ -](\d\d)", _text(date))
    clock = re.fullmatch(r"(\d\d)[.: -](\d\d)[.: -](\d\d)", _text(time))
    if not match or not clock:
        return False
    day, month, year = (int(g) for g in match.groups())
    hour, minute, second = (int(g) for g in clock.groups())
    try:
        datetime.datetime(1900 + year if year >= 85 else 2000 + year, month, day,
                          hour, minute, second)  # fmt: skip
    except ValueError:
        return False
    return True


def _channel(fields: list[bytes], byte_in_record: int, n_samples: int) -> ChannelHeader:
    label, _, unit, p_min, p_max, d_min, d_max, *_ = fields
    numbers = [_number(f) for f in (p_min, p_max, d_min, d_max)]
    fault, gain, offset = None, 1.0, 0.0
    if any(v is None for v in numbers):
        fault = ("channel_bad_header", "a physical or digital limit is not a number: dropped")
        low, high = 0.0, 0.0
    else:
        phys_low, phys_high, low, high = numbers
        if high <= low:
            fault = (
                "channel_no_digital_range",
                f"digital minimum {low:g} is not under the maximum {high:g}: dropped",
            )
        elif phys_low == phys_high:
            fault = ("channel_no_physical_range", f"both limits are {phys_low:g}: dropped")
        else:
            gain = (phys_high - phys_low) / (high - low)
            offset = phys_low - gain * low
    return ChannelHeader(
        _text(label), _text(unit), n_samples, byte_in_record, low, high, gain, offset, fault
    )


def _columns(raw: bytes, n_channels: int) -> list[list[bytes]]:
    """The per-channel part, field by field in the file, regrouped channel by channel."""
    columns, at = [], 0
    for width in _WIDTHS:
        columns.append([raw[at + i * width : at + (i + 1) * width] for i in range(n_channels)])
        at += width * n_channels
    return [list(fields) for fields in zip(*columns, strict=True)]


def _sample_counts(file: str, rows: list[list[bytes]], record_s: float) -> list[int]:
    counts = []
    for row in rows:
        count, label = _whole(row[8]), _text(row[0])
        if count is None or count < 0:
            raise _unusable(
                file, "bad_header", f"channel {label!r}: samples per record is not a count"
            )
        # A file of annotations only may have records of no duration.
        if label not in _ANNOTATIONS and count > _MAX_RATE_HZ * record_s:
            raise _unusable(
                file,
                "absurd_samples_per_record",
                f"channel {label!r}: {count} samples in a record of {record_s:g} s",
            )
        counts.append(count)
    return counts


def _fixed_part(raw: bytes, file: str, size: int) -> tuple[int, int, float, int]:
    """Checks the first 256 bytes: channels, records as stated, record duration, sample bytes."""
    sample_bytes = {b"0       ": 2, b"\xffBIOSEMI": 3}.get(raw[:8])
    if len(raw) < 8 or sample_bytes is None:
        raise _unusable(file, "not_edf", "the first 8 bytes are neither EDF's nor BDF's")
    if len(raw) < _FIXED:
        raise _unusable(file, "bad_header", f"the header ends after {len(raw)} of 256 bytes")
    n_channels, header_bytes = _whole(raw[252:256]), _whole(raw[184:192])
    if n_channels is None or not 1 <= n_channels <= _MAX_CHANNELS:
        raise _unusable(file, "bad_header", "the number of channels is not a count of 1 to 4096")
    if header_bytes != _FIXED * (n_channels + 1):
        raise _unusable(
            file,
            "bad_header",
            f"the header's size should be {_FIXED * (n_channels + 1)} for {n_channels} channels, "
            "and is stated otherwise",
        )
    if size < header_bytes:
        raise _unusable(file, "bad_header", f"the header of {header_bytes} bytes is cut at {size}")
    record_s, stated = _number(raw[244:252]), _whole(raw[236:244])
    if record_s is None or not 0 <= record_s <= _MAX_RECORD_S:
        raise _unusable(file, "bad_header", _NO_DURATION)
    return n_channels, -1 if stated is None else stated, record_s, sample_bytes


def _count_records(file: str, stated: int, record_bytes: int, data_bytes: int):
    """Records that the file really holds, and what was wrong with the header's number."""
    if data_bytes <= 0:
        raise _unusable(file, "header_only", "no byte follows the header")
    found, rest = divmod(data_bytes, record_bytes)
    if not found:
        raise _unusable(
            file, "no_whole_record", f"a record has {record_bytes} bytes, the file {data_bytes}"
        )
    defects = []
    if stated != found:
        what = "unknown (-1)" if stated == -1 else str(stated)
        detail = f"stated {what}, found {found} whole records: {found} are read"
        defects.append(Defect(file, "record_count_wrong", detail))
    if rest:
        detail = f"{rest} of {record_bytes} bytes of a last record: left out"
        defects.append(Defect(file, "truncated_record", detail))
    return found, defects


def parse_header(raw: bytes, size: int, file: str) -> EdfHeader:
    """Parses the bytes of a header.

    Args:
      raw: the beginning of the file, at least the header if it is whole.
      size: length of the whole file in bytes.
      file: the name to say in defects.

    Raises:
      UnusableRecording: the file can not be read; nothing else is ever raised, whatever the bytes.
    """
    n_channels, stated, record_s, sample_bytes = _fixed_part(raw, file, size)
    data_start = _FIXED * (n_channels + 1)
    if len(raw) < data_start:
        raise _unusable(file, "bad_header", f"the header of {data_start} bytes is cut")
    rows = _columns(raw[_FIXED:data_start], n_channels)
    # Records of annotations alone may have no duration, as those of hypnograms.
    if not record_s and any(_text(row[0]) not in _ANNOTATIONS for row in rows):
        raise _unusable(file, "bad_header", _NO_DURATION)
    counts = _sample_counts(file, rows, record_s)
    starts = [sum(counts[:i]) * sample_bytes for i in range(n_channels)]
    record_bytes = sum(counts) * sample_bytes
    if not record_bytes:
        raise _unusable(file, "bad_header", "a record holds no samples")
    channels = [_channel(*args) for args in zip(rows, starts, counts, strict=True)]
    n_records, defects = _count_records(file, stated, record_bytes, size - data_start)
    if not _date_possible(raw[168:176], raw[176:184]):
        defects.append(Defect(file, "impossible_date", "the start's date or time: ignored"))
    return EdfHeader(
        channels=tuple(c for c in channels if c.label not in _ANNOTATIONS),
        annotations=tuple(c for c in channels if c.label in _ANNOTATIONS),
        n_records=n_records,
        record_s=record_s,
        record_bytes=record_bytes,
        data_start=data_start,
        sample_bytes=sample_bytes,
        discontinuous=raw[192:197] in (b"EDF+D", b"BDF+D"),
        defects=tuple(defects),
    )
