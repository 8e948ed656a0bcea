"""TUSZ, the TUH EEG Seizure Corpus, v2: windows of seizure and of background.

    edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf       and, beside it,
    edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.csv_bi    the binary annotation

Each event of the ``.csv_bi`` file is cut into consecutive windows, the last one begun included, as
ELM's evaluations do. Where they would run over the end of the recording (or of its gap-free
stretch), all windows of the event are shifted back, or, if there is no room for that, the last one
is left out. Recordings shorter than a window give none (the reference fills them with zeros).
"""

import pathlib

from data_prep.corpora.base import Source
from data_prep.corpora.event_files import EventFile, read_csv_bi
from data_prep.corpora.events import EventCorpus
from data_prep.corpora.tueg import Tueg
from elm_jax.data.spec import SignalSpec


class Tusz(EventCorpus, Tueg):
    """Published splits: train, dev (valid here) and eval (test here)."""

    name = "tusz"
    example = "edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf"
    settles_splits = True
    classes = {"bckg": 0, "seiz": 1}
    suffix = ".csv_bi"

    def _source(self, path, file, reports, institution) -> Source | None:
        source = super()._source(path, file, reports, institution)
        if source is not None and source.split is None:
            return self.leave_out(file, "not_in_layout", "not in train, dev or eval")
        return source and self.with_events(source)

    def read_events(self, path: pathlib.Path) -> EventFile:
        """Reads a ``.csv_bi`` file."""
        return read_csv_bi(path, self.classes)

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """Consecutive windows, shifted back at the end."""
        return consecutive(max(begin, 0), min(end, n), n, spec.window_samples)


def consecutive(begin: int, end: int, n: int, length: int) -> list[int]:
    """First samples of as many windows as [begin, end) begins, all within ``n`` samples.

    Args:
      begin: first sample of the event.
      end: the sample after its last.
      n: samples there are; at least ``length``.
      length: of a window.
    """
    if end <= begin:
        return []
    count = -(-(end - begin) // length)
    if begin + count * length > n:
        if count * length <= n:
            begin = n - count * length
        else:
            count -= 1
    return [begin + k * length for k in range(count)]
