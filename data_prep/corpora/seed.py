"""SEED, the SJTU Emotion EEG Dataset (Zheng and Lu 2015): fifteen film clips a session.

    SEED/Preprocessed_EEG/1_20131027.mat    djc_eeg1 .. djc_eeg15: 62 x time, uV at 200 Hz, 0-75 Hz
    SEED/Preprocessed_EEG/label.mat         label: 1 x 15 of 1, 0, -1, the same for every session
    SEED/SEED_RAW_EEG/1_1.cnt               whole sessions at 1000 Hz (Neuroscan), person_session

A file is one session of one person (``seed:1``), of three about a week apart; the date in its name
becomes the label ``session``, counted from 1, and nothing else. Each clip of a ``.mat`` file is a
gap-free stretch labelled ``trial`` and, with ``label.mat``, ``emotion`` and ``emotion_class``.
``.cnt`` files are read by ``mne`` and give whole sessions without labels. The files hold no names
of rows: they are those of the release's ``channel-order.xlsx`` (CB1 and CB2 are no electrodes of
the 10-10 system and are left out).

There is no published split of people: they are split by the seed. EEGPT's published script takes
pieces of 1 s (its reader's default), stretches each to 10 s, as if the brain were ten times slower,
and puts one in ten of all pieces, whoever's they are, into validation; here time is kept, and
nobody is in two splits.
"""

import argparse
import pathlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import (
    ArrayCorpus,
    as_defects,
    bad_array,
    class_label,
    mat_names,
    read_mat,
    require_shape,
)
from data_prep.corpora.base import CorpusError, Source
from data_prep.findings import finding

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

CHANNELS = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 "
    "T7 C5 C3 C1 CZ C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 "
    "PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
).split()  # fmt: skip
SFREQ_HZ = 200.0
EMOTIONS = {"negative": 0, "neutral": 1, "positive": 2}
LABELS_FILE = "label.mat"

_WORDS = {-1: "negative", 0: "neutral", 1: "positive"}
_SESSION_MAT = re.compile(r"(?P<person>\d{1,2})_(?P<session>\d{8})")
_SESSION_CNT = re.compile(r"(?P<person>\d{1,2})_(?P<session>\d)")
_TRIAL = re.compile(r"[A-Za-z]+_eeg(\d{1,2})")


class Seed(ArrayCorpus):
    """Sessions as recordings, clips as their stretches."""

    name = "seed"
    institution = "seed"
    example = "Preprocessed_EEG/1_20131027.mat or SEED_RAW_EEG/1_1.cnt"
    counted_label = "emotion"
    published = MappingProxyType({"signal": "eegpt", "channels": "profile"})
    channels = tuple(CHANNELS)
    no_electrodes = ("CB1", "CB2")  # over the cerebellum
    file_suffixes = (".mat", ".cnt")

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the sessions.

        Raises:
          CorpusError: no session, or the same sessions twice, raw and preprocessed.
        """
        emotions: dict[pathlib.Path, list[str]] = {}
        found = self.collect(args, lambda path, file: self._source(path, file, args, emotions))
        if len(kinds := {source.kind for source in found}) > 1:
            raise CorpusError(
                f"--input {args.input}: holds sessions both as .mat and as .cnt, which are the "
                f"same signals ({' and '.join(sorted(kinds))}); give one of the two folders"
            )
        return _count_sessions(found)

    def _source(
        self,
        path: pathlib.Path,
        file: str,
        args: argparse.Namespace,
        emotions: dict[pathlib.Path, list[str]],
    ) -> Source | None:
        if path.name.lower() == LABELS_FILE:
            return None
        raw = path.suffix.lower() == ".cnt"
        named = (_SESSION_CNT if raw else _SESSION_MAT).fullmatch(path.stem)
        if named is None or path.parent.name.lower().startswith("extractedfeatures"):
            return self.leave_out(file, "not_in_layout", "not person_date.mat, person_session.cnt")
        extra: dict[str, Any] = {"session": named["session"]}
        if not raw:
            if path.parent not in emotions:
                emotions[path.parent] = self._emotions(path.parent, file)
            extra["emotions"] = emotions[path.parent]
        return Source(
            recording=path.stem,
            person=f"{args.institution or self.institution}:{int(named['person'])}",
            path=path,
            file=file,
            kind="cnt" if raw else "mat",
            extra=extra,
        )

    def _emotions(self, folder: pathlib.Path, file: str) -> list[str]:
        """The clips' words; empty, and listed, where the file of labels is missing or odd."""
        from elm_jax.signals.defects import UnusableRecording

        name = (pathlib.PurePosixPath(file).parent / LABELS_FILE).as_posix()
        try:
            values = read_mat(folder / LABELS_FILE, "label", name).ravel()
            return [_WORDS[int(value)] for value in values]
        except UnusableRecording as verdict:
            detail = verdict.defect.detail
        except KeyError:
            detail = "values other than -1, 0, 1"
        self.findings.append(finding(name, "recording_without_label", detail))
        return []

    def row_labels(self, source: Source) -> list[str]:
        """Of a raw session those that stand in its header."""
        return list(self.channels) if source.kind == "mat" else _open_cnt(source).ch_names

    def read(self, source: Source) -> "Recording":
        """All clips of a session, or a raw session."""
        from elm_jax.signals.recording import from_arrays

        if source.kind == "cnt":
            return _read_cnt(source, self.meant)
        names = {
            int(match[1]): name
            for name in mat_names(source.path, source.file)
            if (match := _TRIAL.fullmatch(name))
        }
        if not names:
            raise bad_array(source.file, "has no clip: expected 15 variables such as djc_eeg1")
        emotions, trials, labels = source.extra["emotions"], [], []
        for number, name in sorted(names.items()):
            x = read_mat(source.path, name, source.file)
            require_shape(x, (len(CHANNELS), None), source.file, name)
            trials.append(x.astype("float32"))
            known = 0 < number <= len(emotions)
            word = class_label("emotion", emotions[number - 1], EMOTIONS) if known else {}
            labels.append({"trial": number} | word)
        return from_arrays(
            trials, CHANNELS, SFREQ_HZ, "uV", labels=labels, rename=self.meant, file=source.file
        )


def _open_cnt(source: Source) -> Any:
    """A raw session as ``mne.io.Raw``, its samples not yet read."""
    import mne

    with as_defects(source.file, "a Neuroscan .cnt file", ValueError, RuntimeError, IndexError):
        return mne.io.read_raw_cnt(source.path, preload=False, verbose="ERROR")


def _read_cnt(source: Source, rename: dict[str, str | None]) -> "Recording":
    from elm_jax.signals.recording import from_mne

    raw = _open_cnt(source)
    with as_defects(source.file, "as many samples as its header says", ValueError, RuntimeError):
        return from_mne(raw, rename=rename, file=source.file)


def _count_sessions(sources: list[Source]) -> list[Source]:
    """Dates become the numbers of a person's sessions: when somebody was recorded is not kept."""
    sessions: dict[str, set[str]] = {}
    for source in sources:
        sessions.setdefault(source.person, set()).add(source.extra["session"])
    counted = []
    for source in sources:
        number = sorted(sessions[source.person]).index(source.extra["session"]) + 1
        extra = {k: v for k, v in source.extra.items() if k != "session"}
        counted.append(source.replace(labels=source.labels | {"session": number}, extra=extra))
    return counted
