"""Paths of published lists of files: which of them are asked for, and whether they may be used."""

import fnmatch
import pathlib
from collections.abc import Callable, Sequence

from data_prep.downloads.base import DownloadError


def fits(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is one of those that the patterns mean; ``*`` stands for slashes, too."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def in_top_folder(path: str) -> bool:
    """Tables, the licence: what is fetched whatever else is."""
    return "/" not in path


def chosen(
    paths: Sequence[str], patterns: Sequence[str], *, always: Callable[[str], bool]
) -> list[str]:
    """The paths that ``--only`` means, and those that are always fetched.

    Args:
      paths: the published ones.
      patterns: of ``--only``; none means all.
      always: says of a path whether it is fetched in any case.

    Raises:
      DownloadError: a pattern fits no path.
    """
    for pattern in patterns:
        if not any(fits(path, (pattern,)) for path in paths):
            others = [path for path in paths if not always(path)] or list(paths)
            raise DownloadError(
                f"--only {pattern}: none of {len(paths)} published files fits; they are called as "
                f"{others[0]!r} and {others[-1]!r}"
            )
    return [path for path in paths if not patterns or always(path) or fits(path, patterns)]


def safe_path(path: str, source: str) -> str:
    """A path of a published list, which must stay below the folder.

    Raises:
      DownloadError: it does not.
    """
    parts = pathlib.PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise DownloadError(f"{source}: names {path!r}, which is no path below its folder")
    return path
