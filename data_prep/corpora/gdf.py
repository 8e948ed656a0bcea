"""GDF files of BCI Competition IV, through ``mne``: cues, gaps between runs, classes from .mat."""

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.corpora.arrays import as_defects, bad_array, read_mat
from data_prep.corpora.event_files import Event, EventsError
from data_prep.places import local_copy

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

TRIAL = 768  # a trial begins: the fixation cross
REJECTED = 1023  # an expert found an artefact in the trial
UNKNOWN_CUE = 783  # a cue whose class was kept back for the competition
MIN_GAP_SAMPLES = 2  # all channels at their lowest at once, twice running: no EEG does that


def open_gdf(path: pathlib.Path) -> Any:
    """A GDF file as ``mne.io.Raw``, its samples not yet read.

    Raises:
      EventsError: it is no GDF file that can be read; the message repeats nothing of it.
    """
    import mne

    with warnings.catch_warnings():
        # Channels of one name, which the competition's files have, are numbered with a warning.
        warnings.simplefilter("ignore")
        try:
            return mne.io.read_raw_gdf(path, preload=False, verbose="ERROR")
        except OSError as error:
            raise EventsError(f"cannot be read ({error.strerror})") from None
        except Exception as error:  # mne ends in whatever the bytes lead it to
            raise EventsError(f"is no GDF file ({type(error).__name__})") from None


def read_codes(path: pathlib.Path) -> list[tuple[float, int]]:
    """(onset in seconds, event type) of everything in the table of events, in order of time.

    Raises:
      EventsError: no GDF file, or one without the table.
    """
    found = open_gdf(path).annotations
    codes = [(float(t), int(code)) for t, code in zip(found.onset, found.description, strict=True)]
    if not codes:
        raise EventsError("has no table of events; was it cut off?")
    return sorted(codes)


def cue_events(
    codes: Sequence[tuple[float, int]],
    labels: Mapping[int, str],
    classes: Sequence[int] | None,
    duration_s: float,
) -> list[Event]:
    """The trials of a session, each with its class.

    Args:
      codes: of :func:`read_codes`.
      labels: event type of a cue -> word, in the order of the classes 1, 2, ...
      classes: what the file of true labels says, a class from 1 for each cue; None without one.
      duration_s: of the imagery from the cue on.

    Raises:
      EventsError: cues of unknown class and no true labels, or others than the cues say.
    """
    words = list(labels.values())
    cues = [(t, labels.get(code)) for t, code in codes if code in labels or code == UNKNOWN_CUE]
    if not cues:
        raise EventsError(f"has no cue: no event of type {_types(labels)}")
    if classes is None:
        if hidden := sum(word is None for _, word in cues):
            raise EventsError(
                f"{hidden} of {len(cues)} cues are of unknown class (783), and there is no file of "
                "true labels; it is a download of its own"
            )
        return [Event(t, t + duration_s, word) for t, word in cues]
    if len(classes) != len(cues):
        raise EventsError(f"{len(cues)} cues, the file of true labels has {len(classes)}")
    if wrong := sorted(set(classes) - set(range(1, len(words) + 1))):
        raise EventsError(f"the file of true labels has class {wrong[0]}, not 1 to {len(words)}")
    events = []
    for (t, word), number in zip(cues, classes, strict=True):
        if word not in (None, words[number - 1]):
            raise EventsError(f"the cue at {t:g} s is {word}, the true label {words[number - 1]}")
        events.append(Event(t, t + duration_s, words[number - 1]))
    return events


def _types(labels: Mapping[int, str]) -> str:
    return f"{', '.join(map(str, labels))} or {UNKNOWN_CUE}"


def read_classes(path: pathlib.Path, file: str) -> list[int]:
    """``classlabel`` of a file of true labels: a class from 1 for each trial.

    Raises:
      UnusableRecording: no .mat file with whole numbers of that name.
    """
    values = read_mat(path, "classlabel", file).astype(np.float64).reshape(-1)
    if not np.array_equal(values, np.rint(values)):
        raise bad_array(file, "'classlabel' is not of whole numbers")
    return [int(value) for value in values]


#: Gets the names of a file's channels, as ``mne`` has made them unique; says what each is (None: no
#: electrode), or raises ValueError if they are not what they should be.
Electrodes = Callable[[list[str]], dict[str, str | None]]


def read_electrodes(path: os.PathLike, file: str, electrodes: Electrodes) -> dict[str, str | None]:
    """What the channels of a GDF file are; no sample is read.

    Raises:
      UnusableRecording: no GDF file, or other channels.
    """
    return _open(path, file, electrodes)[1]


def _open(path: os.PathLike, file: str, electrodes: Electrodes) -> tuple[Any, dict]:
    from elm_jax.signals.defects import Defect, UnusableRecording

    try:
        with local_copy(path) as local:
            raw = open_gdf(local)
    except EventsError as error:
        raise UnusableRecording(Defect(file, "unreadable_file", str(error))) from None
    try:
        return raw, electrodes(list(raw.ch_names))
    except ValueError as error:
        raise bad_array(file, str(error)) from None


def read_gdf(path: os.PathLike, file: str, electrodes: Electrodes) -> "Recording":
    """Reads a GDF file as a recording; no stretch runs from one run into the next.

    Between two runs stand 100 samples at the lowest value that the file can hold, in all channels
    at once, those of the eyes included. (Readers with overflow detection give NaN there.)

    Args:
      path: the file.
      file: the name to say in defects.
      electrodes: says what the channels are.

    Raises:
      UnusableRecording: no whole GDF file, or other channels.
    """
    from elm_jax.signals import stretches
    from elm_jax.signals.recording import from_mne

    raw, rename = _open(path, file, electrodes)
    with as_defects(file, "a whole GDF file", ValueError, RuntimeError):
        raw.load_data(verbose="ERROR")
    x = raw.get_data()
    lowest = np.isnan(x).all(axis=0) | (x == x.min(axis=1, keepdims=True)).all(axis=0)
    gaps = stretches.true_runs(lowest, MIN_GAP_SAMPLES)
    return with_gaps(from_mne(raw, rename=rename, file=file), gaps)


def with_gaps(recording: "Recording", gaps: Sequence[tuple[int, int]]) -> "Recording":
    """The recording without the samples [start, stop) of the gaps, each listed as a defect."""
    from elm_jax.signals import stretches
    from elm_jax.signals.defects import Defect

    sfreq_hz = recording.sfreq_hz
    defects = [
        Defect(
            recording.file, "record_gap", f"{stop - start} samples that no channel has",
            start_s=start / sfreq_hz, stop_s=stop / sfreq_hz,
        )
        for start, stop in gaps
    ]  # fmt: skip
    segments = stretches.subtract_intervals(recording.segments, list(gaps))
    return dataclasses.replace(
        recording,
        segments=tuple(segments),
        segment_start_s=tuple(a / sfreq_hz for a, _ in segments),
        defects=(*recording.defects, *defects),
    )
