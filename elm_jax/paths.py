"""Paths that a user gives: local ones, and objects in Google Cloud Storage (``gs://...``).

Everything that is read or written for a user goes through ``epath.Path``, which opens both. What an
object store lacks is not asked of it: nothing is appended to (:mod:`elm_jax.growing`), no folder
is renamed, and what a library can only open on a local disk is copied there first
(:mod:`elm_jax.staging`).
"""

import contextlib
import importlib.util
import os
import re
import uuid
from collections.abc import Iterator

from etils import epath

SCHEMES = ("gs",)
LOG_IN = (
    "log in with `gcloud auth application-default login` (on a machine of Google Cloud: give its "
    "service account the roles Storage Object User and Storage Legacy Bucket Reader on the "
    "bucket), and check the name"
)


class RemoteError(OSError):
    """A remote path that cannot be used; says which, and what to check."""


class RemoteMissing(RemoteError, FileNotFoundError):
    """Nothing is there."""


def scheme_of(path: epath.PathLike) -> str:
    """``gs`` of ``gs://bucket/name``; empty for a local path."""
    scheme, found, _ = os.fspath(path).partition("://")
    return scheme if found else ""


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path is an object's, in a store, rather than a local file's."""
    return bool(scheme_of(path))


def of(path: epath.PathLike) -> epath.Path:
    """What a user gave, as a path.

    Raises:
      RemoteError: an address of another kind than ``gs://``.
    """
    scheme = scheme_of(path)
    if scheme and scheme not in SCHEMES:
        raise RemoteError(
            f"{os.fspath(path)}: expected a local path or gs://BUCKET/..., found {scheme}://; "
            "mount what lies elsewhere, and give the folder"
        )
    return epath.Path(path)


def absolute(path: epath.PathLike) -> epath.Path:
    """A path that no longer depends on the working directory; remote ones stay as they are.

    ``epath.Path.resolve`` would make ``/here/gs:/bucket`` of ``gs://bucket``.
    """
    return of(path) if is_remote(path) else epath.Path(os.path.abspath(path))


def read_text(path: epath.PathLike) -> str:
    """A file that somebody wrote by hand: UTF-8, with or without a byte order mark.

    ``epath.Path.read_text`` knows no "utf-8-sig", and leaves the mark in the text.

    Raises:
      FileNotFoundError: there is none.
      UnicodeDecodeError: it is not UTF-8.
    """
    with told():
        text = of(path).read_bytes().decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def write_text(path: epath.PathLike, text: str) -> None:
    """Writes a small file that nobody ever finds half written."""
    path = of(path)
    if is_remote(path):  # an object appears when it is whole
        with told():
            path.write_text(text, encoding="utf-8")
        return
    unique = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        unique.write_text(text, encoding="utf-8")
        unique.replace(path)
    finally:
        unique.unlink(missing_ok=True)


def bucket_of(path: epath.PathLike) -> epath.Path:
    """``gs://bucket`` of a remote path."""
    scheme, _, rest = os.fspath(path).partition("://")
    return epath.Path(f"{scheme}://{rest.partition('/')[0]}")


def require_folder(path: epath.PathLike) -> epath.Path:
    """Makes sure that files can be written below ``path``, before any work is done for them.

    Args:
      path: a folder to be, local or remote.

    Raises:
      RemoteError: a bucket that is missing or closed to us, a bucket where a folder in it is
        needed, or the package that writes checkpoints into buckets is not installed.
      OSError: a local folder that cannot be made.
    """
    folder = of(path)
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    bucket = bucket_of(folder)
    if os.fspath(folder).rstrip("/") == os.fspath(bucket):
        raise RemoteError(f"{bucket} is a bucket: name a folder in it, {bucket}/runs/NAME")
    if not _has_storage_client():
        raise RemoteError(
            f"{folder}: checkpoints in a bucket need google-cloud-storage: "
            'pip install -c constraints.txt -e ".[gcs]"'
        )
    with told(bucket):
        there = bucket.exists()  # Orbax asks for the bucket itself too: a right of its own
    if not there:
        raise RemoteError(f"{folder}: there is no bucket {bucket}; {LOG_IN}")
    tried = folder / f".{uuid.uuid4().hex}.tmp"
    with told():
        tried.write_text("can this be written?")
        tried.unlink(missing_ok=True)
    return folder


def _has_storage_client() -> bool:
    try:
        return importlib.util.find_spec("google.cloud.storage") is not None
    except ModuleNotFoundError:  # not even google.cloud
        return False


# What the clients of a store say, without importing them: TensorFlow's classes, Google's, and the
# words with which TensorStore begins its messages.
_CLOSED = re.compile(
    r"PermissionDenied|Unauthenticated|Forbidden|Unauthorized|DefaultCredentials|RefreshError"
    r"|PERMISSION_DENIED|UNAUTHENTICATED|HTTP response code 40[13]"
)
_GONE = re.compile(
    r"NotFound|NOT_FOUND|HTTP response code 404|bucket does not exist|path gs://\S+ was not found"
)
_AWAY = re.compile(
    r"Unavailable|UNAVAILABLE|DeadlineExceeded|DEADLINE_EXCEEDED|Aborted|TransportError"
    r"|Could not resolve host|libcurl code"
)
_CLIENTS = ("tensorflow.", "google.", "tensorstore", "jaxlib.", "requests.", "urllib3.")


@contextlib.contextmanager
def told(path: epath.PathLike = "gs://") -> Iterator[None]:
    """Errors of a store's client, raised in the block, become errors that say what to check.

    Args:
      path: what is named where the client names nothing.

    Raises:
      RemoteMissing: something is not there.
      RemoteError: no access, or no connection.
    """
    try:
        yield
    except Exception as error:  # of classes whose packages are not imported here
        if (text := explain(error, path)) is None:
            raise
        gone = isinstance(error, FileNotFoundError) or _GONE.search(type(error).__name__)
        raise (RemoteMissing if gone else RemoteError)(text) from error


def explain(error: BaseException, path: epath.PathLike = "gs://") -> str | None:
    """One line about an error that a store's client raised; None where it is about something else.

    Their classes (TensorFlow's errors, Google's) are no OSError and their messages end in HTTP
    bodies, so that a missing permission would look like a fault of the program.
    """
    if isinstance(error, RemoteError):  # says it already
        return None
    text = str(error)
    place = re.search(r"gs://[^\s'\",)]+", text)
    theirs = type(error).__module__.startswith(_CLIENTS)
    if not (place or theirs):
        return None
    # Names of classes say something of clients alone: a FileNotFoundError may be one of ours.
    names = " ".join(kind.__name__ for kind in type(error).__mro__) if theirs else ""
    where = place.group(0).rstrip(".:;") if place else os.fspath(path)
    said = f"{names} {text}"
    first = " ".join(text.split())
    first = first if len(first) <= 300 else first[:297] + "..."
    if _CLOSED.search(said):
        return f"no access to {where}: {LOG_IN} ({first})"
    if _GONE.search(said):
        return f"{where} is not there: check the name of the bucket and what lies in it ({first})"
    if _AWAY.search(said):
        return f"{where} cannot be reached: check the network, then run it again ({first})"
    return None
