"""The heart of one simulated ECG as a dipole: waves in three dimensions, each a Gaussian.

Sums of Gaussians as an ECG are those of McSharry et al. 2003 ("A dynamical model for generating
synthetic electrocardiogram signals"); here they are vectors (x to the left, y to the feet, z to the
back, millivolts of Frank's leads), as in Sameni et al. 2007, so that all leads see one heart. The
sizes are ours, set by hand until the leads looked right; none is fitted to a recording.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from data_prep.corpora.simulated_ecg.exams import Exam, Infarction

Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Wave:
    """A wave: a Gaussian whose two sides may have widths of their own.

    Attributes:
      at_s: its peak, from the begin of QRS.
      rise_s: standard deviation before the peak.
      fall_s: after it.
      mv: peak in x, y, z.
    """

    at_s: float
    rise_s: float
    fall_s: float
    mv: Vector

    def stretched(self, by: float) -> "Wave":
        """The wave with all its times multiplied."""
        return Wave(self.at_s * by, self.rise_s * by, self.fall_s * by, self.mv)

    def plus(self, mv: Vector, gains: Vector = (1.0, 1.0, 1.0)) -> "Wave":
        """The wave with its vector multiplied by ``gains``, and ``mv`` added."""
        return dataclasses.replace(self, mv=_plus(_times(self.mv, gains), mv))


def _plus(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _times(a: Vector, gains: Vector) -> Vector:
    return (a[0] * gains[0], a[1] * gains[1], a[2] * gains[2])


def _scaled(a: Vector, by: float) -> Vector:
    return _times(a, (by, by, by))


# The septum from left to right, the free walls, the base.
_QRS = (
    Wave(0.019, 0.0065, 0.0080, (-0.13, 0.02, -0.33)),
    Wave(0.039, 0.0095, 0.0100, (1.22, 0.84, 0.28)),
    Wave(0.060, 0.0095, 0.0110, (-0.10, -0.12, 0.66)),
)
_QRS_LAFB = (
    Wave(0.018, 0.0065, 0.0080, (-0.13, 0.26, -0.30)),
    Wave(0.044, 0.0105, 0.0115, (1.12, -0.55, 0.30)),
    Wave(0.068, 0.0105, 0.0120, (0.10, -0.55, 0.52)),
)
_QRS_CLBBB = (
    Wave(0.028, 0.0110, 0.0160, (0.42, 0.34, 0.10)),
    Wave(0.062, 0.0190, 0.0180, (0.92, 0.34, 1.05)),
    Wave(0.102, 0.0160, 0.0190, (1.12, 0.06, 0.78)),
)
_QRS_RVH = (
    Wave(0.019, 0.0065, 0.0080, (0.05, 0.10, -0.25)),
    Wave(0.040, 0.0100, 0.0110, (-0.05, 0.95, -0.72)),
    Wave(0.064, 0.0100, 0.0120, (-0.48, 0.15, -0.05)),
)
_LATE_RIGHT = {
    "CRBBB": Wave(0.090, 0.0150, 0.0190, (-0.60, 0.04, -0.74)),
    "IRBBB": Wave(0.077, 0.0085, 0.0100, (-0.26, 0.02, -0.42)),
}
_T_MV = (0.34, 0.20, -0.24)
_P_RIGHT = (0.035, 0.080, -0.055)
_P_LEFT = (0.075, 0.055, 0.045)

# Wall -> where it looks: what a wave over it gains, and a scar there takes away.
WALLS: dict[str, Vector] = {
    "AMI": (0.40, 0.00, -0.92), "ASMI": (0.05, 0.00, -1.00), "ALMI": (0.72, 0.00, -0.69),
    "IMI": (-0.20, 0.95, 0.20), "ILMI": (0.50, 0.82, 0.25), "LMI": (0.95, 0.00, 0.30),
    "ISC_": (0.80, 0.35, -0.45), "ISCAL": (0.75, 0.10, -0.65), "ISCIN": (-0.05, 1.00, 0.05),
    "NST_": (0.80, 0.50, -0.30), "LVH": (0.88, 0.20, -0.42),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Beats:
    """The waves of an exam's beats, before the heart is turned.

    Attributes:
      p: from the begin of QRS, so before it; empty where the atria do not beat.
      qrs: of a beat that came by the AV node.
      qrs_end_s: when it is over.
      st_mv: ST, from its end on.
      t_mv: peak of the T wave.
      t_before_mv: a first part of T, of the other sign where T is biphasic.
      qtc_s: QT at 60 beats a minute.
    """

    p: tuple[Wave, ...]
    qrs: tuple[Wave, ...]
    qrs_end_s: float
    st_mv: Vector
    t_mv: Vector
    t_before_mv: Vector
    qtc_s: float

    def after_qrs(self, rr_s: float) -> tuple[Wave, ...]:
        """ST and T of a beat, by Fridericia's rule for the beats' distance."""
        qt_s = max(self.qtc_s * rr_s ** (1 / 3), self.qrs_end_s + 0.17)
        # Two and a half deviations of its steep end are all of it.
        peak_s = qt_s - 2.5 * 0.033
        j_s, span_s = self.qrs_end_s, peak_s - self.qrs_end_s
        rise_s = min(0.058, span_s / 2.3)
        return (
            Wave(j_s + 0.022, 0.011, 0.42 * span_s, self.st_mv),
            Wave(j_s + 0.42 * span_s, 0.19 * span_s, 0.14 * span_s, self.t_before_mv),
            Wave(peak_s, rise_s, 0.033, self.t_mv),
        )


def beats_of(exam: Exam) -> Beats:
    """The waves of an exam's normal and abnormal beats."""
    qrs, t_mv, st_mv = _blocked(exam)
    qrs, t_mv, st_mv = _enlarged(exam, qrs, t_mv, st_mv)
    before = (0.0, 0.0, 0.0)
    if exam.infarction:
        qrs, t_mv, st_mv, before = _scarred(exam.infarction, qrs, t_mv, st_mv)
    t_mv, st_mv, before = _repolarised(exam, t_mv, st_mv, before)
    stretch = exam.patient.qrs_stretch * (1.42 if exam.conduction == "IVCD" else 1.0)
    qrs = tuple(wave.stretched(stretch) for wave in qrs)
    end_s = max(wave.at_s + 2.1 * wave.fall_s for wave in qrs)
    early = exam.patient.early_repolarisation_mv
    if early and not exam.ill:
        st_mv = _plus(st_mv, _scaled((0.75, 0.30, -0.55), early))
    return Beats(_atrial(exam), qrs, end_s, st_mv, t_mv, before, _qtc_s(exam, end_s))


