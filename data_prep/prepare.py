"""From a folder of recordings to a prepared directory: ``python -m data_prep.prepare``."""

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from data_prep import durable, locks, shares
from data_prep.arguments import parse
from data_prep.corpora.base import CorpusError, Source
from data_prep.dry_run import dry_run
from data_prep.finish import finish
from data_prep.places import state_of
from data_prep.plan import Plan, differences, make_plan, out_path
from data_prep.reports_file import ReportsError
from data_prep.summary import print_channels, print_summary
from data_prep.tables import TableError
from data_prep.work import PrepareError, prepare_parts
from elm_jax.data.manifest import (
    MANIFEST_FILE,
    WORK_DIR,
    Manifest,
    ManifestError,
    NotPrepared,
    code_version,
    load_recordings,
)
from elm_jax.data.spec import SpecError
from elm_jax.paths import RemoteError, is_remote, told

if TYPE_CHECKING:
    from data_prep.beam_runner import Cluster

USER_ERRORS = (
    CorpusError, ReportsError, TableError, PrepareError, NotPrepared, ManifestError, SpecError,
    RemoteError,
)  # fmt: skip


def prepare(args: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status."""
    cluster = _connect(args) if args.runner else None
    plan = make_plan(args)
    if args.dry_run:
        return 0 if _dry_run(plan, args, cluster) else 1
    out, hdf5 = epath.Path(args.out), args.hdf5 and pathlib.Path(args.hdf5)
    _require_folder(out)
    if hdf5 and (is_remote(args.hdf5) or not hdf5.absolute().parent.is_dir()):
        raise PrepareError(f"--hdf5 {args.hdf5}: there is no folder {hdf5.parent}; make it first")
    manifest = _finished(out, plan)
    if args.part:
        if manifest is None:
            shares.prepare_share(out, plan, args)
        return 0
    if manifest is None:
        if hdf5 and hdf5.exists():
            raise PrepareError(f"--hdf5 {hdf5}: exists already; delete it or choose another name")
        manifest = _run(out, plan, args, cluster)
        print_summary(out, manifest)
    if hdf5 and hdf5.exists():
        print(f"{hdf5} exists and is left as it is.")
    elif hdf5:
        _write_hdf5(out, hdf5)
    return 0


def _connect(args: argparse.Namespace) -> "Cluster":
    from data_prep.beam_runner import connect

    return connect(args)


def _run(
    out: epath.Path, plan: Plan, args: argparse.Namespace, cluster: "Cluster | None"
) -> Manifest:
    """One of the ways to the same result."""
    if args.merge:
        return shares.merge(out, plan, args)
    with locks.held(out):
        if cluster is None:
            here = functools.partial(prepare_parts, plan.recipe, plan.sources, args.workers)
            return finish(out, plan, args, here)
        from data_prep import on_beam

        return finish(
            out,
            plan,
            args,
            functools.partial(on_beam.prepare_all, cluster, out_path(args), plan),
            functools.partial(on_beam.write_all, cluster, out_path(args), plan.recipe.spec),
        )


def _dry_run(plan: Plan, args: argparse.Namespace, cluster: "Cluster | None") -> bool:
    """What would be done; for a merge, which judges nothing, whether it could be."""
    if args.merge:
        print("\n".join(shares.describe(epath.Path(args.out), plan, args)))
        print("Nothing was written (--dry_run).")
        return True
    print_channels(plan.recipe.spec, plan.options)
    sources = plan.sources
    if args.part:
        print("\n".join(shares.describe(epath.Path(args.out), plan, args)))
        sources = shares.of_part(plan.sources, args.part)
    if cluster is not None:
        print(f"Would run on {cluster.name}, {cluster.say_options()}.")
    return dry_run(plan.recipe, sources, plan.findings, args.workers)


def _finished(out: epath.Path, plan: Plan) -> Manifest | None:
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
    manifest = Manifest.load(os.fspath(out))
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


def _require_folder(out: epath.Path) -> None:
    if out.exists() and not out.is_dir():
        raise PrepareError(f"--out {out}: expected a folder, found a file; choose another --out")


def _require_same(out: epath.Path, manifest: Manifest, plan: Plan) -> None:
    there = {"options": manifest.options, "inputs_sha256": manifest.inputs_sha256}
    different = differences(there, plan.described())
    if manifest.inputs_sha256 == plan.inputs_sha256 and not plan.corpus.makes_input:
        finished_ns = state_of(out / MANIFEST_FILE).changed_ns
        newer = [s.file for s in plan.sources if _changed_ns(s) > finished_ns]
        if newer:
            different.append(f"{len(newer)} input files changed since, such as {newer[0]}")
    if different:
        listing = "\n  ".join(different)
        raise PrepareError(
            f"{out}: was prepared otherwise:\n  {listing}\nChoose a new --out, or delete {out} to "
            "prepare it again."
        )


def _changed_ns(source: Source) -> int:
    try:
        return state_of(source.path).changed_ns
    except OSError:
        return 0  # a link to nothing


def _write_hdf5(out: epath.Path, target: pathlib.Path) -> None:
    from data_prep.hdf5 import write_hdf5
    from elm_jax.data.hdf5_safe import Hdf5Error

    temporary = target.with_name(f"{target.name}.tmp")
    try:
        crops = write_hdf5(temporary, os.fspath(out))
    except Hdf5Error as error:
        raise PrepareError(str(error)) from error
    durable.replace(temporary, target)
    print(f"Wrote {target} in ELM's HDF5 layout: {crops} crops.")
    _say_what_hdf5_lacks(out)


def _say_what_hdf5_lacks(out: epath.Path) -> None:
    from data_prep.hdf5 import LABELS

    rows = load_recordings(os.fspath(out))
    left = sorted({name for row in rows for name in row.labels} - {*LABELS, "abnormal"})
    if any(row.reports for row in rows):
        left.insert(0, "reports")
    if left:
        print(f"  The layout has no place for: {', '.join(left)}.")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Errors of the input end with one message and status 2."""
    args = parse(argv)
    try:
        with told():
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
