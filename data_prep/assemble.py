"""From parts to a prepared directory, in steps that a kill between any two leaves resumable.

``.work/results.json`` freezes what the parts hold; from it and the sources everything that follows
is a pure function. Then each shard appears whole, and the parts that only it and earlier ones
needed are deleted; so the disk holds little more than the signals once. The manifest comes last.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_prep import durable
from data_prep.corpora.base import Source
from data_prep.parts import Part
from data_prep.storage import Shard, Stored, plan_shards
from data_prep.write_shards import make_manifest, write_shard, write_tables
from elm_jax.data.manifest import WORK_DIR, Manifest
from elm_jax.data.spec import SignalSpec

RESULTS_FILE = "results.json"
PARTS_DIR = "parts"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How large shards are; part of what makes two preparations the same."""

    shard_mb: float
    min_shards: int


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """All that is needed to write one shard, anywhere.

    Attributes:
      shard: its items count in ``rows``.
      rows: the recordings in it, in the order of the split.
      parts: where their pieces are.
    """

    shard: Shard
    rows: tuple[Stored, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(
        cls, shard: Shard, rows: Sequence[Stored], pairs: Sequence[tuple[Source, Part]]
    ) -> "ShardJob":
        """The job of one of the shards that were planned for all recordings."""
        own = sorted({r for r, _ in shard.items})
        place = {r: n for n, r in enumerate(own)}
        items = tuple((place[r], p) for r, p in shard.items)
        return cls(
            dataclasses.replace(shard, items=items),
            tuple(rows[r] for r in own),
            tuple(pairs[r][1] for r in own),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ShardJob":
        """Reads :meth:`to_dict` back, also after JSON."""
        shard = values["shard"]
        return cls(
            Shard(shard["split"], shard["file"], tuple((r, p) for r, p in shard["items"])),
            tuple(Stored.from_dict(row) for row in values["rows"]),
            tuple(Part.from_dict(part) for part in values["parts"]),
        )

    def write(self, out: epath.Path, spec: SignalSpec) -> None:
        """Writes the shard, unless it is there."""
        if (out / self.shard.file).exists():
            return
        write_shard(out, self.shard, self.rows, self._signals(out, spec), spec)

    def _signals(self, out: epath.Path, spec: SignalSpec) -> Iterator[np.ndarray]:
        opened, signals = None, []
        for r, p in self.shard.items:
            if r != opened:
                opened = r
                signals = self.parts[r].signals(out / WORK_DIR / PARTS_DIR, len(spec.channels))
            yield signals[p]


def frozen(out: epath.Path) -> bool:
    """Whether parts were all there and are being assembled."""
    return (out / WORK_DIR / RESULTS_FILE).exists()


def load_results(out: epath.Path, inputs: str) -> list[Part] | None:
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


def freeze_results(out: epath.Path, inputs: str, parts: Sequence[Part]) -> None:
    """From here on the parts are not asked again."""
    values = {"inputs": inputs, "parts": [part.to_dict() for part in parts]}
    durable.write_json(out / WORK_DIR / RESULTS_FILE, values)


def usable(sources: Sequence[Source], parts: Sequence[Part]) -> list[tuple[Source, Part]]:
    """Recordings with something to store, by name."""
    pairs = [(s, p) for s, p in zip(sources, parts, strict=True) if p.n_samples]
    return sorted(pairs, key=lambda pair: pair[0].recording)


def stored_rows(pairs: Sequence[tuple[Source, Part]], split_of: Mapping[str, str]) -> list[Stored]:
    """What the shards will hold; ``split_of`` has the split of each recording by its name."""
    return [
        Stored(
            recording=source.recording,
            person=source.person,
            split=split_of[source.recording],
            start_s=part.start_s,
            n_samples=part.n_samples,
            reports=source.reports,
            labels=source.labels,
            total=part.total,
            total_square=part.total_square,
            piece_labels=part.labels,
            moments=part.moments,
        )
        for source, part in pairs
    ]


def assemble(
    out: epath.Path,
    pairs: Sequence[tuple[Source, Part]],
    rows: Sequence[Stored],
    spec: SignalSpec,
    layout: Layout,
    *,
    write_all: Callable[[Sequence[ShardJob]], None] | None = None,
    **manifest_fields: Any,
) -> Manifest:
    """Writes shards, tables and manifest; what an earlier run finished stays.

    Args:
      out: the directory.
      pairs: recordings with their parts.
      rows: the same recordings as :func:`stored_rows` gives them.
      spec: of the signals; the manifest gets the measured mean and std.
      layout: sizes of the shards.
      write_all: writes all shards that are not there yet, elsewhere; None writes them here, one
        after another.
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
    if write_all is None:
        _write_here(out, shards, rows, pairs, spec)
    else:
        there = {path.name for path in out.iterdir()}
        write_all([ShardJob.of(s, rows, pairs) for s in shards if s.file not in there])
    write_tables(out, rows, shards, manifest)
    durable.remove_tree(out / WORK_DIR)
    return manifest


def _write_here(
    out: epath.Path,
    shards: Sequence[Shard],
    rows: Sequence[Stored],
    pairs: Sequence[tuple[Source, Part]],
    spec: SignalSpec,
) -> None:
    last_use = {r: n for n, shard in enumerate(shards) for r, _ in shard.items}
    for n, shard in enumerate(shards):
        ShardJob.of(shard, rows, pairs).write(out, spec)
        for r in {r for r, _ in shard.items}:
            if last_use[r] == n:
                pairs[r][1].delete(out / WORK_DIR / PARTS_DIR)
