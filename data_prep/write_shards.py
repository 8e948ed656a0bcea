"""Writing a prepared directory: pieces -> int16 records -> array_record shards -> manifest.

:func:`write_dataset` does all of it for signals in memory. ``data_prep.prepare`` uses the same
steps one by one, so that each can be resumed.
"""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_prep import durable
from data_prep.storage import (
    MAX_PIECE_S,
    Shard,
    Stored,
    counts,
    cut_long,
    exact_sums,
    plan_shards,
    quantise,
    statistics,
)
from elm_jax.data.manifest import (
    MANIFEST_FILE,
    RECORDINGS_FILE,
    SPLITS,
    STEPS_PER_UNIT,
    WORK_DIR,
    Manifest,
    PieceRow,
    RecordingRow,
    code_version,
)
from elm_jax.data.moments import moments_of
from elm_jax.data.spec import SignalSpec

# One record a group, as random access needs; EEG's int16 shrinks by a sixth under zstd and then
# reads 3.6 times slower.
WRITER_OPTIONS = "group_size:1,uncompressed"


def features(spec: SignalSpec):
    """The TFDS features of one record: a piece and what belongs to its recording."""
    import tensorflow_datasets as tfds

    shape = (len(spec.channels), None)
    return tfds.features.FeaturesDict(
        {
            "recording": tfds.features.Text(),
            "person": tfds.features.Text(),
            "piece": tfds.features.Scalar(np.int32),
            "start_s": tfds.features.Scalar(np.float64),
            "signal": tfds.features.Tensor(shape=shape, dtype=np.int16, encoding="bytes"),
            "reports": tfds.features.Sequence(tfds.features.Text()),
            "labels": tfds.features.Text(),
        }
    )


def write_shard(
    directory: epath.Path,
    shard: Shard,
    rows: Sequence[Stored],
    signals: Iterable[np.ndarray],
    spec: SignalSpec,
) -> None:
    """Writes one shard; its file appears whole or not at all."""
    from array_record.python.array_record_module import ArrayRecordWriter

    serialise = _serialiser(spec)
    work = directory / WORK_DIR
    work.mkdir(parents=True, exist_ok=True)
    with durable.new_file(directory / shard.file, aside=work) as temporary:
        writer = ArrayRecordWriter(os.fspath(temporary), WRITER_OPTIONS)
        for (r, p), signal in zip(shard.items, signals, strict=True):
            writer.write(serialise(_example(rows[r], p, signal, spec)))
        writer.close()


def _example(row: Stored, piece: int, signal: np.ndarray, spec: SignalSpec) -> dict[str, Any]:
    expected = (len(spec.channels), row.n_samples[piece])
    if signal.shape != expected:
        raise ValueError(
            f"{row.recording}, piece {piece}: shape {signal.shape}, expected {expected}"
        )
    labels = row.labels | row.labels_of(piece)
    return {
        "recording": row.recording,
        "person": row.person,
        "piece": piece,
        "start_s": row.start_s[piece],
        "signal": np.ascontiguousarray(signal),
        "reports": list(row.reports),
        "labels": json.dumps(labels, sort_keys=True, ensure_ascii=False),
    }


def _serialiser(spec: SignalSpec) -> Callable[[dict[str, Any]], bytes]:
    """A record's bytes, equal in every process.

    ``FeaturesDict.serialize_example`` leaves the order of the protobuf's map to a hash seed that
    differs between processes.
    """
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    feature = features(spec)
    serializer = ExampleSerializer(feature.get_serialized_info())

    def serialise(example: dict[str, Any]) -> bytes:
        record = serializer.get_tf_example(feature.encode_example(example))
        return record.SerializeToString(deterministic=True)

    return serialise


def write_tables(
    directory: epath.Path,
    rows: Sequence[Stored],
    shards: Sequence[Shard],
    manifest: Manifest,
) -> None:
    """What makes shards a dataset: recordings.jsonl, the TFDS files, and last the manifest."""
    work = directory / WORK_DIR
    work.mkdir(exist_ok=True)
    lines = "".join(f"{row.to_json()}\n" for row in recording_rows(rows))
    durable.write_text(directory / RECORDINGS_FILE, lines, aside=work)
    for name, text in _tfds_info(directory, rows, shards, manifest).items():
        durable.write_text(directory / name, text, aside=work)
    durable.write_text(directory / MANIFEST_FILE, manifest.to_json(), aside=work)


def recording_rows(rows: Sequence[Stored]) -> Iterator[RecordingRow]:
    """The rows of recordings.jsonl: by split, each piece with its index in the split."""
    for split in SPLITS:
        index = 0
        for row in rows:
            if row.split != split:
                continue
            pieces = tuple(
                PieceRow(index + p, start_s, n, row.labels_of(p))
                for p, (start_s, n) in enumerate(zip(row.start_s, row.n_samples, strict=True))
            )
            index += len(pieces)
            whose = (row.recording, row.person, split)
            yield RecordingRow(*whose, pieces, row.reports, row.labels, row.moments)


