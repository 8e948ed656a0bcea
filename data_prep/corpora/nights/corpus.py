"""Simulated nights as ``prepare`` sees them."""

import argparse
import dataclasses
from typing import Any

from data_prep.corpora.base import Source
from data_prep.corpora.demo.corpus import folder_beside, require_written
from data_prep.corpora.nights.write import SETTINGS_NAME, Settings, write_nights
from data_prep.corpora.sleep_cassette import SIMULATED_INSTITUTION
from data_prep.corpora.sleep_physionet import SleepPhysionet

PEOPLE = 10


class SimulatedNights(SleepPhysionet):
    """Writes simulated nights where they are not yet, then reads them as ``sleep_physionet`` does.

    They go to ``--input`` if given, else beside ``--out``. ``--demo_people`` (two nights each),
    ``--demo_seed``, ``--hypnograms`` and ``--demo_hours`` say how many there are and which; the
    manifest says of which hypnograms their stages are.
    """

    name = "simulated_nights"
    institution = SIMULATED_INSTITUTION
    simulated = True
    makes_input = True

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the nights, after writing them if need be.

        Raises:
          CorpusError: the hypnograms do not suffice; a dry run, which writes nothing, or a part
            over files that are not there yet; or a remote --out and nothing said of where they are
            to be.
        """
        settings = night_settings(args)
        stages = settings.stated()["stages_sha256"][:8]
        name = f"nights_edf_{settings.nights}nights_{stages}_seed{settings.seed}"
        folder = folder_beside(args, name)
        command = f"python -m data_prep.corpora.nights.write --out {folder} {_options(settings)}"
        require_written(args, folder / SETTINGS_NAME, "the simulated nights are", command)
        write_nights(folder, settings, workers=getattr(args, "workers", None))
        # What the parent class reads is what has just been written.
        args = argparse.Namespace(**vars(args) | {"input": str(folder)})
        return super().sources(args)

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """What made the nights, beside what is kept of them."""
        made = night_settings(args).stated()
        return super().stated_options(args) | {
            name: made[name] for name in ("stages", "stages_sha256", "seed", "version")
        }


def night_settings(args: argparse.Namespace) -> Settings:
    """Which nights the command line asks for."""
    people = getattr(args, "demo_people", None)
    return Settings(
        nights=2 * (PEOPLE if people is None else people),
        hypnograms=getattr(args, "hypnograms", None),
        seed=getattr(args, "demo_seed", None) or 0,
        hours=getattr(args, "demo_hours", None),
    )


def _options(settings: Settings) -> str:
    given = dataclasses.asdict(settings).items()
    return " ".join(f"--{name} {value}" for name, value in given if value is not None)
