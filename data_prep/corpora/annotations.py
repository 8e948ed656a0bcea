"""Annotations of EDF+ files, through ``mne``; their texts are for reading, never for repeating."""

import pathlib

from data_prep.corpora.event_files import EventsError
from data_prep.places import local_copy


def read_annotations(path: pathlib.Path) -> list[tuple[float, float, str]]:
    """(onset, duration, text) of each annotation of an EDF+ or BDF+ file, in seconds, by time.

    Raises:
      EventsError: it cannot be read; the message repeats nothing of it.
    """
    import mne

    with local_copy(path) as local:
        try:
            found = mne.read_annotations(local)
        except OSError as error:
            raise EventsError(f"cannot be read ({error.strerror})") from None
        except Exception as error:  # mne ends in whatever the bytes lead it to
            raise EventsError(f"is no EDF+ file ({type(error).__name__})") from None
    rows = zip(found.onset, found.duration, found.description, strict=True)
    return sorted((float(start_s), float(length_s), str(text)) for start_s, length_s, text in rows)