def _qtc_s(exam: Exam, qrs_end_s: float) -> float:
    extra = 0.07 + 0.07 * exam.severity if exam.repolarisation == "LNGQT" else 0.0
    return exam.patient.qtc_s + extra + max(qrs_end_s - 0.09, 0.0) * 0.7


def _blocked(exam: Exam) -> tuple[tuple[Wave, ...], Vector, Vector]:
    """QRS, T and ST by how the impulse spreads: T turns away from where QRS ends late."""
    t_mv = _scaled(_T_MV, exam.patient.t_gain)
    kind = exam.conduction
    if kind == "CLBBB":
        return _QRS_CLBBB, (-0.36, -0.04, -0.44), (-0.13, -0.02, -0.20)
    if kind == "LAFB":
        return _QRS_LAFB, t_mv, (0.0, 0.0, 0.0)
    if kind in _LATE_RIGHT:
        late, part = _LATE_RIGHT[kind], 1.0 if kind == "CRBBB" else 0.35
        base = _QRS[2].plus((0.0, 0.0, 0.0), (1.0, 1.0, 1 - 0.45 * part))
        return (*_QRS[:2], base, late), _plus(t_mv, (0.06 * part, 0.0, 0.36 * part)), (
            0.02 * part, 0.0, 0.05 * part
        )  # fmt: skip
    if kind == "IVCD":
        notch = Wave(0.056, 0.006, 0.006, (0.35, 0.15, 0.10))
        return (*_QRS, notch), _scaled(t_mv, 0.7), (0.0, 0.0, 0.0)
    return _QRS, t_mv, (0.0, 0.0, 0.0)


def _enlarged(
    exam: Exam, qrs: tuple[Wave, ...], t_mv: Vector, st_mv: Vector
) -> tuple[tuple[Wave, ...], Vector, Vector]:
    size = exam.enlargement
    if exam.hypertrophy == "RVH":
        late = [w for w in qrs if w in _LATE_RIGHT.values()]
        turned = tuple(
            a.plus(_scaled(b.mv, 0.35 + 0.65 * size), _scaled((1.0, 1.0, 1.0), 0.65 * (1 - size)))
            for a, b in zip(_QRS, _QRS_RVH, strict=True)
        )
        return (*turned, *late), _plus(t_mv, (0.0, -0.05, 0.34 * (0.5 + size))), st_mv
    if exam.hypertrophy == "LVH":
        gain = 1.28 + 0.62 * size
        grown = tuple(
            w if i == 0 else w.plus((0.0, 0.0, 0.0), (gain, 1 + 0.35 * (gain - 1), gain))
            for i, w in enumerate(qrs)
        )
        grown = tuple(w.stretched(1.04 + 0.08 * size) for w in grown)
        if exam.strain:
            t_mv = _plus(t_mv, _scaled(WALLS["LVH"], -(0.46 + 0.26 * size)))
            st_mv = _plus(st_mv, _scaled(WALLS["LVH"], -(0.07 + 0.10 * size)))
        return grown, t_mv, st_mv
    return qrs, t_mv, st_mv


