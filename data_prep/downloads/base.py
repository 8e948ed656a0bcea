"""What is to be fetched, what of it is there, and what is fetched now; for every corpus alike."""

import dataclasses
import hashlib
import pathlib
import time
from collections.abc import Callable, Sequence

_CHUNK_BYTES = 1 << 20
_TRIES = 3
_PAUSE_S = 2.0


class DownloadError(RuntimeError):
    """A download that cannot go on; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes:
      path: where it lies below the folder of the download.
      digest: of its bytes, in hexadecimal.
      algorithm: of the digest, as ``hashlib`` calls it.
    """

    path: str
    digest: str
    algorithm: str = "sha1"

    def state(self, folder: pathlib.Path) -> str:
        """``there``, ``missing``, or ``broken``: there, and not as it was published."""
        file = folder / self.path
        if not file.is_file():
            return "missing"
        digest = hashlib.new(self.algorithm)
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return "there" if digest.hexdigest() == self.digest else "broken"


class Download:
    """A published corpus. Subclasses say which files it has and how one is fetched.

    Attributes:
      name: its word on the command line.
      source: where it is published, for messages.
      by_hand: a command that fetches it without this program; ``{to}`` is the folder.
    """

    name = ""
    source = ""
    by_hand = ""

    def fetch(self, file: RemoteFile, folder: pathlib.Path) -> None:
        """Fetches a file that is not there; it appears whole and as published, or not at all.

        Raises:
          OSError: the network or the disk did not allow it.
          ValueError: what came is not what was published.
        """
        raise NotImplementedError


def fetch_all(
    download: Download,
    files: Sequence[RemoteFile],
    folder: pathlib.Path,
    *,
    command: str = "",
    say: Callable[[str], None] = print,
    pause_s: float = _PAUSE_S,
) -> None:
    """Fetches what is missing or broken; what is there already stays, so a stop loses one file.

    Args:
      download: how.
      files: which.
      folder: where to.
      command: that was given, for the message about a network that does not allow it.
      say: is given a line for each file.
      pause_s: before the second try of a file; twice as long before each further one.

    Raises:
      DownloadError: a file could not be had in a few tries.
    """
    todo = [file for file in files if file.state(folder) != "there"]
    for number, file in enumerate(todo, 1):
        if file.state(folder) == "there":  # came with another one
            continue
        # mne and others take a file that is there as it is.
        (folder / file.path).unlink(missing_ok=True)
        try:
            _try(download, file, folder, pause_s)
        except DownloadError as error:
            raise DownloadError(
                f"{error}. What is finished is kept; the same command goes on. Where the network "
                f"does not allow it, run it on another machine, {command or download.name},\nor "
                f"without this program\n  {download.by_hand.format(to=folder)}\nand copy the "
                "folder here"
            ) from error
        say(f"{number}/{len(todo)}  {file.path}")


def _try(download: Download, file: RemoteFile, folder: pathlib.Path, pause_s: float) -> None:
    for tries in range(1, _TRIES + 1):
        try:
            return download.fetch(file, folder)
        except ValueError as error:
            why, last = "what came is not what was published", error
        except OSError as error:
            why, last = f"{type(error).__name__}; is {download.source} reachable?", error
        if tries < _TRIES:
            time.sleep(pause_s * 2 ** (tries - 1))
    raise DownloadError(f"{file.path} could not be fetched ({why})") from last
