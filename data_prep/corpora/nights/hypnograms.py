"""The stages of simulated nights: those of real hypnograms, or drawn from a small model of sleep.

The model is semi-Markov: a stage lasts for a drawn time, then another follows. Its numbers, by
third of the night, are rounded counts over 20 hypnograms of Sleep-EDF's cassette study (Kemp et
al. 2000; SC4001 to SC4092): which stage follows which, and mean and deviation of the logarithm of
how many epochs a stage lasts. So deep sleep comes first and REM sleep grows towards morning, as
the tables of textbooks have it; cycles of 90 minutes are in it only as far as these make them.
"""

import dataclasses
import datetime
import pathlib
import re

import numpy as np

from data_prep.corpora.annotations import read_annotations
from data_prep.corpora.base import CorpusError, find_files
from data_prep.corpora.event_files import EventsError

EPOCH_S = 30.0
WAKE, UNSCORED, MOVEMENT = "Sleep stage W", "Sleep stage ?", "Movement time"
ASLEEP = tuple(f"Sleep stage {stage}" for stage in "1234R")
_NAME = re.compile(r"(?P<night>SC4\d\d[12])(?P<scorer>[A-Z]{2})-Hypnogram", re.IGNORECASE)
_STARTS = slice(168, 184)  # of an EDF header: dd.mm.yyhh.mm.ss

# Stage -> of each third of the night, which stage follows with what share.
_NEXT = {
    "W": ({"1": 0.92, "2": 0.05, "R": 0.03}, {"1": 0.92, "2": 0.05, "R": 0.03},
          {"1": 0.88, "2": 0.01, "R": 0.11}),
    "1": ({"2": 0.78, "W": 0.18, "R": 0.04}, {"2": 0.71, "W": 0.13, "R": 0.16},
          {"2": 0.64, "W": 0.12, "R": 0.24}),
    "2": ({"3": 0.63, "1": 0.17, "R": 0.11, "W": 0.09},
          {"3": 0.52, "1": 0.22, "R": 0.17, "W": 0.09},
          {"3": 0.27, "1": 0.38, "R": 0.21, "W": 0.14}),
    "3": ({"2": 0.9, "1": 0.06, "W": 0.04}, {"2": 0.92, "1": 0.05, "W": 0.03},
          {"2": 0.94, "1": 0.03, "W": 0.03}),
    "R": ({"2": 0.5, "1": 0.33, "W": 0.17}, {"2": 0.27, "1": 0.53, "W": 0.2},
          {"2": 0.13, "1": 0.63, "W": 0.24}),
}  # fmt: skip
# Stage -> of each third, mean and deviation of the natural logarithm of its epochs.
_LASTS = {
    "W": ((0.90, 1.13), (0.72, 0.92), (0.71, 0.93)),
    "1": ((0.95, 0.94), (0.58, 0.62), (0.65, 0.63)),
    "2": ((1.44, 1.21), (1.71, 1.24), (1.83, 1.20)),
    "3": ((1.16, 1.34), (0.89, 1.15), (0.69, 1.04)),
    "R": ((2.43, 1.21), (2.30, 1.10), (2.11, 1.03)),
}
# From the first to the last epoch of sleep, hours.
_NIGHT_H = (7.8, 1.1)
# The longest that one stage lasts: the logarithm has a long tail, people turn over.
_MOST_EPOCHS = 120


@dataclasses.dataclass(frozen=True)
class Hypnogram:
    """The stages of one night.

    Attributes:
      night: its name, as ``SC4001``: person 00, first night.
      scorer: the two letters that follow it in the hypnogram's name.
      starts: when the recording begins.
      rows: (onset in s, duration in s, text) from the begin of the recording on.
      recorded_s: how long the recording is; rows may go on after it, unscored.
    """

    night: str
    scorer: str
    starts: datetime.datetime
    rows: tuple[tuple[float, float, str], ...]
    recorded_s: float

    @property
    def person(self) -> int:
        """The number of the person."""
        return int(self.night[3:5])

    def epochs(self) -> list[str]:
        """The text of each 30 s of the recording."""
        return [
            text
            for onset_s, length_s, text in self.rows
            if onset_s < self.recorded_s
            for _ in range(round(length_s / EPOCH_S))
        ]


def read_hypnograms(folder: pathlib.Path | str, nights: int, margin_min: float) -> list[Hypnogram]:
    """The first ``nights`` hypnograms of a folder, by name.

    Raises:
      CorpusError: there are fewer, two are of one night, or one can not be read.
    """
    found = {}
    for path in find_files(folder, (".edf",)):
        name = _NAME.fullmatch(path.stem)
        if name is None:
            continue
        night = name["night"].upper()
        if night in found:
            raise CorpusError(f"{path}: a second hypnogram of {night}; remove one of the two")
        found[night] = (path, name["scorer"].upper())
    if len(found) < nights:
        raise CorpusError(
            f"{folder}: has {len(found)} hypnograms such as SC4001EC-Hypnogram.edf, expected "
            f"{nights}; ask for fewer nights, or leave the folder out: then stages are drawn"
        )
    chosen = sorted(found.items())[:nights]
    return [_read(path, night, scorer, margin_min) for night, (path, scorer) in chosen]


