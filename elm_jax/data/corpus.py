"""Prepared directories as runs and evals use them: signals checked, text in segments.

Mostly it is one. A training may have others beside it (``config.data.more``, sampler "mixture"),
alike in all but their channels; evals read the first alone.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.data.manifest import Manifest, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.spec import MOMENTS, SignalSpec, SpecError
from elm_jax.data.text import segments_of

log = logging.getLogger(__name__)

OF_DATA = ("recording", "window")  # by the mean and std of each, whatever the corpus
NORMALISATIONS = ("corpus", "model", "none", *OF_DATA)


def normalisation_of(config: Any, *, default: str) -> str:
    """``config.data.normalisation``: whose mean and std signals are normalised by.

    "corpus": those of its train split; "model": as the model was trained; "none"; "recording": each
    recording and channel by its own; "window": each window and channel by its own.

    Raises:
      ValueError: an unknown word.
    """
    how = config.data.get("normalisation", default)
    if how not in NORMALISATIONS:
        raise ValueError(f"config.data.normalisation is {how!r}; known: {NORMALISATIONS}")
    return how


def without_moments(spec: SignalSpec) -> SignalSpec:
    """The same signal, scaled by ``scale`` alone."""
    return spec.normalised_by("fixed")


def expected_spec(config: Any) -> SignalSpec:
    """The signal that ``config.signal`` asks for (mean and std are the corpus's to say).

    Fields of ``config.signal`` that are empty (None; of channels also ``()``) are those of
    ``config.data.dir``.

    Raises:
      SpecError: a field is missing or unknown.
    """
    values = dict(config.signal.to_dict())
    empty = [k for k, v in values.items() if v is None or (k == "channels" and not v)]
    if empty:
        stored = Manifest.load(config.data.dir).spec
        values |= {name: getattr(stored, name, None) for name in empty}
    return SignalSpec.from_dict(values | {"mean": 0.0, "std": 1.0}, source="config.signal")


def tell_open(spec: SignalSpec, corpus: "Corpus", open_fields: tuple[str, ...]) -> None:
    """Says in the log in what a corpus differs from the signals that a model was trained on."""
    fixed = [f.name for f in dataclasses.fields(spec) if f.name not in open_fields]
    for line in spec.differences(corpus.spec, ignore=(*fixed, "channels")):
        log.warning("signal   %s: %s, in the model's training", corpus.directory, line)
    if corpus.spec.channels != spec.channels:
        names = len(corpus.spec.channels)
        log.info("signal   %s: %d channels, read by their names", corpus.directory, names)


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A prepared directory whose signal was checked, and its text.

    Attributes:
      directory: where it is.
      manifest: what it holds.
      text: how reports become segments (``config.text``); None for a model without a text side.
      beside: others that are trained on together with it.
    """

    directory: epath.Path
    manifest: Manifest
    text: Mapping[str, Any] | None
    beside: tuple["Corpus", ...] = ()

    @classmethod
    def open(cls, config: Any, *, open_fields: tuple[str, ...] = ()) -> "Corpus":
        """Opens ``config.data.dir`` for training on ``config.signal``, and ``config.data.more``.

        Args:
          config: of the run.
          open_fields: fields of the signal that the network leaves open
            (``build.open_fields``): directories may then differ in them, but for the window.

        Raises:
          SpecError: the shards hold another signal than ``config.signal``, or than each other.
          ValueError: a directory is named twice.
        """
        spec = expected_spec(config)
        hint = (
            "Prepare the recordings again with these settings (python -m data_prep.prepare "
            f"... --window_s {spec.window_s:g}), or set config.signal.* to what the "
            "shards hold."
        )
        text = config.text.to_dict() if config.text else None
        first = cls.fitting(config.data.dir, spec, hint=hint, text=text)
        more = [paths.of(directory) for directory in config.data.get("more", ())]
        named = [str(paths.absolute(d)) for d in (first.directory, *more)]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"config.data.dir and config.data.more name {twice[0]} twice")
        beside = [cls(directory, Manifest.load(directory), text) for directory in more]
        for other in beside:
            first._require_alike(other, open_fields)
        opened = dataclasses.replace(first, beside=tuple(beside))
        opened._tell_shared()
        return opened

    @classmethod
    def fitting(
        cls,
        directory: epath.PathLike,
        spec: SignalSpec,
        *,
        hint: str,
        text: Mapping[str, Any] | None = None,
        open_fields: tuple[str, ...] = (),
    ) -> "Corpus":
        """Opens a prepared directory whose signal must be ``spec`` (mean and std may differ).

        Args:
          directory: the directory.
          spec: what is expected.
          hint: what to do where it holds another signal; ends the message.
          text: how reports are read.
          open_fields: of ``spec``, in which it may differ, too (``build.open_fields``).

        Raises:
          SpecError: it holds another signal.
        """
        directory = paths.of(directory)
        manifest = Manifest.load(directory)
        source = str(directory / "manifest.json")
        ignore = (*MOMENTS, *open_fields)
        spec.require_same(manifest.spec, source=source, hint=hint, ignore=ignore)
        return cls(directory, manifest, text)

    def _require_alike(self, other: "Corpus", open_fields: tuple[str, ...]) -> None:
        """Raises unless one training takes both: equal but for what is open; windows must be equal.

        Raises:
          SpecError: names both directories and all that differs.
        """
        ignore = (*MOMENTS, *(name for name in open_fields if name != "window_s"))
        lines = self.spec.differences(other.spec, ignore=ignore)
        ours, theirs = self.manifest.steps_per_unit, other.manifest.steps_per_unit
        if ours != theirs:
            lines.append(
                f"steps_per_unit (of the stored integers): expected {ours}, found {theirs}"
            )
        if lines:
            listing = "\n  ".join(lines)
            raise SpecError(
                f"{other.directory} (config.data.more) is another signal than {self.directory} "
                f"(config.data.dir), which it would be trained on with:\n  {listing}\nPrepare "
                "both alike, or train on them one by one."
            )

    def _tell_shared(self) -> None:
        """Says in the log whom one directory validates on and another trains on.

        Of test people ``elm_jax.leakage`` says it.
        """
        pairs = [(a, b) for a in self.every for b in self.every if a is not b]
        for valid, train in pairs:
            own = valid.manifest.people.get("valid", ())
            if shared := sorted(set(own).intersection(train.manifest.people.get("train", ()))):
                log.warning(
                    "people   WARNING: %d of %d validation people of %s are trained on in %s "
                    "(%s): validation on them says nothing about new people. Prepare one of the "
                    "two without them (--exclude_people)",
                    len(shared), len(own), valid.directory, train.directory,
                    ", ".join(shared[:4]),
                )  # fmt: skip

    @property
    def spec(self) -> SignalSpec:
        """The shards' signal, with the corpus's mean and std."""
        return self.manifest.spec

    @property
    def every(self) -> tuple["Corpus", ...]:
        """This directory and those beside it, in order."""
        return (self, *self.beside)

    @property
    def simulated(self) -> bool:
        """Whether any of the signals is generated."""
        return any(corpus.manifest.simulated for corpus in self.every)

    def holding(self, split: str) -> tuple["Corpus", ...]:
        """The directories with recordings in ``split``; of "train", all must be.

        Where none is, this one: reading it says so.
        """
        if split == "train":
            return self.every
        found = tuple(c for c in self.every if c.manifest.people.get(split))
        return found or (self,)

    def recordings(self, split: str) -> list[RecordingRow]:
        """Those of :meth:`holding`, directory after directory.

        Raises:
          ManifestError: there is none.
        """
        return [row for c in self.holding(split) for row in c.reader(split).recordings]

    def with_normalisation(self, spec: SignalSpec) -> "Corpus":
        """The same data, scaled by the mean and std of ``spec``: those a model was trained with.

        Raises:
          SpecError: ``spec`` has a mean of each channel, and not of all that are here.
        """

        def scaled(own: "Corpus") -> SignalSpec:
            named = spec.of_channels(own.spec.channels, source=str(own.directory))
            return own.spec.replace(**{name: getattr(named, name) for name in MOMENTS})

        return self._each(scaled)

    def without_normalisation(self) -> "Corpus":
        """The same data, scaled by ``spec.scale`` alone."""
        return self._each(lambda own: without_moments(own.spec))

    def normalised_by(self, moments: str) -> "Corpus":
        """The same data, each "recording" or each "window" by its own mean and std."""
        return self._each(lambda own: own.spec.normalised_by(moments))

    def _each(self, spec_of: Callable[["Corpus"], SignalSpec]) -> "Corpus":
        manifest = dataclasses.replace(self.manifest, spec=spec_of(self))
        beside = tuple(other._each(spec_of) for other in self.beside)
        return dataclasses.replace(self, manifest=manifest, beside=beside)

    @functools.cache  # noqa: B019  (one corpus a run)
    def reader(self, split: str) -> ShardReader:
        """The shards of a split."""
        return ShardReader(self.directory, split, moments=self.spec.moments)

    @functools.cache  # noqa: B019
    def windows(self, split: str) -> Windows:
        """The windows of a split."""
        return Windows.of(self.reader(split).recordings, self.spec.window_samples)

    @functools.cache  # noqa: B019
    def segments(self, split: str) -> list[tuple[str, ...]]:
        """The text segments of each recording of a split.

        Raises:
          ValueError: there is no text side.
        """
        if self.text is None:
            raise ValueError("this model has no text side: it says not how to read a report")
        keys = ("mode", "headings", "include_heading", "prefix", "other_headings")
        settings = {key: self.text[key] for key in keys}
        if tuple(settings["headings"]) == ("all",):  # how a command line's word arrives
            settings["headings"] = "all"
        return [segments_of(row.reports, **settings) for row in self.reader(split).recordings]
