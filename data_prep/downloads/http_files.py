"""Fetching over HTTP: a file that stopped half-way goes on, connections are kept."""

import os
import pathlib
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

import requests

import elm_jax
from data_prep.downloads.base import (
    Download,
    DownloadError,
    RemoteFile,
    Stopped,
    fetch_tried,
    what_to_do,
)

_CHUNK_BYTES = 1 << 16  # so much of what came is lost where a connection breaks
_TIMEOUT_S = (15.0, 90.0)  # to connect, and between two pieces of an answer
_LONGEST_WAIT_S = 120.0
_PART = ".part"
_Listed = TypeVar("_Listed")


class Busy(OSError):
    """The server wants to be asked later.

    Attributes:
      wait_s: how much later.
    """

    def __init__(self, message: str, wait_s: float):
        super().__init__(message)
        self.wait_s = wait_s


class HttpDownload(Download):
    """A corpus whose files have addresses.

    A file is received as ``<name>.part``, is checked, and takes its name then. What is there of a
    ``.part`` is not asked for again (a range request, RFC 9110 section 14).
    """

    at_once = 4

    def __init__(self):
        super().__init__()
        self._local = threading.local()

    @property
    def _session(self) -> requests.Session:
        """One a thread: they may not be shared."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # A compressed answer has other bytes than the file, and ranges of other bytes.
            self._local.session.headers["Accept-Encoding"] = "identity"
            self._local.session.headers["User-Agent"] = f"elm_jax/{elm_jax.__version__}"
        return self._local.session

    def fetch(self, file: RemoteFile, folder: pathlib.Path) -> None:
        """Fetches a file, or the rest of it.

        Raises:
          OSError: the network or the disk did not allow it; what came is kept.
          ValueError: what came is not what was published; it is deleted.
          DownloadError: the server refuses it, or does not have it.
        """
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + _PART)
        self._receive(file.url, part)
        if file.digest and (found := file.digest_of(part)) != file.digest:
            part.unlink()
            raise ValueError(f"{file.url}: expected {file.algorithm} {file.digest}, found {found}")
        os.replace(part, target)

    def listed(
        self, url: str, path: pathlib.Path, read: Callable[[bytes, str], _Listed], *, keep: bool
    ) -> _Listed:
        """What a small published file says: which others there are, and of what digests.

        One that is in the folder is taken from there: a published version does not change.

        Args:
          url: where it is published.
          path: its place in the folder of the download.
          read: gets its bytes and where they are from, for messages.
          keep: write it to its place.

        Raises:
          DownloadError: it cannot be had or read.
        """
        if path.is_file():
            return read(path.read_bytes(), str(path))
        with tempfile.TemporaryDirectory(prefix="elm_jax_") as folder:
            try:
                fetch_tried(self, RemoteFile(path.name, "", url=url), pathlib.Path(folder))
            except DownloadError as error:
                raise DownloadError(f"{error}. {what_to_do(self, path.parent)}") from error
            data = pathlib.Path(folder, path.name).read_bytes()
        listed = read(data, url)
        if keep:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + _PART)
            temporary.write_bytes(data)
            os.replace(temporary, path)
        return listed

    def _receive(self, url: str, part: pathlib.Path) -> None:
        have = part.stat().st_size if part.is_file() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
            if have and answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # there is no more of it: the digest says whether this is the file
            self._require_success(answer)
            goes_on = answer.status_code == requests.codes.partial_content
            if goes_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise OSError(f"{url}: the server sent another range than was asked for")
            with part.open("ab" if goes_on else "wb") as stream:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    if self.stop.is_set():
                        raise Stopped(url)
                    stream.write(chunk)

    def _require_success(self, answer: requests.Response) -> None:
        """Raises for an answer that is not the file, by whether asking again can help.

        Raises:
          Busy: later.
          OSError: perhaps.
          DownloadError: no.
        """
        code, url = answer.status_code, answer.url
        if answer.ok:
            return
        if code in (401, 403):
            raise DownloadError(
                f"{url}: {self.source} refuses it ({code} {answer.reason}). It is published openly "
                "as far as this program knows: open its page in a browser, and see whether access "
                "has come to need an account, or whether a proxy of this network refuses it"
            )
        if code in (404, 410):
            raise DownloadError(
                f"{url}: is not there ({code} {answer.reason}); has {self.source} moved it?"
            )
        if code in (429, 503):
            raise Busy(f"{url}: {code} {answer.reason}", _wait_s(answer))
        raise OSError(f"{url}: {code} {answer.reason}")


def _wait_s(answer: requests.Response) -> float:
    """What ``Retry-After`` asks for in seconds; a date is not read."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isdigit() else 0.0
