"""From a folder of recordings to a prepared directory: ``python -m data_prep.prepare``."""

import argparse
import dataclasses
import fcntl
import hashlib
import json
import math
import os
import pathlib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from data_prep import durable
from data_prep.arguments import parse
from data_prep.assemble import (
    Layout,
    assemble,
    freeze_results,
    load_results,
    stored_rows,
    usable,
)
from data_prep.corpora import corpus_class
from data_prep.corpora.base import Corpus, CorpusError, Source
from data_prep.dry_run import dry_run
from data_prep.pairing import pair, read_rename, require_unique, warn_of_unnamed_people
from data_prep.parts import Recipe
from data_prep.reports_file import ReportsError
from data_prep.split import settle_splits, split_people
from data_prep.storage import label_counts
from data_prep.summary import SKIPPING_FINDINGS, print_kinds, print_summary
from data_prep.tables import TableError
from data_prep.work import PrepareError, prepare_parts, size_of
from elm_jax.data.manifest import (
    MANIFEST_FILE,
    WORK_DIR,
    Manifest,
    ManifestError,
    NotPrepared,
    code_version,
)
from elm_jax.data.shards import load_recordings
from elm_jax.data.spec import SpecError

USER_ERRORS = (
    CorpusError, ReportsError, TableError, PrepareError, NotPrepared, ManifestError, SpecError,
)  # fmt: skip


