"""What a probe learns from: every window's target, whose it is, and what people are alike."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Bool, Float, Int
from elm_jax.data.label_values import holds, in_words, is_missing, parse
from elm_jax.data.labels import LabelError, label_names
from elm_jax.data.manifest import SPLITS, ManifestError, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.targets import Target, TargetError, with_classes
from elm_jax.evals.base import EvalData


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """The windows of some splits, one split after the other.

    Attributes:
      splits: their names.
      recordings: of all splits.
      recording: row in ``recordings`` of each window.
      people: ids, sorted; of data that are split by recording the recordings, in their place.
      person: row in ``people`` of each recording.
      target: what is predicted.
      truth: of every window, one column a finding; NaN where the label is missing.
    """

    splits: tuple[str, ...]
    recordings: tuple[RecordingRow, ...]
    recording: Int[np.ndarray, " n"]
    people: tuple[str, ...]
    person: Int[np.ndarray, " r"]
    target: Target
    truth: Float[np.ndarray, "n k"]

    @property
    def labelled(self) -> Bool[np.ndarray, " n"]:
        """Windows that have the label (all of the labels, where there are several)."""
        return np.isfinite(self.truth).all(axis=1)

    def rows(self, people: Int[np.ndarray, " p"]) -> Int[np.ndarray, " m"]:
        """The labelled windows of some people (rows of ``people``)."""
        mine = np.isin(self.person[self.recording], people)
        return np.flatnonzero(mine & self.labelled)

    def people_of(self, split: str) -> Int[np.ndarray, " p"]:
        """Rows of the people of a split who have a labelled window."""
        known = np.unique(self.recording[self.labelled])
        return np.unique([self.person[r] for r in known if self.recordings[r].split == split])

    def note(self) -> str:
        """Whom the labels miss; empty where they miss nobody."""
        known = set(self.recording[self.labelled].tolist())
        lost = [r for i, r in enumerate(self.recordings) if i not in known]
        gone = set(self.people) - {self.people[self.person[i]] for i in known}
        if not lost:
            return ""
        names = ", ".join(r.recording for r in lost[:5]) + (", ..." if len(lost) > 5 else "")
        return (
            f"{len(lost)} of {len(self.recordings)} recordings have no label "
            f"{self.target.name!r} (or no window) and take no part ({names}); {len(gone)} of "
            f"{len(self.people)} people have none at all"
        )


NO_CLASS = ("negative", "left_out")


def gather(
    data: EvalData, splits: Sequence[str], target: Target, *, no_class: str = "negative"
) -> Sample:
    """All windows of those of ``splits`` that hold anybody; reads no signal.

    With ``no_class="left_out"`` windows that have none of several findings count as unlabelled.

    Raises:
      ManifestError: an unknown split, or none of them holds a recording.
      LabelError, TargetError: no recording has the label, a value is no label of this kind, or
        all have the same.
      ValueError: what the data are split by, such as a person, is in two splits.
    """
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise ManifestError(f"splits {unknown} are unknown; known: {list(SPLITS)}")
    held = [s for s in splits if data.manifest.people.get(s)]
    if not held:
        counts = {s: len(p) for s, p in data.manifest.people.items()}
        raise ManifestError(f"none of the splits {list(splits)} holds people; found {counts}")
    recordings, windows = joined(data, held)
    # Values of a regression stay in the label's own unit: errors are read in it.
    target = dataclasses.replace(with_classes(target, recordings, windows), mean=0.0, std=1.0)
    truth = target.of_windows(recordings, windows).astype(np.float64)
    if target.kind == "multilabel" and no_class == "left_out":
        truth[~(truth == 1).any(axis=1)] = np.nan
    # What was divided is what is held out, drawn and scored; the caller says which it was.
    unit = "person" if data.manifest.split_by == "person" else "recording"
    units = [getattr(row, unit) for row in recordings]
    names, person = np.unique(units, return_inverse=True)
    home: dict[str, str] = {}
    for name, row in zip(units, recordings, strict=True):
        if home.setdefault(name, row.split) != row.split:
            both = sorted({home[name], row.split})
            raise ValueError(f"{unit} {name} is in the splits {both}; prepare again")
    sample = Sample(
        tuple(held), recordings, windows.recording, tuple(names.tolist()), person, target, truth
    )
    if not sample.labelled.any():
        raise TargetError(f"no window has a label {target.name!r} of kind {target.kind!r}")
    _require_two_values(sample)
    return sample


def _require_two_values(sample: Sample) -> None:
    """Raises where every label says the same: nothing is there to tell apart."""
    truth, target = sample.truth[sample.labelled], sample.target
    if (truth == truth[0]).all():
        value = truth[0, 0]
        if target.kind == "multiclass" and not np.isnan(value):
            value = target.classes[int(value)]
        raise TargetError(
            f"all {len(np.unique(sample.recording[sample.labelled]))} recordings with a label "
            f"{target.name!r} have the same value ({value}): a probe needs two or more"
        )


def joined(data: EvalData, splits: Sequence[str]) -> tuple[tuple[RecordingRow, ...], Windows]:
    """Recordings and windows of splits, numbered through; pieces stay those of their split."""
    recordings, parts = [], []
    for split in splits:
        windows = data.windows(split)
        parts.append((windows.recording + len(recordings), windows.piece, windows.start))
        recordings += data.recordings(split)
    return tuple(recordings), Windows(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def classes_of_people(sample: Sample) -> Bool[np.ndarray, "p k"]:
    """Which classes each person has a window of; of findings, which they have.

    A regression has none: one column, all True.
    """
    use = sample.labelled
    person, truth = sample.person[sample.recording[use]], sample.truth[use]
    if sample.target.kind == "regression":
        return np.ones((len(sample.people), 1), bool)
    if sample.target.kind == "multilabel":
        columns = truth == 1
    else:
        columns = truth == np.arange(class_count(sample.target))
    out = np.zeros((len(sample.people), columns.shape[1]), bool)
    np.logical_or.at(out, person, columns)
    return out


def class_count(target: Target) -> int:
    """Classes, or findings; 1 for a regression."""
    return 2 if target.kind == "binary" else target.outputs


def cells(sample: Sample, stratify: Sequence[str], *, bins: int = 3) -> list[tuple[str, ...]]:
    """What every person is alike in: their classes and the labels of ``stratify``.

    Numbers with more than ``bins`` different values (age) count by quantile. A person with several
    values has their own cell for that combination; one without the label has the cell "missing".
    A label may be one value of it: ``superclass=MI``.

    Raises:
      LabelError: no recording has a label of ``stratify``.
    """
    known = label_names(sample.recordings)
    if missing := sorted({name for name in stratify if parse(name)[0] not in known}):
        raise LabelError(f"stratify: no recording has {missing}; known: {', '.join(known)}")
    columns = [_target_cell(sample, bins)]
    for name in stratify:
        values: list[list] = [[] for _ in sample.people]
        for row, person in zip(sample.recordings, sample.person, strict=True):
            label, wanted = parse(name)
            value = row.labels.get(label)
            if not is_missing(value):
                values[person].append(value if wanted is None else holds(value, wanted))
        columns.append(_binned(values, bins))
    return list(zip(*columns, strict=True))


def _target_cell(sample: Sample, bins: int) -> list[str]:
    if sample.target.kind != "regression":
        return ["".join(str(int(c)) for c in row) for row in classes_of_people(sample)]
    person = sample.person[sample.recording]
    use = sample.labelled
    values = [sample.truth[use & (person == p), 0].tolist() for p in range(len(sample.people))]
    return _binned(values, bins)


def _binned(values: Sequence[Sequence], bins: int) -> list[str]:
    """A word for each person's values: a quantile of their mean, or the values themselves."""
    try:
        means = np.array([np.mean([float(v) for v in own]) if own else np.nan for own in values])
    except (TypeError, ValueError):
        means = None
    if means is None or len(set(means[np.isfinite(means)])) <= bins:
        return ["+".join(sorted({in_words(v) for v in own})) or "missing" for own in values]
    edges = np.nanquantile(means, np.arange(1, bins) / bins)
    return ["missing" if np.isnan(m) else f"q{np.searchsorted(edges, m)}" for m in means]
