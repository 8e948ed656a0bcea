"""Where electrodes sit, and how far a source reaches: the demo corpus's volume conduction."""

from collections.abc import Sequence

import numpy as np

# (polar angle from the vertex, azimuth from the nose, left is negative), degrees: the 10-20
# system drawn on a sphere, 18 degrees being a tenth of the way from nasion to inion.
ANGLES_DEG = {
    "FP1": (72, -18), "FP2": (72, 18), "F7": (72, -54), "F3": (49, -40), "FZ": (36, 0),
    "F4": (49, 40), "F8": (72, 54), "T3": (72, -90), "C3": (36, -90), "CZ": (0, 0),
    "C4": (36, 90), "T4": (72, 90), "T5": (72, -126), "P3": (49, -140), "PZ": (36, 180),
    "P4": (49, 140), "T6": (72, 126), "O1": (72, -162), "O2": (72, 162), "A1": (108, -90),
    "A2": (108, 90), "T1": (88, -65), "T2": (88, 65),
}  # fmt: skip
ELECTRODES = tuple(ANGLES_DEG)


def _positions(angles_deg: Sequence[tuple[float, float]]) -> np.ndarray:
    polar, azimuth = np.radians(np.asarray(angles_deg, float)).T
    return np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1
    )


POSITIONS = _positions(list(ANGLES_DEG.values()))


def gain(center: str | Sequence[str], spread_rad: float) -> np.ndarray:
    """Gain of every electrode for a source under one electrode, or under the middle of several.

    The gain is 1 at the source and falls with the angle like a Gaussian: skull and scalp smear a
    dipole's potential in about this way, so that neighbours see it smaller and in phase.

    Returns:
      One value per electrode of :data:`ELECTRODES`.
    """
    names = [center] if isinstance(center, str) else center
    middle = sum(POSITIONS[ELECTRODES.index(name)] for name in names)
    cosine = POSITIONS @ (middle / np.linalg.norm(middle))
    angle_rad = np.arccos(np.clip(cosine, -1, 1))
    return np.exp(-0.5 * (angle_rad / spread_rad) ** 2).astype(np.float32)


def background_mixing(spread_rad: float = 0.45) -> np.ndarray:
    """Mixing matrix [electrode, source] of independent sources under every electrode.

    Rows have unit length: every electrode has the same power, neighbours are correlated.
    """
    matrix = np.stack([gain(name, spread_rad) for name in ELECTRODES], axis=1)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
