"""A recording in memory: electrodes in microvolts, as the file has them, before any montage."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Num

from elm_jax import staging
from elm_jax.signals import edf
from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.header import ChannelHeader
from elm_jax.signals.names import ParsedName, nearest_known, parse_label
from elm_jax.signals.stretches import (
    join_intervals,
    non_finite_intervals,
    subtract_intervals,
)

_BLOCK_SAMPLES = 1 << 16  # of a Raw at a time
_UV_PER_UNIT = {"nV": 1e-3, "uV": 1.0, "mV": 1e3, "V": 1e6}
_UNIT_SPELLINGS = {
    "nv": "nV", "uv": "uV", "µv": "uV", "μv": "uV", "âµv": "uV", "microv": "uV", "uvolt": "uV",
    "microvolt": "uV", "microvolts": "uV", "mv": "mV", "millivolt": "mV", "millivolts": "mV",
    "v": "V", "volt": "V", "volts": "V",
}  # fmt: skip


@dataclasses.dataclass
class Recording:
    """Electrodes (or derivations, if exported so) as they are in the file.

    Attributes:
      signal_uv: one row a channel; finite within the segments.
      channels: canonical names of the rows.
      sfreq_hz: sampling rate.
      segments: [start, stop) in samples of ``signal_uv`` that are contiguous in time; what lies in
        none of them is not to be used.
      segment_start_s: where each segment begins, in seconds from the start of the recording.
      segment_labels: JSON-ready values of each segment alone, such as those of a trial; empty if
        there are none.
      duration_s: length of the raw data.
      defects: what was noticed while reading.
      file: the name for defects.
      unit: the voltage unit of the source, as understood.
      references: stated reference of each channel ("REF", "A1", ...), None if none is stated.
      found: all electrodes and derivations of the source, loaded or not.
      unknown: labels that are not understood, with the nearest known name.
    """

    signal_uv: Float32[np.ndarray, "c t"]
    channels: tuple[str, ...]
    sfreq_hz: float
    segments: tuple[tuple[int, int], ...]
    segment_start_s: tuple[float, ...]
    duration_s: float
    defects: tuple[Defect, ...] = ()
    file: str = ""
    unit: str = "uV"
    references: tuple[str | None, ...] = ()
    found: tuple[str, ...] = ()
    unknown: dict[str, str | None] = dataclasses.field(default_factory=dict)
    segment_labels: tuple[dict[str, Any], ...] = ()

    def __post_init__(self):
        if len(self.channels) != len(self.signal_uv):
            raise ValueError(
                f"{len(self.channels)} channel names for {len(self.signal_uv)} rows of signal"
            )
        if len(self.segments) != len(self.segment_start_s):
            raise ValueError("segments and segment_start_s differ in length")
        if self.segment_labels and len(self.segment_labels) != len(self.segments):
            raise ValueError("segments and segment_labels differ in length")
        self.references = self.references or (None,) * len(self.channels)
        self.found = self.found or self.channels


def unit_of(dimension: str) -> str | None:
    """The unit that a header's physical dimension means ("uV", "mV", "V", "nV"), or None."""
    return _UNIT_SPELLINGS.get(dimension.strip().rstrip(".").lower())


def _meaning(label: str, rename: Mapping[str, str | None]) -> ParsedName:
    """The parsed label; the user's map wins, and maps a label to None to leave it out."""
    key = label.strip().upper()
    if key in rename:
        target = rename[key]
        return ParsedName("other", label) if target is None else parse_label(target)
    return parse_label(label)


@dataclasses.dataclass
class _Selection:
    """Which channels of a source to use, and what was said about the others."""

    picked: dict[str, tuple[int, ParsedName]]
    unknown: dict[str, str | None]
    defects: list[Defect]


