"""Zero-shot classification of recordings by text prompts: cosines of projections, as in ELM."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from elm_jax.evals import figures
from elm_jax.evals.base import (
    EvalData,
    EvalResult,
    Predict,
    binary_labels,
    mean_by,
    one_class,
    unit_rows,
)
from elm_jax.evals.scores import auroc


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """AUROC per recording of every finding that has prompts and labels.

    A recording's score for a finding is the mean over its windows of cos(window, positive class) -
    cos(window, negative class); a class vector is the normalised mean of its prompts' projections.

    Attributes:
      split: whose recordings are scored.
      label: the finding whose AUROC is *the* zero-shot AUROC, and whose ROC is drawn.
      prompts: finding -> {"positive": texts, "negative": texts}.
    """

    split: str
    label: str
    prompts: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Whose people this scores."""
        return (self.split,)

    def check(self, data: EvalData) -> None:
        """Raises where prompts or labels cannot be used."""
        for finding, pair in self.prompts.items():
            if set(pair) != {"positive", "negative"} or not all(pair.values()):
                raise ValueError(
                    f"config.evals prompts of {finding!r}: expected texts under 'positive' and "
                    f"'negative', found { {k: len(v) for k, v in pair.items()} }"
                )
            binary_labels(data.recordings(self.split), finding)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """Scalars ``auroc`` (with its interval), table ``findings``, figure ``zero_shot_roc``.

        Scores need no labels: every recording has its row of them.
        """
        recordings = data.recordings(self.split)
        people = [r.person for r in recordings]
        scores = self.scores(predict, data)
        answers = tuple(
            {"recording": row.recording, "person": row.person}
            | {finding: round(float(score[i]), 6) for finding, score in scores.items()}
            for i, row in enumerate(recordings)
        )
        rows, kept, unscored = [], {}, {}
        for finding, score in scores.items():
            label = binary_labels(recordings, finding)
            result = auroc(label, score, people)
            if result is None:
                unscored[finding] = label
                continue
            kept[finding] = (label, score, result)
            rows.append({"finding": finding} | result._asdict())
        notes = [one_class(unscored, self.split, recordings)] if unscored else []
        if self.label not in kept:
            return EvalResult(tables={"findings": rows}, scores=answers, notes=tuple(notes))
        label, score, result = kept[self.label]
        scalars = {"auroc": result.value, "auroc_low": result.low, "auroc_high": result.high}
        use = np.isfinite(label) & np.isfinite(score)
        figure = figures.roc(
            label[use], score[use], result, what=self.label, simulated=data.manifest.simulated
        )
        drawn = {"zero_shot_roc": figure}
        return EvalResult(scalars, {"findings": rows}, answers, drawn, tuple(notes))

    def scores(self, predict: Predict, data: EvalData) -> dict[str, np.ndarray]:
        """Per finding, the score of each recording of the split."""
        encoded = data.encoded(predict, self.split)
        if encoded.projection is None:
            raise ValueError("config.evals.zero_shot needs an objective with a projection")
        windows = unit_rows(encoded.projection)
        texts = [t for pair in self.prompts.values() for side in pair.values() for t in side]
        vectors = dict(zip(texts, unit_rows(data.text_projection(predict, texts)), strict=True))
        out = {}
        for finding, pair in self.prompts.items():
            positive, negative = (
                unit_rows(np.mean([vectors[t] for t in pair[side]], axis=0))
                for side in ("positive", "negative")
            )
            margin = windows @ (positive - negative)
            out[finding] = mean_by(margin, encoded.recording, len(data.recordings(self.split)))
        return out
