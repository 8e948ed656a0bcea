"""Fetches a published corpus: ``python -m data_prep.download sleep_physionet --to DIR``."""

import argparse
import pathlib
import shlex
import sys
from collections import Counter
from collections.abc import Sequence

from data_prep.corpus_options import add_sleep_options
from data_prep.downloads import DOWNLOADS, download_class
from data_prep.downloads.base import DownloadError, RemoteFile, fetch_all, states_of

_EPILOG = """\
Files that are there are not fetched again, unless they are not as they were published; so the same
command goes on where it was stopped, in the middle of a file, too. --dry_run says what is there and
what would be fetched. Data that is given on application is not fetched: it is said how to apply.
"""
_MOST_NAMED = 10  # of files that a dry run would fetch
# Every option that belongs to some corpora.
_OWN_OPTIONS = ("sleep_people", "nights", "only", "records", "cpsc_part")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; ``words`` holds the command as it was given.

    Raises:
      SystemExit: a mistake in the command; argparse has said which.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.download", description="Fetches a published corpus.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("name", choices=sorted(DOWNLOADS), help="which corpus")
    parser.add_argument("--to", required=True, metavar="DIR", help="the folder to fetch it into")
    parser.add_argument(
        "--dry_run", action="store_true", help="fetch nothing; say what is there and what is not"
    )
    add_sleep_options(parser)
    _add_ecg_options(parser)
    args = parser.parse_args(argv)
    read = download_class(args.name).options
    for option in _OWN_OPTIONS:
        if getattr(args, option) != parser.get_default(option) and option not in read:
            parser.error(f"--{option} says nothing of {args.name}")
    args.words = shlex.join(sys.argv[1:] if argv is None else argv)
    return args


def _add_ecg_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        type=lambda text: tuple(filter(None, (part.strip() for part in text.split(",")))),
        default=(),
        metavar="PATTERN,...",
        help="ptbxl, cpsc2018, csn, mimic_iv_ecg, code15, ecgqa: of the published files only those "
        "whose paths fit, such as 'records100/00000/*' or exams_part0.zip, and the tables",
    )
    parser.add_argument(
        "--records",
        choices=("100", "500", "both"),
        default="both",
        help="ptbxl: which of its two sets of files, by their rate in Hz (default: both)",
    )
    parser.add_argument(
        "--cpsc_part",
        choices=("main", "extra", "both"),
        default="main",
        help="cpsc2018: the records of the challenge (default), those that were left over, or both",
    )


def download(args: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status.

    Raises:
      DownloadError: a file could not be had, or something that was never published is asked for.
    """
    what, folder = download_class(args.name)(), pathlib.Path(args.to)
    command = f"python -m data_prep.download {args.words}"
    if what.notice:
        print(what.notice)
    files = what.files(args)
    states = states_of(files, folder)
    counted = ", ".join(f"{n} {state}" for state, n in sorted(Counter(states).items()))
    print(f"{args.name}: {len(files)} files of {what.source} in {folder}: {counted}")
    if args.dry_run:
        _print_wanted(files, states)
        print("Nothing was fetched (--dry_run).")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    todo = [file for file, state in zip(files, states, strict=True) if state != "there"]
    fetch_all(what, todo, folder, command=command)
    print(f"Next:  {what.next_command.format(to=folder)}")
    return 0


def _print_wanted(files: Sequence[RemoteFile], states: Sequence[str]) -> None:
    """What would be fetched, a line each; of many files the first."""
    for state, why in (("broken", "not as published: again"), ("missing", "not there")):
        wanted = [f.path for f, own in zip(files, states, strict=True) if own == state]
        for path in wanted[:_MOST_NAMED]:
            print(f"  {path}: {why}")
        if len(wanted) > _MOST_NAMED:
            print(f"  and {len(wanted) - _MOST_NAMED} more that are {why}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Errors end with one message and status 2."""
    args = parse(argv)
    try:
        return download(args)
    except DownloadError as error:
        print(f"download: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"download: {error.filename or args.to}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ndownload: stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