def _scarred(
    scar: Infarction, qrs: tuple[Wave, ...], t_mv: Vector, st_mv: Vector
) -> tuple[tuple[Wave, ...], Vector, Vector, Vector]:
    """Q over the wall, less R; fresh: ST raised towards it; later: T turned away from it."""
    wall, extent = WALLS[scar.code], scar.extent
    # Fresh damage has not cost all of its wall yet.
    lost = extent * (0.55 if scar.stage == "acute" else 1.0)
    septal = qrs[0].plus(_scaled(wall, -(0.20 + 0.42 * lost)))
    septal = dataclasses.replace(
        septal, at_s=septal.at_s + 0.002, rise_s=0.0075, fall_s=0.0095 + 0.002 * lost
    )
    main = qrs[1].plus(_scaled(wall, -(0.08 + 0.42 * lost)))
    before = (0.0, 0.0, 0.0)
    if scar.stage == "acute":
        st_mv = _plus(st_mv, _scaled(wall, 0.10 + 0.30 * extent))
        t_mv = _plus(t_mv, _scaled(wall, 0.10 + 0.25 * extent))
    elif scar.stage == "recent":
        st_mv = _plus(st_mv, _scaled(wall, 0.04 + 0.08 * extent))
        t_mv = _plus(t_mv, _scaled(wall, -(0.34 + 0.32 * extent)))
        before = _scaled(wall, 0.05 + 0.05 * extent)
    else:
        t_mv = _plus(_scaled(t_mv, 0.85), _scaled(wall, -0.16 * extent))
    return (septal, main, *qrs[2:]), t_mv, st_mv, before


def _repolarised(
    exam: Exam, t_mv: Vector, st_mv: Vector, before: Vector
) -> tuple[Vector, Vector, Vector]:
    kind, size = exam.repolarisation, exam.severity
    if kind == "NDT":
        return _scaled(t_mv, 0.42 - 0.5 * size), st_mv, before
    if kind == "NST_":
        depressed = _scaled(WALLS[kind], -(0.05 + 0.08 * size))
        return _scaled(t_mv, 0.75 - 0.2 * size), _plus(st_mv, depressed), before
    if kind in ("ISC_", "ISCAL", "ISCIN"):
        turned = _scaled(WALLS[kind], -(0.26 + 0.30 * size))
        depressed = _scaled(WALLS[kind], -(0.04 + 0.11 * size))
        return _plus(_scaled(t_mv, 0.8), turned), _plus(st_mv, depressed), before
    return t_mv, st_mv, before


def _atrial(exam: Exam) -> tuple[Wave, ...]:
    if exam.rhythm in ("AFIB", "AFLT"):
        return ()
    pr_s, gain = exam.patient.pr_s + exam.pr_extra_s, exam.patient.p_gain
    right = Wave(0.036 - pr_s, 0.014, 0.016, _scaled(_P_RIGHT, gain))
    left = Wave(0.064 - pr_s, 0.016, 0.016, _scaled(_P_LEFT, gain))
    if exam.left_atrium:
        left = Wave(0.084 - pr_s, 0.017, 0.017, _plus(_scaled(left.mv, 1.25), (0.02, 0.0, 0.085)))
    return (right, left)


def ectopic_waves(rng: np.random.Generator, kind: str, beats: Beats) -> tuple[Wave, ...]:
    """A beat that comes too early: wide and from anywhere (PVC), or as the others (PAC).

    A ventricular beat has its T away from its QRS, and no P; an atrial one a P of another form.
    """
    if kind == "PAC":
        p = tuple(w.plus((0.0, -0.09, 0.0), (0.7, 0.6, 0.7)) for w in beats.p)
        return (*p, *beats.qrs, *beats.after_qrs(0.7))
    angle, z = rng.uniform(0, 2 * math.pi), rng.uniform(-0.8, 0.8)
    flat = math.sqrt(1 - z * z)
    axis = (math.cos(angle) * flat, math.sin(angle) * flat, z)
    size = float(rng.uniform(1.5, 2.2))
    return (
        Wave(0.048, 0.018, 0.022, _scaled(axis, size)),
        Wave(0.098, 0.017, 0.022, _plus(_scaled(axis, 0.55 * size), (0.2, -0.2, 0.2))),
        Wave(0.175, 0.024, 0.070, _scaled(axis, -0.14 * size)),
        Wave(0.320, 0.060, 0.044, _scaled(axis, -0.36 * size)),
    )


def turned(exam: Exam) -> Float[np.ndarray, "3 3"]:
    """The heart's place in the chest: a rotation in the horizontal plane, then in the frontal.

    Where a block or the right ventricle sets the axis, the person's own counts less.
    """
    own = 0.45 if exam.conduction in ("LAFB", "CLBBB") or exam.hypertrophy == "RVH" else 1.0
    a = math.radians(own * exam.patient.frontal_deg)
    b = math.radians(own * exam.patient.horizontal_deg)
    frontal = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    level = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    return frontal @ level