def _tfds_info(
    directory: epath.Path,
    rows: Sequence[Stored],
    shards: Sequence[Shard],
    manifest: Manifest,
) -> dict[str, str]:
    """File name -> text of what TensorFlow Datasets keeps beside its shards."""
    import tensorflow_datasets as tfds

    name = shards[0].file.partition("-")[0]
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=name, filetype_suffix="array_record"
    )
    splits = []
    for split in SPLITS:
        own = [s for s in shards if s.split == split]
        sizes = [rows[r].n_samples[p] for s in own for r, p in s.items]
        if own:
            splits.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[len(s.items) for s in own],
                    num_bytes=2 * len(manifest.spec.channels) * sum(sizes),
                    filename_template=template,
                )
            )
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version("1.0.0"), data_dir=os.fspath(directory), module_name=""
    )
    kind = "simulated " if manifest.simulated else ""
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=features(manifest.spec),
        description=f"{kind}{manifest.spec.modality} recordings ({manifest.corpus}); see "
        f"{MANIFEST_FILE}",
    )
    info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    info.set_splits(tfds.core.splits.SplitDict(splits))
    with tempfile.TemporaryDirectory(prefix="elm_jax_") as folder:
        info.write_to_directory(folder)
        files = [pathlib.Path(folder, name) for name in ("features.json", "dataset_info.json")]
        return {file.name: file.read_text(encoding="utf-8") for file in files}


def make_manifest(
    rows: Sequence[Stored],
    spec: SignalSpec,
    *,
    corpus: str,
    simulated: bool,
    split_seed: int = 0,
    **more: Any,
) -> Manifest:
    """The manifest of these recordings; ``more`` are further fields of :class:`Manifest`."""
    steps = STEPS_PER_UNIT[spec.unit]
    measured = statistics(rows, spec, steps)
    people = {s: tuple(sorted({r.person for r in rows if r.split == s})) for s in SPLITS}
    if more.get("options", {}).get("split_by", "person") == "person":
        _require_one_split_a_person(people)
    return Manifest(
        spec=spec.replace(mean=measured["mean"], std=measured["std"]),
        corpus=corpus,
        simulated=simulated,
        people=people,
        split_seed=split_seed,
        counts=counts(rows, spec) | more.pop("more_counts", {}),
        storage={"dtype": "int16", "steps_per_unit": steps, "max_piece_s": MAX_PIECE_S},
        statistics=measured,
        code_version=code_version(),
        **more,
    )


def _require_one_split_a_person(people: Mapping[str, Sequence[str]]) -> None:
    seen: dict[str, str] = {}
    for split, members in people.items():
        for person in members:
            if person in seen:
                raise ValueError(
                    f"person {person} is in both {seen[person]} and {split}; a person belongs to "
                    "one split"
                )
            seen[person] = split


@dataclasses.dataclass(frozen=True)
class InMemory:
    """A recording held in memory: for generated data and tests.

    Attributes:
      recording: unique name.
      person: ``institution:id``.
      split: "train", "valid" or "test".
      pieces: float ``[c, t]`` in the spec's unit, one a gap-free stretch.
      reports: texts.
      labels: JSON-ready values.
    """

    recording: str
    person: str
    split: str
    pieces: tuple[np.ndarray, ...]
    reports: tuple[str, ...] = ()
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_dataset(
    directory: epath.PathLike,
    recordings: Sequence[InMemory],
    spec: SignalSpec,
    *,
    corpus: str = "generated",
    simulated: bool = True,
    split_seed: int = 0,
    min_shards: int = 2,
) -> Manifest:
    """Writes recordings in memory as a prepared directory and returns its manifest.

    Args:
      directory: new or empty.
      recordings: in the order to be stored.
      spec: describes ``pieces``; the manifest's copy has the train split's mean and std.
      corpus: name for the manifest.
      simulated: whether the signals were generated.
      split_seed: for the manifest.
      min_shards: files per split, where it has that many pieces.

    Raises:
      ValueError: no recordings, a value beyond the int16 range, or a person in two splits.
      FileExistsError: the directory is not empty.
    """
    directory = epath.Path(directory)
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty; write generated data to a new folder")
    if not recordings:
        raise ValueError(f"{directory}: no recordings to write")
    directory.mkdir(parents=True, exist_ok=True)
    steps, rows, signals = STEPS_PER_UNIT[spec.unit], [], []
    for item in recordings:
        row, stored = _store(item, spec, steps)
        rows.append(row)
        signals.append(stored)
    shards = plan_shards(rows, spec, f"elm_{corpus}", min_shards=min_shards)
    for shard in shards:
        write_shard(directory, shard, rows, (signals[r][p] for r, p in shard.items), spec)
    manifest = make_manifest(rows, spec, corpus=corpus, simulated=simulated, split_seed=split_seed)
    write_tables(directory, rows, shards, manifest)
    durable.remove_tree(directory / WORK_DIR)
    return manifest


def _store(item: InMemory, spec: SignalSpec, steps: float) -> tuple[Stored, list[np.ndarray]]:
    start_s, signals, begin_s = [], [], 0.0
    for piece in item.pieces:
        signal, overflow = quantise(piece, steps)
        if overflow:
            limit = np.iinfo(np.int16).max / steps
            raise ValueError(
                f"{item.recording}: {overflow} samples exceed +-{limit:.0f} {spec.unit}, the range "
                "of int16 storage"
            )
        for part in cut_long(signal.shape[1], spec):
            start_s.append(begin_s + part.start / spec.sfreq_hz)
            signals.append(signal[:, part])
        begin_s += signal.shape[1] / spec.sfreq_hz
    sums = [exact_sums(s) for s in signals]
    row = Stored(
        item.recording,
        item.person,
        item.split,
        tuple(start_s),
        tuple(s.shape[1] for s in signals),
        item.reports,
        item.labels,
        sum(a for a, _ in sums),
        sum(b for _, b in sums),
        moments=moments_of(item.pieces),
    )
    return row, signals
