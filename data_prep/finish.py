"""From the outcome of every recording to the prepared directory, wherever each was prepared."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from etils import epath

from data_prep import durable
from data_prep.assemble import (
    Layout,
    ShardJob,
    assemble,
    freeze_results,
    load_results,
    stored_rows,
    usable,
)
from data_prep.findings import count_kinds
from data_prep.parts import Part
from data_prep.plan import Plan
from data_prep.split import split_recordings
from data_prep.storage import label_counts
from data_prep.summary import SKIPPING_FINDINGS, print_kinds
from data_prep.work import PrepareError
from elm_jax.data.manifest import WORK_DIR, Manifest


def finish(
    out: epath.Path,
    plan: Plan,
    args: argparse.Namespace,
    prepare_all: Callable[[], Sequence[Part]],
    write_all: Callable[[Sequence[ShardJob]], None] | None = None,
) -> Manifest:
    """Freezes the outcomes, unless an earlier run has, and assembles the directory from them.

    Args:
      out: the directory, locked.
      plan: what is prepared.
      args: the command.
      prepare_all: gives the outcome of each of the plan's sources, in their order.
      write_all: for :func:`data_prep.assemble.assemble`.

    Raises:
      PrepareError: nothing is usable.
    """
    state = plan.state
    parts = load_results(out, state)
    if parts is None:
        parts = prepare_all()
        freeze_results(out, state, parts)
    pairs = usable(plan.sources, parts)
    skipped = Counter(part.skipped for part in parts if part.skipped)
    if not pairs:
        _give_up(out, args, parts, skipped)
    skipped += count_kinds(f for f in plan.findings if f["kind"] in SKIPPING_FINDINGS)
    used = [source for source, _ in pairs]
    split_of = split_recordings(used, plan.fractions, args.split_seed, args.split_by)
    defects = [defect for part in parts for defect in part.defects]
    rows, more_counts = stored_rows(pairs, split_of), {"skipped": dict(sorted(skipped.items()))}
    if label := plan.corpus.counted_label:
        more_counts["labels"] = {label: label_counts(rows, label, plan.recipe.spec)}
    return assemble(
        out,
        pairs,
        rows,
        plan.recipe.spec,
        Layout(args.shard_mb, args.min_shards),
        write_all=write_all,
        corpus=plan.corpus.name,
        simulated=plan.corpus.simulated,
        split_seed=args.split_seed,
        options=plan.options,
        inputs_sha256=plan.inputs_sha256,
        defects=(*plan.findings, *defects),
        more_counts=more_counts,
    )


def _give_up(
    out: epath.Path, args: argparse.Namespace, parts: Sequence[Part], skipped: Counter
) -> None:
    print(f"{len(parts)} recordings, none usable:", file=sys.stderr)
    print_kinds(dict(skipped.most_common()), file=sys.stderr)
    durable.remove_tree(out / WORK_DIR)
    if out.exists():
        out.rmdir()
    raise PrepareError(f"nothing in {args.input} is usable; --dry_run says why, file by file")
