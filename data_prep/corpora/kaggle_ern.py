"""KaggleERN, the INRIA BCI Challenge (NER 2015): feedback that is right or an error (26 people).

    train/Data_S02_Sess01.csv     16 people, 5 sessions:  Time,Fp1,...,O2,EOG,FeedBackEvent
    TrainLabels.csv               IdFeedBack,Prediction:  S02_Sess01_FB001,1
    test/Data_S01_Sess01.csv      10 other people
    true_labels.csv               label: of the test set's feedbacks, in order of person and
                                  session; published after the challenge, a download of its own

56 electrodes against the nose and one channel of the eyes (left out) at 200 Hz; a row with 1 in
``FeedBackEvent`` is where the speller showed its letter: 60 in a session, 100 in the fifth. Labels:
``correct`` (1) or ``error`` (0). Windows run from 0.7 s before it to 1.3 s after it. No unit is
published: the values are taken as microvolts.

EEGPT tests on the ten people of the test set and trains on 12 of the 16 others, four times
(``--exclude_people``); ``--split train=0.75,valid=0.25`` validates on the four instead. It filters
nothing, takes 19 of the electrodes and scales each window to [-1, 1]. In its copy session 5 of
person 22 could not be read, and session 4 was taken twice, with the other's labels.
"""

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from data_prep.corpora.arrays import ArrayCorpus, as_defects, bad_array
from data_prep.corpora.base import Source, walk_files
from data_prep.corpora.event_files import Event, EventsError, to_json
from data_prep.corpora.trials import Trials
from data_prep.csv_tables import read_csv_table
from data_prep.places import input_path, local_copy
from data_prep.report_texts import TextError

if TYPE_CHECKING:
    from elm_jax.signals.recording import Recording

SFREQ_HZ = 200.0
WINDOW_S = 2.0
FEEDBACKS = {1: 60, 2: 60, 3: 60, 4: 60, 5: 100}
TEST_PEOPLE = (1, 3, 4, 5, 8, 9, 10, 15, 19, 25)
WORDS = {"0": "error", "1": "correct"}
_SESSION = re.compile(r"Data_S(?P<person>\d\d)_Sess(?P<session>0[1-5])", re.IGNORECASE)
_FOLDERS = ("train", "test")

# Words of the feedbacks of (person, session).
Labels = Mapping[tuple[int, int], list[str]]


