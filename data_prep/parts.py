"""Finished recordings on disk: each is done once, whole or not at all, and found again by its key.

A part is two files in ``OUT/.work/parts``: ``KEY.i16`` with the stored pieces, one after another,
and ``KEY.json`` with all that is known about them. The second is written last, so a part with it
is finished. A recording that ended in an error which nobody foresaw leaves ``KEY.failed`` instead:
an outcome for whoever assembles, but tried again by the next run.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from data_prep import durable
from data_prep.corpora.base import Corpus, Source
from data_prep.findings import finding
from data_prep.places import at_once, local_copy, state_of
from data_prep.storage import MAX_PIECE_S, cut_long, exact_sums, quantise
from elm_jax.data.manifest import STEPS_PER_UNIT, Moments, code_version
from elm_jax.data.moments import flat_channels, moments_of
from elm_jax.data.spec import SignalSpec
from elm_jax.paths import is_remote


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that turns a source into a part; goes to every worker process once.

    Attributes:
      corpus: reads the sources.
      spec: the signals to store.
      options: a ``PrepOptions``.
      folder: where parts are kept.
    """

    corpus: Corpus
    spec: SignalSpec
    options: Any
    folder: epath.Path

    @functools.cached_property
    def digest(self) -> str:
        """Changes with everything that could change a part, the program's sources included."""
        parts = [
            self.corpus.name,
            self.corpus.rename,
            self.spec.to_dict(),
            dataclasses.asdict(self.options),
            MAX_PIECE_S,
            code_version(),
        ]
        return _digest(parts)

    def key(self, source: Source) -> str:
        """Of one source: its file as it is now, and the recipe. People and texts do not matter."""
        try:
            state = list(state_of(source.path))
        except OSError:
            state = []  # a link to nothing: reading it will say so
        return _digest(
            [source.file, source.recording, source.kind, source.extra, state, self.digest]
        )


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class Part:
    """What is known of a finished recording.

    Attributes:
      key: names its files.
      skipped: None, or the kind of defect that leaves nothing to store.
      start_s: where each stored piece begins.
      n_samples: length of each.
      total: sum of all stored samples, exact.
      total_square: sum of their squares, exact.
      defects: lines of the defect list.
      labels: of each piece alone; empty where none has any.
      moments: mean and deviation of each channel of the whole recording; None without a piece.
    """

    key: str
    skipped: str | None
    start_s: tuple[float, ...]
    n_samples: tuple[int, ...]
    total: int
    total_square: int
    defects: tuple[dict[str, Any], ...]
    labels: tuple[dict[str, Any], ...] = ()
    moments: Moments | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Part":
        """Reads :meth:`to_dict` back, also after JSON."""
        moments = Moments.of(values.get("moments"))
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known | {"moments": moments})

    def signals(self, folder: epath.Path, n_channels: int) -> list[np.ndarray]:
        """The stored pieces, int16 ``[c, t]``, mapped from disk.

        Raises:
          ValueError: the file is not as long as it must be.
          OSError: it is not there.
        """
        path, samples = folder / f"{self.key}.i16", sum(self.n_samples)
        expected = 2 * n_channels * samples
        # What is mapped stays readable when a copy's name is gone.
        with local_copy(path) as local:
            if (found := local.stat().st_size) != expected:
                raise ValueError(f"{path}: {found} bytes, expected {expected}")
            if not samples:
                return []
            # Once for all: a night has a thousand pieces, and a mapping costs as much as one.
            stored = np.asarray(np.memmap(local, np.int16, "r"))
        ends = n_channels * np.cumsum(self.n_samples)[:-1]
        return [piece.reshape(n_channels, -1) for piece in np.split(stored, ends)]

    def delete(self, folder: epath.Path) -> None:
        """Removes its files, if they are there."""
        durable.remove(folder / f"{self.key}.json")
        durable.remove(folder / f"{self.key}.i16")


def load_parts(
    folder: epath.Path, keys: Sequence[str], *, failed: bool = False
) -> list[Part | None]:
    """The finished parts of these keys; None for those that are not.

    Args:
      folder: where parts are kept.
      keys: of the parts.
      failed: take the outcome of recordings that ended in an unforeseen error too.
    """
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    suffixes = (".json", ".failed") if failed else (".json",)

    def load(key: str) -> Part | None:
        for name in (key + suffix for suffix in suffixes):
            if name in there:
                return Part.from_dict(json.loads((folder / name).read_text()))
        return None

    return at_once(load, keys) if is_remote(folder) else [load(key) for key in keys]


