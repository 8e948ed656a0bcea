"""What is to be fetched, what of it is there, and what is fetched now; for every corpus alike."""

import argparse
import dataclasses
import errno
import hashlib
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

_CHUNK_BYTES = 1 << 20
_TRIES = 3
_PAUSE_S = 2.0
_BATCH = 1000  # of files given to threads together: millions of them would fill the memory
_FEW = 100  # files that get a line each
_LINE_EVERY_S = 5.0
# What no second try mends.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR)


class DownloadError(RuntimeError):
    """A download that cannot go on; the message says what to do."""


class Stopped(RuntimeError):
    """Another thread has ended the download."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes:
      path: where it lies below the folder of the download.
      digest: of its bytes, in hexadecimal.
      algorithm: of the digest, as ``hashlib`` calls it; or "git": what git calls a file by, the
        SHA-1 of its length and its bytes.
      url: where it is published; empty where the download knows it otherwise.
    """

    path: str
    digest: str
    algorithm: str = "sha1"
    url: str = ""

    def digest_of(self, file: pathlib.Path) -> str:
        """The digest of a file on this machine, by this file's algorithm."""
        git = self.algorithm == "git"
        digest = hashlib.new("sha1" if git else self.algorithm)
        if git:
            digest.update(b"blob %d\0" % file.stat().st_size)
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def state(self, folder: pathlib.Path) -> str:
        """``there``, ``missing``, or ``broken``: there, and not as it was published."""
        file = folder / self.path
        if not file.is_file():
            return "missing"
        return "there" if self.digest_of(file) == self.digest else "broken"


class Download:
    """A published corpus. Subclasses say which files it has and how one is fetched.

    Attributes:
      name: its word on the command line.
      source: where it is published, for messages.
      by_hand: a command that fetches it without this program; ``{to}`` is the folder.
      options: of the command line, beside those that all have, that it reads.
      next_command: what is done with the files; ``{to}`` is the folder.
      notice: what everybody who fetches it should know; "" for nothing.
      at_once: files that are fetched at a time.
      stop: set when the download ends early; whoever fetches a large file looks at it.
    """

    name = ""
    source = ""
    by_hand = ""
    options: tuple[str, ...] = ()
    next_command = ""
    notice = ""
    at_once = 1

    def __init__(self):
        self.stop = threading.Event()

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """The files that are asked for.

        Raises:
          DownloadError: something is asked for that is not published, or the list of what is
            published cannot be had.
        """
        raise NotImplementedError

    def fetch(self, file: RemoteFile, folder: pathlib.Path) -> None:
        """Fetches a file that is not there; it appears whole and as published, or not at all.

        Raises:
          OSError: the network or the disk did not allow it.
          ValueError: what came is not what was published.
          DownloadError: no further try can help.
        """
        raise NotImplementedError


def states_of(files: Sequence[RemoteFile], folder: pathlib.Path) -> list[str]:
    """The state of each file; digests are computed several at a time."""
    with ThreadPoolExecutor() as pool:
        batches = (pool.map(lambda file: file.state(folder), batch) for batch in _batches(files))
        return [state for batch in batches for state in batch]


def _batches(files: Sequence[RemoteFile]) -> Iterator[Sequence[RemoteFile]]:
    for first in range(0, len(files), _BATCH):
        yield files[first : first + _BATCH]


def fetch_all(
    download: Download,
    todo: Sequence[RemoteFile],
    folder: pathlib.Path,
    *,
    command: str = "",
    say: Callable[[str], None] = print,
    pause_s: float = _PAUSE_S,
) -> None:
    """Fetches what is missing or broken; a stop keeps what is finished.

    Args:
      download: how.
      todo: which, all of them missing or broken.
      folder: where to.
      command: that was given, for the message about a network that does not allow it.
      say: is given a line for each file; of many files, for some.
      pause_s: before the second try of a file; twice as long before each further one.

    Raises:
      DownloadError: a file could not be had in a few tries.
    """

    def fetch(file: RemoteFile) -> RemoteFile:
        if file.state(folder) != "there":  # it may have come with another one
            fetch_tried(download, file, folder, pause_s)
        return file

    said_s = 0.0
    try:
        for number, file in enumerate(_done(fetch, todo, download), 1):
            now_s = time.monotonic()
            if len(todo) <= _FEW or number == len(todo) or now_s - said_s > _LINE_EVERY_S:
                say(f"{number}/{len(todo)}  {file.path}")
                said_s = now_s
    except DownloadError as error:
        raise DownloadError(f"{error}. {what_to_do(download, folder, command)}") from error


def what_to_do(download: Download, folder: pathlib.Path, command: str = "") -> str:
    """How the files can be had where this program could not fetch them here."""
    command = command or f"python -m data_prep.download {download.name} --to {folder}"
    return (
        "What is finished is kept; the same command goes on. Where the network does not allow it, "
        f"run it on another machine,\n  {command}\nor without this program\n  "
        f"{download.by_hand.format(to=folder)}\nand copy the folder here"
    )


def _done(
    fetch: Callable[[RemoteFile], RemoteFile], files: Sequence[RemoteFile], download: Download
) -> Iterator[RemoteFile]:
    """The files as they are finished, ``download.at_once`` at a time."""
    if download.at_once == 1:
        yield from map(fetch, files)
        return
    with ThreadPoolExecutor(download.at_once) as pool:
        for batch in _batches(files):
            futures = [pool.submit(fetch, file) for file in batch]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:
                download.stop.set()
                for future in futures:
                    future.cancel()
                raise


def fetch_tried(
    download: Download, file: RemoteFile, folder: pathlib.Path, pause_s: float = _PAUSE_S
) -> None:
    """Fetches one file in a few tries.

    Raises:
      DownloadError: it could not be had.
      OSError: this machine's disk does not take it.
    """
    for tries in range(1, _TRIES + 1):
        try:
            return download.fetch(file, folder)
        except ValueError as error:
            why, last = f"what came is not what was published: {error}", error
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise
            why, last = f"{type(error).__name__}; is {download.source} reachable?", error
        if tries < _TRIES:
            asked_s = getattr(last, "wait_s", 0.0)
            time.sleep(max(asked_s, pause_s * 2 ** (tries - 1)))
    raise DownloadError(f"{file.path} could not be fetched ({why})") from last
