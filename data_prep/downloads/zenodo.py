"""CODE-15 %, of a Zenodo record: zips of HDF5 files, unpacked as they come."""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import threading
import zipfile
import zlib

from data_prep.downloads.base import DownloadError, RemoteFile
from data_prep.downloads.http_files import HttpDownload
from data_prep.downloads.listed import chosen, safe_path

RECORD = "zenodo_record.json"
UNPACKED = "unpacked.json"
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class ZippedFile(RemoteFile):
    """A zip that is deleted once what it holds is there."""

    def state(self, folder: pathlib.Path) -> str:
        """Of what it holds: ``there``, ``missing``, or ``broken``."""
        members = _unpacked(folder).get(self.path, {})
        if members.get("digest") != self.digest:
            return "missing"
        states = {_member_state(folder / name, *rest) for name, *rest in members["files"]}
        return min(states, key=("broken", "missing", "there").index)


def _unpacked(folder: pathlib.Path) -> dict:
    """Zip -> its digest, and [path, size in bytes, CRC-32] of each file that came out of it."""
    path = folder / UNPACKED
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise DownloadError(
            f"{path}: not JSON ({error}); delete it, and the zips are fetched again"
        ) from error


def _member_state(file: pathlib.Path, size_bytes: int, crc32: int) -> str:
    if not file.is_file():
        return "missing"
    if file.stat().st_size != size_bytes:
        return "broken"
    found = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found = zlib.crc32(chunk, found)
    return "there" if found == crc32 else "broken"


class Code15(HttpDownload):
    """CODE-15 % (Ribeiro et al. 2021): exams.csv, and 18 zips with an HDF5 file each.

    Attributes:
      record_url: what Zenodo says of the record: its files, their sizes and MD5 digests.
    """

    name = "code15"
    source = "zenodo.org"
    record_url = "https://zenodo.org/api/records/4916206"
    by_hand = (
        "cd {to} && for f in exams.csv exams_part{{0..17}}.zip; do "
        'wget -c -O $f "https://zenodo.org/records/4916206/files/$f?download=1"; done && '
        "unzip 'exams_part*.zip'"
    )
    next_command = "python -m data_prep.prepare code15 --input {to} --out DIR"
    options = ("only",)
    at_once = 2

    def __init__(self):
        super().__init__()
        self._noting = threading.Lock()

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """exams.csv and the zips that are asked for, by Zenodo's record.

        Raises:
          DownloadError: the record cannot be had or read, or ``--only`` fits nothing.
        """
        path = pathlib.Path(args.to) / RECORD
        files = self.listed(self.record_url, path, read_record, keep=not args.dry_run)
        wanted = chosen([f.path for f in files], args.only, always="exams.csv".__eq__)
        return [file for file in files if file.path in wanted]

    def fetch(self, file: RemoteFile, folder: pathlib.Path) -> None:
        """Fetches a file; of a zip, puts what it holds in its place.

        Raises:
          OSError, ValueError, DownloadError: as :meth:`HttpDownload.fetch`.
        """
        if not isinstance(file, ZippedFile):
            return super().fetch(file, folder)
        archive = folder / file.path
        if not archive.is_file() or file.digest_of(archive) != file.digest:
            super().fetch(file, folder)
        members = unpack(archive, folder)
        with self._noting:
            noted = _unpacked(folder) | {file.path: {"digest": file.digest, "files": members}}
            temporary = folder / f"{UNPACKED}.tmp"
            temporary.write_text(json.dumps(noted, indent=1), encoding="utf-8")
            os.replace(temporary, folder / UNPACKED)
        archive.unlink()


def unpack(archive: pathlib.Path, folder: pathlib.Path) -> list[tuple[str, int, int]]:
    """Unpacks a zip; each file appears whole.

    Returns:
      (path below the folder, size in bytes, CRC-32) of each file.

    Raises:
      ValueError: the zip is damaged.
      DownloadError: it holds a path that leads out of the folder.
    """
    members = []
    try:
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if info.is_dir():
                    continue
                target = folder / safe_path(info.filename, str(archive))
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.part")
                with zipped.open(info) as source, part.open("wb") as stream:
                    shutil.copyfileobj(source, stream, _CHUNK_BYTES)  # compares the CRC at its end
                os.replace(part, target)
                members.append((info.filename, info.file_size, info.CRC))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{archive}: {error}") from error
    if not members:
        raise ValueError(f"{archive}: holds no file")
    return members


def read_record(data: bytes, source: str) -> list[RemoteFile]:
    """The files of a Zenodo record, as its API gives it.

    Args:
      data: the answer, JSON.
      source: of it, for messages.

    Raises:
      DownloadError: it is something else.
    """
    try:
        listed = json.loads(data)["files"]
        files = []
        for entry in listed:
            algorithm, _, digest = entry["checksum"].partition(":")
            kind = ZippedFile if entry["key"].endswith(".zip") else RemoteFile
            path = safe_path(entry["key"], source)
            files.append(kind(path, digest, algorithm, entry["links"]["self"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{source}: expected a Zenodo record with files of key, checksum and links.self "
            f"({type(error).__name__}: {error}); if it is a file here, delete it: it is fetched "
            "again"
        ) from error
    if not files:
        raise DownloadError(f"{source}: names no file; if it is a file here, delete it")
    return files
