"""A preparation in shares, as the tasks of a job array do it: ``--part i/n``, then ``--merge``.

Every share lists all recordings and prepares those that are its own, into the parts folder of the
same ``--out``. A part is found by a name that its file, the options and the program's sources
decide, so a share that runs twice, even at once on two machines, does no harm; shares that were
written to folders of their own are put together by copying those into one. Beside the parts each
share leaves a note of what it was run with (``.work/shares/00002-of-00008.json``): from these a
merge, and every further share, sees that nothing else is mixed in.
"""

import argparse
import heapq
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from etils import epath

from data_prep import durable, locks
from data_prep.arguments import Share, same_command
from data_prep.assemble import frozen
from data_prep.corpora.base import Source
from data_prep.finish import finish
from data_prep.parts import Part, load_parts
from data_prep.plan import Plan, differences
from data_prep.summary import print_kinds
from data_prep.work import PrepareError, prepare_parts, sizes_of
from elm_jax.data.manifest import MANIFEST_FILE, WORK_DIR, Manifest

SHARES_DIR = "shares"
_LISTED = 10
_NAME = re.compile(r"(\d{5,})-of-(\d{5,})\.json")


def divide(sources: Sequence[Source], count: int) -> list[list[int]]:
    """Which sources each share has, so that all have about as many bytes to read.

    A pure function of the sources and their sizes: every share comes to the same result.
    """
    sizes = sizes_of(sources)
    order = sorted(range(len(sources)), key=lambda i: (-sizes[i], sources[i].recording))
    shares: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, 0, k) for k in range(count)]
    for i in order:
        total, n, k = heapq.heappop(heap)
        shares[k].append(i)
        heapq.heappush(heap, (total + sizes[i], n + 1, k))
    return [sorted(share) for share in shares]


def of_part(sources: Sequence[Source], share: Share) -> list[Source]:
    """The sources of one share."""
    return [sources[i] for i in divide(sources, share.count)[share.number - 1]]


def prepare_share(out: epath.Path, plan: Plan, args: argparse.Namespace) -> None:
    """Prepares the recordings of ``args.part``; those finished before are not done again.

    Raises:
      PrepareError: the folder holds shares of other input, options or program.
    """
    share = args.part
    sources = of_part(plan.sources, share)
    with locks.held(out, shared=True):
        _require_same(out, plan)
        if frozen(out) or (out / MANIFEST_FILE).exists():
            print(f"{out}: its parts are all there and are merged; nothing to do for a part.")
            return
        folder = out / WORK_DIR / SHARES_DIR
        folder.mkdir(parents=True, exist_ok=True)
        note = plan.described() | {"part": str(share), "recordings": len(sources)}
        durable.write_json(folder / share.file, note | {"finished": False})
        parts = prepare_parts(plan.recipe, sources, args.workers)
        durable.write_json(folder / share.file, note | {"finished": True})
    _print_share(out, share, parts, args)


def _print_share(
    out: epath.Path, share: Share, parts: Sequence[Part], args: argparse.Namespace
) -> None:
    skipped = Counter(part.skipped for part in parts if part.skipped)
    print(
        f"\nPart {share} is prepared: {len(parts)} recordings, {sum(skipped.values())} of them "
        "skipped"
    )
    print_kinds(dict(skipped.most_common()))
    notes = _notes(out)
    finished = {
        s.number for s, note in notes.items() if s.count == share.count and note["finished"]
    }
    print(f"{len(finished)} of {share.count} parts are finished.")
    print(f"When all are:  {same_command(args, '--merge')}")


def merge(out: epath.Path, plan: Plan, args: argparse.Namespace) -> Manifest:
    """Assembles what the shares have prepared, just as one run would have.

    Raises:
      PrepareError: shares are missing, unfinished, or of other input, options or program.
    """
    if not out.exists():
        raise PrepareError(_nothing_there(out, args))
    with locks.held(out):
        _require_same(out, plan)
        return finish(out, plan, args, lambda: _outcomes(out, plan, args))


def _nothing_there(out: epath.Path, args: argparse.Namespace) -> str:
    command = same_command(args, "--part i/N")
    return f"{out}: no part was prepared here; first run, for i from 1 to N:  {command}"


def _outcomes(out: epath.Path, plan: Plan, args: argparse.Namespace) -> list[Part]:
    parts = load_parts(plan.recipe.folder, plan.keys, failed=True)
    if None not in parts:
        return parts
    missing, notes = {i for i, part in enumerate(parts) if part is None}, _notes(out)
    if not notes:
        raise PrepareError(_nothing_there(out, args))
    # Those of the division that has come furthest.
    count = max(Counter(share.count for share in notes).items(), key=lambda item: item[::-1])[0]
    numbers, lines = [], []
    for k, own in enumerate(divide(plan.sources, count), 1):
        if lacking := len(missing & set(own)):
            began = Share(count, k) in notes
            how = f"{lacking} of {len(own)} recordings missing" if began else "was not begun"
            numbers.append(k)
            lines.append(f"{k}/{count}: {how}:  {same_command(args, f'--part {k}/{count}')}")
    raise PrepareError(
        f"{out}: {len(missing)} of {len(parts)} recordings are not prepared yet: parts "
        f"{_ranges(numbers)} of {count}. Run these (again; what is finished is not done again), "
        f"then --merge:\n  {_listing(lines)}"
    )


def _ranges(numbers: Sequence[int]) -> str:
    """``[1, 2, 3, 7]`` -> ``"1-3,7"``, as job schedulers read it."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)


def _listing(lines: Sequence[str]) -> str:
    more = [f"... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n  ".join([*lines[:_LISTED], *more])


def _notes(out: epath.Path) -> dict[Share, dict[str, Any]]:
    folder = out / WORK_DIR / SHARES_DIR
    if not folder.exists():
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        if match := _NAME.fullmatch(path.name):
            share = Share(int(match[2]), int(match[1]))
            found[share] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _require_same(out: epath.Path, plan: Plan) -> None:
    now, lines = plan.described(), []
    for share, note in _notes(out).items():
        lines += [f"part {share}: {line}" for line in differences(note, now)]
    if lines:
        raise PrepareError(
            f"{out}: holds parts that were prepared otherwise:\n  {_listing(lines)}\nParts are "
            "only merged if all are of the same. Choose a new --out, or delete "
            f"{out / WORK_DIR} to prepare all parts again."
        )


def describe(out: epath.Path, plan: Plan, args: argparse.Namespace) -> list[str]:
    """What ``--dry_run`` says of a share or a merge."""
    if args.part:
        own = of_part(plan.sources, args.part)
        return [
            f"Part {args.part} would prepare {len(own)} of {len(plan.sources)} recordings into "
            f"{out / WORK_DIR}; the table is of these."
        ]
    if (out / MANIFEST_FILE).exists():
        return [f"{out} is complete; --merge would see whether it is of the same, and do nothing."]
    _require_same(out, plan)
    if not frozen(out):
        _outcomes(out, plan, args)
    return [f"All {len(plan.sources)} recordings are prepared; --merge would assemble {out}."]
