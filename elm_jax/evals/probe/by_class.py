"""What a probe answered, class by class: a report, a confusion matrix, nights as pictures."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.axes import Float
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.evals import figures_classification
from elm_jax.evals.class_report import confusion_counts, confusion_table, per_class
from elm_jax.evals.figures_hypnogram import hypnogram
from elm_jax.evals.probe import scoring
from elm_jax.evals.probe.data import Sample


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Classes of windows or recordings, and what was answered by the mean over repeats.

    Attributes:
      unit: "recording"; "window" where windows of a recording have different labels.
      truth: number of the class; NaN where it is missing.
      answer: likewise; NaN where nothing was said.
      classes: their names.
      name: of the label.
    """

    unit: str
    truth: Float[np.ndarray, " n"]
    answer: Float[np.ndarray, " n"]
    classes: tuple[str, ...]
    name: str

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Tables ``confusion`` and ``classes``; none where nothing was answered."""
        counts = self._counts()
        if not counts.sum():
            return {}
        table, report = confusion_table(counts, self.classes), per_class(counts, self.classes)
        return {"confusion": table, "classes": report}

    def figure(self, whose: str, *, simulated: bool | str) -> Any:
        """The confusion matrix; None where nothing was answered."""
        counts = self._counts()
        if not counts.sum():
            return None
        return figures_classification.confusion(
            counts, self.classes, what=self.name, unit=self.unit, simulated=simulated, whose=whose
        )

    def _counts(self) -> np.ndarray:
        return confusion_counts(self.truth, self.answer, len(self.classes))


def answers(sample: Sample, said: Float[np.ndarray, "n s k"]) -> Answers | None:
    """What was answered about recordings, else about windows; None where there are no classes."""
    target = sample.target
    if target.kind not in ("binary", "multiclass"):
        return None
    truth, mean = scoring.per_recording(sample, said)
    unit = "recording"
    if not scoring.one_truth(sample) or not np.isfinite(truth).all(axis=1).any():
        unit, truth, mean = "window", sample.truth, said
    answer = scoring.decide(target, mean.mean(axis=1, keepdims=True))[:, 0]
    names = target.classes or (f"not {target.name}", target.name)
    return Answers(unit, truth[:, 0], answer, tuple(names), target.name)


def hypnograms(
    recordings: Sequence[RecordingRow],
    windows: Windows,
    found: Answers,
    *,
    sfreq_hz: float,
    window_s: float,
    most: int,
    simulated: bool | str,
) -> dict[str, Any]:
    """Figures ``hypnogram_RECORDING`` of the first recordings that were scored, by window.

    Args:
      recordings: those of the sample.
      windows: theirs.
      found: what was answered about each window.
      sfreq_hz: of the stored signals.
      window_s: what a window lasts.
      most: how many recordings.
      simulated: says so in the titles.
    """
    begin_s = _begins_s(recordings, windows, sfreq_hz)
    scored = np.isfinite(found.answer) & np.isfinite(found.truth)
    figures = {}
    for i in np.unique(windows.recording[scored])[:most]:
        rows = np.flatnonzero((windows.recording == i) & scored)
        rows = rows[np.argsort(begin_s[rows], kind="stable")]
        name = recordings[i].recording
        figures[f"hypnogram_{name}"] = hypnogram(
            begin_s[rows],
            found.truth[rows],
            found.answer[rows],
            found.classes,
            window_s=window_s,
            title=name,
            simulated=simulated,
        )
    return figures


def _begins_s(
    recordings: Sequence[RecordingRow], windows: Windows, sfreq_hz: float
) -> Float[np.ndarray, " n"]:
    """When every window begins in its recording; pieces are numbered by split."""
    start_s = [{piece.index: piece.start_s for piece in row.pieces} for row in recordings]
    pairs = zip(windows.recording.tolist(), windows.piece.tolist(), strict=True)
    return np.asarray([start_s[r][p] for r, p in pairs]) + windows.start / sfreq_hz
