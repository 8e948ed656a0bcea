"""Which ECG has which findings: drawn before any signal is made, so that texts can say them.

About a third of the people have no finding; the others have a main one (infarction, changes of ST
and T, conduction, hypertrophy), and may have more, as PTB-XL's people do: most of its abnormal ECGs
have several classes.
"""

import dataclasses

import numpy as np

from data_prep.corpora.base import CorpusError
from data_prep.corpora.simulated_ecg.people import Patient, draw_patient

# Of twenty people in a row, in an order of their own.
_MAIN = ("NORM",) * 7 + ("MI",) * 4 + ("STTC",) * 3 + ("CD",) * 3 + ("HYP",) * 3
# Each ten people in a row have each fold once; small corpora have people to test on, too.
_FOLDS = (1, 9, 10, 2, 3, 4, 5, 6, 7, 8)
_FIRST_PATIENT_ID = 10001
_MORE_EXAMS = 0.15


@dataclasses.dataclass(frozen=True)
class Infarction:
    """A scar, or fresh damage.

    Attributes:
      code: which wall, as "IMI".
      stage: "acute" (ST raised), "recent" (T inverted) or "old" (Q alone).
      extent: 0 to 1, how much of the wall.
    """

    code: str
    stage: str
    extent: float


@dataclasses.dataclass(frozen=True)
class Exam:
    """One simulated ECG of 10 s; what is None, False or 0 does not occur in it.

    Attributes:
      ecg_id: from 1.
      patient: whose.
      patient_id: the person's number in the tables.
      fold: 1 to 10; a person's ECGs share it.
      visit: 0 for the person's first ECG.
      rhythm: code of the rhythm.
      rate_bpm: beats a minute.
      ectopic: "PVC" or "PAC".
      ectopic_beats: how many of them.
      infarction: a scar, or fresh damage.
      conduction: code of a block within the ventricles.
      pr_extra_s: how much longer P to QRS lasts by a first degree AV block.
      hypertrophy: "LVH" or "RVH".
      enlargement: 0 to 1, how far beyond the usual the ventricle is.
      strain: whether ST and T of the left ventricle are changed by it.
      left_atrium: whether the left atrium is enlarged.
      repolarisation: code of a change of ST and T.
      severity: 0 to 1, how large that change is.
      noise: kinds of it ("baseline", "static", "burst") -> leads, as PTB-XL's columns say them.
    """

    ecg_id: int
    patient: Patient
    patient_id: int
    fold: int
    visit: int
    rhythm: str
    rate_bpm: float
    ectopic: str | None
    ectopic_beats: int
    infarction: Infarction | None
    conduction: str | None
    pr_extra_s: float
    hypertrophy: str | None
    enlargement: float
    strain: bool
    left_atrium: bool
    repolarisation: str | None
    severity: float
    noise: tuple[str, ...]

    @property
    def av_block(self) -> bool:
        """Whether P to QRS lasts 0.2 s or more by a finding; there is no P in fibrillation."""
        return self.pr_extra_s > 0 and self.rhythm not in ("AFIB", "AFLT")

    @property
    def ill(self) -> bool:
        """Whether there is a diagnosis."""
        return bool(
            self.infarction or self.conduction or self.av_block or self.hypertrophy
            or self.left_atrium or self.repolarisation or self.rhythm in ("AFIB", "AFLT")
        )  # fmt: skip

    def scp_codes(self) -> dict[str, float]:
        """Statements and their likelihood in percent; 0 where it is none that is graded.

        As in PTB-XL: an ECG has a rhythm, NORM where there is no diagnosis, and forms beside them.
        """
        codes = self._diagnoses()
        if not self.ill:
            plain = self.rhythm == "SR" and not self.ectopic
            codes["NORM"] = 100.0 if plain else 80.0
        return codes | dict.fromkeys(self._forms(), 0.0) | {self.rhythm: 0.0}

    def superclasses(self) -> tuple[str, ...]:
        """The classes of its diagnoses, each once, sorted."""
        from data_prep.corpora.simulated_ecg.statements import BY_CODE

        return tuple(sorted({BY_CODE[c].superclass for c in self.scp_codes()} - {""}))

    def _diagnoses(self) -> dict[str, float]:
        codes: dict[str, float] = {}
        if self.infarction:
            codes[self.infarction.code] = _likelihood(self.infarction.extent)
        if self.repolarisation:
            codes[self.repolarisation] = (
                100.0 if self.repolarisation == "LNGQT" else _likelihood(self.severity)
            )
        if self.strain:
            codes.setdefault("ISC_", 100.0)
        if self.conduction:
            codes[self.conduction] = 100.0
        if self.av_block:
            codes["1AVB"] = 100.0
        if self.hypertrophy:
            codes[self.hypertrophy] = _likelihood(self.enlargement)
        if self.left_atrium:
            codes["LAO/LAE"] = 50.0
        return codes

    def _forms(self) -> list[str]:
        found, scar = [], self.infarction
        if scar and scar.extent > 0.35:
            found.append("QWAVE")
        if scar and scar.stage == "old":
            found.append("ABQRS")
        if scar and scar.stage == "acute":
            found.append("STE_")
        if (scar and scar.stage == "recent") or self.repolarisation in ("ISCAL", "ISCIN"):
            found.append("INVT")
        if self.repolarisation == "NST_" or self.strain:
            found.append("STD_")
        if self.repolarisation == "NDT":
            found.append("LOWT")
        if self.hypertrophy == "LVH" and self.enlargement > 0.3:
            found.append("VCLVH")
        if self.ectopic:
            found.append(self.ectopic)
        return found


