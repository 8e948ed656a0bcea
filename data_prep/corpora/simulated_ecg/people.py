"""Whose simulated ECGs these are: what differs between people and is the same in each of theirs."""

import dataclasses

import numpy as np

PRECORDIAL = 6


@dataclasses.dataclass(frozen=True)
class Patient:
    """One simulated person.

    Attributes:
      number: from 0.
      age: in years.
      sex: "female" or "male".
      gain: of everything at the skin: chests differ.
      frontal_deg: how far the heart is turned in the frontal plane, towards the feet.
      horizontal_deg: how far it is turned about the body's long axis, to the front.
      electrode_gains: of V1 to V6, which no two hands place alike.
      rate_bpm: at rest, in sinus rhythm.
      pr_s: from the begin of P to that of QRS.
      qrs_stretch: how much longer a QRS lasts than is usual.
      qtc_s: QT at 60 beats a minute.
      p_gain: of the P wave.
      t_gain: of the T wave.
      early_repolarisation_mv: ST at the J point, to the left and the front: common in young men,
        and no finding.
    """

    number: int
    age: int
    sex: str
    gain: float
    frontal_deg: float
    horizontal_deg: float
    electrode_gains: tuple[float, ...]
    rate_bpm: float
    pr_s: float
    qrs_stretch: float
    qtc_s: float
    p_gain: float
    t_gain: float
    early_repolarisation_mv: float


def draw_patient(number: int, seed: int, *, ill: bool) -> Patient:
    """Person ``number`` of a corpus: depends on this, ``seed`` and ``ill`` alone.

    With age the axis turns to the left and T becomes smaller; women have a smaller QRS and T, a
    longer QT and a faster heart.

    Args:
      number: from 0.
      seed: another one gives other people.
      ill: whether the person has a finding; such people are older.
    """
    rng = np.random.default_rng([seed, number, 0])
    age = int(np.clip(rng.normal(66, 12) if ill else rng.normal(49, 16), 18, 89))
    woman = bool(rng.random() < 0.48)
    old = (age - 18) / 71
    early = 0.0 if woman or age > 50 or rng.random() < 0.5 else rng.uniform(0.03, 0.14)
    return Patient(
        number=number,
        age=age,
        sex="female" if woman else "male",
        gain=float(np.exp(rng.normal(-0.06 if woman else 0.04, 0.22))),
        frontal_deg=float(rng.normal(12 - 38 * old, 16)),
        horizontal_deg=float(rng.normal(0, 13)),
        electrode_gains=tuple(float(g) for g in np.exp(rng.normal(0, 0.13, PRECORDIAL))),
        rate_bpm=float(np.clip(rng.normal(73 if woman else 69, 7), 61, 94)),
        pr_s=float(np.clip(rng.normal(0.152 + 0.02 * old, 0.016), 0.115, 0.195)),
        qrs_stretch=float(np.clip(rng.normal(0.95 if woman else 1.0, 0.05), 0.85, 1.12)),
        qtc_s=float(np.clip(rng.normal(0.412 if woman else 0.402, 0.014), 0.37, 0.445)),
        p_gain=float(np.exp(rng.normal(0, 0.2))),
        t_gain=float(np.exp(rng.normal(-0.1 if woman else 0.08, 0.25)) * (1 - 0.25 * old)),
        early_repolarisation_mv=float(early),
    )
