"""The High-Gamma Dataset (Schirrmeister et al. 2017): executed movements, 128 electrodes, 500 Hz.

    data/train/1.edf .. 14.edf    the runs before the last two      (moabb's Schirrmeister2017)
    data/test/1.edf  .. 14.edf    the last two runs
    data/train/1.mat ..           the same as MATLAB 7.3 files of the BBCI toolbox, uV

A file is a recording; its folder is the label ``part``. ``--cut recordings`` (default) takes it
whole, for pretraining; ``--cut events`` cuts the 4 s from each cue on, labelled ``event``:
right_hand, left_hand, rest, feet (or those of ``--event_labels``).

Train and test are of the same people (``hgd:1``), so they are no split of people, who are split by
the seed. With ``--split_by recording`` they are kept as published: scores then say how well a
person's last runs are read, and nothing about new people. Electrodes between those of the 10-10
system (``FFC5h``) have no canonical name and are left out, as are those of eyes and muscles.
"""

import argparse
import contextlib
import pathlib
import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.corpora.arrays import ArrayCorpus, as_defects, bad_array, stored_array
from data_prep.corpora.base import CorpusError, Source
from data_prep.corpora.edf_events import AnnotatedEdf
from data_prep.corpora.event_files import EventsError
from data_prep.places import input_path
from elm_jax.data.hdf5_safe import open_hdf5

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

PARTS = ("train", "test")
EVENTS = ("right_hand", "left_hand", "rest", "feet")
TRIAL_S = 4.0
_PERSON = re.compile(r"\d{1,2}")


class Hgd(AnnotatedEdf, ArrayCorpus):
    """Files of runs that were joined by their publisher."""

    name = "hgd"
    institution = "hgd"
    example = "data/train/1.edf"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    file_suffixes = (".edf", ".mat")

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the files; with ``--cut events``, those with such events.

        Raises:
          CorpusError: none lies in the layout, or one is there as .edf and as .mat.
        """
        self.counted_label = "event" if args.cut == "events" else ""
        self.set_labels(args.event_labels or {name: name for name in EVENTS})
        found = self.collect(args, lambda path, file: self._source(path, file, args))
        if args.cut == "events" and args.event_labels:
            self.list_unmet(input_path(args.input).name)
        seen: dict[str, Source] = {}
        for source in found:
            if (other := seen.setdefault(source.recording, source)) is not source:
                raise CorpusError(
                    f"{other.file} and {source.file} are the same recording; give one kind of file"
                )
        return found

    def _source(self, path: pathlib.Path, file: str, args: argparse.Namespace) -> Source | None:
        part = path.absolute().parent.name.lower()
        if part not in PARTS or not _PERSON.fullmatch(path.stem):
            return self.leave_out(file, "not_in_layout", "not train/1.edf or test/1.edf")
        person = int(path.stem)
        source = Source(
            recording=f"{part}_{person}",
            person=f"{args.institution or self.institution}:{person}",
            path=path,
            file=file,
            labels={"part": part},
            split=part if args.split_by == "recording" else None,
            kind=path.suffix.lower()[1:],
        )
        return (
            self.with_annotations(source, args.event_offset_s) if args.cut == "events" else source
        )

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """How recordings are cut."""
        if args.cut == "recordings":
            return {"cut": args.cut}
        labels = {"event_labels": dict(self.label_of), "event_offset_s": args.event_offset_s}
        return {"cut": args.cut} | labels

    def annotations(self, source: Source) -> list[tuple[float, float, str]]:
        """The cues of a file of either kind."""
        from elm_jax.signals.defects import UnusableRecording

        if source.kind == "edf":
            return super().annotations(source)
        try:
            return read_bbci_cues(source.path, source.file)
        except UnusableRecording as verdict:
            raise EventsError(verdict.defect.detail) from verdict

    def row_labels(self, source: Source) -> list[str]:
        """Those of a ``.mat`` file."""
        with _opened(source.path, source.file) as stored:
            return _texts(stored, "nfo/clab")

    def read(self, source: Source) -> "Recording":
        """A ``.mat`` file."""
        from elm_jax.signals.recording import from_arrays

        signal, names, sfreq_hz = read_bbci(source.path, source.file)
        return from_arrays([signal], names, sfreq_hz, "uV", rename=self.meant, file=source.file)


def read_bbci(path: pathlib.Path, file: str) -> tuple[np.ndarray, list[str], float]:
    """Electrodes ``[c, t]`` in uV, their names and their rate, of a BBCI file saved with ``-v7.3``.

    ``nfo/clab`` names the rows, which are the variables ``ch1``, ``ch2``, ...; ``nfo/fs`` is the
    rate. Rows that are no electrode are not read.

    Raises:
      UnusableRecording: it is no such file.
    """
    from elm_jax.signals.names import parse_label

    with _opened(path, file) as stored:
        names = _texts(stored, "nfo/clab")
        sfreq_hz = float(np.ravel(stored_array(stored, "nfo/fs")[()])[0])
        wanted = [i for i, name in enumerate(names) if parse_label(name).kind == "electrode"]
        rows = [_row(stored, i).astype(np.float32) for i in wanted]
    if not rows or len({len(row) for row in rows}) > 1 or sfreq_hz <= 0:
        raise bad_array(file, f"{len(rows)} electrodes, not all of one length, {sfreq_hz:g} Hz")
    return np.stack(rows), [names[i] for i in wanted], sfreq_hz


def read_bbci_cues(path: pathlib.Path, file: str) -> list[tuple[float, float, str]]:
    """(onset, duration, class) of the cues of a BBCI file, in seconds, by time.

    ``mrk/time`` has them in milliseconds, ``mrk/event/desc`` their classes, counted from 1 in the
    order of ``nfo/className`` ("Right Hand" is ``right_hand`` here, as in the EDF files).

    Raises:
      UnusableRecording: it is no such file.
    """
    with _opened(path, file) as stored:
        words = [w.strip().lower().replace(" ", "_") for w in _texts(stored, "nfo/className")]
        times_s = np.ravel(stored_array(stored, "mrk/time")[()]) / 1000
        numbers = np.ravel(stored_array(stored, "mrk/event/desc")[()]).astype(int)
    if len(times_s) != len(numbers) or not all(0 < n <= len(words) for n in numbers):
        raise bad_array(file, f"{len(times_s)} cues with {len(numbers)} classes of {len(words)}")
    return sorted((float(t), TRIAL_S, words[n - 1]) for t, n in zip(times_s, numbers, strict=True))


@contextlib.contextmanager
def _opened(path: pathlib.Path, file: str) -> Iterator[Any]:
    errors = (KeyError, ValueError, TypeError, AttributeError)
    with as_defects(file, "a BBCI file of MATLAB 7.3", *errors), open_hdf5(path) as stored:
        yield stored


def _row(stored: Any, index: int) -> np.ndarray:
    return np.ravel(stored_array(stored, f"ch{index + 1}")[()])


def _texts(stored: Any, name: str) -> list[str]:
    """A list of texts: references to arrays of characters."""
    names = [stored[reference].name for reference in np.ravel(stored_array(stored, name)[()])]
    return ["".join(map(chr, np.ravel(stored_array(stored, name)[()]))) for name in names]