def _likelihood(size: float) -> float:
    return 100.0 if size > 0.5 else 80.0 if size > 0.25 else 50.0


def draw_exams(people: int, seed: int) -> list[Exam]:
    """The ECGs of a corpus in order of ``ecg_id``, one or two a person.

    The first people of two corpora of one seed are the same, however many there are.

    Raises:
      CorpusError: fewer than three people: none would be left for a split.
    """
    if people < 3:
        raise CorpusError(f"{people} people: expected three or more, one for each split")
    exams: list[Exam] = []
    for number in range(people):
        main = _main_finding(number, seed)
        patient = draw_patient(number, seed, ill=main != "NORM")
        rng = np.random.default_rng([seed, number, 1])
        first = _draw_exam(rng, patient, main, len(exams) + 1)
        exams.append(first)
        if rng.random() < _MORE_EXAMS:
            exams.append(_later(rng, first, len(exams) + 1))
    return exams


def _main_finding(number: int, seed: int) -> str:
    block, place = divmod(number, len(_MAIN))
    return str(np.random.default_rng([seed, block, 2]).permutation(_MAIN)[place])


def _fold(number: int) -> int:
    # Shifted by one each ten, or folds would have places in `_MAIN` of their own.
    return _FOLDS[(number + number // 10) % 10]


def _draw_exam(rng: np.random.Generator, patient: Patient, main: str, ecg_id: int) -> Exam:
    ill = main != "NORM"
    rhythm, rate_bpm = _draw_rhythm(rng, patient, ill)
    ectopic = None
    if rng.random() < (0.1 if ill else 0.05):
        ectopic = "PVC" if rng.random() < 0.6 or rhythm in ("AFIB", "AFLT") else "PAC"
    exam = Exam(
        ecg_id=ecg_id, patient=patient, patient_id=_FIRST_PATIENT_ID + patient.number,
        fold=_fold(patient.number), visit=0, rhythm=rhythm, rate_bpm=rate_bpm, ectopic=ectopic,
        ectopic_beats=int(rng.integers(1, 4)) if ectopic else 0, infarction=None, conduction=None,
        pr_extra_s=0.0, hypertrophy=None, enlargement=0.0, strain=False, left_atrium=False,
        repolarisation=None, severity=0.0, noise=_draw_noise(rng),
    )  # fmt: skip
    return _with_findings(rng, exam, main) if ill else exam


def _draw_rhythm(rng: np.random.Generator, patient: Patient, ill: bool) -> tuple[str, float]:
    of_atria = (0.13, 0.03) if ill else (0.0, 0.0)
    shares = {"SBRAD": 0.09, "STACH": 0.06, "SARRH": 0.07, "AFIB": of_atria[0], "AFLT": of_atria[1]}
    shares["SR"] = 1 - sum(shares.values())
    rhythm = str(rng.choice(list(shares), p=list(shares.values())))
    rate_bpm = {
        "SBRAD": rng.uniform(42, 57), "STACH": rng.uniform(103, 132),
        "AFIB": rng.uniform(62, 128), "AFLT": 300 / rng.choice([2, 3, 4]) * rng.uniform(0.9, 1.05),
    }.get(rhythm, float(np.clip(patient.rate_bpm + rng.normal(0, 3), 61, 98)))  # fmt: skip
    return rhythm, float(rate_bpm)


def _draw_noise(rng: np.random.Generator) -> tuple[str, ...]:
    shares = {"baseline": 0.08, "static": 0.15, "burst": 0.03}
    return tuple(kind for kind, share in shares.items() if rng.random() < share)


def _with_findings(rng: np.random.Generator, exam: Exam, main: str) -> Exam:
    """The main finding, and others with a share each; what hides another is not beside it."""
    has = {kind: kind == main or rng.random() < share for kind, share in (
        ("MI", 0.1), ("STTC", 0.14), ("CD", 0.2), ("HYP", 0.12),
    )}  # fmt: skip
    found: dict[str, object] = {}
    if has["CD"]:
        found |= _draw_conduction(rng, exam.patient, alone=main == "CD")
    left_block = found.get("conduction") == "CLBBB"
    if has["MI"] and not left_block:
        codes, shares = ("IMI", "ASMI", "AMI", "ILMI", "ALMI", "LMI"), (0.4, 0.26, 0.12, 0.1, 0.07,
                                                                     0.05)  # fmt: skip
        code = str(rng.choice(codes, p=shares))
        stage = str(rng.choice(("acute", "recent", "old"), p=(0.25, 0.25, 0.5)))
        found["infarction"] = Infarction(code, stage, float(rng.uniform(0.15, 1)))
    if has["HYP"] and not left_block:
        found |= _draw_hypertrophy(rng, alone=main == "HYP", scar="infarction" in found)
    hidden = left_block or "infarction" in found or found.get("strain")
    if has["STTC"] and not hidden:
        codes, shares = ("NDT", "NST_", "ISC_", "ISCAL", "ISCIN", "LNGQT"), (0.24, 0.18, 0.18, 0.2,
                                                                            0.12, 0.08)  # fmt: skip
        found["repolarisation"] = str(rng.choice(codes, p=shares))
        found["severity"] = float(rng.uniform(0.15, 1))
    return dataclasses.replace(exam, **found)


def _draw_conduction(
    rng: np.random.Generator, patient: Patient, *, alone: bool
) -> dict[str, object]:
    codes = ("CRBBB", "CLBBB", "IRBBB", "LAFB", "IVCD", "1AVB")
    shares = (0.2, 0.2 if alone else 0.04, 0.16, 0.22, 0.08, 0.14 if alone else 0.3)
    code = str(rng.choice(codes, p=shares))
    if code == "1AVB":
        return {"pr_extra_s": _pr_extra_s(rng, patient)}
    found: dict[str, object] = {"conduction": code}
    if rng.random() < 0.12:
        found["pr_extra_s"] = _pr_extra_s(rng, patient)
    return found


def _pr_extra_s(rng: np.random.Generator, patient: Patient) -> float:
    return float(rng.uniform(0.212, 0.31)) - patient.pr_s


def _draw_hypertrophy(rng: np.random.Generator, *, alone: bool, scar: bool) -> dict[str, object]:
    kind = str(rng.choice(("LVH", "RVH", "LAO/LAE"), p=(0.76, 0.08, 0.16)))
    if kind == "LAO/LAE":
        return {"left_atrium": True}
    found: dict[str, object] = {"hypertrophy": kind, "enlargement": float(rng.uniform(0.1, 1))}
    if kind == "LVH":
        found["strain"] = bool(not scar and rng.random() < (0.45 if alone else 0.25))
        found["left_atrium"] = bool(rng.random() < 0.15)
    return found


def _later(rng: np.random.Generator, first: Exam, ecg_id: int) -> Exam:
    """Another ECG of the same person: the same heart, on another day."""
    rhythm, rate_bpm = first.rhythm, first.rate_bpm * float(np.exp(rng.normal(0, 0.03)))
    if rhythm not in ("AFIB", "AFLT"):
        rhythm, rate_bpm = _draw_rhythm(rng, first.patient, ill=False)
    scar = first.infarction
    if scar and scar.stage != "old":
        scar = dataclasses.replace(scar, stage="old")
    return dataclasses.replace(
        first, ecg_id=ecg_id, visit=1, rhythm=rhythm, rate_bpm=rate_bpm, infarction=scar,
        ectopic=None, ectopic_beats=0, noise=_draw_noise(rng),
    )  # fmt: skip