def _select(
    labels: Sequence[str],
    faults: Sequence[tuple[str, str] | None],
    rename: Mapping[str, str | None] | None,
    file: str,
) -> _Selection:
    rename = {k.strip().upper(): v for k, v in (rename or {}).items()}
    selection = _Selection({}, {}, [])
    for i, (label, fault) in enumerate(zip(labels, faults, strict=True)):
        parsed = _meaning(label, rename)
        if parsed.kind == "other":
            continue
        if parsed.kind == "unknown":
            selection.unknown[label] = nearest_known(label)
        elif fault:
            selection.defects.append(Defect(file, fault[0], fault[1], channel=label))
        elif parsed.name in selection.picked:
            first = labels[selection.picked[parsed.name][0]]
            detail = f"{label!r} and {first!r} both mean {parsed.name}: {first!r} is used"
            selection.defects.append(Defect(file, "duplicate_channel", detail, channel=label))
        else:
            selection.picked[parsed.name] = (i, parsed)
    return selection


def _say_unknown(unknown: Mapping[str, str | None]) -> str:
    known = [f"{name!r} (like {like}?)" if like else repr(name) for name, like in unknown.items()]
    return "unknown: " + ", ".join(known) if known else "no other names"


def _same_rate(selection: _Selection, widths: Mapping[str, int], file: str) -> int:
    """Keeps the channels of the commonest rate (the higher of two); returns its width."""
    counts = collections.Counter(widths.values())
    width = max(counts, key=lambda w: (counts[w], w))
    for name, other in widths.items():
        if other != width:
            detail = f"{other} samples per record, the EEG has {width}: dropped"
            selection.defects.append(Defect(file, "channel_other_rate", detail, channel=name))
            del selection.picked[name]
    return width


def _units(channels: Sequence[ChannelHeader], file: str) -> tuple[list[float], str, list[Defect]]:
    units = [unit_of(c.unit) for c in channels]
    unknown = [c.label for c, u in zip(channels, units, strict=True) if u is None]
    defects = []
    if unknown:
        named = "all channels" if len(unknown) == len(channels) else ", ".join(unknown)
        detail = f"{named}: expected uV, mV, V or nV; taken as uV"
        defects.append(Defect(file, "unknown_unit", detail))
    stated = collections.Counter(u for u in units if u)
    unit = stated.most_common(1)[0][0] if stated else "uV"
    return [_UV_PER_UNIT[u or "uV"] for u in units], unit, defects


def channel_names(
    path: os.PathLike,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
) -> tuple[str, ...]:
    """What an EDF, EDF+ or BDF file has, from its header: no signal is read.

    Canonical names of its electrodes and derivations, each once; of other channels the label as it
    stands there. Channels that cannot be used are left out.

    Args:
      path: the file, which may be remote.
      rename: as in :func:`read_edf`.
      file: the name to say in defects; the file's own name if None.

    Raises:
      UnusableRecording: the file can not be read.
    """
    header = edf.read_header(path, pathlib.PurePath(path).name if file is None else file)
    return names_of([c.label for c in header.channels if c.fault is None], rename)


def names_of(labels: Iterable[str], rename: Mapping[str, str | None] | None) -> tuple[str, ...]:
    """What channels of these labels are called in lists, each once; see :func:`channel_names`."""
    rename = {k.strip().upper(): v for k, v in (rename or {}).items()}
    return tuple(dict.fromkeys(_meaning(label, rename).listed for label in labels))


