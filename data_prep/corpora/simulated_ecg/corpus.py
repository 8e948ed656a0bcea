"""Simulated ECGs as ``prepare`` sees them."""

import argparse
from typing import Any

from data_prep.corpora.base import Source
from data_prep.corpora.demo.corpus import folder_beside, require_written
from data_prep.corpora.ptbxl import Ptbxl
from data_prep.corpora.simulated_ecg.write import PEOPLE, SETTINGS_NAME, Settings, write_ecgs


class SimulatedEcg(Ptbxl):
    """Writes simulated ECGs where they are not yet, then reads them as ``ptbxl`` does.

    They go to ``--input`` if given, else beside ``--out``. ``--demo_people`` and ``--demo_seed``
    say how many people there are and which.
    """

    name = "simulated_ecg"
    institution = "simulated_ecg"
    simulated = True
    makes_input = True

    def sources(self, args: argparse.Namespace) -> list[Source]:
        """Lists the ECGs, after writing them if need be.

        Raises:
          CorpusError: a dry run, which writes nothing, or a part over files that are not there yet;
            or a remote --out and nothing said of where they are to be.
        """
        settings = ecg_settings(args)
        folder = folder_beside(args, f"ecg_wfdb_{settings.people}people_seed{settings.seed}")
        command = (
            f"python -m data_prep.corpora.simulated_ecg.write --out {folder} "
            f"--people {settings.people} --seed {settings.seed}"
        )
        require_written(args, folder / SETTINGS_NAME, "the simulated ECGs are", command)
        write_ecgs(folder, settings, workers=getattr(args, "workers", None))
        # What the parent class reads is what has just been written.
        return super().sources(argparse.Namespace(**vars(args) | {"input": str(folder)}))

    def stated_options(self, args: argparse.Namespace) -> dict[str, Any]:
        """What made the ECGs, beside what is kept of them."""
        made = ecg_settings(args).stated()
        return super().stated_options(args) | {k: made[k] for k in ("people", "seed", "version")}


def ecg_settings(args: argparse.Namespace) -> Settings:
    """Which ECGs the command line asks for."""
    people, seed = getattr(args, "demo_people", None), getattr(args, "demo_seed", None)
    return Settings(PEOPLE if people is None else people, seed or 0)
