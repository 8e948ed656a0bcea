"""What a preparation would do, file by file, and what it would take; nothing is written."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from data_prep.corpora.base import Source
from data_prep.findings import kind_sentence
from data_prep.parts import Recipe, skip_kind
from data_prep.places import local_copy
from data_prep.work import run_parallel, workers_for
from elm_jax.data.label_values import counted_at

_CHANNELS = {"ecg": "leads"}  # what they are called; elsewhere electrodes
_HEAD = ("file", "{channels}", "rate", "unit", "length", "report", "verdict")


def dry_run(
    recipe: Recipe,
    sources: Sequence[Source],
    findings: Sequence[dict[str, Any]],
    asked: int | None,
) -> bool:
    """Prints the judgement of every file, a total, and the disk and time needed.

    ``asked`` is ``--workers``.

    Returns:
      Whether anything is usable.
    """
    judgements: list[Any] = [None] * len(sources)
    workers = workers_for(asked, sources)
    for i, judgement in run_parallel(_judge, recipe, sources, workers):
        judgements[i] = judgement
    _print_table(recipe, sources, judgements)
    for item in findings:
        print(f"{item['file']}: {item['kind']}: {item['detail']}")
    usable = [i for i, j in enumerate(judgements) if j.usable]
    _print_total(recipe.corpus.counted_label, sources, judgements, usable)
    if usable:
        _print_needs(recipe, sources, judgements, usable, workers)
    print("Nothing was written (--dry_run).")
    return bool(usable)


def _judge(recipe: Recipe, source: Source) -> Any:
    with local_copy(source.path) as path:
        return recipe.corpus.judge(source.replace(path=path), recipe.spec, recipe.options)


def _print_table(recipe: Recipe, sources: Sequence[Source], judgements: Sequence[Any]) -> None:
    # Where several recordings lie in one file, its name tells nothing.
    shared = len({s.path for s in sources}) < len(sources)
    names = [s.recording if shared else s.file for s in sources]
    channels = _CHANNELS.get(recipe.spec.modality, "electrodes")
    head = tuple(word.format(channels=channels) for word in _HEAD)
    rows = [head, *map(_row, names, sources, judgements)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD) - 1)]
    notes = [recipe.corpus.notes(s) + _notes(j) for s, j in zip(sources, judgements, strict=True)]
    for row, lines in zip(rows, [[], *notes], strict=True):
        cells = [c.ljust(w) for c, w in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())
        for line in lines:
            print(f"    {line}")


def _row(name: str, source: Source, judgement: Any) -> tuple[str, ...]:
    rate, length = judgement.sfreq_hz, judgement.duration_s
    return (
        name,
        f"{len(judgement.electrodes_found)} found",
        "?" if rate is None else f"{rate:g} Hz",
        judgement.unit or "?",
        "?" if length is None else f"{length:.0f} s",
        {0: "none", 1: "yes"}.get(len(source.reports), str(len(source.reports))),
        "use" if judgement.usable else f"skip: {judgement.skipped}",
    )


def _notes(judgement: Any) -> list[str]:
    lines = []
    if judgement.windows:
        counts = ", ".join(f"{n} {label}" for label, n in judgement.windows.items())
        lines.append(f"windows: {counts}")
    if judgement.electrodes_missing:
        lines.append(f"missing: {', '.join(judgement.electrodes_missing)}")
    if judgement.unknown:
        names = [f"{n!r} (nearest: {near})" if near else repr(n)
                 for n, near in judgement.unknown.items()]  # fmt: skip
        lines.append(f"unknown, see --rename: {', '.join(names)}")
    for defect in judgement.defects:
        # What the verdict says already need not be said again, but it names no channel.
        if defect.channel or judgement.skipped != f"{defect.kind}: {defect.detail}":
            where = f" [{defect.channel}]" if defect.channel else ""
            if defect.start_s is not None:
                where += f" {defect.start_s:.1f}-{defect.stop_s:.1f} s"
            lines.append(f"{defect.kind}{where}: {defect.detail}")
    return lines


def _print_total(
    label: str, sources: Sequence[Source], judgements: Sequence[Any], usable: Sequence[int]
) -> None:
    hours = sum(judgements[i].duration_s or 0 for i in usable) / 3600
    people = {sources[i].person for i in usable}
    reports = sum(bool(sources[i].reports) for i in usable)
    print(
        f"\nTotal: {len(usable)} of {len(sources)} recordings usable, {len(people)} people, "
        f"{hours:.2f} hours; {reports} with a report, {len(usable) - reports} without"
    )
    labelled = (sources[i].labels[label] for i in usable if label in sources[i].labels)
    recordings = Counter(key for value in labelled for key in counted_at(value))
    windows = sum((Counter(judgements[i].windows) for i in usable), Counter())
    for what, counts in (("recordings", recordings), ("windows", windows)):
        if counts:
            print(f"  {what}: {', '.join(f'{n} {value}' for value, n in sorted(counts.items()))}")
    for kind, n in Counter(skip_kind(j) for j in judgements if not j.usable).most_common():
        print(f"  {n} skipped: {kind} ({kind_sentence(kind)})")


def _print_needs(
    recipe: Recipe,
    sources: Sequence[Source],
    judgements: Sequence[Any],
    usable: Sequence[int],
    workers: int,
) -> None:
    """Disk from the durations, time from doing the median recording once."""
    spec = recipe.spec
    length_s = {i: judgements[i].duration_s or 0.0 for i in usable}
    windows = sum(sum(judgements[i].windows.values()) for i in usable)
    stored_s = windows * spec.window_s if windows else sum(length_s.values())
    disk = 2 * len(spec.channels) * spec.sfreq_hz * stored_s
    probe = sorted(usable, key=lambda i: (length_s[i], i))[len(usable) // 2]
    # Twice: the first call also pays for imports and for designing the filter.
    with local_copy(sources[probe].path) as path:
        source = sources[probe].replace(path=path)
        for _ in range(2):
            began = time.perf_counter()
            recipe.corpus.pieces(source, spec, recipe.options)
            took_s = time.perf_counter() - began
    per_second = took_s / max(length_s[probe], 1.0)
    time_s = per_second * sum(length_s.values()) / max(workers, 1)
    print(
        f"Needs about {_bytes(disk)} of disk (twice that for a moment), and about "
        f"{_duration(time_s)} with {max(workers, 1)} workers "
        f"({sources[probe].file} took {took_s:.2f} s)"
    )


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
