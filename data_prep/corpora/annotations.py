"""Annotations of EDF+ and BDF+ files; their texts are for reading, never for repeating.

``mne.read_annotations`` reads them, too, but looks for them in all bytes of a file, those of
signals among them, goes by a suffix in small letters, and ends at a text that is not UTF-8.
"""

import os
import re

from data_prep.corpora.event_files import EventsError
from data_prep.places import local_copy
from elm_jax.signals import edf
from elm_jax.signals.defects import UnusableRecording

# +onset[ 0x15 duration] 0x14 text 0x14 [text 0x14 ...] 0x00; the record's own has an empty text.
_LIST = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14((?:[^\x00\x14]*\x14)+)\x00")


def read_annotations(path: os.PathLike) -> list[tuple[float, float, str]]:
    """(onset, duration, text) of each annotation of an EDF+ or BDF+ file, in seconds, by time.

    Times are from the beginning of the first record. Texts are UTF-8, or else taken as Latin-1.

    Raises:
      EventsError: it cannot be read; the message repeats nothing of it.
    """
    with local_copy(path) as local:
        try:
            stream, header = edf.open_edf(local, local.name)
            with stream:
                records = edf.read_annotation_bytes(stream, header, local.name)
        except UnusableRecording as verdict:
            raise EventsError(f"{verdict.defect.kind}: {verdict.defect.detail}") from None
    rows, begin_s = [], None
    for number, record in enumerate(records):
        for match in _LIST.finditer(record):
            onset_s, length_s = float(match[1]), float(match[2] or 0)
            texts = [_text(raw) for raw in match[3].split(b"\x14")[:-1]]
            if number == 0 and begin_s is None and not texts[0]:
                begin_s = onset_s  # the fraction of a second at which the first record begins
            rows += [(onset_s, length_s, text) for text in texts if text]
    return sorted((onset_s - (begin_s or 0.0), length_s, text) for onset_s, length_s, text in rows)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
