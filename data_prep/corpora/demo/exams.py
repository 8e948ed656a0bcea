"""What each simulated recording holds: drawn once, then both simulated and put into words."""

import dataclasses

import numpy as np

SIDES = ("left", "right")
# Region -> electrodes over its middle, by side.
REGIONS = {
    "temporal": {"left": ("T3",), "right": ("T4",)},
    "frontotemporal": {"left": ("F7",), "right": ("F8",)},
    "posterior temporal": {"left": ("T5",), "right": ("T6",)},
    "frontal": {"left": ("F3",), "right": ("F4",)},
    "centroparietal": {"left": ("C3", "P3"), "right": ("C4", "P4")},
}
ARTIFACTS = ("muscle", "electrode", "movement")


@dataclasses.dataclass(frozen=True)
class Slowing:
    """Slow activity; ``side`` is "generalized", "left" or "right". Amplitudes peak to peak."""

    side: str
    region: str
    delta_hz: float
    theta_hz: float
    amplitude_uv: float
    delta_share: float
    continuous: bool

    @property
    def grade(self) -> str:
        """Mild, moderate or severe, by amplitude."""
        grades = {"mild": 45, "moderate": 65, "severe": np.inf}
        return next(word for word, limit in grades.items() if self.amplitude_uv < limit)


@dataclasses.dataclass(frozen=True)
class SharpWaves:
    """Focal sharp waves with a slow after-wave, negative at their electrode."""

    side: str
    region: str
    amplitude_uv: float
    every_s: float

    @property
    def electrodes(self) -> tuple[str, ...]:
        """The electrodes over their middle."""
        return REGIONS[self.region][self.side]


@dataclasses.dataclass(frozen=True)
class SpikeWave:
    """Generalised spike and wave in bursts, largest over the frontal electrodes."""

    rate_hz: float
    amplitude_uv: float
    burst_s: float
    every_s: float


@dataclasses.dataclass(frozen=True)
class Beta:
    """More beta activity than usual, frontocentral."""

    rate_hz: float
    amplitude_uv: float


@dataclasses.dataclass(frozen=True)
class Exam:
    """One simulated recording; what is None or False does not occur in it.

    Attributes:
      recording: its name, in TUH's form ``aaaaaaaa_s001_t000``.
      person: the person's code.
      split: "train" or "test"; a person's recordings share it.
      alpha_hz: rate of the posterior rhythm; under 8 Hz it counts as slowed.
      alpha_uv: its amplitude, peak to peak, where it is largest; 0 where it is absent.
      duration_s: whole seconds.
    """

    recording: str
    person: str
    split: str
    age: int
    sex: str
    duration_s: int
    heart_rate_bpm: int
    alpha_hz: float
    alpha_uv: float
    drowsiness: bool
    sleep: bool
    slowing: Slowing | None
    sharp_waves: SharpWaves | None
    spike_wave: SpikeWave | None
    beta: Beta | None
    artifact: str | None

    @property
    def abnormal(self) -> bool:
        """Whether anything in it makes a reader call it abnormal."""
        return bool(self.slowing or self.sharp_waves or self.spike_wave)

    def labels(self) -> dict[str, bool]:
        """Per finding, whether it was simulated."""
        side = self.slowing.side if self.slowing else None
        return {
            "abnormal": self.abnormal,
            "alpha_rhythm": self.alpha_uv > 0 and self.alpha_hz >= 8,
            "drowsiness": self.drowsiness,
            "spindles": self.sleep,
            "generalized_slowing": side == "generalized",
            "focal_slowing_left": side == "left",
            "focal_slowing_right": side == "right",
            "sharp_waves": self.sharp_waves is not None,
            "spike_wave": self.spike_wave is not None,
            "beta_excess": self.beta is not None,
            "artifact": self.artifact is not None,
        }


def person_code(index: int) -> str:
    """TUH's person codes: eight letters, counting up from aaaaaaaa."""
    letters = ""
    for _ in range(8):
        index, digit = divmod(index, 26)
        letters = chr(ord("a") + digit) + letters
    return letters


