"""Named defects of recordings, and the exception that ends the use of one file.

No text of a file's header or annotations ever enters a defect: patients' names, dates and free text
stand there. What is said are channel labels, counts, times from the start, and physical values.
"""

import dataclasses
from typing import Any

DEFECT_KINDS: dict[str, str] = {
    # The whole file can not be used.
    "unreadable_file": "the operating system could not read the file",
    "not_edf": "the file is not EDF, EDF+ or BDF",
    "header_only": "the file holds a header and not one sample",
    "bad_array": "an array of the file is missing, or not as its corpus publishes it",
    "bad_header": "a field of the header is missing or impossible",
    "absurd_samples_per_record": "a channel claims more samples per record than can be true",
    "no_whole_record": "the file ends before its first data record does",
    "signal_missing": "a file of samples that the header names is not there",
    "signal_unreadable": "the file of samples is not as the header describes it",
    "record_times_unreadable": "an EDF+D file whose record times can not be read: gaps unknown",
    "no_eeg": "no channel has a name that is known as an electrode or a derivation",
    "no_leads": "no channel has a name that is known as a lead of an ECG",
    "missing_leads": "leads that are asked for are not in the recording",
    "odd_rate": "the two sampling rates have no ratio of small whole numbers",
    "missing_electrodes": "the montage needs electrodes that the recording lacks",
    "low_rate": "the sampling rate is too low for the pass band",
    "nothing_left": "no stretch is as long as one window",
    "unit_not_wrong": "the values are EEG in the unit that the file states, and would not be after "
    "the factor that its corpus is known to need",
    "no_events": "no window around an event lies within the recording",
    # Skipped by the rules of pretraining.
    "too_short": "the recording is shorter than the minimum duration",
    "too_long": "the recording is longer than the maximum duration",
    # The file is used, and this was noticed or mended.
    "truncated_record": "the file ends before its header says: what is whole is used",
    "record_count_wrong": "the header's number of records is not the file's: the file's is used",
    "impossible_date": "the start date or time in the header can not be: ignored",
    "channel_no_digital_range": "digital minimum and maximum leave no range: channel dropped",
    "channel_no_physical_range": "physical minimum equals the maximum: channel dropped",
    "channel_bad_header": "a number in the channel's header can not be read: channel dropped",
    "channel_other_rate": "the channel is sampled at another rate than the EEG: dropped",
    "channel_marked_bad": "the channel is marked as bad in the source: dropped",
    "duplicate_channel": "two channels have the same meaning: the first is used",
    "mixed_reference": "a derivation subtracts electrodes recorded against different references",
    "band_narrowed": "the sampling rate cannot hold the whole band: used up to what it holds",
    "unknown_unit": "the physical dimension is not a known unit of voltage: the usual one (uV of "
    "an EEG, mV of an ECG) is assumed",
    "unit_suspect": "the typical amplitude is not that of scalp EEG (or of an ECG) in the stated "
    "unit",
    "gain_assumed": "the header states no gain: the format's 200 steps per unit stand in",
    "rate_assumed": "the header states no sampling rate: the format's 250 Hz stand in",
    "checksum_wrong": "the samples are not those that the header's checksum was made of: used",
    "record_gap": "an interruption between data records: no piece runs across it",
    "records_out_of_order": "a data record begins before the one ahead of it ends: cut there",
    "bad_annotation": "a stretch that the source marks as bad: cut out",
    "non_finite": "samples that are not finite numbers: cut out",
    "padding_removed": "zeros around the recording, which fill the file's array: taken off",
    "flat_channel": "the electrode or lead does not vary in all of the recording",
    "flat_stretch": "the electrode or lead does not vary for a stretch: cut out",
    "flat_kept": "the lead does not vary for a stretch: kept, as asked",
    "saturated_stretch": "the electrode or lead stands at the limit of its range for a stretch: "
    "cut out",
    "saturated_channel": "many samples of the electrode stand at the limit of its range",
    "short_stretch": "a stretch between gaps is shorter than one window: dropped",
    "window_dropped": "windows far from what is studied are left out, as its publications do",
    "storage_coarse": "a channel varies within a few steps of int16 storage: noise of rounding",
    "event_lost": "an event lies outside of the recording or in a stretch that is not used: left "
    "out",
    "event_cut": "an event ends after the recording: cut at its end",
    "event_short": "an event ends before its window does: the window shows what follows, too",
    "events_other_length": "the file of events states another length than the recording has",
}


@dataclasses.dataclass(frozen=True)
class Defect:
    """One line of the defect list.

    Attributes:
      file: the file, relative to the input folder where known; never a header's text.
      kind: one of :data:`DEFECT_KINDS`.
      detail: what was expected, what was found, what happened.
      channel: label or canonical name, if one channel is meant.
      start_s: begin of the stretch meant, in seconds from the start of the recording.
      stop_s: its end.
    """

    file: str
    kind: str
    detail: str
    channel: str | None = None
    start_s: float | None = None
    stop_s: float | None = None

    def __post_init__(self):
        if self.kind not in DEFECT_KINDS:
            raise ValueError(f"unknown kind of defect {self.kind!r}; known: {sorted(DEFECT_KINDS)}")

    def __str__(self) -> str:
        where = f" [{self.channel}]" if self.channel else ""
        if self.start_s is not None and self.stop_s is not None:
            where += f" {self.start_s:.2f}-{self.stop_s:.2f} s"
        return f"{self.file}: {self.kind}{where}: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict without the empty fields."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}


class UnusableRecording(Exception):  # noqa: N818 - a verdict on a file, not a fault of the program
    """A recording that can not be used; ``defect`` says why."""

    def __init__(self, defect: Defect):
        super().__init__(defect)
        self.defect = defect

    def __str__(self) -> str:
        return str(self.defect)
