"""Whose simulated nights these are: what differs between people and stays through their nights."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Person:
    """One simulated person.

    Attributes:
      age: in years.
      sex: "F" or "M".
      gain: of everything on the scalp: skull and skin differ.
      slope: exponent of the background's power over frequency.
      background_uv: its root mean square.
      alpha_hz: rate of the posterior rhythm.
      alpha_uv: its root mean square at Pz-Oz; a few people have next to none.
      spindle_hz: rate of the spindles.
      spindles_per_min: how many of them a minute of N2 has.
      spindle_uv: their peak, at Fpz-Cz.
      slow: how large slow waves are beside a young person's.
      muscle: how tense the person is, awake, beside others.
    """

    age: int
    sex: str
    gain: float
    slope: float
    background_uv: float
    alpha_hz: float
    alpha_uv: float
    spindle_hz: float
    spindles_per_min: float
    spindle_uv: float
    slow: float
    muscle: float


def draw_person(number: int, seed: int) -> Person:
    """Person ``number`` of a corpus: depends on this and ``seed`` alone.

    Slow waves and spindles become fewer and smaller with age, and the posterior rhythm slower.
    """
    rng = np.random.default_rng([seed, number, 0])
    age, sex = int(rng.integers(20, 76)), str(rng.choice(["F", "M"]))
    old = (age - 20) / 55
    return Person(
        age=age,
        sex=sex,
        gain=float(np.exp(rng.normal(0.1 if sex == "F" else 0.0, 0.18))),
        slope=float(rng.uniform(1.2, 1.7)),
        background_uv=float(rng.uniform(6.5, 10)),
        alpha_hz=float(rng.normal(10.2 - 0.9 * old, 0.6)),
        alpha_uv=float(rng.uniform(1.0, 2.5) if rng.random() < 0.15 else rng.uniform(4, 12)),
        spindle_hz=float(rng.normal(13.2, 0.5)),
        spindles_per_min=float(rng.uniform(3.5, 7.0) * (1 - 0.4 * old)),
        spindle_uv=float(rng.uniform(20, 34) * (1 - 0.3 * old)),
        slow=float(rng.uniform(0.8, 1.15) * (1 - 0.45 * old)),
        muscle=float(np.exp(rng.normal(0, 0.4))),
    )
