"""What a query looks through: the windows of a prepared corpus, or of one file."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from etils import epath

from elm_jax import paths
from elm_jax.axes import UV_PER_V, Float
from elm_jax.data.corpus import Corpus
from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.manifest import MANIFEST_FILE, ManifestError, RecordingRow
from elm_jax.data.shards import ShardReader
from elm_jax.data.spec import UNITS_PER_V, SignalSpec
from elm_jax.embed import embed_corpus
from elm_jax.pretrained import Pretrained
from elm_jax.query.moments import Timeline
from elm_jax.signals.one_recording import pieces_of
from elm_jax.signals.pipeline import Piece

log = logging.getLogger(__name__)

# From (recording, second) to the gap-free signal around it: microvolts [c, t], and where it begins.
Reader = Callable[[int, float], tuple[Float[np.ndarray, "c t"], float]]


@dataclasses.dataclass(frozen=True)
class Source:
    """Windows as vectors, and the recordings that they are of.

    Attributes:
      name: the corpus's directory, or the file.
      vectors: projections, ``[n, e]``; perhaps memory-mapped.
      timeline: where the windows lie.
      recordings: name, person, split of each recording, as far as known.
      signal_uv: reads waveforms.
      spec: the signal's description.
      simulated: whether it is.
    """

    name: str
    vectors: Float[np.ndarray, "n e"]
    timeline: Timeline
    recordings: Sequence[Mapping[str, str]]
    signal_uv: Reader
    spec: SignalSpec
    simulated: bool


def of_corpus(
    model: Pretrained,
    corpus: Corpus,
    splits: Sequence[str],
    cache: epath.Path,
    *,
    rows_per_batch: int,
    normalisation: str,
) -> Source:
    """The windows of a prepared corpus; embedded once for all queries of the same weights.

    Args:
      model: what embeds.
      corpus: with the mean and std to normalise by in its spec.
      splits: which; empty: all.
      cache: folder for files of vectors, one for each weights, data and normalisation.
      rows_per_batch: windows at a time.
      normalisation: "model" or "corpus", for the record.

    Raises:
      ManifestError: there is not a single window.
    """
    path = cache / f"{_cache_key(model, corpus, splits)}.h5"
    if not path.exists():
        log.info("query    embedding the windows of %s once, into %s", corpus.directory, path)
    options = dict(rows_per_batch=rows_per_batch, normalisation=normalisation)
    embed_corpus(model, corpus, splits, path, texts=False, replace=True, **options)
    with EmbeddingFile(path) as file:
        timeline = Timeline(file.subject_ids, file.start_s, corpus.spec.window_s)
        vectors = file.projection
        recordings = [
            {"recording": r.recording, "person": r.person, "split": r.split}
            for r in file.recordings
        ]
    if not len(vectors):
        raise ManifestError(
            f"{corpus.directory}: no recording has a window of {corpus.spec.window_s:g} s "
            f"in {list(splits) or 'any split'}: nothing to look through"
        )
    rows = {
        (row.split, row.recording): (row, corpus.reader(row.split))
        for split in {r["split"] for r in recordings}
        for row in corpus.reader(split).recordings
    }
    found = [rows[r["split"], r["recording"]] for r in recordings]
    steps = corpus.manifest.steps_per_unit * UNITS_PER_V[corpus.spec.unit] / UV_PER_V

    def signal_uv(recording: int, at_s: float):
        row, reader = found[recording]
        return _stored_piece(row, reader, corpus.spec.sfreq_hz, at_s, steps)

    return Source(
        str(corpus.directory),
        vectors,
        timeline,
        recordings,
        signal_uv,
        corpus.spec,
        corpus.manifest.simulated,
    )


def _cache_key(model: Pretrained, corpus: Corpus, splits: Sequence[str]) -> str:
    manifest = (corpus.directory / MANIFEST_FILE).read_bytes()
    about = [
        model.weights_sha256,
        hashlib.sha256(manifest).hexdigest(),
        corpus.spec.to_dict(),  # with the mean and std used
        sorted(splits),
    ]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=list).encode()).hexdigest()[:24]


def _stored_piece(
    row: RecordingRow, reader: ShardReader, sfreq_hz: float, at_s: float, steps_per_uv: float
) -> tuple[Float[np.ndarray, "c t"], float]:
    for piece in row.pieces:
        if piece.start_s - 1e-6 <= at_s < piece.start_s + piece.n_samples / sfreq_hz:
            signal = reader.read(piece.index).astype(np.float32)
            return signal / np.float32(steps_per_uv), piece.start_s
    raise ValueError(f"recording {row.recording!r} has no signal at {at_s:g} s")


def of_file(model: Pretrained, path: str, *, rename: str = "") -> Source:
    """The windows of one file (as :meth:`Pretrained.embed` takes it), from its first sample on.

    Args:
      model: what embeds.
      path: the file.
      rename: a YAML file, channel label in the file -> electrode or lead meant (or null); "" for
        none.

    Raises:
      FileNotFoundError, UnusableSignal: as :meth:`Pretrained.embed`.
      ValueError: ``rename`` is no such map.
    """
    names = _rename(rename)
    encoding = model.embed(path, rename=names)
    for defect in encoding.defects:
        log.warning("query    %s", defect)
    pieces: list[Piece] = []
    spec = model.spec.of_channels(encoding.channels, source=path)

    def signal_uv(recording: int, at_s: float):
        if not pieces:
            pieces.extend(pieces_of(path, spec, rename=names))
        per_unit = np.float32(UV_PER_V / UNITS_PER_V[spec.unit])
        for piece in pieces:
            stop_s = piece.start_s + piece.signal.shape[1] / spec.sfreq_hz
            if piece.start_s - 1e-6 <= at_s < stop_s:
                return piece.signal * per_unit, piece.start_s
        raise ValueError(f"{path} has no signal at {at_s:g} s")

    n = len(encoding.features)
    return Source(
        path,
        encoding.projection,
        Timeline(np.zeros(n, np.int64), encoding.start_s, spec.window_s),
        [{"recording": paths.of(path).name}],
        signal_uv,
        spec,
        False,
    )


def _rename(path: str) -> dict[str, str | None] | None:
    if not path:
        return None
    found: Any = yaml.safe_load(paths.read_text(path))
    if not isinstance(found, dict) or not all(
        isinstance(k, str) and (v is None or isinstance(v, str)) for k, v in found.items()
    ):
        raise ValueError(
            f"config.query.rename={path}: expected a map of channel labels to electrodes (or "
            f"null), found {type(found).__name__}"
        )
    return found
