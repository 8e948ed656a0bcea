"""A 2-D map of recordings or windows, coloured by any of their labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from elm_jax.data.labels import LabelError
from elm_jax.data.manifest import ManifestError, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.evals import figures_map, point_labels
from elm_jax.evals.base import EvalData, EvalResult, Predict, mean_by, unit_rows
from elm_jax.evals.planes import WORDS, NoPlane, plane, require_method
from elm_jax.evals.point_labels import PointLabels
from elm_jax.evals.probe.data import joined

POINTS = ("recordings", "windows")


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """Every recording or window of some splits as a point, coloured by labels where it has them.

    A recording is the mean of its windows' vectors at length one. A window is the projection at
    length one where the model compares by angle, else its features as they are.

    Attributes:
      split: whose recordings; one, or several, of which those that hold nobody are passed over.
      label: one or several, a panel each: words and few whole numbers are classes, other numbers
        (age) a colour bar; ``label=value`` is one value against the others.
      method: one or several of "pca", "tsne", "umap", a figure each.
      points: "recordings" or "windows".
      classes: in what order a legend names those of words, such as sleep stages.
      most_points: a map of more draws so many of them by chance, the same for all its figures.
      seed: of that, and of the methods.
    """

    split: str | Sequence[str]
    label: str | Sequence[str]
    method: str | Sequence[str] = "pca"
    points: str = "recordings"
    classes: Sequence[str] = ()
    most_points: int = 1000
    seed: int = 0

    def __post_init__(self):
        if self.points not in POINTS:
            raise ValueError(f"points is {self.points!r}; known: {list(POINTS)}")
        for name in ("split", "label", "method"):
            if not _several(getattr(self, name)):
                raise ValueError(f"{name} is empty")
        if self.most_points < 3:
            raise ValueError(f"most_points is {self.most_points}; expected 3 or more")
        for method in _several(self.method):
            require_method(method)

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """None: a map has no scores."""
        return ()

    def check(self, data: EvalData) -> None:
        """Raises where no split holds anybody.

        Raises:
          ManifestError: no recordings in any of the splits.
        """
        self._held(data)

    def __call__(self, predict: Predict, data: EvalData) -> EvalResult:
        """A figure ``embedding_METHOD`` each; scalars: shares of variance of two components."""
        held = self._held(data)
        vectors = np.concatenate([self._vectors(predict, data, split) for split in held])
        shown = np.flatnonzero(np.isfinite(vectors).all(axis=1))  # NaN: no windows
        notes = []
        if len(shown) > self.most_points:
            some = np.random.default_rng(self.seed).choice(len(shown), self.most_points, False)
            notes.append(f"the map shows {self.most_points} of {len(shown)} {self.points}, drawn")
            shown = shown[np.sort(some)]
        everything = joined(data, held)
        coloured = [self._coloured(*everything, name) for name in _several(self.label)]
        notes += [note for _, note in coloured if note]
        labels = [own._replace(value=own.value[shown]) for own, _ in coloured]
        scalars, figures = {}, {}
        for method in _several(self.method):
            try:
                found = plane(vectors[shown], method, seed=self.seed)
            except NoPlane as error:
                where = ", ".join(map(repr, _several(self.split)))
                notes.append(f"a map of {self.points} of {where}: {error}")
                continue
            if found.shares:
                shares = enumerate(found.shares, 1)
                scalars |= {f"{method}_share_{i}": round(share, 4) for i, share in shares}
            figures[f"embedding_{method}"] = figures_map.scatter(
                found, labels, title=self._title(method), simulated=data.simulated
            )
        return EvalResult(scalars, figures=figures, notes=tuple(notes))

    def _title(self, method: str) -> str:
        what = "Recordings by mean embedding" if self.points == "recordings" else "Windows"
        return f"{what} ({WORDS[method]})"

    def _held(self, data: EvalData) -> list[str]:
        """The splits that hold anybody; where none does, what the first of them lacks is raised."""
        names = _several(self.split)
        held = []
        for split in names:
            try:
                data.recordings(split)
            except ManifestError:
                if len(names) == 1:
                    raise
                continue
            held.append(split)
        if not held:
            data.recordings(names[0])
        return held

    def _vectors(self, predict: Predict, data: EvalData, split: str) -> np.ndarray:
        encoded = data.encoded(predict, split)
        by_angle = encoded.projection is not None
        vectors = encoded.projection if by_angle else encoded.features
        if self.points == "recordings":
            return mean_by(unit_rows(vectors), encoded.recording, len(data.recordings(split)))
        return unit_rows(vectors) if by_angle else vectors

    def _coloured(
        self, recordings: Sequence[RecordingRow], windows: Windows, name: str
    ) -> tuple[PointLabels, str]:
        """The label of every point, and a word where none has it."""
        of_windows = self.points == "windows"
        try:
            if of_windows:
                found = point_labels.of_windows(recordings, windows, name, self.classes)
            else:
                found = point_labels.of_recordings(recordings, name, self.classes)
        except LabelError as error:  # a map is a map whatever labels there are
            points = len(windows) if of_windows else len(recordings)
            none = PointLabels(name, (), np.full(points, np.nan))
            return none, f"the map has no colours by {name!r}: {error}"
        if np.isfinite(found.value).any():
            return found, ""
        return found, f"the map has no colours by {name!r}: none of the {self.points} has it"


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
