"""How a model holds up as channels go missing or noise is added.

A linear probe is fitted on the vectors of clean windows and then asked about the same windows of
other people, ever more damaged; beside its scores stands how far the vectors moved. The ranges
are those over which DARE-EEG was shown: up to 80 % of the channels, 20 to -5 dB.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Batch, Float, Int
from elm_jax.channels import channel_ids
from elm_jax.data.targets import Target
from elm_jax.evals import figures_robustness, scores
from elm_jax.evals.base import EvalData, EvalResult, Predict, unit_rows
from elm_jax.evals.probe import models, scoring
from elm_jax.evals.probe.data import Sample, gather

log = logging.getLogger(__name__)

KINDS = ("binary", "multiclass")
WORST_SHARE = 0.99


class Damage(NamedTuple):
    """What is done to windows: "missing" at a share of channels, or "noise" at a ratio in dB."""

    kind: str
    level: float


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Scores of a probe and similarity of vectors against missing channels and added noise.

    Channels are drawn anew for every repeat, the same for all windows. A model that reads its
    channels by name is given fewer of them; any other gets rows of zeros in their place. Noise is
    white and Gaussian, its power that of each window's channel (around its mean) times the ratio;
    it is added to stored samples, and rounded and bounded as they are.

    Attributes:
      labels: what the probe predicts: ``name``, ``kind`` ("binary" or "multiclass"), ``classes``.
      train_split: whose clean windows the probe is fitted on.
      split: whose windows are damaged and scored.
      missing: shares of channels, each from 0 to 0.99.
      noise_db: signal-to-noise ratios.
      c: strength of the probe (scikit-learn's C).
      repeats: draws of channels and noise; scores are means over them.
      seed: of these draws.
    """

    labels: Mapping[str, Any]
    train_split: str = "train"
    split: str = "test"
    missing: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
    noise_db: Sequence[float] = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
    c: float = 0.01
    repeats: int = 3
    seed: int = 0

    def __post_init__(self):
        if not all(0 <= share <= WORST_SHARE for share in self.missing):
            raise ValueError(
                f"missing is {tuple(self.missing)}; expected shares from 0 to {WORST_SHARE}"
            )
        if self.repeats < 1 or not self.c > 0:
            raise ValueError(f"repeats is {self.repeats} (1 or more), c {self.c} (positive)")
        if self.target.kind not in KINDS:
            raise ValueError(f"labels.kind is {self.target.kind!r}; known here: {list(KINDS)}")

    @property
    def target(self) -> Target:
        """What the probe predicts; classes may still have to be read from the data."""
        return Target.from_dict(self.labels, where="labels")

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Splits whose people are scored."""
        return (self.split,)

    def check(self, data: EvalData) -> None:
        """Raises where labels or splits cannot be used.

        Raises:
          ManifestError: no recordings in a split.
          ValueError: a label that is no label.
        """
        for split in (self.train_split, self.split):
            gather(data, (split,), self.target)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Table ``robustness``, a row a damage; figure ``robustness``.

        Scalars: the worst of each kind, as a score and as a similarity.
        """
        train = gather(data, (self.train_split,), self.target)
        test = gather(data, (self.split,), train.target)
        clean = data.encoded(predict, self.train_split).features
        known = train.labelled
        probe = models.fit(train.target, clean[known], train.truth[known], self.c)
        whole, centre = data.encoded(predict, self.split).features, clean.mean(0)
        rows = [self._row(Damage("none", 0.0), [(whole, 0)], whole, centre, probe, test)]
        bounded = 0
        for damage in self._damages():
            found = [self._vectors(predict, data, damage, r) for r in range(self.repeats)]
            rows.append(self._row(damage, found, whole, centre, probe, test))
            bounded += sum(count for _, count in found)
            log.info("robust   %s %g: %s", *damage, _said(rows[-1]))
        figure = figures_robustness.curves(
            rows,
            score=scoring.headline(train.target),
            what=train.target.name,
            simulated=data.simulated,
        )
        notes = [f"{bounded} noisy samples exceeded what shards can store and were bounded"]
        return EvalResult(
            scalars=self._scalars(rows, train.target),
            tables={"robustness": rows},
            figures={"robustness": figure},
            notes=(*(notes if bounded else ()), *filter(None, [test.note()])),
        )

    def _damages(self) -> Iterator[Damage]:
        yield from (Damage("missing", float(share)) for share in self.missing if share)
        yield from (Damage("noise", float(db)) for db in self.noise_db)

    def _vectors(
        self, predict: Predict, data: EvalData, damage: Damage, repeat: int
    ) -> tuple[Float[np.ndarray, "n d"], int]:
        """Features of all windows of the split, damaged; and how many samples had to be bounded."""
        names = data.manifest.spec.channels
        kept = np.arange(len(names))
        if damage.kind == "missing":
            rng = np.random.default_rng([self.seed, repeat])  # nested: what is gone stays gone
            count = max(1, round((1 - damage.level) * len(names)))
            kept = np.sort(rng.permutation(len(names))[:count])
        found, bounded = [], 0
        for batch in data.batches(self.split):
            if damage.kind == "noise":
                batch, over = self._noisy(batch, damage.level, repeat)
                bounded += over
            elif data.model.by_name:
                batch = _only(batch, kept, names)
            else:
                batch = _silenced(batch, kept)
            found.append(predict({k: v for k, v in batch.items() if k != "window"})["features"])
        return np.concatenate(found)[: len(data.windows(self.split))], bounded

    def _noisy(self, batch: Batch, ratio_db: float, repeat: int) -> tuple[dict[str, Any], int]:
        """A batch with noise; a window's is the same however windows are shared out."""
        signal = batch["signal"].astype(np.float32)
        limits = np.iinfo(batch["signal"].dtype)
        deviation = signal.std(axis=-1, keepdims=True) * 10 ** (-ratio_db / 20)
        for row, window in enumerate(batch["window"]):
            rng = np.random.default_rng([self.seed, repeat, max(int(window), 0)])
            noise = rng.standard_normal(signal.shape[1:], np.float32)
            signal[row] += deviation[row] * noise
        over = int(((signal < limits.min) | (signal > limits.max)).sum())
        stored = np.clip(np.rint(signal), limits.min, limits.max).astype(batch["signal"].dtype)
        return dict(batch) | {"signal": stored}, over

    def _row(
        self,
        damage: Damage,
        found: Sequence[tuple[np.ndarray, int]],
        whole: np.ndarray,
        centre: np.ndarray,
        probe: models.Fitted,
        test: Sample,
    ) -> dict[str, Any]:
        """Means over repeats of what the probe scores and how alike vectors are."""
        use = test.labelled
        each = []
        for x, _ in found:
            measured = _scores(test.target, test.truth[use], probe.predict(x[use]))
            measured["similarity"] = _cosine(x, whole)
            measured["similarity_centred"] = _cosine(x - centre, whole - centre)
            each.append(measured)
        row: dict[str, Any] = dict(damage=damage.kind, level=damage.level)
        row |= dict(windows=int(use.sum()), repeats=len(each))
        for name in each[0]:
            values = np.asarray([measured[name] for measured in each])
            row[name] = float(values.mean())
            row[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        return row

    def _scalars(self, rows: Sequence[Mapping[str, Any]], target: Target) -> dict[str, float]:
        score, out = scoring.headline(target), {}
        for kind in ("none", "missing", "noise"):
            own = [row for row in rows if row["damage"] == kind]
            if own:
                out |= {f"{kind}/{k}": own[-1][k] for k in (score, "similarity_centred")}
        return out


def _only(batch: Batch, kept: Int[np.ndarray, " k"], names: Sequence[str]) -> dict[str, Any]:
    """A batch of fewer channels, which it names."""
    ids = np.asarray(channel_ids(names), np.int32)[kept]
    own = [k for k in batch if k == "signal" or k.startswith("signal_") and batch[k].ndim > 1]
    fewer = {k: np.ascontiguousarray(batch[k][:, kept]) for k in own}
    return dict(batch) | fewer | {"channel_id": np.tile(ids, (len(fewer["signal"]), 1))}


def _silenced(batch: Batch, kept: Int[np.ndarray, " k"]) -> dict[str, Any]:
    """A batch with zeros in the rows of all other channels."""
    signal = np.zeros_like(batch["signal"])
    signal[:, kept] = batch["signal"][:, kept]
    return dict(batch) | {"signal": signal}


def _scores(target: Target, truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    if target.kind == "multiclass":
        return {"bacc": scores.balanced_accuracy(truth[:, 0], said.argmax(1))}
    answered = (said[:, 0] > 0.5).astype(float)
    return {
        "auroc": scores.roc_area(truth, said),
        "bacc": scores.balanced_accuracy(truth[:, 0], answered),
    }


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float((unit_rows(x) * unit_rows(y)).sum(1).mean())


def _said(row: Mapping[str, Any]) -> str:
    names = ("auroc", "bacc", "similarity_centred")
    return ", ".join(f"{name} {row[name]:.3f}" for name in names if name in row)
