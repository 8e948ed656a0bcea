"""TUAB as BIOT, LaBraM, EEGPT and DARE-EEG cut it: consecutive windows of 10 s, 23 electrodes.

The folders are TUAB's (see ``tuab``). What differs from it is the signal (``--signal tuh``: 200 Hz,
0.1-75 Hz, 50 Hz taken out, 23 electrodes as referenced in the file), that recordings are taken
whole from their first second, and that one in five of the published training people are for
validation. DARE-EEG resamples the same windows to 256 Hz: ``--sfreq_hz 256``.

Departures from their scripts, each of which moves few windows or none:

- Validation is drawn by person, over both folders. They draw it from the normal and the abnormal
  training recordings separately, so that a person who is in both can be trained and validated on;
  and unseeded (or seeded, but over a set of texts whose order differs from run to run), so that no
  two preparations agree. Who is in the published evaluation set as well stays there only.
- The signal is cut where an electrode is flat or stands at the limit of its range for seconds; a
  recording of which one of the 23 electrodes is flat throughout is skipped and listed. They keep
  both; count the windows of the test set before comparing scores.
- They drop recordings that have any further channel than a list of theirs (such as ``EEG OZ-REF``);
  here these are used. The score of the evaluation set is over windows, as theirs is.
"""

from types import MappingProxyType

from data_prep.corpora.base import Source
from data_prep.corpora.tuab import Tuab


class TuabWindows(Tuab):
    """TUAB with another signal; windows follow one another without overlap."""

    name = "tuab_windows"
    whole_recordings = True
    published = MappingProxyType(
        {"signal": "tuh", "window_s": 10.0, "split": {"train": 0.8, "valid": 0.2, "test": 0.0}}
    )

    def _source(self, path, file, reports, institution) -> Source | None:
        source = super()._source(path, file, reports, institution)
        if source is None:
            return None
        # The set is TUAB's whatever the windows.
        eval_set = source.labels["eval_set"].replace(self.name.upper(), Tuab.name.upper())
        return source.replace(labels=source.labels | {"eval_set": eval_set})