@dataclasses.dataclass
class Plan:
    """All that is decided before any signal is read."""

    corpus: Corpus
    sources: list[Source]
    findings: list[dict[str, Any]]
    recipe: Recipe
    fractions: dict[str, float] | None
    options: dict[str, Any]

    def inputs_sha256(self) -> str:
        """Digest of the files' names and sizes and of all that was paired with them."""
        rows = [
            [s.file, size_of(s), s.recording, s.person, s.split, s.reports, s.labels, s.extra]
            for s in self.sources
        ]
        text = json.dumps([rows, self.findings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def state(self) -> str:
        """Digest of everything, the files' times included: which unfinished work may go on."""
        keys = [self.recipe.key(source) for source in self.sources]
        text = json.dumps([self.inputs_sha256(), keys, self.options], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def make_plan(args: argparse.Namespace) -> Plan:
    """Lists the sources, pairs them with their tables, and fixes every option.

    Raises:
      CorpusError, ReportsError, TableError, SpecError: the input or an option is at fault.
    """
    rename = read_rename(args.rename)
    corpus = corpus_class(args.corpus)(rename=rename)
    spec, options = _spec_and_options(args, corpus)
    sources = corpus.sources(args)
    spec = corpus.spec(spec, args)
    findings = list(corpus.findings)
    sources, more = pair(sources, args)
    findings += more
    if corpus.settles_splits:
        sources, more = settle_splits(sources)
        findings += more
    require_unique(sources)
    # Now, not after hours of work: a person in two published splits is an error.
    split_people(sources, args.split, args.split_seed)
    warn_of_unnamed_people(sources)
    sources = sorted(sources, key=lambda s: s.recording)
    folder = pathlib.Path(args.out or ".") / WORK_DIR / "parts"
    written = {
        "corpus": corpus.name,
        "spec": {k: v for k, v in spec.to_dict().items() if k not in ("mean", "std")},
        "preparation": {k: _jsonable(v) for k, v in dataclasses.asdict(options).items()},
        "rename": rename or {},
        "hdf5_unit": args.hdf5_unit,
        "subject_is_person": args.subject_is_person,
        "split": args.split,
        "split_seed": args.split_seed,
        "shard_mb": args.shard_mb,
        "min_shards": args.min_shards,
        **corpus.stated_options(args),
    }
    recipe = Recipe(corpus, spec, options, folder)
    return Plan(corpus, sources, findings, recipe, args.split, written)


def _jsonable(value: Any) -> Any:
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def _spec_and_options(args: argparse.Namespace, corpus: Corpus):
    from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, PrepOptions

    spec = ELM_SPEC.replace(window_s=args.window_s, resample=args.resample)
    options = EVAL_OPTIONS if corpus.whole_recordings else PrepOptions()
    given = {
        field.name: getattr(args, field.name)
        for field in dataclasses.fields(options)
        if getattr(args, field.name) is not None
    }
    if given.get("cut_multiple_s") == 0:
        given["cut_multiple_s"] = None
    return spec, dataclasses.replace(options, **given)


def prepare(args: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status."""
    plan = make_plan(args)
    if args.dry_run:
        return 0 if dry_run(plan.recipe, plan.sources, plan.findings, args.workers) else 1
    out, hdf5 = pathlib.Path(args.out), args.hdf5 and pathlib.Path(args.hdf5)
    _require_folder(out)
    if hdf5 and not hdf5.absolute().parent.is_dir():
        raise PrepareError(f"--hdf5 {hdf5}: there is no folder {hdf5.parent}; make it first")
    manifest = _finished(out, plan)
    if manifest is None:
        if hdf5 and hdf5.exists():
            raise PrepareError(f"--hdf5 {hdf5}: exists already; delete it or choose another name")
        with _alone(out):
            manifest = _run(out, plan, args)
        print_summary(out, manifest)
    if hdf5 and hdf5.exists():
        print(f"{hdf5} exists and is left as it is.")
    elif hdf5:
        _write_hdf5(out, hdf5)
    return 0


def _finished(out: pathlib.Path, plan: Plan) -> Manifest | None:
    """The manifest if this very preparation was finished before.

    Raises:
      PrepareError: the directory holds something else.
    """
    if not out.exists():
        return None
    if not (out / MANIFEST_FILE).exists():
        if any(out.iterdir()) and not (out / WORK_DIR).is_dir():
            raise PrepareError(
                f"{out}: is not empty and no unfinished preparation; choose a new --out"
            )
        return None
    manifest = Manifest.load(out)
    _require_same(out, manifest, plan)
    # A kill after the manifest was written leaves this behind.
    durable.remove_tree(out / WORK_DIR)
    print(f"{out} is complete: same inputs, same options; nothing to do.")
    if manifest.code_version != code_version():
        print(
            f"  (it was made by {manifest.code_version}; this is {code_version()}. To prepare it "
            "anew, choose a new --out)"
        )
    return manifest


def _require_folder(out: pathlib.Path) -> None:
    if out.exists() and not out.is_dir():
        raise PrepareError(f"--out {out}: expected a folder, found a file; choose another --out")


def _require_same(out: pathlib.Path, manifest: Manifest, plan: Plan) -> None:
    ours, theirs = _flat(plan.options), _flat(manifest.options)
    different = [
        f"{key}: there {theirs.get(key)!r}, now {ours.get(key)!r}"
        for key in sorted(set(ours) | set(theirs))
        if ours.get(key) != theirs.get(key)
    ]
    if manifest.inputs_sha256 != plan.inputs_sha256():
        different.append("the input files, or the reports, labels or people given with them")
    elif not plan.corpus.simulated:
        finished_ns = (out / MANIFEST_FILE).stat().st_mtime_ns
        newer = [s.file for s in plan.sources if _changed_ns(s) > finished_ns]
        if newer:
            different.append(f"{len(newer)} input files changed since, such as {newer[0]}")
    if different:
        listing = "\n  ".join(different)
        raise PrepareError(
            f"{out}: was prepared otherwise:\n  {listing}\nChoose a new --out, or delete {out} to "
            "prepare it again."
        )


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """``{"spec": {"window_s": 5}}`` -> ``{"window_s": 5}``: the words of the command line."""
    flat = {k: v for k, v in options.items() if k not in ("spec", "preparation")}
    return flat | options.get("spec", {}) | options.get("preparation", {})


def _changed_ns(source: Source) -> int:
    return source.path.stat().st_mtime_ns if source.path.exists() else 0


class _alone:  # noqa: N801  (reads as a statement: with _alone(out))
    """Holds a directory's lock; the system lets go of it when the process ends, however it does."""

    def __init__(self, out: pathlib.Path):
        self._path = out / WORK_DIR / "lock"

    def __enter__(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "w")  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise PrepareError(
                f"{self._path.parent.parent}: another preparation is running here; wait for it"
            ) from error

    def __exit__(self, *error):
        self._file.close()


def _run(out: pathlib.Path, plan: Plan, args: argparse.Namespace) -> Manifest:
    state = plan.state()
    parts = load_results(out, state)
    if parts is None:
        parts = prepare_parts(plan.recipe, plan.sources, args.workers)
        freeze_results(out, state, parts)
    pairs = usable(plan.sources, parts)
    skipped = Counter(part.skipped for part in parts if part.skipped)
    if not pairs:
        print(f"{len(parts)} recordings, none usable:", file=sys.stderr)
        print_kinds(dict(skipped.most_common()), file=sys.stderr)
        durable.remove_tree(out / WORK_DIR)
        out.rmdir()
        raise PrepareError(f"nothing in {args.input} is usable; --dry_run says why, file by file")
    skipped += Counter(f["kind"] for f in plan.findings if f["kind"] in SKIPPING_FINDINGS)
    split_of = split_people([source for source, _ in pairs], plan.fractions, args.split_seed)
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
        corpus=plan.corpus.name,
        simulated=plan.corpus.simulated,
        split_seed=args.split_seed,
        options=plan.options,
        inputs_sha256=plan.inputs_sha256(),
        defects=(*plan.findings, *defects),
        more_counts=more_counts,
    )


def _write_hdf5(out: pathlib.Path, target: pathlib.Path) -> None:
    from data_prep.hdf5 import write_hdf5
    from elm_jax.data.hdf5_safe import Hdf5Error

    temporary = target.with_name(f"{target.name}.tmp")
    try:
        crops = write_hdf5(temporary, out)
    except Hdf5Error as error:
        raise PrepareError(str(error)) from error
    durable.replace(temporary, target)
    print(f"Wrote {target} in ELM's HDF5 layout: {crops} crops.")
    _say_what_hdf5_lacks(out)


def _say_what_hdf5_lacks(out: pathlib.Path) -> None:
    from data_prep.hdf5 import LABELS

    rows = load_recordings(out)
    left = sorted({name for row in rows for name in row.labels} - {*LABELS, "abnormal"})
    if any(row.reports for row in rows):
        left.insert(0, "reports")
    if left:
        print(f"  The layout has no place for: {', '.join(left)}.")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Errors of the input end with one message and status 2."""
    args = parse(argv)
    try:
        return prepare(args)
    except USER_ERRORS as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 141
    except OSError as error:
        print(
            f"prepare: {error.filename or 'input or output'}: {error.strerror or error}; is it "
            "there, is the disk full, may you read the input and write --out? The same command "
            "goes on where it stopped",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\nprepare: stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
