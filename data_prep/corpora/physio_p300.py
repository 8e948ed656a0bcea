"""PhysioP300 (PhysioNet ``erpbci`` 1.0.0): did what one attends to flash or not (12 people).

    s01/rc01.edf ... s12/rc20.edf     a run: the spelling of one character

The annotations of a run name the character (``#TgtA_``), its begin and end (``#start``, ``#end``),
and for each flash the six characters of the row or column that lit up (``ABCDEF``). Labels:
``target`` (1) if the character was among them, else ``nontarget`` (0), five times as many.

64 electrodes against the CMS at 2048 Hz; of them the 58 that EEGPT takes. Windows run from 0.1 s
before a flash for 2 s: the papers cut 2.1 s, of which their encoder, with patches of 64 samples
every 32, reads 512 samples. Flashes are 0.15 s apart, so windows overlap.

EEGPT leaves one person out (``--test_people s01``), of people 1 to 7, 9 and 11; here is everybody
(``--exclude_people``). Its script names windows by their number in a run, so that of all runs of a
person the last one's overwrite the others'; here all are kept. It subtracts the mean of all 64
electrodes, here it is that of the 58.
"""

import argparse
import pathlib
import re
from collections import Counter
from collections.abc import Sequence

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import Source
from data_prep.corpora.event_files import Event, EventsError, to_json
from data_prep.corpora.events import say_counts
from data_prep.corpora.trials import Trials
from data_prep.findings import finding

FLASH_S = 0.1
WINDOW_S = 2.0
_PERSON = re.compile(r"s(?:0[1-9]|1[0-2])", re.IGNORECASE)
_RUN = re.compile(r"rc\d\d", re.IGNORECASE)
_TARGET = re.compile(r"#Tgt(?P<character>.)_?")
_CHARACTERS = 6  # in a row, and in a column


class PhysioP300(Trials):
    """Runs of a matrix speller; no published split."""

    name = "physio_p300"
    institution = "physio_p300"
    example = "s01/rc01.edf"
    classes = {"nontarget": 0, "target": 1}
    offset_s = -0.1
    published = {
        "signal": "eegpt", "channels": "profile", "window_s": WINDOW_S, "lowpass_hz": 120.0,
    }  # fmt: skip

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the runs whose flashes can be labelled; the others are findings.

        Raises:
          CorpusError: there is none.
        """
        institution = args.institution or self.institution

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            person = path.absolute().parent.name.lower()
            if not (_PERSON.fullmatch(person) and _RUN.fullmatch(path.stem)):
                return self.leave_out(file, "not_in_layout", "no run of a person, s01/rc01")
            run = path.stem.lower()
            source = Source(f"{person}_{run}", f"{institution}:{person}", path, file)
            return self._with_flashes(source)

        return self.collect(args, source_of)

    def _with_flashes(self, source: Source) -> Source | None:
        try:
            events, odd = flashes(read_annotations(source.path))
        except EventsError as error:
            return self.leave_out(source.file, "events_unreadable", str(error))
        if odd:
            self.findings.append(finding(source.file, "events_not_understood", say_counts(odd)))
        return source.replace(extra={"events": to_json(events)})


def flashes(rows: Sequence[tuple[float, float, str]]) -> tuple[list[Event], Counter[str]]:
    """The flashes of a run, and how many annotations are neither flashes nor marks.

    Args:
      rows: onset and duration in seconds and text of each annotation.

    Raises:
      EventsError: no target, several, or no flash.
    """
    texts = [text.strip() for *_, text in rows]
    targets = {match["character"] for text in texts if (match := _TARGET.fullmatch(text))}
    if len(targets) != 1:
        raise EventsError(f"its annotations name {len(targets)} targets (#Tgt), expected one")
    (target,) = targets
    events, odd = [], Counter()
    for (start_s, _, _), text in zip(rows, texts, strict=True):
        if text.startswith("#"):
            continue
        if len(text) != _CHARACTERS:
            odd["annotations that are no row or column"] += 1
            continue
        label = "target" if target in text else "nontarget"
        events.append(Event(start_s, start_s + FLASH_S, label))
    if not events:
        raise EventsError("its annotations name no flash")
    return events, odd
