"""TUEV as BIOT, LaBraM, EEGPT and DARE-EEG cut it: a window of 5 s for every row of a ``.rec``.

The folders and the labels are TUEV's (see ``tuev``). What differs is the signal (``--signal tuh``
with windows of 5 s: 200 Hz, 0.1-75 Hz, 50 Hz taken out, 23 electrodes as referenced in the file;
DARE-EEG resamples to 256 Hz: ``--sfreq_hz 256``), and that an event counts as often as it is
marked: a row a channel. The same window then stands several times in the set, which weighs both
training and scores by the number of channels; published scores are of that. ``tuev`` has each
window once.

One in five of the published training people are for validation, as EEGPT has it (DARE-EEG: one in
ten, ``--split train=0.9,valid=0.1``); both draw by person, too, but from a set of texts whose order
differs from run to run, so that their seeds fix nothing. Departures:

- A window at the edge is moved into the recording. Theirs goes on at the recording's other end.
- Recordings in which one of the 23 electrodes is flat are skipped and listed, and stretches in
  which one stands still for seconds give no window; they keep both. They drop recordings that have
  channels beside those of a list of theirs; here these are used.
"""

import pathlib
from types import MappingProxyType

from data_prep.corpora.event_files import EventFile, read_rec
from data_prep.corpora.tuev import CODES, Tuev


class TuevRows(Tuev):
    """TUEV with another signal, and a window for each row."""

    name = "tuev_rows"
    published = MappingProxyType(
        {"signal": "tuh", "window_s": 5.0, "split": {"train": 0.8, "valid": 0.2, "test": 0.0}}
    )

    def read_events(self, path: pathlib.Path) -> EventFile:
        """Reads a ``.rec`` file."""
        return read_rec(path, CODES, every_row=True)
