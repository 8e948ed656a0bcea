"""A prepared directory as runs and evals use it: its signal checked, its text in segments."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.data.manifest import Manifest
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.data.spec import SignalSpec
from elm_jax.data.text import segments_of

NORMALISATIONS = ("corpus", "model")


def normalisation_of(config: Any, *, default: str) -> str:
    """``config.data.normalisation``: whose mean and std signals are normalised by.

    Raises:
      ValueError: neither "corpus" nor "model".
    """
    how = config.data.get("normalisation", default)
    if how not in NORMALISATIONS:
        raise ValueError(f"config.data.normalisation is {how!r}; known: {NORMALISATIONS}")
    return how


def expected_spec(config: Any) -> SignalSpec:
    """The signal that ``config.signal`` asks for (mean and std are the corpus's to say)."""
    return SignalSpec.from_dict(
        dict(config.signal.to_dict()) | {"mean": 0.0, "std": 1.0}, source="config.signal"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A prepared directory whose signal was checked, and its text.

    Attributes:
      directory: where it is.
      manifest: what it holds.
      text: how reports become segments (``config.text``); None for a model without a text side.
    """

    directory: epath.Path
    manifest: Manifest
    text: Mapping[str, Any] | None

    @classmethod
    def open(cls, config: Any) -> "Corpus":
        """Opens ``config.data.dir`` for training on ``config.signal``.

        Raises:
          SpecError: the shards hold another signal than ``config.signal``.
        """
        hint = (
            "Prepare the recordings again with these settings (python -m data_prep.prepare "
            f"... --window_s {config.signal.window_s:g}), or set config.signal.* to what the "
            "shards hold."
        )
        text = config.text.to_dict() if config.text else None
        return cls.fitting(config.data.dir, expected_spec(config), hint=hint, text=text)

    @classmethod
    def fitting(
        cls,
        directory: epath.PathLike,
        spec: SignalSpec,
        *,
        hint: str,
        text: Mapping[str, Any] | None = None,
    ) -> "Corpus":
        """Opens a prepared directory whose signal must be ``spec`` (mean and std may differ).

        Raises:
          SpecError: it holds another signal; ends with ``hint``: what to do.
        """
        directory = paths.of(directory)
        manifest = Manifest.load(directory)
        source = str(directory / "manifest.json")
        spec.require_same(manifest.spec, source=source, hint=hint, ignore=("mean", "std"))
        return cls(directory, manifest, text)

    @property
    def spec(self) -> SignalSpec:
        """The shards' signal, with the corpus's mean and std."""
        return self.manifest.spec

    def with_normalisation(self, spec: SignalSpec) -> "Corpus":
        """The same data, scaled by the mean and std of ``spec``: those a model was trained with."""
        own = dataclasses.replace(self.manifest, spec=spec)
        return dataclasses.replace(self, manifest=own)

    @functools.cache  # noqa: B019  (one corpus a run)
    def reader(self, split: str) -> ShardReader:
        """The shards of a split."""
        return ShardReader(self.directory, split)

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
