"""Writes simulated nights as EDF+ files: ``python -m data_prep.corpora.nights.write --out DIR``."""

import argparse
import dataclasses
import datetime
import functools
import hashlib
import json
import math
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep import durable
from data_prep.corpora.base import CorpusError
from data_prep.corpora.nights.hypnograms import Hypnogram, draw_hypnogram, read_hypnograms
from data_prep.corpora.nights.people import Person, draw_person
from data_prep.corpora.nights.signals import CHANNELS, SFREQ_HZ, simulate, slow_channels
from data_prep.work import run_parallel

# Raised whenever the simulation changes: another version is another corpus.
VERSION = 3
SETTINGS_NAME = "simulated_nights.json"
MARGIN_MIN = 35.0
RECORD_S = 30
# As the headers of the cassette study have them: unit, physical range, and what was filtered.
_SLOW = {
    "Resp oro-nasal": ("", (-2048, 2047), "HP:0.03Hz LP:0.9Hz"),
    "EMG submental": ("uV", (-5, 5), "HP:16Hz Rectification LP:0.7Hz"),
    "Temp rectal": ("DegC", (34, 40), ""),
    "Event marker": ("", (-2047, 2048), "Hold during 2 seconds"),
}
_RANGE_UV = {CHANNELS[0]: (-192, 192), CHANNELS[1]: (-197, 196), CHANNELS[2]: (-1009, 1009)}
_DIGITAL = (-2048, 2047)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which nights are simulated.

    Attributes:
      nights: how many; two of each person.
      hypnograms: a folder of Sleep-EDF's hypnograms: the first nights of it, by name, give the
        stages (these alone: people, ages and dates of the files are simulated). None: stages are
        drawn from the model in ``hypnograms.py``.
      seed: another seed gives other people and other signals.
      margin_min: how long people lie awake before and after sleep; with ``hypnograms`` at most as
        long as these have it, ``inf`` for their whole day. None: 35, or less with ``hours``.
      hours: how long they sleep, to try programs on less than nights; None: as the model draws.
    """

    nights: int = 20
    hypnograms: pathlib.Path | str | None = None
    seed: int = 0
    margin_min: float | None = None
    hours: float | None = None

    def __post_init__(self):
        if self.nights < 1 or not self.margin > 0 or (self.hours is not None and self.hours <= 0):
            raise CorpusError(
                f"nights {self.nights}, margin_min {self.margin_min}, hours {self.hours}: expected "
                "one night or more, and times above 0"
            )
        if self.hypnograms is not None and self.hours is not None:
            raise CorpusError("hypnograms say how long people sleep; leave out hours, or them")
        if self.hypnograms is None and self.margin == math.inf:
            raise CorpusError("margin_min inf is a day of real hypnograms; give some, or a time")

    @property
    def margin(self) -> float:
        """``margin_min``, settled."""
        if self.margin_min is not None:
            return self.margin_min
        return MARGIN_MIN if self.hours is None else min(MARGIN_MIN, 4.5 * self.hours)

    @functools.cached_property
    def plan(self) -> tuple[Hypnogram, ...]:
        """The nights by name.

        Raises:
          CorpusError: the hypnograms do not suffice.
        """
        if self.hypnograms is not None:
            return tuple(read_hypnograms(self.hypnograms, self.nights, self.margin))
        some = range(self.nights)
        return tuple(draw_hypnogram(i, self.seed, self.margin, self.hours) for i in some)

    def stated(self) -> dict[str, Any]:
        """What makes the files, JSON-ready; two sets of hypnograms differ in ``stages_sha256``."""
        stages = json.dumps([(n.night, n.starts.isoformat(), n.rows) for n in self.plan])
        return {
            "simulated": True,
            "version": VERSION,
            "seed": self.seed,
            "nights": self.nights,
            "stages": "drawn from a model" if self.hypnograms is None else "of real hypnograms",
            "stages_sha256": hashlib.sha256(stages.encode()).hexdigest(),
        }


def write_nights(
    out_dir: pathlib.Path | str, settings: Settings, *, workers: int | None = None
) -> list[pathlib.Path]:
    """Writes simulated polysomnograms and their hypnograms; nothing where they are already.

    ``out_dir`` gets, for each night, ``SC4ssNE0-PSG.edf`` (ss: the person, N: the night, 1 or 2;
    the seven channels of the cassette study: two of EEG and one of EOG at 100 Hz, four at 1 Hz;
    age and sex in the header) and ``SC4ssNEC-Hypnogram.edf``, and at last
    ``simulated_nights.json`` with the settings. The same settings give the same bytes.

    Args:
      out_dir: folder to make or to fill.
      settings: which nights.
      workers: processes; None: one a core; 0: work in this one.

    Returns:
      The paths of the polysomnograms, by name.

    Raises:
      CorpusError: the folder holds nights of other settings, or other EDF files; or the hypnograms
        do not suffice.
    """
    out_dir = pathlib.Path(out_dir)
    paths = [out_dir / f"{night.night}E0-PSG.edf" for night in settings.plan]
    if _is_there(out_dir, settings):
        return paths
    out_dir.mkdir(parents=True, exist_ok=True)
    workers = (os.cpu_count() or 1) if workers is None else workers
    for _ in run_parallel(_write_night, (out_dir, settings.seed), settings.plan, workers):
        pass
    with durable.new_file(out_dir / SETTINGS_NAME) as file:
        file.write_text(json.dumps(settings.stated(), indent=1) + "\n", encoding="utf-8")
    return paths


def _is_there(out_dir: pathlib.Path, settings: Settings) -> bool:
    marker = out_dir / SETTINGS_NAME
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found == settings.stated():
            return True
        raise CorpusError(
            f"{out_dir} holds simulated nights of {found}, expected {settings.stated()}: remove "
            "that folder, or name another one"
        )
    known = {name for night in settings.plan for name in _names(night)}
    for path in sorted(out_dir.rglob("*.edf")):
        # Only an interrupted earlier call may have left files here.
        if path.relative_to(out_dir).as_posix() not in known:
            raise CorpusError(f"{path} is not of the simulated nights: give an empty or new folder")
    return False


def _names(night: Hypnogram) -> tuple[str, str]:
    return f"{night.night}E0-PSG.edf", f"{night.night}{night.scorer}-Hypnogram.edf"


def _write_night(state: tuple[pathlib.Path, int], night: Hypnogram) -> None:
    out_dir, seed = state
    person = draw_person(night.person, seed)
    rng = np.random.default_rng([seed, *night.night.encode()])
    psg, hypnogram = (out_dir / name for name in _names(night))
    stages = night.epochs()
    signals = _signals(simulate(stages, person, rng), slow_channels(stages, person, rng))
    _write(psg, signals, night, person, RECORD_S)
    _write(hypnogram, [], night, person, None)


def _signals(fast: dict[str, np.ndarray], slow: dict[str, np.ndarray]) -> list[Any]:
    import edfio

    more = {"transducer_type": "SIMULATED electrodes", "physical_dimension": "uV",
            "prefiltering": "HP:0.5Hz LP:100Hz [enhanced cassette BW]"}  # fmt: skip
    signals = []
    for name, signal in fast.items():
        (low, high), (first, last) = _RANGE_UV[name], _DIGITAL
        scale = (last - first) / (high - low)
        steps = np.clip(np.rint((signal - low) * scale + first), first, last).astype(np.int16)
        ranges = {"physical_range": (low, high), "digital_range": _DIGITAL}
        signals.append(edfio.EdfSignal.from_digital(steps, SFREQ_HZ, label=name, **ranges, **more))
    for name, signal in slow.items():
        unit, limits, filtered = _SLOW[name]
        signals.append(
            edfio.EdfSignal(
                np.clip(signal, *limits), 1, label=name, physical_range=limits,
                physical_dimension=unit, prefiltering=filtered, digital_range=_DIGITAL,
                transducer_type="SIMULATED",
            )
        )  # fmt: skip
    return signals


def _write(
    path: pathlib.Path,
    signals: list[Any],
    night: Hypnogram,
    person: Person,
    record_s: float | None,
) -> None:
    import edfio

    word = {"F": "Female", "M": "Male"}[person.sex]
    # Person and night have a date of their own: those of the hypnograms are other people's.
    day = datetime.date(1990, 1, 1) + datetime.timedelta(
        days=7 * night.person + int(night.night[-1])
    )
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(code="X", sex=person.sex, name=f"{word}_{person.age}yr"),
        recording=edfio.Recording(startdate=day, equipment_code="SIMULATED"),
        starttime=night.starts.time(),
        data_record_duration=record_s,
        annotations=None if signals else [edfio.EdfAnnotation(*row) for row in night.rows],
    )
    with durable.new_file(path) as file:
        edf.write(file)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.corpora.nights.write",
        description="Writes simulated nights: polysomnograms and hypnograms in Sleep-EDF's layout.",
    )
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for the files")
    add("--nights", type=int, default=20, help="two of each person (default: %(default)s)")
    add("--hypnograms", metavar="DIR", help="real ones that give the stages; without: drawn")
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    add(
        "--margin_min",
        type=float,
        metavar="MIN",
        help=f"awake before and after sleep; inf: as the hypnograms (default: {MARGIN_MIN:g})",
    )
    add("--hours", type=float, metavar="H", help="asleep, to try programs on less than nights")
    add("--workers", type=int, metavar="N", help="processes (default: one a core)")
    args = parser.parse_args(argv)
    values = {name: value for name, value in vars(args).items() if name not in ("out", "workers")}
    try:
        paths = write_nights(args.out, Settings(**values), workers=args.workers)
    except CorpusError as error:
        print(f"write: {error}", file=sys.stderr)
        return 2
    print(f"{len(paths)} SIMULATED nights in {args.out}, as {paths[0].name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