def make_part(recipe: Recipe, source: Source, key: str) -> Part:
    """Prepares one recording and stores it.

    An error that nobody foresaw becomes a part that is skipped and *not* stored as finished, so the
    next run tries again. Its message stays out: it could quote a header.

    Raises:
      MemoryError: the recording does not fit into memory; no defect of the file.
      OSError: the part could not be written, or a remote recording not be fetched.
    """
    with local_copy(source.path) as path:
        return _make(recipe, source.replace(path=path), key)


def _make(recipe: Recipe, source: Source, key: str) -> Part:
    try:
        pieces, judgement = recipe.corpus.pieces(source, recipe.spec, recipe.options)
        cuts, overflow = _cuts(pieces, recipe.spec)
    except MemoryError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{pathlib.Path(frame.filename).name}:{frame.lineno}"
        defect = finding(source.file, "unexpected_error", f"{type(error).__name__} at {where}")
        part = Part(key, "unexpected_error", (), (), 0, 0, (defect,))
        durable.write_json(recipe.folder / f"{key}.failed", part.to_dict())
        return part
    defects = [d.to_dict() for d in judgement.defects]
    if overflow:
        limit = np.iinfo(np.int16).max / STEPS_PER_UNIT[recipe.spec.unit]
        detail = f"{overflow} samples beyond +-{limit:.0f} {recipe.spec.unit}"
        defects.append(finding(source.file, "storage_overflow", detail))
    sums = [exact_sums(signal) for _, signal, _ in cuts]
    labels = tuple(labels for *_, labels in cuts)
    moments = _moments(pieces, judgement)
    if moments and (flat := flat_channels(moments, recipe.spec.channels)):
        detail = f"{', '.join(flat)}: config.data.normalisation='recording' cannot divide by it"
        defects.append(finding(source.file, "no_deviation", detail))
    part = Part(
        key,
        None if cuts else skip_kind(judgement),
        tuple(start_s for start_s, *_ in cuts),
        tuple(signal.shape[1] for _, signal, _ in cuts),
        sum(a for a, _ in sums),
        sum(b for _, b in sums),
        tuple(defects),
        labels if any(labels) else (),
        moments,
    )
    if cuts:
        _write_signals(recipe.folder, key, [signal for _, signal, _ in cuts])
    durable.write_json(recipe.folder / f"{key}.json", part.to_dict())
    return part


def _moments(pieces: Sequence[Any], judgement: Any) -> Moments | None:
    """Of what was filtered; of the pieces themselves where a corpus does not measure it."""
    return judgement.moments or moments_of([piece.signal for piece in pieces])


def skip_kind(judgement: Any) -> str:
    """The kind of defect that a judgement gives as its reason; it reads "kind: detail"."""
    return (judgement.skipped or "nothing_left").partition(":")[0]


def _cuts(
    pieces: list[Any], spec: SignalSpec
) -> tuple[list[tuple[float, np.ndarray, dict[str, Any]]], int]:
    """Pieces as stored: (start_s, int16 ``[c, t]``, labels), and how many samples did not fit."""
    cuts, overflow = [], 0
    for piece in pieces:
        if piece.signal.shape[0] != len(spec.channels):
            raise ValueError(
                f"a piece has {piece.signal.shape[0]} rows, the spec {len(spec.channels)} channels"
            )
        stored, beyond = quantise(piece.signal, STEPS_PER_UNIT[spec.unit])
        overflow += beyond
        for cut in cut_long(stored.shape[1], spec):
            start_s = piece.start_s + cut.start / spec.sfreq_hz
            cuts.append((start_s, stored[:, cut], piece.labels))
    return cuts, overflow


def _write_signals(folder: epath.Path, key: str, signals: list[np.ndarray]) -> None:
    with durable.new_file(folder / f"{key}.i16") as temporary, temporary.open("wb") as file:
        for signal in signals:
            file.write(np.ascontiguousarray(signal).data)
