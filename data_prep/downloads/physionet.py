"""Open databases of PhysioNet: each has a list of its files' SHA-256 digests."""

import argparse
import pathlib
import re
import urllib.parse

from data_prep.downloads.base import DownloadError, RemoteFile
from data_prep.downloads.http_files import HttpDownload
from data_prep.downloads.listed import chosen, fits, in_top_folder, safe_path

SUMS = "SHA256SUMS.txt"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *]?(?P<path>\S.*)")


class PhysioNet(HttpDownload):
    """A version of a database, as PhysioNet keeps it.

    Attributes:
      base_url: of all databases.
      project: its name and version there.
      parts: patterns of the paths that are fetched; what lies in the top folder (tables, the
        licence) always is.
    """

    source = "physionet.org"
    base_url = "https://physionet.org/files"
    project = ""
    parts: tuple[str, ...] = ("*",)
    options = ("only",)

    @property
    def by_hand(self) -> str:
        """As PhysioNet's pages say."""
        return (
            "wget -r -N -c -np -nH --cut-dirs=3 -P {to} "
            f"https://physionet.org/files/{self.project}/"
        )

    @property
    def next_command(self) -> str:
        """The corpus has the word of its download."""
        return f"python -m data_prep.prepare {self.name} --input {{to}} --out DIR"

    def parts_of(self, args: argparse.Namespace) -> tuple[str, ...]:
        """Patterns of the paths that are fetched."""
        return self.parts

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """The files that are asked for, by the published list of digests, which is fetched first.

        Raises:
          DownloadError: the list cannot be had or read, or ``--only`` fits nothing.
        """
        url = f"{self.base_url}/{self.project}"
        path = pathlib.Path(args.to) / SUMS
        listed = self.listed(f"{url}/{SUMS}", path, read_sums, keep=not args.dry_run)
        parts = [p for p in listed if in_top_folder(p) or fits(p, self.parts_of(args))]
        return [
            RemoteFile(p, listed[p], "sha256", f"{url}/{urllib.parse.quote(p)}")
            for p in chosen(parts, args.only, always=in_top_folder)
        ]


def read_sums(data: bytes, source: str) -> dict[str, str]:
    """Path -> SHA-256 digest, of a list as ``sha256sum`` and PhysioNet write it.

    Args:
      data: the list.
      source: of it, for messages.

    Raises:
      DownloadError: it is empty or something else.
    """
    listed = {}
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DownloadError(f"{source}: expected text, found other bytes ({error})") from error
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found:
            raise DownloadError(
                f"{source}:{number}: expected a SHA-256 digest and a path, found {line[:60]!r}; "
                "if it is a file here, delete it: it is fetched again"
            )
        listed[safe_path(found["path"], f"{source}:{number}")] = found["digest"]
    if not listed:
        raise DownloadError(f"{source}: names no file; if it is a file here, delete it")
    return listed


class PtbXl(PhysioNet):
    """PTB-XL 1.0.3: 21,799 twelve-lead records of 10 s, at 100 and at 500 Hz."""

    name = "ptbxl"
    project = "ptb-xl/1.0.3"
    options = ("only", "records")

    def parts_of(self, args: argparse.Namespace) -> tuple[str, ...]:
        """Of the rate that is asked for."""
        return ("*",) if args.records == "both" else (f"records{args.records}/*",)


class Cpsc2018(PhysioNet):
    """CPSC 2018 as the PhysioNet/CinC Challenge 2020 published it."""

    name = "cpsc2018"
    project = "challenge-2020/1.0.2"
    options = ("only", "cpsc_part")

    def parts_of(self, args: argparse.Namespace) -> tuple[str, ...]:
        """Of the records of the challenge of 2018, of those that were left over, or of both."""
        folders = {"main": "cpsc_2018", "extra": "cpsc_2018_extra"}
        wanted = folders if args.cpsc_part == "both" else (args.cpsc_part,)
        return tuple(f"training/{folders[part]}/*" for part in wanted)


class Csn(PhysioNet):
    """Chapman-Shaoxing-Ningbo: 45,152 twelve-lead records of 10 s at 500 Hz."""

    name = "csn"
    project = "ecg-arrhythmia/1.0.0"


class MimicIvEcg(PhysioNet):
    """MIMIC-IV-ECG 1.0: 800,035 twelve-lead records of 10 s at 500 Hz."""

    name = "mimic_iv_ecg"
    project = "mimic-iv-ecg/1.0"
    notice = (
        "Signals, record_list.csv and the machine's reports (machine_measurements.csv) are open, "
        "under the\nODbL 1.0; all of it is about 90 GB in 1.6 million files (--only "
        "'files/p1000/*' takes a part). What\nsubject_id and waveform_note_links.csv lead to, the "
        "clinical tables and the cardiologists' notes, is\ncredentialed: python -m "
        "data_prep.download mimic_iv says how to get it. Nothing in this project needs it."
    )
