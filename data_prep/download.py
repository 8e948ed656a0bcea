"""Fetches a published corpus: ``python -m data_prep.download sleep_physionet --to DIR``."""

import argparse
import pathlib
import shlex
import sys
from collections import Counter
from collections.abc import Sequence

from data_prep.corpus_options import add_sleep_options
from data_prep.downloads import DOWNLOADS, download_class
from data_prep.downloads.base import DownloadError, fetch_all

_EPILOG = """\
Files that are there are not fetched again, unless they are not as they were published; so the same
command goes on where it was stopped. --dry_run says what is there and what would be fetched.
"""


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
    args = parser.parse_args(argv)
    args.words = shlex.join(sys.argv[1:] if argv is None else argv)
    return args


def download(args: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status.

    Raises:
      DownloadError: a file could not be had, or something that was never published is asked for.
    """
    what, folder = download_class(args.name)(), pathlib.Path(args.to)
    files = what.files(args)
    states = Counter(file.state(folder) for file in files)
    counted = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    print(f"{args.name}: {len(files)} files of {what.source} in {folder}: {counted}")
    if args.dry_run:
        print("Nothing was fetched (--dry_run).")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    fetch_all(what, files, folder, command=f"python -m data_prep.download {args.words}")
    print(f"Next:  python -m data_prep.prepare {args.name} --input {folder} --out DIR")
    return 0


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