def draw_exams(people: int, seed: int) -> list[Exam]:
    """Draws every recording of a corpus: two thirds of the people for training, half abnormal.

    Person ``i`` does not depend on how many people there are, but on ``seed`` and ``i``; the
    pathologies are dealt in turn, so both splits hold all of them.

    Raises:
      ValueError: fewer than two people.
    """
    if people < 2:
        raise ValueError(
            f"people is {people}; the demo corpus needs two or more for its two splits"
        )
    return [exam for index in range(people) for exam in _draw_person(index, seed)]


# Dealt to the abnormal people of a split in turn. Slowing decides nearly all of them, since the
# rest, sparse transients, is more than so few people can teach.
PATHOLOGIES = (
    "generalized", "left", "spike_wave", "right sharp", "generalized", "left sharp", "right",
    "generalized",
)  # fmt: skip


def _draw_person(index: int, seed: int) -> list[Exam]:
    rng = np.random.default_rng([seed, index, 0])
    # Of three people in a row the third is for testing; normal and abnormal alternate within
    # each split.
    row, place = divmod(index, 3)
    split = "test" if place == 2 else "train"
    in_split = row if place == 2 else 2 * row + place
    pathology = PATHOLOGIES[in_split // 2 % len(PATHOLOGIES)] if in_split % 2 else None
    code, age, sex = person_code(index), int(rng.integers(18, 86)), str(rng.choice(["M", "F"]))
    fixed = {"person": code, "split": split, "age": age, "sex": sex, **_findings(rng, pathology)}
    return [
        Exam(recording=f"{code}_s{session:03d}_t000", **fixed, **_circumstances(rng))
        for session in range(1, 2 + int(rng.random() < 0.3))
    ]


def _circumstances(rng: np.random.Generator) -> dict:
    """What differs between two recordings of a person, and decides nothing."""
    state = rng.choice(["awake", "drowsy", "asleep"], p=[0.45, 0.3, 0.25])
    return {
        "duration_s": int(rng.integers(76, 101)),
        "heart_rate_bpm": int(rng.integers(28, 48)) * 2,
        "drowsiness": state != "awake",
        "sleep": state == "asleep",
        "artifact": str(rng.choice(ARTIFACTS)) if rng.random() < 0.35 else None,
        "beta": (
            Beta(rate_hz=float(rng.integers(18, 26)), amplitude_uv=float(5 * rng.integers(3, 6)))
            if rng.random() < 0.22
            else None
        ),
    }


def _findings(rng: np.random.Generator, pathology: str | None) -> dict:
    slowing = sharp = spike_wave = None
    alpha_hz, alpha_uv = 0.5 * rng.integers(17, 24), 5 * rng.integers(5, 12)
    words = (pathology or "").split()
    side = next((word for word in words if word in SIDES), str(rng.choice(SIDES)))
    region = str(rng.choice(list(REGIONS)))
    if "generalized" in words:
        slowing = _draw_slowing(rng, "generalized", "", low_uv=35)
        # The worse the slowing, the less is left of the posterior rhythm.
        alpha_hz = 0.5 * rng.integers(12, 16)
        alpha_uv = 0 if slowing.grade == "severe" else 5 * rng.integers(3, 7)
    elif words and words[0] in SIDES:
        slowing = _draw_slowing(rng, side, region, low_uv=45)
    if "sharp" in words:
        sharp = SharpWaves(
            side, region, float(10 * rng.integers(9, 17)), every_s=float(0.5 * rng.integers(3, 6))
        )
    if "spike_wave" in words:
        spike_wave = SpikeWave(
            rate_hz=float(rng.choice([2.5, 3.0, 3.0, 3.5])),
            amplitude_uv=float(10 * rng.integers(16, 29)),
            burst_s=float(rng.integers(2, 5)),
            every_s=float(rng.integers(6, 10)),
        )
    return {
        "alpha_hz": float(alpha_hz), "alpha_uv": float(alpha_uv), "slowing": slowing,
        "sharp_waves": sharp, "spike_wave": spike_wave,
    }  # fmt: skip


def _draw_slowing(rng: np.random.Generator, side: str, region: str, *, low_uv: float) -> Slowing:
    return Slowing(
        side=side,
        region=region,
        delta_hz=float(0.5 * rng.integers(3, 7)),
        theta_hz=float(0.5 * rng.integers(9, 14)),
        amplitude_uv=float(low_uv + 5 * rng.integers(0, 9)),
        delta_share=float(rng.uniform(0.35, 0.8)),
        continuous=bool(rng.random() < 0.6),
    )
