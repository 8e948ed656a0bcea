"""What BCI Competition IV's data sets 2a and 2b have in common: sessions of cued imagery in GDF.

A session is a GDF file; the classes of its trials stand in its table of events, or, where the
competition kept them back (sessions whose name ends in ``E``), in ``NAME.mat``, a download of its
own that may lie anywhere below the input. Where both say them, they must agree.

**Splits.** EEGPT and DARE-EEG test on one person and train on the eight others, both sessions of
each: ``--test_people A01``, nine times. The competition's own split lies within people (trained on
sessions ``T``, tested on ``E``); ``--split_by recording`` keeps it. Without either, people are
split by ``--split``.

**Windows** are the 4 s from the cue on, trials that an expert marked as artefacts included, as the
papers have them. Departures from their preparation: they filter (0-38 Hz, Butterworth) each window
of 1001 samples alone and stretch it to 1024 by repeating the nearest ones; here the session is
filtered and resampled whole, and then cut. They standardise each window by running means and align
the covariance of each session (Euclidean alignment), and so do not know microvolts any more; what
is stored here is in microvolts.
"""

import argparse
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from data_prep.corpora import gdf
from data_prep.corpora.arrays import ArrayCorpus
from data_prep.corpora.base import Source, walk_files
from data_prep.corpora.event_files import EventsError, to_json
from data_prep.corpora.trials import Trials
from data_prep.findings import finding
from data_prep.places import input_path, local_copy

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

IMAGERY_S = 4.0


class BcicSessions(Trials, ArrayCorpus):
    """Sessions in GDF; a data set says its names, cues and channels.

    Attributes:
      session_name: of a file without its suffix, with the groups ``person`` and ``session``.
      cues: event type of a cue -> word, in the order of the competition's classes 1, 2, ...
    """

    session_name: ClassVar[re.Pattern[str]]
    cues: ClassVar[Mapping[int, str]]
    file_suffixes = (".gdf",)

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the sessions whose trials have classes; the others are findings.

        Raises:
          CorpusError: there is none.
        """
        true_labels = {
            path.stem.upper(): path
            for path in reversed(walk_files(input_path(args.input), (".mat",)))
        }
        by_session = getattr(args, "split_by", "person") == "recording"
        institution = args.institution or self.institution

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            name = self.session_name.fullmatch(path.stem)
            if name is None:
                return self.leave_out(file, "not_in_layout", "no such name in this data set")
            source = Source(
                recording=path.stem.upper(),
                person=f"{institution}:{name['person'].upper()}",
                path=path,
                file=file,
                labels={"session": name["session"].upper()},
                split=_published(path.stem) if by_session else None,
                kind="gdf",
            )
            return self._with_trials(source, true_labels.get(path.stem.upper()))

        return self.collect(args, source_of)

    def _with_trials(self, source: Source, true_labels: pathlib.Path | None) -> Source | None:
        from elm_jax.signals.defects import UnusableRecording

        try:
            with local_copy(source.path) as path:
                codes = gdf.read_codes(path)
            classes = None
            if true_labels is not None:
                with local_copy(true_labels) as path:
                    classes = gdf.read_classes(path, true_labels.name)
            events = gdf.cue_events(codes, self.cues, classes, IMAGERY_S)
        except (EventsError, UnusableRecording) as error:
            return self.leave_out(source.file, "events_unreadable", str(error))
        if marked := sum(code == gdf.REJECTED for _, code in codes):
            detail = f"{marked} of {len(events)} trials: kept, as the papers keep them"
            self.findings.append(finding(source.file, "events_marked_bad", detail))
        return source.replace(extra={"events": to_json(events)})

    def electrodes(self, labels: list[str]) -> dict[str, str | None]:
        """The electrode that each channel of a file is, None for those that are none.

        Raises:
          ValueError: these are not the data set's channels.
        """
        raise NotImplementedError

    def channel_names(self, source: Source) -> tuple[str, ...]:
        """Electrodes as they are meant; what is none as the file has it."""
        meant = gdf.read_electrodes(source.path, source.file, self._meant)
        return tuple(electrode or label for label, electrode in meant.items())

    def read(self, source: Source) -> "Recording":
        """The session, its runs apart."""
        return gdf.read_gdf(source.path, source.file, self._meant)

    def _meant(self, labels: list[str]) -> dict[str, str | None]:
        return self.electrodes(labels) | (self.rename or {})


def _published(stem: str) -> str:
    return "test" if stem.upper().endswith("E") else "train"
