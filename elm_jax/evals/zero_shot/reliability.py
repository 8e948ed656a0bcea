"""How far probabilities are from frequencies: ECE, what chance makes of it, risk and coverage.

The *winner's* ECE (Guo et al. 2017) looks at the confidence in the most probable class and at how
often it is right. The *classes'* ECE looks at every class's own probability (of two classes: at the
second's; of more: at the mean over the classes). It is the stricter: where the probability of one
class is too low and of the other too high, the winner's errors cancel and the classes' do not.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Real

from elm_jax.axes import Float, Int

BIN_STYLES = ("equal_width", "equal_mass")
OF = ("winner", "classes")


class Bins(NamedTuple):
    """How predictions are grouped: ``count`` bins of equal width, or of equal numbers of rows."""

    count: int = 15
    style: str = "equal_width"

    def check(self) -> None:
        """Raises ValueError: an unknown style, or no bins."""
        if self.style not in BIN_STYLES or self.count < 1:
            raise ValueError(f"{self}: known styles: {BIN_STYLES}, with one bin or more")

    def of(self, predicted: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The bin of each prediction; equal predictions share one."""
        if self.style == "equal_width":
            return np.minimum((predicted * self.count).astype(int), self.count - 1)
        edges = np.quantile(predicted, np.linspace(0, 1, self.count + 1)[1:-1])
        return np.searchsorted(edges, predicted, side="right")


class ReliabilityBin(NamedTuple):
    """Predictions of one bin beside what came true; ``low`` to ``high``: what chance would give."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


def _events(
    probability: np.ndarray, truths: Int[np.ndarray, "r n"], of: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of predictions ``[n]`` and whether they came true ``[r, n]``, of several truths."""
    if of not in OF:
        raise ValueError(f"ECE of {of!r}; known: {OF}")
    if of == "winner":
        return [(probability.max(axis=1), truths == probability.argmax(axis=1))]
    k = probability.shape[1]
    return [(probability[:, c], truths == c) for c in ([1] if k == 2 else range(k))]


def _errors(
    probability: np.ndarray, truths: Int[np.ndarray, "r n"], bins: Bins, of: str
) -> Float[np.ndarray, " r"]:
    """ECE of each of several assignments of truths to the same probabilities."""
    events = _events(probability, truths, of)
    total = np.zeros(len(truths))
    for predicted, true in events:
        where = bins.of(predicted)
        member = (where[:, None] == np.unique(where)).astype(float)
        total += np.abs((true - predicted) @ member).sum(axis=1) / len(predicted)
    return total / len(events)


def ece(
    probability: Float[np.ndarray, "n k"],
    truth: Real[np.ndarray, " n"],
    bins: Bins,
    *,
    of: str = "winner",
) -> float:
    """Expected calibration error: |frequency - mean prediction| of bins, weighted by their rows.

    Args:
      probability: of the classes.
      truth: class numbers.
      bins: of the predictions.
      of: "winner" or "classes" (see above).
    """
    return float(_errors(probability, truth[None].astype(int), bins, of)[0])


def draw_truths(
    probability: Float[np.ndarray, "n k"],
    people: Sequence[str] | np.ndarray,
    *,
    draws: int,
    seed: int = 0,
) -> Iterator[Int[np.ndarray, "r n"]]:
    """Truths of a *perfectly calibrated* model with these probabilities, in chunks of draws.

    One uniform number a person is drawn and shared by all rows of theirs: every row's truth has
    just its predicted probabilities, and rows of a person are as dependent as they can be.
    """
    names, person = np.unique(np.asarray(people), return_inverse=True)
    rng = np.random.default_rng(seed)
    below = np.cumsum(probability, axis=1)[:, :-1]
    chunk = max(1, 2_000_000 // max(len(probability), 1))
    for start in range(0, draws, chunk):
        uniform = rng.random((min(chunk, draws - start), len(names)))[:, person]
        yield sum((uniform >= below[:, c]).astype(int) for c in range(below.shape[1]))


def calibrated_band(
    probability: Float[np.ndarray, "n k"],
    people: Sequence[str] | np.ndarray,
    bins: Bins,
    *,
    of: str = "winner",
    draws: int = 500,
) -> tuple[float, float]:
    """The ECE that a perfectly calibrated model of so many people would show: 95 % of draws.

    Few people, or people with many rows, give a large ECE by chance alone.
    """
    drawn = draw_truths(probability, people, draws=draws)
    found = [_errors(probability, truths, bins, of) for truths in drawn]
    low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
    return float(low), float(high)


def reliability(
    probability: Float[np.ndarray, "n k"],
    truth: Real[np.ndarray, " n"],
    people: Sequence[str] | np.ndarray,
    bins: Bins,
    *,
    draws: int = 500,
) -> list[ReliabilityBin]:
    """Predictions and frequencies of the bins that have rows, lowest first.

    Of two classes: of the second's probability; of more: of the winner's.
    """
    of = "classes" if probability.shape[1] == 2 else "winner"
    (event,) = _events(probability, truth[None].astype(int), of)
    predicted, true = event[0], event[1][0]
    where = bins.of(predicted)
    member = (where[:, None] == np.unique(where)).astype(float)
    count = member.sum(axis=0)
    drawn = draw_truths(probability, people, draws=draws)
    by_chance = [_events(probability, t, of)[0][1] @ member / count for t in drawn]
    low, high = np.percentile(np.concatenate(by_chance), [2.5, 97.5], axis=0)
    columns = (predicted @ member / count, true @ member / count, low, high)
    values = zip(*(c.tolist() for c in columns), count.astype(int).tolist(), strict=True)
    return [ReliabilityBin(*v) for v in values]


class RiskCoverage(NamedTuple):
    """Error rate among the rows answered, most certain first; ``area`` is its mean."""

    coverage: Float[np.ndarray, " m"]
    risk: Float[np.ndarray, " m"]
    confidence: Float[np.ndarray, " m"]
    area: float

    def at(self, coverage: float) -> tuple[float, float]:
        """Error rate and least confidence where at least this share of rows is answered."""
        i = int(np.argmax(self.coverage >= coverage - 1e-12))
        return float(self.risk[i]), float(self.confidence[i])


def risk_coverage(
    probability: Float[np.ndarray, "n k"], truth: Real[np.ndarray, " n"]
) -> RiskCoverage:
    """The curve; rows of equal confidence are answered together, so their order plays no part."""
    confidence, wrong = probability.max(axis=1), probability.argmax(axis=1) != truth
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    answered = last + 1
    risk = np.cumsum(wrong[order])[last] / answered
    area = float(risk @ np.diff(answered, prepend=0) / len(truth))
    return RiskCoverage(answered / len(truth), risk, confidence[order][last], area)
