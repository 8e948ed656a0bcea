"""From parts to a prepared directory, in steps that a kill between any two leaves resumable.

``.work/results.json`` freezes what the parts hold; from it and the sources everything that follows
is a pure function. Then each shard appears whole, and the parts that only it and earlier ones
needed are deleted; so the disk holds little more than the signals once. The manifest comes last.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep import durable
from data_prep.corpora.base import Source
from data_prep.parts import Part
from data_prep.storage import Shard, Stored, plan_shards
from data_prep.write_shards import make_manifest, write_shard, write_tables
from elm_jax.data.manifest import WORK_DIR, Manifest
from elm_jax.data.spec import SignalSpec

RESULTS_FILE = "results.json"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How large shards are; part of what makes two preparations the same."""

    shard_mb: float
    min_shards: int


def load_results(out: pathlib.Path, inputs: str) -> list[Part] | None:
    """The frozen parts of an earlier run over the same inputs, or None.

    Results of other inputs or options are dropped, with the shards begun from them.
    """
    path = out / WORK_DIR / RESULTS_FILE
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["inputs"] == inputs:
        return [Part.from_dict(part) for part in values["parts"]]
    print(f"{out}: an unfinished preparation of other inputs or options is started over")
    for file in sorted(out.glob("*.array_record-*")):
        durable.remove(file)
    # Last, so that a kill in between comes back here.
    durable.remove(path)
    return None


def freeze_results(out: pathlib.Path, inputs: str, parts: Sequence[Part]) -> None:
    """From here on the parts are not asked again."""
    values = {"inputs": inputs, "parts": [part.to_dict() for part in parts]}
    durable.write_json(out / WORK_DIR / RESULTS_FILE, values)


def usable(sources: Sequence[Source], parts: Sequence[Part]) -> list[tuple[Source, Part]]:
    """Recordings with something to store, by name."""
    pairs = [(s, p) for s, p in zip(sources, parts, strict=True) if p.n_samples]
    return sorted(pairs, key=lambda pair: pair[0].recording)


def stored_rows(pairs: Sequence[tuple[Source, Part]], split_of: Mapping[str, str]) -> list[Stored]:
    """What the shards will hold."""
    return [
        Stored(
            recording=source.recording,
            person=source.person,
            split=split_of[source.person],
            start_s=part.start_s,
            n_samples=part.n_samples,
            reports=source.reports,
            labels=source.labels,
            total=part.total,
            total_square=part.total_square,
            piece_labels=part.labels,
        )
        for source, part in pairs
    ]


def assemble(
    out: pathlib.Path,
    pairs: Sequence[tuple[Source, Part]],
    rows: Sequence[Stored],
    spec: SignalSpec,
    layout: Layout,
    **manifest_fields: Any,
) -> Manifest:
    """Writes shards, tables and manifest; what an earlier run finished stays.

    Args:
      out: the directory.
      pairs: recordings with their parts.
      rows: the same recordings as :func:`stored_rows` gives them.
      spec: of the signals; the manifest gets the measured mean and std.
      layout: sizes of the shards.
      **manifest_fields: for :func:`data_prep.write_shards.make_manifest`.
    """
    shards = plan_shards(
        rows,
        spec,
        f"elm_{manifest_fields['corpus']}",
        shard_bytes=round(layout.shard_mb * 2**20),
        min_shards=layout.min_shards,
    )
    manifest = make_manifest(rows, spec, **manifest_fields)
    folder = out / WORK_DIR / "parts"
    last_use = {r: n for n, shard in enumerate(shards) for r, _ in shard.items}
    for n, shard in enumerate(shards):
        if not (out / shard.file).exists():
            write_shard(out, shard, rows, _signals(shard, pairs, folder, spec), spec)
        for r in {r for r, _ in shard.items}:
            if last_use[r] == n:
                pairs[r][1].delete(folder)
    write_tables(out, rows, shards, manifest)
    durable.remove_tree(out / WORK_DIR)
    return manifest


def _signals(
    shard: Shard, pairs: Sequence[tuple[Source, Part]], folder: pathlib.Path, spec: SignalSpec
) -> Iterator[np.ndarray]:
    opened, signals = None, []
    for r, p in shard.items:
        if r != opened:
            opened, signals = r, list(pairs[r][1].signals(folder, len(spec.channels)))
        yield signals[p]