def read_edf(
    path: str | os.PathLike,
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str | None = None,
    channels: Collection[str] | None = None,
) -> Recording:
    """Reads an EDF, EDF+ or BDF file.

    Args:
      path: the file.
      rename: channel label in the file -> electrode or derivation meant (None: leave it out);
        wins over what the label seems to say.
      file: the name to say in defects; the file's own name if None.
      channels: canonical names to load; every electrode and derivation if None.

    Raises:
      UnusableRecording: the file can not be read, or has no EEG; ``defect`` says why.
    """
    path = staging.local(path)
    file = path.name if file is None else file
    stream, header = edf.open_edf(path, file)
    with stream:
        selection = _select(
            [c.label for c in header.channels], [c.fault for c in header.channels], rename, file
        )
        if not selection.picked:
            cause = selection.defects[0].kind if selection.defects else "no such name"
            detail = f"{cause}; {_say_unknown(selection.unknown)}"
            raise UnusableRecording(Defect(file, "no_eeg", detail))
        found = tuple(selection.picked)
        wanted = [n for n in found if channels is None or n in channels] or list(found[:1])
        selection.picked = {n: selection.picked[n] for n in wanted}
        by_name = {n: header.channels[i] for n, (i, _) in selection.picked.items()}
        width = _same_rate(selection, {n: c.samples_per_record for n, c in by_name.items()}, file)
        if not width:
            raise UnusableRecording(Defect(file, "bad_header", "the EEG has no samples per record"))
        picked = [by_name[n] for n in selection.picked]
        factors, unit, unit_defects = _units(picked, file)
        signal_uv, onsets = edf.read_samples(stream, header, picked, factors, file)
    segments, starts_s, gaps = edf.contiguous_runs(onsets, header, width, file)
    return Recording(
        signal_uv=signal_uv,
        channels=tuple(selection.picked),
        sfreq_hz=float(width / header.record_s),
        segments=tuple(segments),
        segment_start_s=tuple(starts_s),
        duration_s=float(header.n_records * header.record_s),
        defects=(*header.defects, *selection.defects, *unit_defects, *gaps),
        file=file,
        unit=unit,
        references=tuple(p.reference for _, p in selection.picked.values()),
        found=found,
        unknown=selection.unknown,
    )


def from_mne(
    raw: Any, *, rename: Mapping[str, str | None] | None = None, file: str | None = None
) -> Recording:
    """Takes over an ``mne.io.Raw`` (volts), with what it marks as bad as gaps.

    Annotations whose description begins with "bad" (any case), and boundaries ("edge"), are never
    inside a piece; channels in ``raw.info["bads"]`` are left out.

    Args:
      raw: the Raw object; it is not changed.
      rename: as in :func:`read_edf`.
      file: the name to say in defects; that of the Raw's file if None.

    Raises:
      UnusableRecording: no channel is an electrode or a derivation.
    """
    if file is None:
        names = [pathlib.PurePath(f).name for f in raw.filenames if f is not None]
        file = names[0] if names else "Raw"
    kinds = raw.get_channel_types()
    eeg = [i for i, kind in enumerate(kinds) if kind == "eeg"]
    labels = [raw.ch_names[i] for i in eeg]
    bad = ("channel_marked_bad", 'listed in raw.info["bads"]')
    faults = [bad if label in raw.info["bads"] else None for label in labels]
    selection = _select(labels, faults, rename, file)
    if not selection.picked:
        raise UnusableRecording(Defect(file, "no_eeg", _say_unknown(selection.unknown)))
    sfreq_hz, n = float(raw.info["sfreq"]), len(raw.times)
    signal_uv = np.empty((len(selection.picked), n), np.float32)
    rows = [eeg[i] for i, _ in selection.picked.values()]
    # In blocks of time: a Raw that is not loaded is read once, and never held in float64 whole.
    for start in range(0, n, _BLOCK_SAMPLES):
        block_v = raw.get_data(picks=rows, start=start, stop=min(start + _BLOCK_SAMPLES, n))
        signal_uv[:, start : start + _BLOCK_SAMPLES] = block_v * _UV_PER_UNIT["V"]
    bad, defects = _marked_bad(raw, sfreq_hz, n, file)
    nan, nan_defects = _non_finite(signal_uv, sfreq_hz, file)
    defects += nan_defects
    segments = subtract_intervals([(0, n)], join_intervals([*bad, *nan]))
    return Recording(
        signal_uv=signal_uv,
        channels=tuple(selection.picked),
        sfreq_hz=sfreq_hz,
        segments=tuple(segments),
        segment_start_s=tuple(a / sfreq_hz for a, _ in segments),
        duration_s=n / sfreq_hz,
        defects=(*selection.defects, *defects),
        file=file,
        unit="V",
        references=tuple(p.reference for _, p in selection.picked.values()),
        unknown=selection.unknown,
    )


