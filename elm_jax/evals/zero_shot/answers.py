"""One question put to the recordings of one split: cosines to its classes, and the true answers."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float, Int
from elm_jax.data.shards import RecordingRow
from elm_jax.evals.base import EvalData, Predict, mean_by, unit_rows
from elm_jax.evals.zero_shot.calibration import Calibration, Rows, probabilities
from elm_jax.evals.zero_shot.questions import Question
from elm_jax.evals.zero_shot.tasks import Task

LEVELS = ("window", "recording")


class Judged(NamedTuple):
    """Rows that have probabilities and a truth.

    Attributes:
      probability: of the classes, ``[m, k]``.
      truth: class numbers.
      people: whose each row is.
    """

    probability: Float[np.ndarray, "m k"]
    truth: Int[np.ndarray, " m"]
    people: np.ndarray


class Level(NamedTuple):
    """What is answered: windows, or recordings; every row with its truth (NaN: none) and person."""

    rows: Rows
    truth: Float[np.ndarray, " m"]
    people: np.ndarray

    def judged(self, calibration: Calibration) -> Judged:
        """The rows that can be scored, under a calibration."""
        probability = probabilities(self.rows, calibration)
        use = np.isfinite(self.truth) & np.isfinite(probability).all(axis=1)
        return Judged(probability[use], self.truth[use].astype(int), self.people[use])

    @property
    def classes(self) -> int:
        """How many different truths there are."""
        return len(set(self.truth[np.isfinite(self.truth)]))


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """A question's cosines and truths over one split.

    Attributes:
      question: what was asked.
      split: of whom.
      recordings: of the split.
      cosine: of every window to every class, ``[n, k]``.
      recording: of every window: a row of ``recordings``.
      truth: of every recording; NaN where it has no label.
      window_truth: of every window: its own piece's label where that has one (corpora of events),
        else its recording's.
    """

    question: Question
    split: str
    recordings: list[RecordingRow]
    cosine: Float[np.ndarray, "n k"]
    recording: Int[np.ndarray, " n"]
    truth: Float[np.ndarray, " r"]
    window_truth: Float[np.ndarray, " n"]

    @property
    def people(self) -> np.ndarray:
        """Whose each recording is."""
        return np.asarray([row.person for row in self.recordings])

    @property
    def labelled(self) -> bool:
        """Whether any recording has the question's label."""
        name = self.question.label.partition("=")[0]
        return any(name in row.labels for row in self.recordings)

    def mean_cosine(self) -> Float[np.ndarray, "r k"]:
        """The mean over each recording's windows."""
        return mean_by(self.cosine, self.recording, len(self.recordings))

    def level(self, level: str, aggregate: str) -> Level:
        """Windows, or recordings by "margin" or "probability" (see :mod:`calibration`)."""
        if level == "window":
            return Level(Rows(self.cosine), self.window_truth, self.people[self.recording])
        if aggregate == "margin":
            return Level(Rows(self.mean_cosine()), self.truth, self.people)
        rows = Rows(self.cosine, self.recording, len(self.recordings))
        return Level(rows, self.truth, self.people)

    def counts(self) -> dict[str, int]:
        """Recordings of each class."""
        found = Counter(self.truth[np.isfinite(self.truth)].astype(int).tolist())
        return {name: found[i] for i, name in enumerate(self.question.class_names)}

    def unlabelled(self) -> list[str]:
        """People who have a recording without an answer, sorted."""
        return sorted(set(self.people[np.isnan(self.truth)]))


def class_vectors(
    questions: Mapping[str, Question | Task], predict: Predict, data: EvalData
) -> dict[str, Float[np.ndarray, "k e"]]:
    """Unit vectors of the classes of each: the normalised mean over a class's prompts."""
    texts = [t for q in questions.values() for c in q.classes for t in c.prompts]
    texts = list(dict.fromkeys(texts))
    vectors = unit_rows(data.text_projection(predict, texts).astype(np.float64))
    row = {text: i for i, text in enumerate(texts)}

    def mean(prompts: tuple[str, ...]) -> np.ndarray:
        return vectors[[row[text] for text in prompts]].mean(axis=0)

    return {
        name: unit_rows(np.stack([mean(c.prompts) for c in q.classes]))
        for name, q in questions.items()
    }


def answers_of(
    questions: Mapping[str, Question],
    vectors: Mapping[str, Float[np.ndarray, "k e"]],
    predict: Predict,
    data: EvalData,
    split: str,
) -> dict[str, Answers]:
    """Every question put to every window of a split.

    Raises:
      ValueError: the model has no projection to compare with texts.
    """
    encoded, recordings = data.encoded(predict, split), data.recordings(split)
    if encoded.projection is None:
        raise ValueError("zero-shot needs a model with a projection into the space of its texts")
    windows = unit_rows(encoded.projection.astype(np.float64))
    return {
        name: Answers(
            question,
            split,
            recordings,
            windows @ vectors[name].T,
            encoded.recording,
            question.answers(recordings),
            _window_truth(question, recordings, data, split),
        )
        for name, question in questions.items()
    }


def _window_truth(
    question: Question, recordings: list[RecordingRow], data: EvalData, split: str
) -> Float[np.ndarray, " n"]:
    """The answers of windows, by way of recordings that have their pieces' labels."""
    windows = data.windows(split)
    of_piece = {
        piece.index: dataclasses.replace(row, labels=row.labels | piece.labels)
        for row in recordings
        for piece in row.pieces
    }
    order = {index: i for i, index in enumerate(of_piece)}
    answers = question.answers(list(of_piece.values()))
    return answers[[order[index] for index in windows.piece.tolist()]]
