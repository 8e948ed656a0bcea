"""From cosines to probabilities that mean what they say, and how far they are from it.

A window's probabilities are softmax(cosines to the classes / temperature): one number is fitted,
the temperature (Guo et al. 2017), by least negative log-likelihood on *validation* people. A
recording's are either the softmax of its windows' mean cosines ("margin"), or the mean of its
windows' softmaxes ("probability"). Windows inherit their recording's label, so what is right for a
window (many look normal in an abnormal recording) is not right for a recording, which has many
windows to go by: each level has a temperature of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from elm_jax.axes import Float, Int
from elm_jax.evals.base import mean_by

AGGREGATES = ("margin", "probability")
# Cosines lie within [-1, 1]: at the ends of this range probabilities are 0 or 1, or all equal.
TEMPERATURE_RANGE = (0.01, 100.0)
MAX_SHIFT = 2.0  # of one class's cosine against another's


class Calibration(NamedTuple):
    """What turns cosines into probabilities: softmax(cosine / temperature + bias)."""

    temperature: float
    bias: tuple[float, ...] = ()  # a number a class, of sum zero; empty: none


class Rows(NamedTuple):
    """What is to be calibrated: windows, and of which of ``groups`` recordings each is.

    Without ``group`` every row of ``cosine`` is an answer of its own.
    """

    cosine: Float[np.ndarray, "n k"]
    group: Int[np.ndarray, " n"] | None = None
    groups: int = 0


def probabilities(rows: Rows, calibration: Calibration) -> Float[np.ndarray, "m k"]:
    """Probabilities of rows, or of their groups as the mean over each group's rows."""
    bias = np.asarray(calibration.bias or 0.0)
    found = softmax(rows.cosine / calibration.temperature + bias, axis=1)
    return found if rows.group is None else mean_by(found, rows.group, rows.groups)


def nll(probability: Float[np.ndarray, "m k"], target: Float[np.ndarray, "m k"]) -> float:
    """Mean negative log-likelihood, in nats, of rows that have a target and a probability."""
    use = np.isfinite(target).all(axis=1) & np.isfinite(probability).all(axis=1)
    # Not a floor for the score: it keeps a search finite where a class is certainly excluded.
    logs = np.log(np.maximum(probability[use], 1e-300))
    return float(-(target[use] * logs).sum(axis=1).mean())


def one_hot(truth: Float[np.ndarray, " m"], k: int) -> Float[np.ndarray, "m k"]:
    """Class numbers as rows of 0 and 1; NaN for unknown."""
    target = (truth[:, None] == np.arange(k)).astype(float)
    target[~np.isfinite(truth)] = np.nan
    return target


def fit(
    rows: Rows,
    truth: Float[np.ndarray, " m"],
    people: Sequence[str] | np.ndarray,
    *,
    with_bias: bool = False,
) -> tuple[Calibration, str]:
    """The temperature (and bias) of least NLL, and a remark where that is not well founded.

    Where all rows are answered right, NLL falls for ever as the temperature does. Then the targets
    are smoothed as by Platt (1999): (n + 1) / (n + k) for the true class, with n *people* of it.

    Args:
      rows: of validation people.
      truth: class numbers of the rows or groups, NaN where unknown; two classes at least.
      people: whose each row or group is.
      with_bias: a shift a class is fitted too.
    """
    k = rows.cosine.shape[1]
    target = one_hot(truth, k)
    found = _least_nll(rows, target, with_bias)
    probability = probabilities(rows, found)
    use = np.isfinite(truth) & np.isfinite(probability).all(axis=1)
    if (probability[use].argmax(axis=1) == truth[use]).all():
        found = _least_nll(rows, _smoothed(truth, np.asarray(people), k), with_bias)
        return found, "all validation rows were answered right: targets were smoothed"
    return found, _remark(found.temperature)


def _remark(temperature: float) -> str:
    low, high = TEMPERATURE_RANGE
    if temperature > high / 3:
        return "cosines do not tell these classes apart: probabilities are all but constant"
    if temperature < low * 1.5:
        return f"the temperature is at the end of its range, {low:g}: windows count as votes"
    return ""


def _smoothed(truth: np.ndarray, people: np.ndarray, k: int) -> np.ndarray:
    target = one_hot(truth, k)
    for c in range(k):
        n = len(set(people[truth == c]))
        target[truth == c] = (target[truth == c] * n + 1) / (n + k)
    return target


def _least_nll(rows: Rows, target: np.ndarray, with_bias: bool) -> Calibration:
    """A grid over the logarithm of the temperature, then descent from its best point."""
    shifts = (rows.cosine.shape[1] - 1) * with_bias
    rows = rows._replace(cosine=rows.cosine.astype(np.float64))  # for differences of the descent

    def made(x: np.ndarray) -> Calibration:
        temperature = float(np.exp(x[0]))
        shift = np.append(x[1:], 0.0)  # in cosines, so that its scale is known beforehand
        bias = tuple(((shift - shift.mean()) / temperature).tolist()) if with_bias else ()
        return Calibration(temperature, bias)

    def loss(x: np.ndarray) -> float:
        return nll(probabilities(rows, made(x)), target)

    low, high = np.log(TEMPERATURE_RANGE)
    starts = [np.append(t, np.zeros(shifts)) for t in np.linspace(low, high, 19)]
    start = min(starts, key=loss)
    bounds = [(low, high)] + [(-MAX_SHIFT, MAX_SHIFT)] * shifts
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    return made(found.x if found.fun <= loss(start) else start)
