"""TUEV, the TUH EEG Events Corpus: windows around events of six classes.

    edf/train/aaaaaaar/aaaaaaar_00000001.edf    a person's folder (v1: 00002275)
    edf/eval/032/bckg_032_a_.edf                an index of the evaluation set, not a person's id

and beside each a ``.rec`` with a line a channel and second: ``channel,start,stop,code``. Rows that
differ in the channel only are one event. The window reaches 2 s to either side of the event's
second (for windows of 5 s) and is clamped to the recording, or to the gap-free stretch of it that
holds the event. The ``.lab`` files say the same once more, channel by channel, and are not read.

The evaluation set's people are ``tuh_tuev_eval:032``: the published index is not a TUH id, so an
overlap with other TUH corpora cannot be seen.
"""

import argparse
import pathlib
import re

from data_prep.corpora.base import Source
from data_prep.corpora.event_files import EventFile, read_rec
from data_prep.corpora.events import EventCorpus
from data_prep.corpora.tueg import INSTITUTION, INSTITUTION_V06, SPLITS, release_folders, unique
from elm_jax.data.spec import SignalSpec

EVENT_S = 1.0
EVAL_INSTITUTION = "tuh_tuev_eval"
CODES = {1: "spsw", 2: "gped", 3: "pled", 4: "eyem", 5: "artf", 6: "bckg"}

# Folder of a person -> whose numbering it is.
_OWNERS = (
    (re.compile(r"[a-z]{8}"), INSTITUTION),
    (re.compile(r"\d{8}"), INSTITUTION_V06),
    (re.compile(r"\d{1,4}"), EVAL_INSTITUTION),
)


class Tuev(EventCorpus):
    """Published splits: train, and eval (test here)."""

    name = "tuev"
    institution = INSTITUTION
    example = "edf/train/aaaaaaar/aaaaaaar_00000001.edf with a .rec beside it"
    settles_splits = True
    classes = {label: code - 1 for code, label in CODES.items()}
    suffix = ".rec"

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the recordings that have a readable file of events; the others are findings.

        Raises:
          CorpusError: there is none.
        """
        return unique(
            self.collect(args, lambda path, file: self._source(path, file, args.institution))
        )

    def _source(self, path: pathlib.Path, file: str, institution: str | None) -> Source | None:
        folders, stem = release_folders(path, file), path.stem
        split = next((SPLITS[name] for name in folders[-2:-1] if name in SPLITS), None)
        person = folders[-1] if folders else ""
        owner = next((who for pattern, who in _OWNERS if pattern.fullmatch(person)), None)
        if split is None or owner is None:
            return self.leave_out(file, "not_in_layout", "not in train/<person> or eval/<index>")
        if person not in stem.split("_")[:2]:
            detail = f"folder {person}, file {stem.split('_')[0]}"
            return self.leave_out(file, "person_conflict", detail)
        source = Source(
            recording=stem,
            person=f"{institution or owner}:{person}",
            path=path,
            file=file,
            labels={"eval_set": f"TUEV_{folders[-2]}"},
            split=split,
        )
        return self.with_events(source)

    def read_events(self, path: pathlib.Path) -> EventFile:
        """Reads a ``.rec`` file."""
        return read_rec(path, CODES)

    def firsts(self, begin: int, end: int, n: int, spec: SignalSpec) -> list[int]:
        """One window around the event's second, clamped to the stretch that holds it."""
        if not 0 <= begin <= n - round(EVENT_S * spec.sfreq_hz):
            return []
        first = begin - round((spec.window_s - EVENT_S) / 2 * spec.sfreq_hz)
        return [min(max(first, 0), n - spec.window_samples)]
