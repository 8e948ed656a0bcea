"""Small nights in the layout of Sleep-EDF's cassette study; imported by the tests here."""

import edfio
import numpy as np
from edf_plus import noise, write_edf_plus

# Stages of a night are one letter an epoch.
TEXTS = {"M": "Movement time", "?": "Sleep stage ?"} | {x: f"Sleep stage {x}" for x in "W1234R"}


def night(
    folder, name="SC4001", stages="WWWW1234MRWWWW??", seed=0, scorer="EC", seconds=None, people=None
):
    """A night and its hypnogram: runs of one stage are one annotation, as published.

    ``people`` is (sex, age) as PhysioNet has them in its headers: ("Female", 33).
    """
    seconds = seconds or 30 * len(stages)
    patient = people and edfio.Patient(sex=people[0][0], name="{}_{}yr".format(*people))
    write_edf_plus(
        folder / f"{name}E0-PSG.edf",
        {
            "EEG Fpz-Cz": (noise(100 * seconds, seed), 100),
            "EEG Pz-Oz": (noise(100 * seconds, seed + 1), 100),
            "EOG horizontal": (noise(100 * seconds, seed + 2), 100),
            "Temp rectal": (np.full(seconds, 37.0), 1),
        },
        patient=patient,
    )
    rows, at = [], 0
    while at < len(stages):
        length = len(stages[at:]) - len(stages[at:].lstrip(stages[at]))
        rows.append((30.0 * at, 30.0 * length, TEXTS[stages[at]]))
        at += length
    write_edf_plus(folder / f"{name}{scorer}-Hypnogram.edf", {}, rows)
