"""An ECG in memory: leads in millivolts, as the file has them; what is not there is NaN."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Num

from elm_jax.signals.defects import Defect, UnusableRecording
from elm_jax.signals.ecg.leads import meant_lead, nearest_lead, rename_map
from elm_jax.signals.recording import unit_of

_MV_PER_UNIT = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0, "V": 1e3}


@dataclasses.dataclass
class EcgRecording:
    """Leads as they are in the source.

    Attributes:
      signal_mv: one row a lead; NaN where the source has no valid sample.
      leads: canonical names of the rows.
      sfreq_hz: sampling rate.
      defects: what was noticed while reading.
      file: the name for defects.
      unit: the voltage unit of the source, as understood.
      found: all leads of the source, loaded or not, in its order.
      unknown: labels that are no known lead, with the nearest known name.
      comments: free text of the source's header; it never enters a defect.
    """

    signal_mv: Float32[np.ndarray, "c t"]
    leads: tuple[str, ...]
    sfreq_hz: float
    defects: tuple[Defect, ...] = ()
    file: str = ""
    unit: str = "mV"
    found: tuple[str, ...] = ()
    unknown: dict[str, str | None] = dataclasses.field(default_factory=dict)
    comments: tuple[str, ...] = ()

    def __post_init__(self):
        if len(self.leads) != len(self.signal_mv):
            raise ValueError(f"{len(self.leads)} leads for {len(self.signal_mv)} rows of signal")
        self.found = self.found or self.leads

    @property
    def duration_s(self) -> float:
        """Length of the raw data."""
        return self.signal_mv.shape[1] / self.sfreq_hz


@dataclasses.dataclass
class LeadSelection:
    """Which channels of a source are leads.

    Attributes:
      picked: lead -> number of its channel, in the source's order.
      unknown: labels that are no known lead, with the nearest known name.
      defects: doubled leads.
    """

    picked: dict[str, int]
    unknown: dict[str, str | None]
    defects: list[Defect]


def select_leads(
    labels: Sequence[str | None], rename: Mapping[str, str | None] | None, file: str
) -> LeadSelection:
    """Sorts channels by what they are called; of two of one lead the first is used.

    Args:
      labels: of the channels; None for one without a name.
      rename: label -> lead meant (None: leave it out); wins over what the label says.
      file: the name to say in defects.

    Raises:
      UnusableRecording: no channel is a lead.
    """
    table, selection = rename_map(rename), LeadSelection({}, {}, [])
    for i, label in enumerate(labels):
        text = (label or "").strip()
        lead = meant_lead(text, table)
        if lead is None:
            if text.upper() not in table:
                selection.unknown[text or f"channel {i + 1}"] = nearest_lead(text)
        elif lead in selection.picked:
            first = labels[selection.picked[lead]]
            detail = f"{label!r} and {first!r} both mean {lead}: the first is used"
            selection.defects.append(Defect(file, "duplicate_channel", detail, channel=text))
        else:
            selection.picked[lead] = i
    if not selection.picked:
        names = [f"{n!r} (like {to}?)" if to else repr(n) for n, to in selection.unknown.items()]
        detail = f"found {', '.join(names[:12]) or 'no channel'}; say what they are by a rename map"
        raise UnusableRecording(Defect(file, "no_leads", detail))
    return selection


def wanted_rows(selection: LeadSelection, leads: Collection[str] | None) -> dict[str, int]:
    """Those of the picked channels that are asked for; one of them at least, to have a length."""
    found = selection.picked
    wanted = {n: i for n, i in found.items() if leads is None or n in leads}
    return wanted or dict([next(iter(found.items()))])


def factors_mv(
    labels: Sequence[str], units: Sequence[str], file: str
) -> tuple[list[float], str, list[Defect]]:
    """Millivolts per unit of each channel, the unit of the first, and what is said of unknown ones.

    Args:
      labels: of the channels.
      units: as the source states them.
      file: the name to say in defects.
    """
    known = [unit_of(unit) for unit in units]
    unknown = [label for label, unit in zip(labels, known, strict=True) if unit is None]
    defects = []
    if unknown:
        named = "all leads" if len(unknown) == len(labels) else ", ".join(unknown)
        detail = f"{named}: expected mV, uV, V or nV; taken as mV"
        defects.append(Defect(file, "unknown_unit", detail))
    stated = next((unit for unit in known if unit), "mV")
    return [_MV_PER_UNIT[unit or "mV"] for unit in known], stated, defects


def from_array(
    signal: Num[np.ndarray, "c t"],
    labels: Sequence[str],
    sfreq_hz: float,
    unit: str = "mV",
    *,
    rename: Mapping[str, str | None] | None = None,
    file: str = "array",
    comments: Sequence[str] = (),
) -> EcgRecording:
    """Takes over an array.

    Args:
      signal: a row a channel.
      labels: of the rows, as a file would have them.
      sfreq_hz: sampling rate.
      unit: of the values, "mV", "uV", "V" or "nV".
      rename: as in :func:`select_leads`.
      file: the name to say in defects.
      comments: what the source says of it.

    Raises:
      UnusableRecording: no channel is a lead.
      ValueError: the shape, the rate or the unit do not fit; says which.
    """
    signal = np.asarray(signal)
    if signal.ndim != 2 or len(signal) != len(labels) or not signal.shape[1]:
        raise ValueError(
            f"{file}: an array of shape {signal.shape}, expected {len(labels)} rows of time, one "
            f"each for {', '.join(labels)}"
        )
    if unit not in _MV_PER_UNIT or not 0 < sfreq_hz < np.inf:
        raise ValueError(
            f"{file}: unit {unit!r} and rate {sfreq_hz}; expected one of {sorted(_MV_PER_UNIT)} "
            "and a positive rate in Hz"
        )
    selection = select_leads(labels, rename, file)
    rows = signal[list(selection.picked.values())]
    return EcgRecording(
        signal_mv=(rows * _MV_PER_UNIT[unit]).astype(np.float32),
        leads=tuple(selection.picked),
        sfreq_hz=float(sfreq_hz),
        defects=tuple(selection.defects),
        file=file,
        unit=unit,
        unknown=selection.unknown,
        comments=tuple(comments),
    )


def from_mne(
    raw: Any, *, rename: Mapping[str, str | None] | None = None, file: str | None = None
) -> EcgRecording:
    """Takes over an ``mne.io.Raw`` (volts); what it marks as bad is NaN.

    Channels of type ECG are looked at, or where there is none, all whose names are those of leads:
    most readers call every channel an EEG. Annotations that begin with "bad", boundaries ("edge")
    and ``raw.info["bads"]`` are left out.

    Args:
      raw: the Raw object; it is not changed.
      rename: as in :func:`select_leads`.
      file: the name to say in defects; that of the Raw's file if None.

    Raises:
      UnusableRecording: no channel is a lead.
    """
    if file is None:
        names = [pathlib.PurePath(f).name for f in raw.filenames if f is not None]
        file = names[0] if names else "Raw"
    of_type = [i for i, kind in enumerate(raw.get_channel_types()) if kind == "ecg"]
    chosen = [i for i in of_type or range(len(raw.ch_names))]
    bad = [raw.ch_names[i] for i in chosen if raw.ch_names[i] in raw.info["bads"]]
    defects = [
        Defect(file, "channel_marked_bad", 'listed in raw.info["bads"]', channel=name)
        for name in bad
    ]
    chosen = [i for i in chosen if raw.ch_names[i] not in bad]
    selection = select_leads([raw.ch_names[i] for i in chosen], rename, file)
    rows = [chosen[i] for i in selection.picked.values()]
    signal_mv = (raw.get_data(picks=rows) * _MV_PER_UNIT["V"]).astype(np.float32)
    sfreq_hz, n = float(raw.info["sfreq"]), signal_mv.shape[1]
    for onset_s, length_s, text in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if not text.lower().startswith(("bad", "edge")):
            continue
        start = min(max(round((float(onset_s) - raw.first_time) * sfreq_hz), 0), n)
        stop = min(max(round((float(onset_s) + float(length_s) - raw.first_time) * sfreq_hz), 0), n)
        # A boundary has no length: the sample at it goes, so that no piece runs across.
        signal_mv[:, start : max(stop, start + 1)] = np.nan
        detail = "an annotation marks a bad stretch or a boundary: cut there"
        times = {"start_s": start / sfreq_hz, "stop_s": max(stop, start) / sfreq_hz}
        defects.append(Defect(file, "bad_annotation", detail, **times))
    return EcgRecording(
        signal_mv=signal_mv,
        leads=tuple(selection.picked),
        sfreq_hz=sfreq_hz,
        defects=(*selection.defects, *defects),
        file=file,
        unit="V",
        unknown=selection.unknown,
    )