def from_arrays(
    trials: Sequence[Num[np.ndarray, "c _"]],
    channels: Sequence[str],
    sfreq_hz: float,
    unit: str,
    *,
    labels: Sequence[Mapping[str, Any]] = (),
    rename: Mapping[str, str | None] | None = None,
    file: str = "array",
) -> Recording:
    """Takes over arrays, each a gap-free stretch of one recording, as if one followed the other.

    Args:
      trials: the stretches; filters do not run from one into the next.
      channels: labels of the rows, as a file would have them.
      sfreq_hz: sampling rate.
      unit: of the values, "uV", "mV", "V" or "nV".
      labels: of each stretch alone; empty if there are none.
      rename: as in :func:`read_edf`.
      file: the name to say in defects.

    Raises:
      UnusableRecording: no channel is an electrode or a derivation.
      ValueError: shapes, labels or the unit do not fit; says which.
    """
    if wrong := [x.shape for x in trials if x.ndim != 2 or len(x) != len(channels)]:
        raise ValueError(f"{file}: an array is {wrong[0]}, expected {len(channels)} rows of time")
    if not trials or labels and len(labels) != len(trials) or unit not in _UV_PER_UNIT:
        raise ValueError(f"{file}: {len(trials)} arrays, {len(labels)} labels, unit {unit!r}")
    selection = _select(channels, [None] * len(channels), rename, file)
    if not selection.picked:
        raise UnusableRecording(Defect(file, "no_eeg", _say_unknown(selection.unknown)))
    rows = [i for i, _ in selection.picked.values()]
    ends = np.cumsum([0] + [x.shape[1] for x in trials]).tolist()
    signal_uv = np.empty((len(rows), ends[-1]), np.float32)
    for x, start, stop in zip(trials, ends, ends[1:], strict=False):
        np.multiply(x[rows], _UV_PER_UNIT[unit], out=signal_uv[:, start:stop], casting="unsafe")
    nan, defects = _non_finite(signal_uv, sfreq_hz, file)
    per_trial = [subtract_intervals([t], nan) for t in zip(ends, ends[1:], strict=False)]
    segments = [s for some in per_trial for s in some]
    return Recording(
        signal_uv=signal_uv,
        channels=tuple(selection.picked),
        sfreq_hz=float(sfreq_hz),
        segments=tuple(segments),
        segment_start_s=tuple(a / sfreq_hz for a, _ in segments),
        duration_s=ends[-1] / sfreq_hz,
        defects=(*selection.defects, *defects),
        file=file,
        unit=unit,
        references=tuple(p.reference for _, p in selection.picked.values()),
        unknown=selection.unknown,
        segment_labels=tuple(
            dict(of) for of, some in zip(labels, per_trial, strict=bool(labels)) for _ in some
        ),
    )


def _non_finite(
    signal_uv: Float32[np.ndarray, "c t"], sfreq_hz: float, file: str
) -> tuple[list[tuple[int, int]], list[Defect]]:
    """Stretches that are not finite, and what is said of them."""
    nan = non_finite_intervals(signal_uv)
    defects = [
        Defect(
            file, "non_finite", f"{stop - start} samples: cut out",
            start_s=start / sfreq_hz, stop_s=stop / sfreq_hz,
        )
        for start, stop in nan
    ]  # fmt: skip
    return nan, defects


def _marked_bad(
    raw: Any, sfreq_hz: float, n: int, file: str
) -> tuple[list[tuple[int, int]], list[Defect]]:
    """Stretches of annotations that begin with "bad" or "edge"; their text is not repeated."""
    shift_s = raw.first_time  # onsets stay as they were when the beginning is cropped
    intervals, defects = [], []
    for onset_s, length_s, text in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if not text.lower().startswith(("bad", "edge")):
            continue
        start = min(max(round((float(onset_s) - shift_s) * sfreq_hz), 0), n)
        stop = min(max(round((float(onset_s) + float(length_s) - shift_s) * sfreq_hz), start), n)
        intervals.append((start, stop))
        detail = "an annotation marks a bad stretch or a boundary: cut there"
        times = {"start_s": start / sfreq_hz, "stop_s": stop / sfreq_hz}
        defects.append(Defect(file, "bad_annotation", detail, **times))
    return intervals, defects