class KaggleErn(Trials, ArrayCorpus):
    """Published splits: train and test, of different people."""

    name = "kaggle_ern"
    institution = "kaggle_ern"
    example = "train/Data_S02_Sess01.csv, with TrainLabels.csv beside the folder"
    file_suffixes = (".csv",)
    classes = {word: int(number) for number, word in WORDS.items()}
    offset_s = -0.7
    published = {"signal": "eegpt", "window_s": WINDOW_S}

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the sessions whose feedbacks have labels; the others are findings.

        Raises:
          CorpusError: there is none.
        """
        tables = {path.name.lower(): path for path in walk_files(input_path(args.input), (".csv",))}
        labels = {
            "train": _labels_or_why(tables.get("trainlabels.csv"), "TrainLabels.csv", _by_name),
            "test": _labels_or_why(tables.get("true_labels.csv"), "true_labels.csv", _in_order),
        }
        institution = args.institution or self.institution

        def source_of(path: pathlib.Path, file: str) -> Source | None:
            name, split = _SESSION.fullmatch(path.stem), path.absolute().parent.name.lower()
            if name is None:
                return None  # the tables
            if split not in _FOLDERS:
                return self.leave_out(file, "not_in_layout", "not in the folder train or test")
            session = int(name["session"])
            source = Source(
                recording=path.stem.removeprefix("Data_"),
                person=f"{institution}:S{name['person']}",
                path=path,
                file=file,
                labels={"session": session},
                split=split,
                kind="csv",
            )
            return self._with_feedbacks(source, (int(name["person"]), session), labels[split])

        return self.collect(args, source_of)

    def _with_feedbacks(
        self, source: Source, session: tuple[int, int], labels: Labels | str
    ) -> Source | None:
        if isinstance(labels, str):
            return self.leave_out(source.file, "events_missing", labels)
        words = labels.get(session, [])
        try:
            with local_copy(source.path) as path:
                shown_s = feedbacks(path)
        except EventsError as error:
            return self.leave_out(source.file, "events_unreadable", str(error))
        if len(shown_s) != len(words):
            detail = f"{len(shown_s)} feedbacks, labels for {len(words)}"
            return self.leave_out(source.file, "label_conflict", detail)
        events = [Event(t, t + 1.3, word) for t, word in zip(shown_s, words, strict=True)]
        return source.replace(extra={"events": to_json(events)})

    def row_labels(self, source: Source) -> list[str]:
        """As the first line has them."""
        with local_copy(source.path) as path:
            return _header(path, source.file)

    def read(self, source: Source) -> "Recording":
        """The session as one stretch."""
        from elm_jax.signals.defects import Defect
        from elm_jax.signals.recording import from_arrays

        names = _header(source.path, source.file)
        with as_defects(source.file, "a row of numbers for each sample", ValueError):
            rows = np.loadtxt(source.path, np.float32, delimiter=",", skiprows=1, ndmin=2)
        if rows.shape[1] != len(names) + 2 or len(rows) < 2:
            raise bad_array(source.file, f"{rows.shape} values, expected {len(names) + 2} columns")
        step_s = float(np.median(np.diff(rows[:1000, 0])))
        if not 0.99 < step_s * SFREQ_HZ < 1.01:
            raise bad_array(source.file, f"samples are {step_s:g} s apart, expected 0.005 s")
        recording = from_arrays(
            [rows[:, 1:-1].T], names, SFREQ_HZ, "uV", rename=self.rename, file=source.file
        )
        unit = Defect(source.file, "unknown_unit", "no unit is published; taken as uV")
        return dataclasses.replace(recording, defects=(*recording.defects, unit))


def feedbacks(path: pathlib.Path) -> list[float]:
    """When feedback was shown, in seconds from the first row; only ends of lines are looked at.

    Raises:
      EventsError: the last column is another, or not of numbers.
    """
    try:
        with path.open("rb") as file:
            if not file.readline().rstrip().lower().endswith(b",feedbackevent"):
                raise EventsError("its last column is not FeedBackEvent")
            # Nearly all rows end in ",0": they are told by that alone.
            rows = enumerate(row for line in file if (row := line.rstrip()))
            marked = [(k, row.rpartition(b",")[2]) for k, row in rows if not row.endswith(b",0")]
    except OSError as error:
        raise EventsError(f"cannot be read ({error.strerror})") from None
    try:
        return [k / SFREQ_HZ for k, cell in marked if float(cell) > 0]
    except ValueError:
        raise EventsError("FeedBackEvent is not of numbers") from None


def _header(path: pathlib.Path, file: str) -> list[str]:
    """Names of the channels: the columns between Time and FeedBackEvent.

    Raises:
      UnusableRecording: the first line is another.
    """
    with as_defects(file, "a first line of names", UnicodeDecodeError), path.open("rb") as stream:
        columns = [cell.strip() for cell in stream.readline().decode().split(",")]
    if len(columns) < 3 or (columns[0].lower(), columns[-1].lower()) != ("time", "feedbackevent"):
        raise bad_array(file, "the first line is not Time, channels, FeedBackEvent")
    return columns[1:-1]


def _labels_or_why(path: pathlib.Path | None, name: str, read) -> Labels | str:
    """The labels of a table, or why there are none."""
    if path is None:
        return f"no {name}"
    try:
        with local_copy(path) as local:
            table = read_csv_table(local)
        return read(table)
    except (TextError, EventsError, OSError) as error:
        # Texts name the copy or the place on this machine; the table is known by its name.
        return f"{name}: {str(error).rpartition(': ')[2]}"


def _by_name(table) -> Labels:
    """``S02_Sess01_FB001,1``."""
    _require_columns(table, "IdFeedBack", "Prediction")
    found: dict[tuple[int, int], dict[int, str]] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        name = re.fullmatch(r"S(\d\d)_Sess(\d\d)_FB(\d{3})", row["IdFeedBack"].strip())
        if name is None:
            raise EventsError(f"line {line} names no feedback, such as S02_Sess01_FB001")
        person, session, number = (int(part) for part in name.groups())
        of_session = found.setdefault((person, session), {})
        if number in of_session:
            raise EventsError(f"line {line} labels a feedback twice")
        of_session[number] = _word(row["Prediction"], line)
    for session, of_session in found.items():
        if sorted(of_session) != list(range(1, len(of_session) + 1)):
            raise EventsError(f"feedbacks of person and session {session} are not 1, 2, ...")
    return {key: [words[k] for k in sorted(words)] for key, words in found.items()}


def _in_order(table) -> Labels:
    """A column ``label``: those of the ten people one after another, session by session."""
    _require_columns(table, "label")
    words = [_word(r["label"], line) for r, line in zip(table.rows, table.lines, strict=True)]
    expected = len(TEST_PEOPLE) * sum(FEEDBACKS.values())
    if len(words) != expected:
        raise EventsError(f"has {len(words)} labels, expected {expected}")
    at, found = 0, {}
    for person in TEST_PEOPLE:
        for session, count in FEEDBACKS.items():
            found[person, session] = words[at : at + count]
            at += count
    return found


def _require_columns(table, *names: str) -> None:
    if missing := [name for name in names if name not in table.columns]:
        raise EventsError(f"lacks the column {missing[0]}")


def _word(cell: str, line: int) -> str:
    if cell.strip() not in WORDS:
        raise EventsError(f"line {line} is neither 0 nor 1")
    return WORDS[cell.strip()]