def _read(path: pathlib.Path, night: str, scorer: str, margin_min: float) -> Hypnogram:
    try:
        rows = read_annotations(path)
    except EventsError as error:
        raise CorpusError(f"{path}: {error}") from None
    known = {WAKE, UNSCORED, MOVEMENT, *ASLEEP}
    if not rows or any(text not in known or length_s % EPOCH_S for _, length_s, text in rows):
        raise CorpusError(f"{path}: expected stages of sleep in epochs of {EPOCH_S:g} s")
    with path.open("rb") as stream:
        text = stream.read(_STARTS.stop)[_STARTS].decode("ascii", "replace")
    try:
        starts = datetime.datetime.strptime(text, "%d.%m.%y%H.%M.%S")
    except ValueError:
        raise CorpusError(f"{path}: begins at {text!r}, expected dd.mm.yyhh.mm.ss") from None
    return cropped(Hypnogram(night, scorer, starts, tuple(rows), _recorded_s(rows)), margin_min)


def _recorded_s(rows: list[tuple[float, float, str]]) -> float:
    """Until where it is scored: the hypnograms go on, unscored, when the recording has ended."""
    return max(onset_s + length_s for onset_s, length_s, text in rows if text != UNSCORED)


def cropped(hypnogram: Hypnogram, margin_min: float) -> Hypnogram:
    """The night from ``margin_min`` before the first sleep to as long after the last one.

    What follows the recording stays as it is: unscored.

    Raises:
      CorpusError: there is no sleep in it.
    """
    asleep = [row for row in hypnogram.rows if row[2] in ASLEEP]
    if not asleep:
        raise CorpusError(f"{hypnogram.night}: its hypnogram has no epoch of sleep")
    margin_s = 60 * margin_min
    begin_s = max(asleep[0][0] - margin_s, 0.0)
    end_s = min(asleep[-1][0] + asleep[-1][1] + margin_s, hypnogram.recorded_s)
    rows = []
    for onset_s, length_s, text in hypnogram.rows:
        start_s, stop_s = max(onset_s, begin_s), min(onset_s + length_s, end_s)
        if onset_s >= hypnogram.recorded_s:
            start_s, stop_s = end_s, end_s + length_s
        if stop_s > start_s:
            rows.append((start_s - begin_s, stop_s - start_s, text))
    starts = hypnogram.starts + datetime.timedelta(seconds=begin_s)
    return dataclasses.replace(
        hypnogram, starts=starts, rows=tuple(rows), recorded_s=end_s - begin_s
    )


def draw_hypnogram(
    number: int, seed: int, margin_min: float, hours: float | None = None
) -> Hypnogram:
    """Night ``number`` of a corpus, of person ``number // 2``: from the model of this module.

    Args:
      number: from 0.
      seed: another one gives other nights.
      margin_min: the most that people lie awake before and after sleep.
      hours: from the first to the last sleep; None: drawn.

    Raises:
      CorpusError: there are no names for so many people.
    """
    person, night = divmod(number, 2)
    if person > 99:
        raise CorpusError("the layout has names for 100 people of two nights: at most 200 nights")
    rng = np.random.default_rng([seed, person, night, 1])
    drawn = float(np.clip(rng.normal(*_NIGHT_H), 4.5, 10))
    sleep_epochs = max(round((drawn if hours is None else hours) * 3600 / EPOCH_S), 1)
    wake = [round(rng.uniform(0.8, 1.0) * margin_min * 60 / EPOCH_S) for _ in range(2)]
    stages = ["W"] * wake[0] + _draw_sleep(rng, sleep_epochs) + ["W"] * wake[1]
    day = datetime.datetime(1989, 1, 1) + datetime.timedelta(days=7 * person + night)
    starts = day + datetime.timedelta(minutes=int(rng.integers(22 * 60, 24 * 60)))
    rows, at = [], 0
    while at < len(stages):
        stop = at
        while stop < len(stages) and stages[stop] == stages[at]:
            stop += 1
        rows.append((EPOCH_S * at, EPOCH_S * (stop - at), f"Sleep stage {stages[at]}"))
        at = stop
    name = f"SC4{person:02d}{night + 1}"
    return Hypnogram(name, "EC", starts, tuple(rows), EPOCH_S * len(stages))


def _draw_sleep(rng: np.random.Generator, epochs: int) -> list[str]:
    """From the first epoch of sleep (N1) to the last."""
    stage, stages = "1", []
    while len(stages) < epochs:
        third = 3 * len(stages) // epochs
        lasts = int(np.clip(round(rng.lognormal(*_LASTS[stage][third])), 1, _MOST_EPOCHS))
        deep = stage == "3"
        # The deepest part of deep sleep is its middle, and rare after the first hours.
        inner = lasts - 4 if deep and third < 2 else 0
        run = ["4" if 2 <= i < 2 + inner else stage for i in range(lasts)]
        stages += run
        shares = _NEXT[stage][third]
        p = np.array(list(shares.values()))
        stage = str(rng.choice(list(shares), p=p / p.sum()))
    stages = stages[:epochs]
    while stages[-1] == "W":
        stages.pop()
    return stages
