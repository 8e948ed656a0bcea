"""Which windows of a split have labels, within a budget of people, and what the log says of it."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from elm_jax.axes import Bool, Float, Int
from elm_jax.data.manifest import RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.targets import Target, TargetError
from elm_jax.data.window_sampler import WindowSampler, choose_people

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How many people's labels may be used; see :func:`window_sampler.choose_people`."""

    share: float = 1.0
    people: int = 0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Labelled:
    """The windows of a split and their targets.

    Attributes:
      target: what is predicted.
      recordings: of the split.
      windows: of the split.
      values: target of every window, ``[n, k]``, NaN where missing.
      usable: windows with a label, of people within the budget.
    """

    target: Target
    recordings: Sequence[RecordingRow]
    windows: Windows
    values: Float[np.ndarray, "n k"]
    usable: Bool[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        target: Target,
        recordings: Sequence[RecordingRow],
        windows: Windows,
        budget: Budget | None = None,
    ) -> "Labelled":
        """Reads the labels of a split and applies a budget (None: everybody).

        Raises:
          LabelError, TargetError, ValueError: no such label, values of another kind, a budget that
            cannot be met.
        """
        values = target.of_windows(recordings, windows)
        usable = np.isfinite(values).any(axis=1)
        out = cls(target, recordings, windows, values, usable)
        if budget is None or not usable.any():
            return out
        person = out.people
        people = np.unique(person[usable]).tolist()
        chosen = choose_people(
            people, out._strata(people), share=budget.share, count=budget.people, seed=budget.seed
        )
        return dataclasses.replace(out, usable=usable & np.isin(person, chosen))

    @property
    def people(self) -> np.ndarray:
        """The person of every window."""
        return np.asarray([row.person for row in self.recordings])[self.windows.recording]

    @property
    def has_classes(self) -> bool:
        """Whether every window has one class."""
        return self.target.kind in ("binary", "multiclass")

    @property
    def stratum(self) -> Int[np.ndarray, " n"] | None:
        """The class of every window (-1: no label); None where windows have no one class."""
        if not self.has_classes:
            return None
        return np.where(np.isfinite(self.values[:, 0]), self.values[:, 0], -1).astype(int)

    def _strata(self, people: Sequence[str]) -> list[str]:
        """The most frequent class of each person's windows; one stratum where there are none."""
        if not self.has_classes:
            return ["all"] * len(people)
        person, stratum = self.people[self.usable], self.stratum[self.usable]
        return [str(np.bincount(stratum[person == p]).argmax()) for p in people]

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """Usable windows with and without each label, or, of "multiclass", of each class and not.

        Both ``[k]``; numbers have none.
        """
        values = self.values[self.usable]
        if self.target.kind == "multiclass":
            with_it = np.bincount(values[:, 0].astype(int), minlength=self.target.outputs)
            return with_it, len(values) - with_it
        return (values == 1).sum(axis=0), (values == 0).sum(axis=0)

    def balanced_weights(self, power: float = 1.0) -> tuple[float, ...]:
        """Weights that make classes count alike: n / (k n_class), or negatives over positives.

        Args:
          power: of these; 0.5 goes half of the way, as DARE-EEG does on TUEV.

        Raises:
          TargetError: a class or label without windows, or numbers.
        """
        if self.target.kind == "regression":
            raise TargetError("config.objective.class_weight='balanced' needs classes, not numbers")
        with_it, without = self.positives()
        if not with_it.all() or not without.all():
            raise TargetError(
                "config.objective.class_weight='balanced' needs windows of every class; found "
                f"{with_it.tolist()} with, {without.tolist()} without"
            )
        if self.target.kind == "multiclass":
            weights = (with_it + without) / (len(with_it) * with_it)
        else:
            weights = without / with_it
        return tuple(float(w) for w in weights**power)

    def require_some(self) -> None:
        """Raises where no window has the label.

        Raises:
          TargetError: says so.
        """
        if not self.usable.any():
            raise TargetError(
                f"none of the {len(self.recordings)} recordings has the label "
                f"{self.target.name!r}: check config.labels and the labels that were given to "
                "data_prep.prepare"
            )

    def require_contrast(self) -> None:
        """Raises where there is nothing to tell apart.

        Raises:
          TargetError: no label, or a single class in all usable windows.
        """
        self.require_some()
        name, n = self.target.name, int(self.usable.sum())
        if self.target.kind == "regression":
            return
        with_it, without = self.positives()
        if not ((with_it > 0) & (without > 0)).any():
            raise TargetError(
                f"label {name!r} has one class only in the {n} windows to train on "
                f"({with_it.tolist()} with, {without.tolist()} without): nothing to tell apart"
            )

    def tell(self, split: str) -> None:
        """Says in the log who has the label, and who is left out for want of it."""
        counts = np.bincount(self.windows.recording, self.usable, minlength=len(self.recordings))
        used = [row for row, n in zip(self.recordings, counts, strict=True) if n]
        log.info(
            "labels   %s (%s) in %s: %d windows, %d recordings, %d people%s",
            self.target.name,
            self.target.kind,
            split,
            int(self.usable.sum()),
            len(used),
            len({row.person for row in used}),
            self._counted(),
        )
        labelled = np.isfinite(self.values).any(axis=1)
        lacking = np.bincount(self.windows.recording, ~labelled, minlength=len(self.recordings))
        has = np.bincount(self.windows.recording, minlength=len(self.recordings))
        without = [
            row for row, n, w in zip(self.recordings, lacking, has, strict=True) if w and n == w
        ]
        if without:
            names = ", ".join(row.recording for row in without[:5])
            more = ", ..." if len(without) > 5 else ""
            log.warning(
                "labels   %d recordings of %d people in %s have no %r and are left out (%s%s)",
                len(without),
                len({row.person for row in without}),
                split,
                self.target.name,
                names,
                more,
            )

    def _counted(self) -> str:
        if self.target.kind == "regression" or not self.usable.any():
            return ""
        with_it, without = self.positives()
        if self.target.kind == "binary":
            return f"; {with_it[0]} with, {without[0]} without"
        names = zip(self.target.classes, with_it, strict=True)
        return "; " + ", ".join(f"{name} {n}" for name, n in names)

    def sampler(
        self,
        *,
        windows_per_batch: int,
        windows_per_recording: int = 0,
        balance: str = "none",
        shuffle: bool = True,
        seed: int = 0,
    ) -> WindowSampler:
        """A :class:`WindowSampler` of the usable windows."""
        use = np.flatnonzero(self.usable)
        recording = self.windows.recording[use]
        return WindowSampler(
            recording,
            use - self.windows.first(len(self.recordings))[recording],
            None if self.stratum is None else self.stratum[use],
            recordings=len(self.recordings),
            windows_per_batch=windows_per_batch,
            windows_per_recording=windows_per_recording,
            balance=balance,
            shuffle=shuffle,
            seed=seed,
        )
